//! The answer on its way out: interim heads, the head, the body as the client takes it, trailers; or a reset.

use std::future::poll_fn;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use h2::server::SendResponse;
use h2::{Reason, SendStream};
use http::{HeaderMap, HeaderName, Response, StatusCode, header};
use pingora::http::ResponseHeader;
use pingora::protocols::http::date::get_cached_date;
use pingora::{Error, ErrorType, OrErr, Result};
use smallvec::SmallVec;
use tokio::time::{Instant, timeout_at};

use super::reset_limiter::worth;
use crate::http::grpc;
use crate::listener::connection_info::RequestControl;
use crate::listener::pace::Pace;

/// Takes off the fields that HTTP/2 does not have (RFC 9113 §8.2.2).
fn strip(head: &mut ResponseHeader) {
    let is_one = |name: &&HeaderName| {
        matches!(name.as_str(), "transfer-encoding" | "connection" | "upgrade" | "keep-alive" | "proxy-connection")
    };
    let there: SmallVec<[HeaderName; 4]> = head.headers.keys().filter(is_one).cloned().collect();
    for name in &there {
        head.remove_header(name);
    }
}

/// What is kept of a head, which itself goes to the client: the status, and whether the answer is gRPC's.
fn remembered(head: &ResponseHeader) -> Result<ResponseHeader> {
    let mut remembered = ResponseHeader::build_no_case(head.status, Some(0))?;
    if let Some(kind) = head.headers.get(header::CONTENT_TYPE).filter(|_| grpc::is_grpc(&head.headers)) {
        remembered.insert_header(header::CONTENT_TYPE, kind.clone())?;
    }
    Ok(remembered)
}

/// What is sent when the time of a request is up has still so long to be taken. Arbitrary.
const LAST_WORD: Duration = Duration::from_secs(1);

/// Waits until the client takes some of so many bytes: how many.
async fn room(writer: &mut SendStream<Bytes>, wanted: usize, pace: &mut Pace, until: Option<Instant>) -> Result<usize> {
    writer.reserve_capacity(wanted);
    // Nearly always there is room, and nothing to wait for.
    match writer.capacity() {
        0 => {}
        room => return Ok(room),
    }
    // h2 wakes when there is more room than before, and room that was there already is not more.
    let room = poll_fn(|cx| match writer.capacity() {
        0 => writer.poll_capacity(cx),
        room => Poll::Ready(Some(Ok(room))),
    });
    let limit = pace.until();
    match timeout_at(until.map_or(limit, |until| limit.min(until)), room).await {
        Ok(Some(Ok(room))) => Ok(room),
        Ok(Some(Err(error))) => Error::e_because(ErrorType::WriteError, "while the body was sent", error),
        Ok(None) => Error::e_explain(ErrorType::WriteError, "the client has given the stream up"),
        Err(_) => Error::e_explain(ErrorType::WriteTimedout, "the client takes too little of the body"),
    }
    .map_err(Error::into_down)
}

/// An answer as it goes out.
pub(super) struct Answer {
    respond: SendResponse<Bytes>,
    /// There once the head has been sent.
    writer: Option<SendStream<Bytes>>,
    /// Of the head that was sent, what is asked for afterwards: the status, and what kind of answer it is.
    pub(super) head: Option<Box<ResponseHeader>>,
    /// The end has been sent.
    ended: bool,
    /// Bytes of the body so far.
    pub(super) sent: usize,
    pace: Pace,
}

impl Answer {
    pub(super) fn new(respond: SendResponse<Bytes>, pace: Pace) -> Self {
        Self { respond, writer: None, head: None, ended: false, sent: 0, pace }
    }

