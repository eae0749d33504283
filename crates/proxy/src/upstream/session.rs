//! What one call has with a target: a session on a connection of ours in HTTP/1.1, on one of Pingora's in HTTP/2.

use std::sync::Arc;
use std::time::Duration;

use pingora::Error;
use pingora::connectors::L4Connect;
use pingora::connectors::http::Connector;
use pingora::protocols::http::client::HttpSession;
use pingora::protocols::http::v1::client::HttpSession as Http1Session;
use pingora::upstreams::peer::{HttpPeer, Peer};
use portreeve_wire::http1::Asked;
use tokio::io::AsyncReadExt;

use super::link::{Connecting, Leg};
use super::prepared::Prepared;

thread_local! {
    /// For HTTP/2. One for each thread, so that a worker's calls share connections without leaving its core.
    static CONNECTOR: Arc<Connector> = Arc::new(Connector::new(None));
}

/// A session with a target, for one exchange.
pub(super) struct Session<'a> {
    pub(super) prepared: &'a Prepared,
    pub(super) peer: Box<HttpPeer>,
    pub(super) http: HttpSession,
    /// How long the target may be silent.
    pub(super) silence: Duration,
    leg: Option<Arc<Leg>>,
    reused: bool,
}

impl<'a> Session<'a> {
    /// A session on a connection that has been idle for less than `idle`, or on a new one.
    ///
    /// # Errors
    /// Nobody answers at the address, or not who should.
    pub(super) async fn open(
        prepared: &'a Prepared,
        asked: Asked,
        silence: Duration,
        idle: Duration,
    ) -> pingora::Result<Self> {
        let (peer, leg) = prepared.attempt_kept(asked, silence, idle);
        let (http, reused) = match &leg {
            Some(leg) => {
                let stream = Connecting(leg.clone()).connect(peer.address()).await?;
                (HttpSession::H1(Http1Session::new(Box::new(stream))), false)
            }
            None => CONNECTOR.with(Arc::clone).get_http_session(&*peer).await?,
        };
        Ok(Self { prepared, peer, http, silence, leg, reused })
    }

    /// What a failure of Pingora's was about.
    #[expect(clippy::unnecessary_box_returns, reason = "Pingora's errors are boxed")]
    pub(super) fn explained(&self, mut error: Box<Error>) -> Box<Error> {
        if let Some(leg) = &self.leg {
            leg.explain(&mut error);
        }
        error
    }

    /// Whether the connection had been kept, and nothing came on it.
    pub(super) fn was_stale(&self) -> bool {
        self.leg.as_ref().map_or(self.reused, |leg| leg.was_stale())
    }

    /// The exchange is over: the connection may serve another, in HTTP/2 one that begins within `kept`.
    pub(super) async fn give_back(self, kept: Duration) {
        match self.http {
            HttpSession::H1(mut http) => {
                http.respect_keepalive();
                if let Some(mut stream) = http.reuse().await {
                    // As Pingora's connector gives it back; see `Loan`.
                    let nothing = stream.read(&mut [0]).await;
                    debug_assert!(matches!(nothing, Ok(0)), "an exchange ends where its answer does");
                }
            }
            http => CONNECTOR.with(Arc::clone).release_http_session(http, &*self.peer, Some(kept)).await,
        }
    }
}
