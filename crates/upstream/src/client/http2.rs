//! The side of a target in HTTP/2: one stream of a connection that others share.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, Waker, ready};

use bytes::Bytes;
use h2::client::ResponseFuture;
use h2::{RecvStream, SendStream};
use http::{HeaderMap, Version};
use pingora::http::ResponseHeader;
use pingora::{Error, ErrorType, OrErr, Result, RetryType};
use portreeve_wire::http1::Body;

use super::request_body::misframed;
use super::{Progress, RequestHead, ResponseEvent, TargetExchange, bad_target};
use crate::connector::Silence;
use crate::link::ANSWERS;
use crate::stream::{Ending, Stream};
use portreeve_connection::deadline::Deadline;

/// Where in an answer the next of it is.
enum At {
    /// The request has not been begun.
    Nowhere,
    Head(ResponseFuture),
    Body(RecvStream),
    /// Behind the body, which has come to its end.
    Trailers(RecvStream),
}

/// How the end of a request is to be said.
#[derive(Debug)]
enum End {
    /// More of it is to come.
    Open,
    /// It has come, perhaps with trailers, and is still to be sent.
    Due(Option<HeaderMap>),
    Sent,
}

/// One exchange with a target in HTTP/2.
pub struct Http2 {
    /// Takes the body. Gone once it takes no more.
    body: Option<SendStream<Bytes>>,
    /// What waits for a window.
    out: Bytes,
    end: End,
    /// Bytes of the body that are still to come, where they were announced.
    left: Option<u64>,
    at: At,
    /// What has come of the answer, and has not been asked for.
    heard: Option<ResponseEvent>,
    /// For the answer: silence. Once it has begun, silence of both sides: what either sends ends it.
    patience: Deadline,
    silence: Silence,
    /// For the request: a target that takes nothing.
    stalled: Deadline,
    /// Let go last: what is left of the stream is reset then.
    stream: Stream,
}

impl fmt::Debug for Http2 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Http2").finish_non_exhaustive()
    }
}

impl Http2 {
    pub fn new(stream: Stream, silence: Silence) -> Self {
        Self {
            body: None,
            out: Bytes::new(),
            end: End::Open,
            left: None,
            at: At::Nowhere,
            heard: None,
            patience: Deadline::default(),
            silence,
            stalled: Deadline::default(),
            stream,
        }
    }

    /// Whether the head that counts is still to come.
    fn is_unanswered(&self) -> bool {
        matches!(self.at, At::Nowhere | At::Head(_))
    }

    /// What the target says next.
    fn poll_event(&mut self, cx: &mut Context<'_>) -> Poll<Result<ResponseEvent>> {
        loop {
            match &mut self.at {
                At::Nowhere => return Poll::Pending,
                At::Head(answer) => {
                    if let Poll::Ready(Some(interim)) = answer.poll_informational(cx) {
                        let head = ResponseHeader::from(interim.map_err(no_answer)?.into_parts().0);
                        return Poll::Ready(bounded(head).map(ResponseEvent::Interim));
                    }
                    let (head, body) = ready!(Pin::new(answer).poll(cx)).map_err(no_answer)?.into_parts();
                    let last = body.is_end_stream();
                    self.at = At::Body(body);
                    return Poll::Ready(bounded(head.into()).map(|head| ResponseEvent::Head(head, last)));
                }
                At::Body(body) => {
                    let Some(data) = ready!(body.poll_data(cx)) else {
                        self.at = match std::mem::replace(&mut self.at, At::Nowhere) {
                            At::Body(body) => At::Trailers(body),
                            other => other,
                        };
                        continue;
                    };
                    let data = data.map_err(broken_off)?;
                    // It goes on from here at once, or waits for the client with nothing behind it.
                    body.flow_control().release_capacity(data.len()).map_err(broken_off)?;
                    let last = body.is_end_stream();
                    if last || !data.is_empty() {
                        return Poll::Ready(Ok(ResponseEvent::Body(Some(data), last)));
                    }
                }
                At::Trailers(body) => {
                    let trailers = ready!(body.poll_trailers(cx)).map_err(broken_off)?;
                    if trailers.as_ref().is_some_and(is_too_large) {
                        // What was too much of them has been left out already.
                        return Poll::Ready(Err(bad_target("the trailers of an answer are too large")));
                    }
                    return Poll::Ready(Ok(trailers.map_or(ResponseEvent::Body(None, true), ResponseEvent::Trailers)));
                }
            }
        }
    }

