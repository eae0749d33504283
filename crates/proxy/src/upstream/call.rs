//! Calls that plugins make: to upstreams through their pools, and to outside URLs.
//!
//! Upstream calls share the connections that their worker keeps. Outside URLs (key sets, discovery documents) are fetched with reqwest: redirects, proxies, public roots.

use std::any::Any;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::BytesMut;
use futures::future::BoxFuture;
use http::uri::{Scheme, Uri};
use http::{HeaderValue, Method, Version, header};
use pingora::http::RequestHeader;
use pingora::protocols::http::client::HttpSession;
use pingora::{Error, ErrorType};
use portreeve_plugin::{Answer, Call, CallError, Fetch};
use portreeve_wire::http1::Asked;

use super::pool::Pool;
use super::prepared::Prepared;
use super::session::Session;
use crate::fault::Fault;
use crate::head::is_hop_by_hop;

/// How long a call's connection is kept for the next call: busy traffic reuses it, and a quiet one never meets a target that
/// is about to close it, or that has been replaced meanwhile. A call has no client behind it that would try again.
const KEPT: Duration = Duration::from_millis(200);

impl portreeve_plugin::engine::Pool for Pool {
    fn name(&self) -> &Arc<str> {
        &self.name
    }

    fn call(&self, call: Call) -> BoxFuture<'_, Result<Answer, CallError>> {
        Box::pin(async move {
            let timeout = call.timeout;
            tokio::time::timeout(timeout, self.attempts(&call)).await.unwrap_or_else(|_| {
                self.metrics.failed(Fault::Deadline);
                Err(CallError::TimedOut(timeout))
            })
        })
    }

    fn as_any(&self) -> &(dyn Any + Send + Sync) {
        self
    }
}

/// Why an attempt failed: for the retry policy and the metrics, and for the caller.
type Failed = (Fault, CallError);

/// One try at one target, once more on another connection if a kept one turned out to be dead before anything came back.
pub(super) async fn attempt(prepared: &Prepared, call: &Call, left: Duration) -> Result<Answer, Failed> {
    let timeouts = prepared.timeouts();
    let (silence, kept) = (timeouts.first_byte.get().min(left), timeouts.idle.get().min(KEPT));
    loop {
        let opened = Session::open(prepared, asked(call), silence, kept).await;
        let mut session =
            opened.map_err(|error| (Fault::of_connecting(&error), CallError::Failed(error.to_string())))?;
        match exchange(&mut session, call).await {
            Ok(answer) => {
                session.give_back(kept).await;
                return Ok(answer);
            }
            Err(Broken::BeforeAnswer(_)) if session.was_stale() && call.method.is_idempotent() => {}
            Err(Broken::BeforeAnswer(error)) => return Err((Fault::Reset, CallError::Failed(error))),
            Err(Broken::InAnswer(error)) => return Err((Fault::BadAnswer, CallError::Failed(error))),
            Err(Broken::TimedOut(after)) => return Err((Fault::AnswerTimeout, CallError::TimedOut(after))),
            Err(Broken::TooLarge) => return Err((Fault::BadAnswer, CallError::TooLarge(call.max_body))),
        }
    }
}

/// What a call makes of its answer's framing.
fn asked(call: &Call) -> Asked {
    Asked { is_head: call.method == Method::HEAD, upgrade: false }
}

/// How far an exchange came before it broke.
enum Broken {
    BeforeAnswer(String),
    InAnswer(String),
    TimedOut(Duration),
    TooLarge,
}

/// Sends the request and reads the whole answer, within the target's timeouts and the call's bound.
async fn exchange(session: &mut Session<'_>, call: &Call) -> Result<Answer, Broken> {
    let is_h2 = matches!(session.http, HttpSession::H2(_));
    if !is_h2 && session.prepared.is_multiplexed() {
        return Err(Broken::InAnswer("the target does not speak HTTP/2".to_owned()));
    }
    session.http.set_write_timeout(session.peer.options.write_timeout);
    session.http.set_read_timeout(session.peer.options.read_timeout);
    send(session, call, is_h2).await.map_err(|error| Broken::BeforeAnswer(session.explained(error).to_string()))?;
    read_head(session).await?;
    let mut body = BytesMut::new();
    loop {
        let chunk = session.http.read_response_body().await;
        match chunk.map_err(|error| Broken::InAnswer(session.explained(error).to_string()))? {
            Some(chunk) if body.len() + chunk.len() > call.max_body => return Err(Broken::TooLarge),
            Some(chunk) => body.extend_from_slice(&chunk),
            None => break,
        }
    }
    let head = session.http.response_header().ok_or_else(|| Broken::InAnswer("no answer head".to_owned()))?;
    Ok(Answer { status: head.status, headers: head.headers.clone(), body: body.freeze() })
}

