//! The exchange of a request with a target in HTTP/1.1: ours from the first byte to the last. Pingora has those that switch
//! protocols, or whose target speaks HTTP/2 (docs/adr/0023).
//!
//! What is decided is decided by the same functions as there (`attempt.rs`, `upload.rs`, `answer.rs`): this only moves the bytes.

mod http1;
mod outgoing;
mod reading;

use std::time::Duration;

use bytes::Bytes;
use futures::FutureExt;
use pingora::http::ResponseHeader;
use pingora::protocols::http::HttpTask;
use pingora::{Error, ErrorType, Result};
use pingora_proxy::Session;
use portreeve_wire::http1::Body;
use smallvec::SmallVec;

use self::http1::Http1;
use crate::context::Request;
use crate::phases::facts;
use crate::upstream::{Loan, Prepared};
use crate::{answer, attempt, reply, upload};

/// Parts of an answer that go to the client together.
type Parts = SmallVec<[HttpTask; 4]>;

/// What a target says.
enum Said {
    /// An interim head: another one follows.
    Interim(Box<ResponseHeader>),
    /// The head that counts, and whether that was all.
    Head(Box<ResponseHeader>, bool),
    /// Some of the body, and whether that was all.
    Body(Option<Bytes>, bool),
}

/// What has moved between a target and us.
enum Moved {
    /// More of the answer has come.
    Heard,
    /// The request has gone as far as it is known.
    Sent,
}

/// Whether this request is exchanged here.
pub(crate) fn is_ours(session: &Session, cx: &Request) -> bool {
    session.as_ref().as_custom().is_some() && cx.pool().is_some_and(|pool| !pool.transport().is_multiplexed())
}

/// Tries targets until one has answered, or nothing more can be tried. Dropped at any moment, it closes the connection it has and
/// gives back what is counted.
///
/// # Errors
/// What the client is to be told; nothing of an answer may have gone by then, or a part.
pub(crate) async fn run(session: &mut Session, cx: &mut Request) -> Result<()> {
    loop {
        match once(session, cx).await {
            Err(error) if error.retry() => {}
            ended => return ended,
        }
    }
}

/// One attempt.
async fn once(session: &mut Session, cx: &mut Request) -> Result<()> {
    attempt::begin(session, cx, Prepared::alone).await?;
    let mut target = match connect(session, cx).await {
        Ok(loan) => Http1::new(loan),
        Err(Unconnected::NoTarget(error)) => return Err(attempt::is_not_connected(cx, error.into_up()).into_up()),
        // The connection of the client keeps the time of an attempt as well.
        Err(Unconnected::NoClient(_))
            if facts(session.digest()).is_some_and(|facts| facts.line.take_attempt_over()) =>
        {
            return Err(attempt::is_not_connected(cx, too_late()).into_up());
        }
        Err(Unconnected::NoClient(error)) => return Err(attempt::broke(session, cx, error, false)),
    };
    match exchange(session, cx, &mut target).await {
        Ok(()) => {
            if send_the_rest(session, cx, &mut target).await {
                target.give_back();
            }
            Ok(())
        }
        Err(error) => {
            // Closed, before somebody else is asked.
            drop(target);
            Err(attempt::broke(session, cx, error, false))
        }
    }
}

/// Why there is no connection.
enum Unconnected {
    NoTarget(Box<Error>),
    /// The client left meanwhile, or its time is up.
    NoClient(Box<Error>),
}

/// A connection for the attempt: one that was kept, or a new one, within the time of an attempt.
async fn connect(session: &mut Session, cx: &Request) -> Result<Loan, Unconnected> {
    let lost = || Unconnected::NoTarget(Error::explain(ErrorType::InternalError, "an attempt without a target"));
    let leg = cx.shared_leg().ok_or_else(lost)?;
    if let Some(loan) = Loan::kept(&leg) {
        return Ok(loan);
    }
    // Boxed: few requests wait for a connection.
    let most = cx.per_try().unwrap_or(Duration::MAX);
    let opening = Box::pin(tokio::time::timeout(most, Loan::open(&leg)));
    tokio::select! {
        biased;
        opened = opening => opened.unwrap_or_else(|_| Err(too_late())).map_err(Unconnected::NoTarget),
        left = session.as_mut().read_body_or_idle(true) => Err(Unconnected::NoClient(gone(left))),
    }
}

#[expect(clippy::unnecessary_box_returns, reason = "Pingora's errors are boxed")]
fn too_late() -> Box<Error> {
    Error::explain(ErrorType::ConnectTimedout, "no connection within the time of an attempt")
}

/// The client has left, or the time of its request is up.
#[expect(clippy::unnecessary_box_returns, reason = "Pingora's errors are boxed")]
fn gone(left: Result<Option<Bytes>>) -> Box<Error> {
    match left {
        Err(error) => error.into_down(),
        Ok(_) => Error::explain(ErrorType::ConnectionClosed, "the client left").into_down(),
    }
}