    /// Something has moved: nobody is silent, and nothing stands still.
    fn moved(&mut self) {
        self.patience.clear();
        self.stalled.clear();
    }

    /// `None`: the target takes no more.
    fn poll_out(&mut self, cx: &mut Context<'_>) -> Poll<Option<()>> {
        let Some(body) = &mut self.body else { return Poll::Ready(None) };
        while !self.out.is_empty() {
            body.reserve_capacity(self.out.len());
            // h2 wakes when there is more room than before, and room that was there already is not more.
            let room = match body.capacity() {
                0 => match ready!(body.poll_capacity(cx)) {
                    Some(Ok(room)) => room,
                    Some(Err(_)) | None => return Poll::Ready(None),
                },
                room => room,
            };
            let piece = self.out.split_to(room.min(self.out.len()));
            self.patience.clear();
            self.stalled.clear();
            let is_last = self.out.is_empty() && matches!(self.end, End::Due(None));
            if body.send_data(piece, is_last).is_err() {
                return Poll::Ready(None);
            }
            if is_last {
                self.end = End::Sent;
            }
        }
        let ended = match std::mem::replace(&mut self.end, End::Sent) {
            End::Due(Some(trailers)) => body.send_trailers(trailers),
            End::Due(None) => body.send_data(Bytes::new(), true),
            other => {
                self.end = other;
                Ok(())
            }
        };
        Poll::Ready(ended.ok())
    }
}

impl TargetExchange for Http2 {
    fn version(&self) -> Version {
        Version::HTTP_2
    }

    fn begin(&mut self, head: RequestHead<'_>, body: Body) -> Result<()> {
        self.left = match body {
            Body::Length(length) => Some(length),
            Body::None | Body::Chunked => None,
        };
        let head = head.into_http2(body, self.stream.is_tls())?;
        let is_over = body == Body::None;
        let begun = self.stream.begin(head, is_over);
        let begun = begun.or_err(ErrorType::InvalidHTTPHeader, "a request that HTTP/2 cannot carry")?;
        let Some((answer, body)) = begun else {
            let mut error = Error::explain(ErrorType::H2Error, "the connection has come to its end").into_up();
            error.set_retry(true);
            return Err(error);
        };
        self.at = At::Head(answer);
        if is_over {
            self.end = End::Sent;
        } else {
            self.body = Some(body);
        }
        Ok(())
    }

    fn put(&mut self, data: Bytes) -> Result<()> {
        if matches!(self.end, End::Sent) {
            // What plugins make of nothing is not sent: the head was the end.
            return Ok(());
        }
        if let Some(left) = &mut self.left {
            *left = left.checked_sub(data.len() as u64).ok_or_else(misframed)?;
        }
        self.out = if self.out.is_empty() { data } else { [&*self.out, &*data].concat().into() };
        Ok(())
    }

    fn end(&mut self, trailers: Option<&HeaderMap>) -> Result<()> {
        if self.left.is_some_and(|left| left > 0) {
            return Err(misframed());
        }
        if matches!(self.end, End::Open) {
            self.end = End::Due(trailers.cloned());
        }
        Ok(())
    }

    fn wants_more(&self) -> bool {
        self.body.is_some() && self.out.is_empty() && matches!(self.end, End::Open)
    }

    fn has_sent(&self) -> bool {
        self.body.is_none() || matches!(self.end, End::Sent)
    }

