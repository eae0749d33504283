//! The side of a target in HTTP/1.1: a request that becomes bytes, bytes that become an answer.

use std::fmt;
use std::io;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::{HeaderMap, StatusCode, Version};
use pingora::{Error, ErrorType, OrErr, Result};
use portreeve_wire::http1::{AnswerBody, Body, Content, Incoming};
use tokio::io::{AsyncReadExt, AsyncWrite};

use super::request_body::RequestBody;
use super::{Progress, RequestHead, ResponseEvent, TargetExchange, answer_head};
use crate::link::{ANSWERS as BOUNDS, ConnectionLease};

/// Bytes read at once: a head and a small body fit.
const READ: usize = 8 * 1024;
/// Bytes read at once of a body that is not over by then.
const READ_MORE: usize = 32 * 1024;
/// A buffer that grew beyond this is given back when it is empty: what follows may be a long answer.
const KEEP: usize = 4 * 1024;

/// One exchange with a target in HTTP/1.1.
pub struct Http1 {
    lease: ConnectionLease,
    /// What of the request is on its way, and how much of that has gone.
    out: Vec<u8>,
    sent: usize,
    /// Some of it waits until the target takes more, if only in TLS.
    is_blocked: bool,
    rest: RequestBody,
    /// No more of the request can be sent, and why. The answer may be there all the same.
    is_broken: bool,
    why: Option<Box<Error>>,
    came: Incoming,
    is_answering: bool,
}

impl fmt::Debug for Http1 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Http1").finish_non_exhaustive()
    }
}

impl Http1 {
    pub fn new(lease: ConnectionLease) -> Self {
        Self {
            lease,
            out: Vec::new(),
            sent: 0,
            is_blocked: false,
            rest: RequestBody::of(Body::None),
            is_broken: false,
            why: None,
            came: Incoming::default(),
            is_answering: false,
        }
    }

    /// The target has sent its last byte.
    fn ended(&mut self) -> Result<()> {
        let ended = if self.is_answering {
            let truncated = |_| Error::explain(ErrorType::ConnectionClosed, "within the body of a message");
            self.came.end().map_err(truncated)
        } else {
            Error::e_explain(ErrorType::ConnectionClosed, "before the head of an answer")
        };
        ended.map_err(|error| self.why.take().unwrap_or(error).into_up())
    }

    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<Result<Progress>> {
        let most = if self.is_answering { READ_MORE } else { READ };
        self.came.room().reserve(most);
        let read = pin!(self.lease.read_buf(self.came.room())).poll(cx);
        Poll::Ready(match ready!(read) {
            Ok(0) => self.ended().map(|()| Progress::Received),
            Ok(_) => Ok(Progress::Received),
            Err(error) => {
                let error = Error::because(ErrorType::ReadError, "while the answer was read", error);
                Err(self.why.take().unwrap_or(error).into_up())
            }
        })
    }

    fn poll_out(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while let Some(rest) = self.out.get(self.sent..).filter(|rest| !rest.is_empty()) {
            match ready!(Pin::new(&mut self.lease).poll_write(cx, rest))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                written => self.sent += written,
            }
        }
        Pin::new(&mut self.lease).poll_flush(cx)
    }
}

impl TargetExchange for Http1 {
    fn version(&self) -> Version {
        Version::HTTP_11
    }

    fn offers_upgrade(&self) -> bool {
        self.lease.offers_upgrade()
    }

    fn begin(&mut self, head: RequestHead<'_>, body: Body) -> Result<()> {
        self.out = head.write(body);
        self.rest = RequestBody::of(body);
        if body != Body::None {
            self.lease.waits_for_the_rest();
        }
        Ok(())
    }

    fn put(&mut self, data: Bytes) -> Result<()> {
        self.rest.put(&mut self.out, data)
    }

    fn end(&mut self, trailers: Option<&HeaderMap>) -> Result<()> {
        self.lease.sends_no_more();
        self.rest.end(&mut self.out, trailers)
    }

    fn wants_more(&self) -> bool {
        self.out.is_empty() && !self.is_blocked && !self.is_broken && !self.rest.is_over()
    }

    fn has_sent(&self) -> bool {
        self.is_broken || (self.rest.is_over() && self.out.is_empty() && !self.is_blocked)
    }

    fn event(&mut self) -> Result<Option<ResponseEvent>> {
        if self.is_answering {
            // The connection has read it strictly before: this cannot be.
            let next = self.came.next_piece().or_err(ErrorType::InvalidHTTPHeader, "a malformed body");
            let next = next.map_err(Error::into_up)?;
            return Ok(next.map(|(data, last)| ResponseEvent::Body(data, last)));
        }
        let Some(head) = answer_head::head(self.came.room()).map_err(Error::into_up)? else { return Ok(None) };
        if head.status == StatusCode::SWITCHING_PROTOCOLS {
            // From here on both ways are open until one side closes.
            self.rest = RequestBody::raw();
            self.came.begins(Content::of(AnswerBody::UntilClose, BOUNDS));
            self.is_answering = true;
            return Ok(Some(ResponseEvent::Head(head, false)));
        }
        if head.status.is_informational() {
            return Ok(Some(ResponseEvent::Interim(head)));
        }
        let Some(content) = self.lease.content() else {
            return Err(Error::explain(ErrorType::InvalidHTTPHeader, "an answer without a head").into_up());
        };
        self.came.begins(content);
        self.is_answering = true;
        Ok(Some(ResponseEvent::Head(head, self.came.is_over())))
    }

    fn poll_progress(&mut self, cx: &mut Context<'_>) -> Poll<Result<Progress>> {
        let (was_open, was_blocked) = (!self.rest.is_over(), self.is_blocked);
        // A target that has spoken meanwhile is not stalled, however late that is found out.
        if was_blocked && let Poll::Ready(heard) = self.poll_read(cx) {
            return Poll::Ready(heard);
        }
        let sent = if self.has_sent() || self.wants_more() { Poll::Pending } else { self.poll_send(cx)? };
        if (!was_blocked || sent.is_ready())
            && let Poll::Ready(heard) = self.poll_read(cx)
        {
            return Poll::Ready(heard);
        }
        // Who waits for the answer alone need not know.
        if was_open { sent.map(|()| Ok(Progress::Sent)) } else { Poll::Pending }
    }

    fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<Result<()>> {
        let sent = self.poll_out(cx);
        self.is_blocked = sent.is_pending();
        let sent = ready!(sent);
        self.out.clear();
        if self.rest.is_over() {
            self.out.shrink_to(KEEP);
        }
        self.sent = 0;
        let Err(error) = sent else { return Poll::Ready(Ok(())) };
        let is_stalled = error.kind() == io::ErrorKind::TimedOut;
        let error = Error::because(ErrorType::WriteError, "while the request was sent", error).into_up();
        if is_stalled && !self.is_answering {
            return Poll::Ready(Err(error));
        }
        self.lease.sends_no_more();
        (self.is_broken, self.why) = (true, Some(error));
        Poll::Ready(Ok(()))
    }

    /// It is closed with the exchange.
    fn suspect(&mut self) {}

    fn give_back(&mut self) {
        if !self.is_broken {
            self.lease.give_back();
        }
    }
}
