//! A request's body on its way to the target: each chunk of it, and what is told of it.

use bytes::Bytes;
use http::{Version, header};
use pingora::http::RequestHeader;
use pingora::protocols::http::ServerSession as Session;
use pingora::{Error, ErrorType, Result};
use portreeve_wire::http1::Body;

use crate::request::context::{Leave, Request};
use crate::request::phases::{facts, fatal};

/// How the body of a request goes to a target. What has been gathered has its length, unless trailers follow.
pub(crate) fn framing(session: &mut Session, cx: &Request) -> Body {
    let may_change = cx.touches_request_body();
    if let Some(whole) = cx.whole_body() {
        let has_trailers = facts(session.digest()).is_some_and(|facts| facts.line.trailers.have_come());
        return match whole.len() {
            _ if has_trailers => Body::Chunked,
            0 => Body::None,
            _ if may_change => Body::Chunked,
            length => Body::Length(length as u64),
        };
    }
    match cx.body_length {
        _ if session.is_body_empty() => Body::None,
        // The length is known only when the last plugin is done with the body.
        Some(length) if !may_change => Body::Length(length),
        _ => Body::Chunked,
    }
}

/// The length of the body, if this head tells it.
pub(crate) fn announced(head: &RequestHeader) -> Option<u64> {
    head.headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// Whether the client waits for `100 Continue` before it sends the body (RFC 9110 §10.1.1), as far as is known. `read`: bytes of it
/// so far.
pub(crate) fn waits_for_leave(head: &RequestHeader, leave: Leave, read: usize) -> bool {
    let expects = head.headers.contains_key(header::EXPECT) && head.version >= Version::HTTP_11;
    expects && leave == Leave::NotGiven && read == 0
}

/// The request's time passed before its client had sent all of the body (RFC 9110 §15.5.9).
#[expect(clippy::unnecessary_box_returns, reason = "Pingora's errors are boxed")]
pub(crate) fn too_late() -> Box<Error> {
    Error::explain(ErrorType::HTTPStatus(408), "the route's timeout passed while the body was sent").into_down()
}

/// Each chunk of the request body, and again from the start in each attempt. What is left of it goes to the target.
///
/// # Errors
/// The body is refused, or a plugin has answered. It is the client's doing, so that nobody tries again.
pub(crate) async fn chunk(session: &Session, body: &mut Option<Bytes>, last: bool, cx: &mut Request) -> Result<()> {
    pass(session, body, last, cx).await.map_err(Error::into_down)?;
    cx.copy_chunk(body.as_ref(), last);
    Ok(())
}

/// The same of a request without a body, for plugins that look at bodies: they know that there is none before anybody is asked.
///
/// # Errors
/// As above.
pub(crate) async fn nothing(session: &Session, cx: &mut Request) -> Result<()> {
    // What they make of nothing is not sent: the head will say that there is nothing.
    pass(session, &mut None, true, cx).await.map_err(Error::into_down)
}

/// Takes one chunk through the bounds and the plugins.
async fn pass(session: &Session, body: &mut Option<Bytes>, last: bool, cx: &mut Request) -> Result<()> {
    cx.body_in += body.as_ref().map_or(0, |chunk| chunk.len() as u64);
    if last {
        cx.sent();
    }
    // What a plugin has set is no longer its client's.
    if cx.body_in > cx.max_body() && !cx.body_is_set() {
        return Error::e_explain(ErrorType::HTTPStatus(413), "the request body is longer than is allowed");
    }
    if cx.is_late() {
        return Err(too_late());
    }
    if !cx.touches_request_body() {
        return Ok(());
    }
    let mut chunk = body.take().unwrap_or_default();
    // Boxed: requests that no such plugin sees need not carry the room for it.
    let outcome = Box::pin(cx.request_body(&mut chunk, last, session.req_header())).await;
    // They may hold all of it back.
    *body = (!chunk.is_empty()).then_some(chunk);
    match outcome {
        Ok(None) => Ok(()),
        Ok(Some(answer)) => {
            cx.pending = Some(answer);
            Error::e_explain(ErrorType::HTTPStatus(400), "a plugin answered while the body was sent")
        }
        Err(failure) => Err(fatal(cx, &failure)),
    }
}