    fn event(&mut self) -> Result<Option<ResponseEvent>> {
        if self.heard.is_some() {
            return Ok(self.heard.take());
        }
        // Whoever waits for more looks again.
        match self.poll_event(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(said) => said.map(Some),
            Poll::Pending => Ok(None),
        }
    }

    fn poll_progress(&mut self, cx: &mut Context<'_>) -> Poll<Result<Progress>> {
        if let Poll::Ready(said) = self.poll_event(cx) {
            self.moved();
            self.heard = Some(said?);
            return Poll::Ready(Ok(Progress::Received));
        }
        let is_partial = matches!(self.end, End::Open) && self.body.is_some();
        let sent = if self.has_sent() || self.wants_more() { Poll::Pending } else { self.poll_send(cx)? };
        if is_partial && sent.is_ready() {
            return Poll::Ready(Ok(Progress::Sent));
        }
        if self.is_unanswered() && !self.has_sent() {
            // The target may wait for the rest of the request. What bounds its client, or what is sent, bounds that.
            self.patience.clear();
            return Poll::Pending;
        }
        let limit = if self.is_unanswered() { self.silence.first_byte } else { self.silence.later };
        ready!(self.patience.poll_within(cx, limit));
        if !self.wants_more() {
            // It may hang with all its streams: no other begins on that connection.
            self.stream.retire();
        }
        Poll::Ready(Err(Error::explain(ErrorType::ReadTimedout, "while the answer was waited for").into_up()))
    }

    fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<Result<()>> {
        match self.poll_out(cx) {
            Poll::Pending => {
                ready!(self.stalled.poll_within(cx, self.stream.write_limit()));
                if self.is_unanswered() {
                    let stalled = Error::explain(ErrorType::WriteTimedout, "while the request was sent");
                    return Poll::Ready(Err(stalled.into_up()));
                }
                (self.body, self.out) = (None, Bytes::new());
            }
            Poll::Ready(sent) => {
                self.moved();
                if sent.is_none() {
                    // Why is said where the answer is read; it may be there all the same.
                    (self.body, self.out) = (None, Bytes::new());
                }
            }
        }
        Poll::Ready(Ok(()))
    }

    fn suspect(&mut self) {
        if self.is_unanswered() {
            self.stream.retire();
        }
    }

    /// Its connection has a place for another stream, however this one ended.
    fn give_back(&mut self) {}
}

/// A head, if it is no larger than one may be.
fn bounded(head: ResponseHeader) -> Result<Box<ResponseHeader>> {
    if is_too_large(&head.headers) {
        return Err(bad_target("the head of an answer is too large"));
    }
    Ok(Box::new(head))
}

/// h2 takes more, so that who goes beyond this is told from who breaks the connection.
fn is_too_large(fields: &HeaderMap) -> bool {
    let bytes = fields.iter().map(|(name, value)| name.as_str().len() + value.len()).sum::<usize>();
    bytes > ANSWERS.head_bytes || fields.len() > ANSWERS.fields
}

/// There is no answer: what that says of the request.
#[expect(clippy::unnecessary_box_returns, reason = "Pingora's errors are boxed")]
fn no_answer(error: h2::Error) -> Box<Error> {
    let ending = Ending::of(&error);
    let kind = match ending {
        Ending::Malformed => return Error::because(ErrorType::HTTPStatus(502), "a malformed answer", error).into_up(),
        _ if error.is_io() => ErrorType::ReadError,
        _ => ErrorType::H2Error,
    };
    let mut error = Error::because(kind, "while the answer was waited for", error).into_up();
    match ending {
        Ending::Untouched => error.set_retry(true),
        Ending::Lost => error.retry = RetryType::ReusedOnly,
        Ending::Malformed | Ending::Broken => {}
    }
    error
}

/// An answer ends where it should not.
#[expect(clippy::unnecessary_box_returns, reason = "Pingora's errors are boxed")]
fn broken_off(error: h2::Error) -> Box<Error> {
    Error::because(ErrorType::ReadError, "while the answer was read", error).into_up()
}
