//! The exchange of a request with a target, from the first byte to the last, whatever its protocol.
//!
//! What is decided is decided in `attempt.rs`, `upload.rs` and `answer.rs`: this only moves the bytes.

mod outgoing;
mod upgrade;

use std::future::poll_fn;
use std::pin::Pin;
use std::time::Duration;

use bytes::Bytes;
use futures::FutureExt;
use futures::future::Either;
use http::StatusCode;
use pingora::protocols::http::HttpTask;
use pingora::protocols::http::ServerSession as Session;
use pingora::{Error, ErrorType, Result};
use portreeve_wire::http1::Body;
use smallvec::SmallVec;
use tokio::time::sleep;

use crate::request::attempt::AttemptFailure;
use crate::request::context::{Leave, Request};
use crate::request::phases::facts;
use crate::request::{attempt, reply, response, upload};
use crate::upstream::{
    ConnectionLease, Http1, Http2, Progress, ResponseEvent, Stream, TargetExchange, UpstreamHandle, bad_target,
};

/// Bytes of an answer that are gathered before they go to the client: what has come ahead is bounded by what its target may send.
const GATHER: usize = 64 * 1024;

/// Parts of an answer that go to the client together.
#[derive(Default)]
struct Parts {
    tasks: SmallVec<[HttpTask; 4]>,
    bytes: usize,
}

impl Parts {
    fn push(&mut self, part: HttpTask) {
        if let HttpTask::Body(Some(data), _) = &part {
            self.bytes += data.len();
        }
        self.tasks.push(part);
    }
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
    match attempt::begin(session, cx).await? {
        UpstreamHandle::Connection(attempt) => {
            let lease = match ConnectionLease::kept(&attempt) {
                Some(lease) => lease,
                None => connect(session, cx, Box::pin(ConnectionLease::open(&attempt))).await?,
            };
            converse(session, cx, Http1::new(lease), false).await
        }
        UpstreamHandle::Stream(dial, silence) => {
            let stream = match Stream::kept(&dial) {
                Some(stream) => Some(stream),
                None => connect(session, cx, Box::pin(Stream::open(&dial))).await?,
            };
            let Some(stream) = stream else {
                let error = bad_target("the target does not speak HTTP/2");
                return Err(attempt::on_attempt_error(session, cx, error, AttemptFailure::default()));
            };
            let is_reused = stream.is_reused();
            // Boxed: a stream is larger than all that an exchange in HTTP/1.1 needs.
            Box::pin(converse(session, cx, Http2::new(stream, silence), is_reused)).await
        }
    }
}

/// Waits for a connection, within the time of an attempt.
/// `opening` is boxed: few requests wait for a connection, and all would carry the room for it.
async fn connect<T, F>(session: &mut Session, cx: &mut Request, opening: Pin<Box<F>>) -> Result<T>
where
    F: Future<Output = Result<T>>,
{
    let opening = tokio::time::timeout(cx.per_try().unwrap_or(Duration::MAX), opening);
    let too_late = || Error::e_explain(ErrorType::ConnectTimedout, "no connection within the time of an attempt");
    let opened = tokio::select! {
        biased;
        opened = opening => opened.unwrap_or_else(|_| too_late()),
        left = session.read_body_or_idle(true) => {
            // The connection of the client keeps the time of an attempt as well.
            if !facts(session.digest()).is_some_and(|facts| facts.line.take_attempt_over()) {
                return Err(attempt::on_attempt_error(session, cx, gone(left), AttemptFailure::default()));
            }
            too_late()
        }
    };
    opened.map_err(|error| attempt::on_connect_error(cx, error.into_up()))
}

