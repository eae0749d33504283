//! A request's body on its way to the target: each chunk of it, and what is told of it.

use bytes::Bytes;
use http::StatusCode;
use pingora::protocols::http::ServerSession as Session;
use pingora::{Error, ErrorType, Result};

use crate::context::Request;
use crate::phases::fatal;

/// Each chunk of the request body, and again from the start in each attempt. What is left of it goes to the target.
///
/// # Errors
/// The body is refused, or a plugin has answered. It is the client's doing, so that nobody tries again.
pub(crate) fn chunk(session: &Session, body: &mut Option<Bytes>, last: bool, cx: &mut Request) -> Result<()> {
    pass(session, body, last, cx).map_err(Error::into_down)?;
    cx.copy_chunk(body.as_ref(), last);
    Ok(())
}

/// The same of a request without a body, for plugins that look at bodies: they know that there is none before anybody is asked.
///
/// # Errors
/// As above.
pub(crate) fn nothing(session: &Session, cx: &mut Request) -> Result<()> {
    // What they make of nothing is not sent: the head will say that there is nothing.
    pass(session, &mut None, true, cx).map_err(Error::into_down)
}

/// Takes one chunk through the bounds and the plugins.
fn pass(session: &Session, body: &mut Option<Bytes>, last: bool, cx: &mut Request) -> Result<()> {
    cx.body_in += body.as_ref().map_or(0, |chunk| chunk.len() as u64);
    if last {
        cx.sent();
    }
    if cx.body_in > cx.max_body() {
        return Error::e_explain(ErrorType::HTTPStatus(413), "the request body is longer than is allowed");
    }
    if cx.is_late() {
        return Error::e_explain(ErrorType::HTTPStatus(408), "the route's timeout passed while the body was sent");
    }
    if !cx.touches_request_body() {
        return Ok(());
    }
    let mut chunk = body.take().unwrap_or_default();
    let outcome = cx.request_body(&mut chunk, last, session.req_header());
    // They may hold all of it back.
    *body = (!chunk.is_empty()).then_some(chunk);
    match outcome {
        Ok(None) => Ok(()),
        Ok(Some(answer)) => {
            cx.pending = Some(answer);
            Error::e_explain(ErrorType::HTTPStatus(400), "a plugin answered while the body was sent")
        }
        Err(failure) => Err(fatal(cx, &failure, StatusCode::PAYLOAD_TOO_LARGE)),
    }
}
