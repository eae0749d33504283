//! Calls that plugins make: to upstreams through their pools, and to outside URLs.
//!
//! Upstream calls share the connections that their worker keeps. Outside URLs (key sets, discovery documents) are fetched with reqwest: redirects, proxies, public roots.

mod fetch;
mod http1;
mod http2;

use std::any::Any;
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use http::uri::{Scheme, Uri};
use http::{HeaderValue, Method, Version, header};
use pingora::http::RequestHeader;
use pingora::{Error, ErrorType};
use portreeve_plugin::{Answer, Call, CallError};

pub(crate) use self::fetch::Fetcher;
use super::pool::Pool;
use super::prepared::Prepared;
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
        let tried = if prepared.is_multiplexed() {
            http2::attempt(prepared, call, silence).await?
        } else {
            http1::attempt(prepared, call, silence, kept).await?
        };
        match tried {
            Ok(answer) => return Ok(answer),
            Err(Broken::Stale(_)) if call.method.is_idempotent() => {}
            Err(Broken::Stale(error) | Broken::BeforeAnswer(error)) => {
                return Err((Fault::Reset, CallError::Failed(error)));
            }
            Err(Broken::InAnswer(error)) => return Err((Fault::BadAnswer, CallError::Failed(error))),
            Err(Broken::TimedOut(after)) => return Err((Fault::AnswerTimeout, CallError::TimedOut(after))),
            Err(Broken::TooLarge) => return Err((Fault::BadAnswer, CallError::TooLarge(call.max_body))),
        }
    }
}

/// There is no connection.
fn unconnected(error: &Error) -> Failed {
    (Fault::of_connecting(error), CallError::Failed(error.to_string()))
}

/// How far an exchange came before it broke.
enum Broken {
    /// Nothing came of it on a connection that had been used before, and may have been closed by then.
    Stale(String),
    BeforeAnswer(String),
    InAnswer(String),
    TimedOut(Duration),
    TooLarge,
}

/// The head on the wire: the caller's headers without hop-by-hop fields, and framing that is ours.
fn request(prepared: &Prepared, call: &Call) -> pingora::Result<RequestHeader> {
    let mut head = RequestHeader::build(call.method.clone(), call.target.as_str().as_bytes(), Some(8))?;
    for (name, value) in &call.headers {
        if !is_hop_by_hop(name) && *name != header::CONTENT_LENGTH && *name != header::HOST {
            head.append_header(name.clone(), value.clone())?;
        }
    }
    let host = call.headers.get(header::HOST).cloned();
    let host = host.or_else(|| HeaderValue::from_str(&prepared.authority()).ok());
    let host = host.unwrap_or(HeaderValue::from_static("localhost"));
    if prepared.is_multiplexed() {
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