/// Sends the request, and passes on what is answered, to its end.
async fn exchange(session: &mut Session, cx: &mut Request, target: &mut Http1) -> Result<()> {
    begin(session, cx, target)?;
    let mut parts = Parts::new();
    loop {
        // What has come goes on together.
        while let Some(said) = target.said()? {
            if hear(session, cx, said, &mut parts).await? {
                return write(session, parts).await;
            }
        }
        write(session, std::mem::take(&mut parts)).await?;
        more(session, cx, target).await?;
    }
}

/// Begins the request: its head, and what there is of its body.
fn begin(session: &mut Session, cx: &mut Request, target: &mut Http1) -> Result<()> {
    let body = match cx.body_length {
        _ if session.as_mut().is_body_empty() => Body::None,
        // The length is known only when the last plugin is done with the body.
        Some(length) if !cx.touches_request_body() => Body::Length(length),
        _ => Body::Chunked,
    };
    target.head(session.req_header(), cx, body)?;
    if body == Body::None && !cx.touches_request_body() {
        cx.sent();
        return target.end(None);
    }
    session.as_mut().enable_retry_buffering();
    // What an attempt before this one has read comes first. Of what has not been read, nothing is waited for yet.
    let begun = match session.as_ref().get_retry_buffer() {
        None if !session.as_mut().is_body_done() => session.as_mut().read_body_or_idle(false).now_or_never(),
        begun => Some(Ok(begun)),
    };
    match begun {
        Some(chunk) => send(session, cx, target, chunk.map_err(Error::into_down)?),
        None => Ok(()),
    }
}

/// Some of the request's body goes on; `None` is its end.
fn send(session: &mut Session, cx: &mut Request, target: &mut Http1, mut chunk: Option<Bytes>) -> Result<()> {
    let last = chunk.is_none() || session.as_mut().is_body_done();
    upload::chunk(session, &mut chunk, last, cx)?;
    if let Some(data) = chunk {
        target.put(&data)?;
    }
    if !last {
        return Ok(());
    }
    let follows = facts(session.digest()).and_then(|facts| cx.request_ends(&facts.line.trailers));
    target.end(follows.as_deref())
}

/// Waits until the target has said more. Meanwhile what its client sends goes to it, as fast as it takes it, and the client is
/// watched: one that leaves ends the exchange, and so does the time of the request.
async fn more(session: &mut Session, cx: &mut Request, target: &mut Http1) -> Result<()> {
    loop {
        let wants_more = target.wants_more();
        // Whoever is ready first: neither way may hold up the other.
        let came = tokio::select! {
            moved = target.moves() => match moved? {
                Moved::Heard => return Ok(()),
                Moved::Sent => continue,
            },
            came = session.as_mut().read_body_or_idle(!wants_more) => came,
        };
        if !wants_more {
            return Err(gone(came));
        }
        send(session, cx, target, came.map_err(Error::into_down)?)?;
    }
}

/// Passes on a piece of the answer. Whether it was the last.
async fn hear(session: &mut Session, cx: &mut Request, said: Said, parts: &mut Parts) -> Result<bool> {
    let (part, last) = match said {
        Said::Interim(mut head) => {
            answer::comes(session, &mut head, cx)?;
            answer::goes_on(session, &mut head, cx).await?;
            parts.push(HttpTask::Header(head, false));
            // Whatever becomes of the answer that follows.
            return write(session, std::mem::take(parts)).await.map(|()| false);
        }
        Said::Head(mut head, last) => {
            answer::comes(session, &mut head, cx)?;
            answer::goes_on(session, &mut head, cx).await?;
            (HttpTask::Header(head, last), last)
        }
        Said::Body(mut data, last) => {
            answer::chunk(session, &mut data, last, cx)?;
            if data.is_none() && !last {
                return Ok(false);
            }
            (HttpTask::Body(data, last), last)
        }
    };
    parts.push(part);
    Ok(last)
}

/// Hands these to the client's session.
async fn write(session: &mut Session, parts: Parts) -> Result<()> {
    if parts.is_empty() {
        return Ok(());
    }
    let Some(client) = session.as_mut().as_custom_mut() else {
        return Error::e_explain(ErrorType::InternalError, "the session is not one of ours");
    };
    client.response_duplex_vec(parts.into_vec()).await.map(drop)
}

/// An answer may come before its request is whole, from a target that wants the rest of it all the same: it gets it, for as long as
/// it takes it. The answer has gone, and nothing that happens now is the worse for it. Whether the target has the whole.
async fn send_the_rest(session: &mut Session, cx: &mut Request, target: &mut Http1) -> bool {
    while !target.has_sent() {
        let wants_more = target.wants_more();
        let came = tokio::select! {
            sent = target.sends(), if !wants_more => match sent {
                Ok(()) => continue,
                Err(_) => break,
            },
            came = session.as_mut().read_body_or_idle(!wants_more) => came,
        };
        let sent =
            came.and_then(|chunk| if wants_more { send(session, cx, target, chunk) } else { Err(gone(Ok(None))) });
        if sent.is_err() {
            break;
        }
    }
    // So that the answer is not lost with what the client is still sending.
    reply::drain(session).await;
    target.has_sent()
}
