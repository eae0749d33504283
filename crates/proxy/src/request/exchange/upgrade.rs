//! What follows a 101: the bytes of another protocol, both ways at once, until one side has said its last.

use std::future::poll_fn;
use std::task::Poll;

use futures::future::Either;
use pingora::protocols::http::ServerSession as Session;
use pingora::{Error, ErrorType, Result};

use crate::upstream::{ResponseEvent, TargetExchange};

/// Passes bytes both ways. A side that takes nothing slows down the other one, and holds up nothing that comes from it. When one
/// side has sent its last byte, what it sent before goes on to the other, and that is the end: half a WebSocket is none.
///
/// The session never waits for its client here: what goes to it is gathered, and nothing more is taken from the target until an
/// empty piece tells that all of it has gone.
///
/// # Errors
/// One side broke off, was silent for too long, or did not take what it was sent.
pub(super) async fn relay(session: &mut Session, target: &mut impl TargetExchange) -> Result<()> {
    // The head of the answer is on its way.
    let mut is_full = true;
    loop {
        while !is_full && let Some(event) = target.event()? {
            let ResponseEvent::Body(data, last) = event else { continue };
            if let Some(data) = data {
                session.write_response_body(data, false).await?;
                is_full = true;
            }
            if last {
                return Ok(());
            }
        }
        if target.has_sent() {
            return Err(Error::explain(ErrorType::WriteError, "the target takes no more").into_up());
        }
        let wants_more = target.wants_more();
        let client = session.read_body_or_idle(!wants_more);
        let moved = poll_fn(|cx| match () {
            () if !is_full => target.poll_progress(cx).map_ok(drop),
            () if wants_more => Poll::Pending,
            () => target.poll_send(cx),
        });
        // Neither way may hold up the other, so their turns are left to chance.
        let next = tokio::select! { moved = moved => Either::Left(moved), came = client => Either::Right(came) };
        match next {
            Either::Left(moved) => moved?,
            Either::Right(came) => match came.map_err(Error::into_down)? {
                Some(data) if data.is_empty() => is_full = false,
                Some(data) => target.put(data)?,
                None => return end(target).await,
            },
        }
    }
}

/// The client has sent its last byte: what it sent before goes on.
async fn end(target: &mut impl TargetExchange) -> Result<()> {
    target.end(None)?;
    while !target.has_sent() {
        poll_fn(|cx| target.poll_send(cx)).await?;
    }
    Ok(())
}