    /// Sends a head: any number of interim ones (RFC 9113 §8.1), then one that counts.
    pub(super) async fn write_head(&mut self, mut head: Box<ResponseHeader>, end: bool) -> Result<()> {
        if self.ended || self.head.is_some() {
            return Ok(());
        }
        strip(&mut head);
        if head.status.is_informational() {
            return self.write_interim(&head).await;
        }
        // A target's own says when the answer was made (RFC 9110 §6.6.1).
        if !head.headers.contains_key(header::DATE) {
            head.insert_header(header::DATE, get_cached_date())?;
        }
        let remembered = remembered(&head)?;
        let sent = self.respond.send_response(Response::from_parts((*head).into(), ()), end);
        self.writer = Some(sent.or_err(ErrorType::WriteError, "while the head was sent").map_err(Error::into_down)?);
        (self.head, self.ended) = (Some(Box::new(remembered)), end);
        Ok(())
    }

    async fn write_interim(&mut self, head: &ResponseHeader) -> Result<()> {
        if head.status == StatusCode::SWITCHING_PROTOCOLS {
            return Error::e_explain(ErrorType::InternalError, "HTTP/2 has no upgrade (RFC 9113 §8.6)");
        }
        // h2 would send it on a stream that has been reset, too.
        let gone = poll_fn(|cx| Poll::Ready(self.poll_gone(cx).is_ready())).await;
        if gone {
            return Ok(());
        }
        let sent = self.respond.send_informational(Response::from_parts(head.as_owned_parts(), ()));
        sent.or_err(ErrorType::WriteError, "while an interim head was sent").map_err(Error::into_down)
    }

    /// Sends a piece of the body, as the client has room for it, until the time of its request is up: one stream may be left without
    /// a window, which its connection does not notice.
    pub(super) async fn write_body(&mut self, mut data: Bytes, end: bool, line: &RequestControl) -> Result<()> {
        if self.ended {
            return Ok(());
        }
        let Some(writer) = self.writer.as_mut() else {
            return Error::e_explain(ErrorType::H2Error, "a body before the head");
        };
        let until = line.deadline().map(|until| Instant::from(until).max(Instant::now() + LAST_WORD));
        loop {
            // Without bytes there is nothing to wait for.
            let room = if data.is_empty() { 0 } else { room(writer, data.len(), &mut self.pace, until).await? };
            if room == 0 && !data.is_empty() {
                continue;
            }
            let piece = data.split_to(room.min(data.len()));
            self.sent += piece.len();
            self.pace.took(piece.len());
            line.served(worth(piece.len(), data.is_empty()));
            let sent = writer.send_data(piece, end && data.is_empty());
            sent.or_err(ErrorType::WriteError, "while the body was sent").map_err(Error::into_down)?;
            if data.is_empty() {
                self.ended = end;
                return Ok(());
            }
        }
    }

    /// Sends trailers, and the end with them.
    pub(super) fn write_trailers(&mut self, trailers: HeaderMap) -> Result<()> {
        if self.ended {
            return Ok(());
        }
        let Some(writer) = self.writer.as_mut() else {
            return Error::e_explain(ErrorType::H2Error, "trailers before the head");
        };
        let sent = writer.send_trailers(trailers);
        sent.or_err(ErrorType::WriteError, "while the trailers were sent").map_err(Error::into_down)?;
        self.ended = true;
        Ok(())
    }

    /// Sends the end, if it has not been sent. Without a head there is nothing to end.
    pub(super) fn finish(&mut self) -> Result<()> {
        let Some(writer) = self.writer.as_mut().filter(|_| !self.ended) else { return Ok(()) };
        let sent = writer.send_data(Bytes::new(), true);
        sent.or_err(ErrorType::WriteError, "while the end was sent").map_err(Error::into_down)?;
        self.ended = true;
        Ok(())
    }

    /// Breaks off, so that nobody takes a part of the answer for the whole.
    pub(super) fn reset(&mut self) {
        if !self.ended {
            self.respond.send_reset(Reason::INTERNAL_ERROR);
        }
    }

    /// Ready when the client has given the stream up, or is gone.
    pub(super) fn poll_gone(&mut self, cx: &mut Context<'_>) -> Poll<Result<Reason, h2::Error>> {
        match self.writer.as_mut() {
            Some(writer) => writer.poll_reset(cx),
            None => self.respond.poll_reset(cx),
        }
    }
}
