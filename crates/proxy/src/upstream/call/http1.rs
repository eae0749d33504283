//! One call to a target in HTTP/1.1: a session of Pingora's on a connection of ours.

use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use http::Method;
use pingora::connectors::L4Connect;
use pingora::protocols::http::client::HttpSession;
use pingora::protocols::http::v1::client::HttpSession as Http1Session;
use pingora::upstreams::peer::Peer;
use pingora::{Error, ErrorType};
use portreeve_plugin::{Answer, Call};
use portreeve_wire::http1::Asked;
use tokio::io::AsyncReadExt;

use super::{Broken, Failed, request, unconnected};
use crate::upstream::MAX_INTERIM;
use crate::upstream::link::{Connecting, Leg};
use crate::upstream::prepared::{Prepared, Silence};

/// One try, on a connection that has been idle for less than `idle`, or on a new one.
///
/// # Errors
/// There is no connection.
pub(super) async fn attempt(
    prepared: &Prepared,
    call: &Call,
    silence: Silence,
    idle: Duration,
) -> Result<Result<Answer, Broken>, Failed> {
    let asked = Asked { is_head: call.method == Method::HEAD, upgrade: false };
    let (peer, leg) = prepared.kept(asked, silence, idle);
    let stream = Connecting(leg.clone()).connect(peer.address()).await.map_err(|error| unconnected(&error))?;
    let mut http = HttpSession::H1(Http1Session::new(Box::new(stream)));
    http.set_write_timeout(Some(prepared.timeouts().write.get()));
    http.set_read_timeout(Some(silence.first_byte));
    let mut session = Session { http, leg, silence };
    let answer = session.exchange(prepared, call).await;
    if answer.is_ok() {
        session.give_back().await;
    }
    Ok(answer)
}

/// A session with a target, for one exchange.
struct Session {
    http: HttpSession,
    leg: Arc<Leg>,
    silence: Silence,
}

impl Session {
    /// Sends the request and reads the whole answer, within the target's timeouts and the call's bound.
    async fn exchange(&mut self, prepared: &Prepared, call: &Call) -> Result<Answer, Broken> {
        self.send(prepared, call).await.map_err(|error| self.unanswered(error))?;
        self.read_head().await?;
        self.http.set_read_timeout(Some(self.silence.later));
        let mut body = BytesMut::new();
        loop {
            let chunk = self.http.read_response_body().await;
            match chunk.map_err(|error| Broken::InAnswer(self.explained(error).to_string()))? {
                Some(chunk) if body.len() + chunk.len() > call.max_body => return Err(Broken::TooLarge),
                Some(chunk) => body.extend_from_slice(&chunk),
                None => break,
            }
        }
        let head = self.http.response_header().ok_or_else(|| Broken::InAnswer("no answer head".to_owned()))?;
        Ok(Answer { status: head.status, headers: head.headers.clone(), body: body.freeze() })
    }

    async fn send(&mut self, prepared: &Prepared, call: &Call) -> pingora::Result<()> {
        self.http.write_request_header(Box::new(request(prepared, call)?)).await?;
        if !call.body.is_empty() {
            self.http.write_request_body(call.body.clone(), true).await?;
        }
        self.http.finish_request_body().await
    }

    /// Reads the head of the answer, past interim ones.
    async fn read_head(&mut self) -> Result<(), Broken> {
        for _ in 0..=MAX_INTERIM {
            if let Err(error) = self.http.read_response_header().await {
                let error = self.explained(error);
                return Err(match error.etype() {
                    ErrorType::ReadTimedout => Broken::TimedOut(self.silence.first_byte),
                    // Malformed: no better on another connection.
                    ErrorType::HTTPStatus(_) => Broken::InAnswer(error.to_string()),
                    _ => self.unanswered(error),
                });
            }
            if self.http.response_header().is_some_and(|head| !head.status.is_informational()) {
                return Ok(());
            }
        }
        Err(Broken::InAnswer("nothing but interim answers".to_owned()))
    }

    /// It broke before the answer began.
    fn unanswered(&self, error: Box<Error>) -> Broken {
        let error = self.explained(error).to_string();
        if self.leg.was_stale() { Broken::Stale(error) } else { Broken::BeforeAnswer(error) }
    }

    /// What a failure of Pingora's was about.
    #[expect(clippy::unnecessary_box_returns, reason = "Pingora's errors are boxed")]
    fn explained(&self, mut error: Box<Error>) -> Box<Error> {
        self.leg.explain(&mut error);
        error
    }

    /// The exchange is over: the connection may serve another.
    async fn give_back(self) {
        let HttpSession::H1(mut http) = self.http else { return };
        http.respect_keepalive();
        if let Some(mut stream) = http.reuse().await {
            // As Pingora's connector gives it back; see `Loan`.
            let nothing = stream.read(&mut [0]).await;
            debug_assert!(matches!(nothing, Ok(0)), "an exchange ends where its answer does");
        }
    }
}
