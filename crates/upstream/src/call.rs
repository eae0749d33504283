//! Calls that plugins make to upstreams, through their pools: they share the connections that requests of their worker use.

use std::any::Any;
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use http::{HeaderValue, Method, header};
use pingora::http::RequestHeader;
use pingora::{Error, ErrorType};
use portreeve_plugin::{Answer, Call, CallError};
use portreeve_wire::http1::Asked;

use super::client::{Conversation, NotGathered, RequestHead, Staleness};
use super::connector::{Place, Silence, TargetConnector, UpstreamHandle};
use super::pool::Pool;
use crate::error_text::text_of;
use crate::fault::Fault;
use portreeve_wire::http1::is_hop_by_hop;

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
pub(super) async fn attempt(prepared: &TargetConnector, call: &Call, left: Duration) -> Result<Answer, Failed> {
    let timeouts = prepared.timeouts();
    // The answer is gathered, so that the time of the call bounds all of it.
    let silence = Silence { first_byte: timeouts.first_byte.get().min(left), later: left };
    let kept = timeouts.idle.get().min(KEPT);
    let asked = Asked { is_head: call.method == Method::HEAD, upgrade: false };
    let mut stale = 0;
    loop {
        let handle = prepared.own_attempt(asked, silence, kept);
        let place = handle.open().await;
        let place = place.map_err(|error| (Fault::of_connecting(&error), CallError::Failed(text_of(&error))))?;
        let place = place.ok_or_else(|| {
            let message = "the target does not speak HTTP/2".to_owned();
            (Fault::BadAnswer, CallError::Failed(message))
        })?;
        let (staleness, failed) = match once(place, &handle, prepared, call).await {
            Ok(answer) => return Ok(answer),
            Err(Broken::TooLarge) => return Err((Fault::BadAnswer, CallError::TooLarge(call.max_body))),
            Err(Broken::Failed { staleness, error, has_answer }) => {
                (staleness, failed(&error, has_answer, silence, timeouts.write.get()))
            }
        };
        let again = match staleness {
            Staleness::Untouched => true,
            Staleness::Stale => call.method.is_idempotent(),
            Staleness::Fresh => false,
        };
        if !again || stale >= MAX_STALE {
            return Err(failed);
        }
        stale += 1;
    }
}

/// How an exchange broke.
enum Broken {
    TooLarge,
    Failed { staleness: Staleness, error: Box<Error>, has_answer: bool },
}

/// Sends the request and gathers the whole answer, within the target's timeouts and the call's bound. Both at once: the target may
/// answer before it has read everything, and need not read the rest.
async fn once(
    place: Place,
    handle: &UpstreamHandle,
    prepared: &TargetConnector,
    call: &Call,
) -> Result<Answer, Broken> {
    let is_reused = place.is_reused;
    let broken = |mut error: Box<Error>, has_answer: bool| {
        if let Some(attempt) = handle.upstream_attempt() {
            attempt.explain(&mut error);
        }
        let was_stale = handle.upstream_attempt().map(|attempt| attempt.was_stale());
        let staleness = if has_answer { Staleness::Fresh } else { Staleness::of(&mut error, was_stale, is_reused) };
        Broken::Failed { staleness, error, has_answer }
    };
    let head = head(prepared, call).map_err(|error| broken(error, false))?;
    let begun = Conversation::begin(place.target, RequestHead::made(head), call.body.clone());
    let mut conversation = begun.map_err(|error| broken(error, false))?;
    let answer = conversation.head().await.map_err(|error| broken(error, conversation.has_answer()))?;
    let body = conversation.gather(call.max_body).await.map_err(|not| match not {
        NotGathered::TooLarge => Broken::TooLarge,
        NotGathered::Failed(error) => broken(error, true),
    })?;
    conversation.give_back();
    let head = http::response::Parts::from(*answer);
    Ok(Answer { status: head.status, headers: head.headers, body })
}

/// What a caller is told of an error, and in which word it is counted: once an answer has begun, it was no good one.
fn failed(error: &Error, has_answer: bool, silence: Silence, write: Duration) -> Failed {
    let told = match error.etype() {
        ErrorType::ReadTimedout if has_answer => CallError::TimedOut(silence.later),
        ErrorType::ReadTimedout => CallError::TimedOut(silence.first_byte),
        ErrorType::WriteTimedout => CallError::TimedOut(write),
        _ => CallError::Failed(text_of(error)),
    };
    match Fault::of(error) {
        Fault::Reset if has_answer => (Fault::BadAnswer, told),
        fault => (fault, told),
    }
}

/// The head for a target: the caller's headers without those of a connection. Its framing is the client's.
fn head(prepared: &TargetConnector, call: &Call) -> pingora::Result<RequestHeader> {
    let mut head = RequestHeader::build_no_case(call.method.clone(), call.target.as_str().as_bytes(), Some(8))?;
    for (name, value) in &call.headers {
        if !is_hop_by_hop(name) && *name != header::CONTENT_LENGTH && *name != header::HOST {
            head.append_header(name.clone(), value.clone())?;
        }
    }
    let host = call.headers.get(header::HOST).cloned();
    let host = host.or_else(|| HeaderValue::from_str(&prepared.authority()).ok());
    head.insert_header(header::HOST, host.unwrap_or(HeaderValue::from_static("localhost")))?;
    if call.body.is_empty() && matches!(call.method, Method::POST | Method::PUT | Method::PATCH) {
        head.insert_header(header::CONTENT_LENGTH, 0)?;
    }
    Ok(head)
}
