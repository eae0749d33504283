//! Calls that plugins make: to upstreams through their pools, and to outside URLs.
//!
//! Upstream calls share the connections that their worker keeps. Outside URLs (key sets, discovery documents) are fetched with
//! reqwest: proxies, public roots, names that are only what they may be.

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
use super::prepared::{Prepared, Silence};
use crate::fault::Fault;
use crate::head::is_hop_by_hop;

/// How long a connection in HTTP/1.1 may have been idle for a call: busy traffic reuses it, and a quiet one never meets a target
/// that is about to close it, or that has been replaced meanwhile. A call has no client behind it that would try again. In HTTP/2
/// a target says when it goes.
const KEPT: Duration = Duration::from_millis(200);
/// As many dead connections as a request may meet.
const MAX_STALE: u32 = 3;

impl portreeve_plugin::engine::Pool for Pool {
    fn name(&self) -> &Arc<str> {
        &self.name
    }

    fn call(&self, mut call: Call) -> BoxFuture<'_, Result<Answer, CallError>> {
        if let Some(host) = self.host().filter(|_| !call.headers.contains_key(header::HOST)) {
            call.headers.insert(header::HOST, host.clone());
        }
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

/// One try at one target, and again on other connections if kept ones turned out to be dead before anything came back.
pub(super) async fn attempt(prepared: &Prepared, call: &Call, left: Duration) -> Result<Answer, Failed> {
    let timeouts = prepared.timeouts();
    // The answer is gathered, so that the time of the call bounds all of it.
    let silence = Silence { first_byte: timeouts.first_byte.get().min(left), later: left };
    let kept = timeouts.idle.get().min(KEPT);
    let mut stale = 0;
    loop {
        let tried = if prepared.is_multiplexed() {
            http2::attempt(prepared, call, silence).await?
        } else {
            http1::attempt(prepared, call, silence, kept).await?
        };
        let again = match &tried {
            Err(Broken::Untouched(_)) => true,
            Err(Broken::Stale(_)) => call.method.is_idempotent(),
            _ => false,
        };
        if again && stale < MAX_STALE {
            stale += 1;
            continue;
        }
        return tried.map_err(|broken| match broken {
            Broken::Untouched(error) | Broken::Stale(error) | Broken::BeforeAnswer(error) => {
                (Fault::Reset, CallError::Failed(error))
            }
            Broken::InAnswer(error) => (Fault::BadAnswer, CallError::Failed(error)),
            Broken::TimedOut(after) => (Fault::AnswerTimeout, CallError::TimedOut(after)),
            Broken::TooLarge => (Fault::BadAnswer, CallError::TooLarge(call.max_body)),
        });
    }
}

/// There is no connection.
fn unconnected(error: &Error) -> Failed {
    (Fault::of_connecting(error), CallError::Failed(error.to_string()))
}

/// How far an exchange came before it broke.
enum Broken {
    /// The target has not begun with it (RFC 9113 §8.7).
    Untouched(String),
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