/// One exchange on a connection, and what becomes of it if it fails.
async fn converse(
    session: &mut Session,
    cx: &mut Request,
    mut target: impl TargetExchange,
    is_reused: bool,
) -> Result<()> {
    match exchange(session, cx, &mut target).await {
        // Whatever it was, it was not HTTP: nothing of it is left.
        Ok(()) if session.was_upgraded() => Ok(()),
        Ok(()) => {
            if send_the_rest(session, cx, &mut target).await {
                target.give_back();
            }
            drop(target);
            if !session.is_body_done() {
                // So that the answer is not lost with what the client is still sending. That is nothing to its target any more.
                cx.leave_upstream();
                reply::drain(session).await;
            }
            Ok(())
        }
        Err(error) => {
            let is_of_client = target.wants_more();
            if !is_of_client && attempt::is_timeout(session, cx, &error) {
                target.suspect();
            }
            // Closed, before somebody else is asked.
            drop(target);
            Err(attempt::on_attempt_error(session, cx, error, AttemptFailure { is_reused, is_of_client }))
        }
    }
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
async fn exchange(session: &mut Session, cx: &mut Request, target: &mut impl TargetExchange) -> Result<()> {
    begin(session, cx, target).await?;
    let mut parts = Parts::default();
    loop {
        // What has come goes on together.
        while parts.bytes < GATHER
            && let Some(event) = target.event()?
        {
            match hear(session, cx, event, &mut parts).await? {
                Heard::More => {}
                Heard::All => return write(session, parts).await,
                Heard::Switch => {
                    write(session, parts).await?;
                    return upgrade::relay(session, target).await;
                }
            }
        }
        let is_all = parts.bytes < GATHER;
        if !parts.tasks.is_empty() {
            write(session, std::mem::take(&mut parts)).await?;
        }
        if is_all {
            more(session, cx, target).await?;
        }
    }
}

/// Begins the request: its head, and what there is of its body.
async fn begin(session: &mut Session, cx: &mut Request, target: &mut impl TargetExchange) -> Result<()> {
    let body = upload::framing(session, cx);
    if body == Body::None {
        if cx.touches_request_body() {
            upload::nothing(session, cx).await?;
        } else {
            cx.sent();
        }
        let head = outgoing::head(session.req_header(), cx, body, target)?;
        target.begin(head, body)?;
        return target.end(None);
    }
    let head = outgoing::head(session.req_header(), cx, body, target)?;
    target.begin(head, body)?;
    cx.rewind_body();
    if cx.whole_body().is_some() {
        let piece = cx.next_piece();
        return send(session, cx, target, piece).await;
    }
    if !cx.body_beginning().is_empty() {
        let beginning = Bytes::copy_from_slice(cx.body_beginning());
        send(session, cx, target, Some(beginning)).await?;
        if session.is_body_done() {
            return Ok(());
        }
    }
    session.enable_retry_buffering();
    // What an attempt before this one has read comes first. Of what has not been read, nothing is waited for yet.
    let begun = match session.get_retry_buffer() {
        None if !session.is_body_done() => session.read_body_or_idle(false).now_or_never(),
        begun => Some(Ok(begun)),
    };
    match begun {
        Some(chunk) => send(session, cx, target, chunk.map_err(Error::into_down)?).await,
        None => Ok(()),
    }
}

/// Some of the request's body goes on; `None` is its end.
async fn send(
    session: &mut Session,
    cx: &mut Request,
    target: &mut impl TargetExchange,
    mut chunk: Option<Bytes>,
) -> Result<()> {
    let last = (chunk.is_none() || session.is_body_done()) && !cx.has_unsent_body();
    upload::chunk(session, &mut chunk, last, cx).await?;
    if let Some(data) = chunk {
        target.put(data)?;
    }
    if !last {
        return Ok(());
    }
    let follows = facts(session.digest()).and_then(|facts| cx.request_ends(&facts.line.trailers));
    target.end(follows.as_deref())
}

/// Waits until the target has said more. Meanwhile what its client sends goes to it, as fast as it takes it, and the client is
/// watched: one that leaves ends the exchange, and so does the time of the request.
async fn more(session: &mut Session, cx: &mut Request, target: &mut impl TargetExchange) -> Result<()> {
    loop {
        let wants_more = target.wants_more();
        if wants_more && let Some(piece) = cx.next_piece() {
            send(session, cx, target, Some(piece)).await?;
            continue;
        }
        let client = session.read_body_or_idle(!wants_more);
        let moved = poll_fn(|cx| target.poll_progress(cx));
        // Neither way may hold up the other, so their turns are left to chance. A client that is only watched comes second.
        let next = if wants_more {
            tokio::select! { moved = moved => Either::Left(moved), came = client => Either::Right(came) }
        } else {
            tokio::select! { biased; moved = moved => Either::Left(moved), came = client => Either::Right(came) }
        };
        match next {
            Either::Left(moved) => match moved? {
                Progress::Received => return Ok(()),
                Progress::Sent => {}
            },
            Either::Right(came) if wants_more => {
                send(session, cx, target, came.map_err(Error::into_down)?).await?;
            }
            Either::Right(left) => return Err(gone(left)),
        }
    }
}

/// What follows a piece of the answer.
enum Heard {
    More,
    /// Nothing: it was the last.
    All,
    /// Another protocol: it was a 101.
    Switch,
}

/// Passes on a piece of the answer.
async fn hear(session: &mut Session, cx: &mut Request, event: ResponseEvent, parts: &mut Parts) -> Result<Heard> {
    let (part, last) = match event {
        ResponseEvent::Interim(mut head) => {
            response::check_response_head(session, &mut head, cx)?;
            response::forward_response_head(session, &mut head, cx).await?;
            if head.status == StatusCode::CONTINUE {
                cx.leave = Leave::Given;
            }
            parts.push(HttpTask::Header(head, false));
            // Whatever becomes of the answer that follows.
            return write(session, std::mem::take(parts)).await.map(|()| Heard::More);
        }
        ResponseEvent::Head(mut head, last) => {
            response::check_response_head(session, &mut head, cx)?;
            response::forward_response_head(session, &mut head, cx).await?;
            if head.status == StatusCode::SWITCHING_PROTOCOLS {
                parts.push(HttpTask::Header(head, false));
                return Ok(Heard::Switch);
            }
            (HttpTask::Header(head, last), last)
        }
        ResponseEvent::Body(mut data, last) => {
            response::chunk(session, &mut data, last, cx).await?;
            if data.is_none() && !last {
                return Ok(Heard::More);
            }
            (HttpTask::Body(data, last), last)
        }
        ResponseEvent::Trailers(mut fields) => {
            let mut held_back = None;
            response::chunk(session, &mut held_back, true, cx).await?;
            if held_back.is_some() {
                parts.push(HttpTask::Body(held_back, false));
            }
            response::trailers(session, &mut fields, cx);
            (HttpTask::Trailer(Some(Box::new(fields))), true)
        }
    };
    parts.push(part);
    Ok(if last { Heard::All } else { Heard::More })
}

/// Hands these to the client's session.
async fn write(session: &mut Session, parts: Parts) -> Result<()> {
    session.response_duplex_vec(parts.tasks.into_vec()).await.map(drop)
}

/// An answer may come before its request is whole, from a target that wants the rest of it all the same: it gets it, for as long as
/// it takes it. The answer has gone, and nothing that happens now is the worse for it. Whether the target has the whole.
async fn send_the_rest(session: &mut Session, cx: &mut Request, target: &mut impl TargetExchange) -> bool {
    if target.has_sent() {
        return true;
    }
    if upload::waits_for_leave(session.req_header(), cx.leave, session.body_bytes_read()) {
        // It need not send the body any more.
        return false;
    }
    if let Some(facts) = facts(session.digest()) {
        // Nobody speaks but the client, so that its rate counts again.
        facts.line.set_deadline(cx.until());
    }
    let silence = cx.idle();
    while !target.has_sent() {
        let wants_more = target.wants_more();
        if wants_more && let Some(piece) = cx.next_piece() {
            if send(session, cx, target, Some(piece)).await.is_err() {
                break;
            }
            continue;
        }
        let came = tokio::select! {
            sent = poll_fn(|cx| target.poll_send(cx)), if !wants_more => match sent {
                Ok(()) => continue,
                Err(_) => break,
            },
            came = session.read_body_or_idle(!wants_more) => came,
            () = sleep(silence) => break,
        };
        let sent = match came {
            Ok(chunk) if wants_more => send(session, cx, target, chunk).await,
            _ => break,
        };
        if sent.is_err() {
            break;
        }
    }
    target.has_sent()
}