async fn send(session: &mut Session<'_>, call: &Call, is_h2: bool) -> pingora::Result<()> {
    let head = Box::new(request(session.prepared, call, is_h2)?);
    session.http.write_request_header(head).await?;
    if !call.body.is_empty() {
        session.http.write_request_body(call.body.clone(), true).await?;
    }
    session.http.finish_request_body().await
}

/// Interim answers (RFC 9110 §15.2) one call puts up with.
const MAX_INTERIM: usize = 8;

/// Reads the head of the answer, past interim ones.
async fn read_head(session: &mut Session<'_>) -> Result<(), Broken> {
    for _ in 0..=MAX_INTERIM {
        let read = session.http.read_response_header().await.map_err(|error| session.explained(error));
        read.map_err(|error| match error.etype() {
            ErrorType::ReadTimedout => Broken::TimedOut(session.silence),
            // Malformed: no better on another connection.
            ErrorType::HTTPStatus(_) => Broken::InAnswer(error.to_string()),
            _ => Broken::BeforeAnswer(error.to_string()),
        })?;
        if session.http.response_header().is_some_and(|head| !head.status.is_informational()) {
            return Ok(());
        }
    }
    Err(Broken::InAnswer("nothing but interim answers".to_owned()))
}

/// The head on the wire: the caller's headers without hop-by-hop fields, and framing that is ours.
fn request(prepared: &Prepared, call: &Call, is_h2: bool) -> pingora::Result<RequestHeader> {
    let mut head = RequestHeader::build(call.method.clone(), call.target.as_str().as_bytes(), Some(8))?;
    for (name, value) in &call.headers {
        if !is_hop_by_hop(name) && *name != header::CONTENT_LENGTH && *name != header::HOST {
            head.append_header(name.clone(), value.clone())?;
        }
    }
    let host = call.headers.get(header::HOST).cloned();
    let host = host.or_else(|| HeaderValue::from_str(&prepared.authority()).ok());
    let host = host.unwrap_or(HeaderValue::from_static("localhost"));
    if is_h2 {
        // RFC 9113 §8.3.1: `:scheme` and `:authority` in the place of `Host`.
        let scheme = if prepared.is_tls() { Scheme::HTTPS } else { Scheme::HTTP };
        let uri = Uri::builder().scheme(scheme).authority(host.as_bytes()).path_and_query(call.target.clone()).build();
        let uri =
            uri.map_err(|cause| Error::because(ErrorType::InvalidHTTPHeader, "no authority for HTTP/2", cause))?;
        head.set_uri(uri);
        head.set_version(Version::HTTP_2);
    } else {
        head.insert_header(header::HOST, host)?;
    }
    let has_body = matches!(call.method, Method::POST | Method::PUT | Method::PATCH) || !call.body.is_empty();
    if has_body {
        head.insert_header(header::CONTENT_LENGTH, call.body.len())?;
    }
    Ok(head)
}

/// GETs outside URLs. The client is made when first needed: most gateways never fetch, and a machine without trusted roots
/// must not keep them from starting.
#[derive(Debug, Clone, Default)]
pub(crate) struct Fetcher(Arc<OnceLock<Result<reqwest::Client, String>>>);

/// Redirects followed for one fetch.
const MAX_REDIRECTS: usize = 5;
/// Longest wait for a connection of a fetch.
const CONNECT: Duration = Duration::from_secs(5);

impl Fetcher {
    pub(crate) fn fetch(&self, fetch: Fetch) -> BoxFuture<'static, Result<Answer, CallError>> {
        let fetcher = self.clone();
        Box::pin(async move {
            let client = fetcher.0.get_or_init(client).as_ref().map_err(|error| CallError::Failed(error.clone()))?;
            let failed = |error: reqwest::Error| {
                if error.is_timeout() { CallError::TimedOut(fetch.timeout) } else { CallError::Failed(chain(&error)) }
            };
            let mut answer = client.get(&fetch.url).timeout(fetch.timeout).send().await.map_err(failed)?;
            let mut body = BytesMut::new();
            while let Some(chunk) = answer.chunk().await.map_err(failed)? {
                if body.len() + chunk.len() > fetch.max_body {
                    return Err(CallError::TooLarge(fetch.max_body));
                }
                body.extend_from_slice(&chunk);
            }
            Ok(Answer { status: answer.status(), headers: answer.headers().clone(), body: body.freeze() })
        })
    }
}

fn client() -> Result<reqwest::Client, String> {
    let redirects = reqwest::redirect::Policy::limited(MAX_REDIRECTS);
    let client = reqwest::Client::builder().redirect(redirects).connect_timeout(CONNECT).user_agent("portreeve");
    client.build().map_err(|error| chain(&error))
}

/// An error with all its causes: `error sending request: connection refused`.
fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |cause| cause.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}
