//! One connection to a target: bytes are read strictly before anybody gets them, and never past the end of the answer in hand.

use std::cell::RefCell;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker, ready};

use bytes::{Buf, Bytes, BytesMut};
use portreeve_wire::http1::{Asked, At, Bounds, Content, Flaw, Responses};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::Dial;
use super::attempt::{UpstreamAttempt, WireFault};
use super::bound::Permit;
use super::io::Io;
use portreeve_connection::deadline::Deadline;
use portreeve_connection::web_socket::{Passage, To, WebSocket};

/// Bytes read at once of a head that did not come in one piece.
const READ: usize = 16 * 1024;
/// How large the parts of an answer may be. As many fields as Pingora takes.
pub(crate) const BOUNDS: Bounds = Bounds {
    head_bytes: 64 * 1024,
    fields: 256,
    target_bytes: 0,
    trailer_bytes: 8 * 1024,
    chunk_line_bytes: 256,
    extension_bytes: 16 * 1024,
};

thread_local! {
    /// Shared by the connections of a worker: few need it, and none for longer than a call.
    static SCRATCH: RefCell<Box<[u8]>> = RefCell::new(vec![0; READ].into());
}

/// How the bytes that come in are to be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reading {
    /// As answers, one for each request.
    Answers,
    /// As they come: what follows a 101.
    Raw,
}

/// A connection to a target.
#[derive(Debug)]
pub(super) struct Link {
    io: Io,
    dial: Arc<Dial>,
    answers: Responses,
    reading: Reading,
    /// A head that did not come in one piece, as far as it has come.
    ahead: BytesMut,
    /// So much of it may go on.
    whole: usize,
    /// No other request may follow: the connection is being closed, or more came than was asked for.
    spent: bool,
    /// What goes out next on a WebSocket: a close frame.
    goodbye: Bytes,
    /// For reading: silence.
    patience: Deadline,
    /// For writing: a target that takes nothing.
    stalled: Deadline,
    was_kept: bool,
    /// Counted, where connections are.
    _permit: Option<Permit>,
}

impl Link {
    pub(super) fn new(io: Io, dial: Arc<Dial>, permit: Option<Permit>) -> Self {
        Self {
            io,
            dial,
            answers: Responses::new(BOUNDS),
            reading: Reading::Answers,
            ahead: BytesMut::new(),
            whole: 0,
            spent: false,
            goodbye: Bytes::new(),
            patience: Deadline::default(),
            stalled: Deadline::default(),
            was_kept: false,
            _permit: permit,
        }
    }

    pub(super) fn dial(&self) -> &Arc<Dial> {
        &self.dial
    }

    /// The status of the answer in hand, as far as its head has come.
    pub(super) fn status(&self) -> Option<u16> {
        self.answers.answer().map(|answer| answer.status)
    }

    /// How the body of the answer in hand is delimited, once its head has come.
    pub(super) fn content(&self) -> Option<Content> {
        self.answers.answer().map(|answer| Content::of(answer.body, BOUNDS))
    }

    /// A request is about to be sent.
    pub(super) fn ask(&mut self, asked: Asked) {
        self.patience.clear();
        self.answers.ask(asked);
    }

    /// It is put away for another request: by the time of that the target may have closed it.
    pub(super) fn keep(&mut self) {
        self.was_kept = true;
    }

    pub(super) fn was_kept(&self) -> bool {
        self.was_kept
    }

    /// What the connection has become, once the hooks know it.
    fn web_socket<'l>(&self, attempt: &'l UpstreamAttempt) -> Option<&'l WebSocket> {
        if self.reading == Reading::Raw { attempt.web_socket() } else { None }
    }

    /// The answer in hand has been handed over to its end.
    pub(super) fn is_at_end(&self) -> bool {
        self.reading == Reading::Answers && self.whole == 0 && self.answers.at() == At::End
    }

    /// Whether another request may follow on this connection, as far as the answer tells.
    pub(super) fn may_be_kept(&self) -> bool {
        self.is_at_end() && !self.spent && self.answers.answer().is_some_and(|answer| answer.is_persistent)
    }

    /// Whether nothing has come since the last answer: neither bytes that nobody asked for, nor the end. Does not wait.
    pub(super) fn is_quiet(&mut self) -> bool {
        let mut byte = [0];
        match &mut self.io {
            Io::Plain(io, _) => {
                matches!(io.try_read(&mut byte), Err(error) if error.kind() == io::ErrorKind::WouldBlock)
            }
            // What comes may be of TLS itself, such as a session ticket.
            Io::Tls(io, _) => {
                let mut buf = ReadBuf::new(&mut byte);
                Pin::new(io).poll_read(&mut Context::from_waker(Waker::noop()), &mut buf).is_pending()
            }
        }
    }

    /// Reads on in the answer, at most to its end, and waits for it as long as the attempt may.
    pub(super) fn poll_answer(
        &mut self,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
        attempt: &UpstreamAttempt,
    ) -> Poll<io::Result<()>> {
        if let Some(socket) = self.web_socket(attempt) {
            if let Some(goodbye) = socket.poll_goodbye(To::Target, cx) {
                self.goodbye = goodbye.into();
            }
            // Nobody may have anything else to send, now or ever.
            if !self.goodbye.is_empty() && self.poll_goodbye(cx, attempt)?.is_ready() {
                let _sent = Pin::new(&mut self.io).poll_flush(cx)?;
            }
        }
        loop {
            if self.whole > 0 {
                self.hand_over(buf);
                return Poll::Ready(Ok(()));
            }
            let before = buf.filled().len();
            if !self.ahead.is_empty() {
                if ready!(self.poll_head(cx, attempt))? == 0 {
                    return Poll::Ready(self.ended(attempt));
                }
                continue;
            }
            if ready!(self.poll_fill(cx, buf, attempt))? == 0 {
                if self.web_socket(attempt).is_some_and(|socket| socket.leaves(To::Client)) {
                    // The client's connection ends it.
                    return Poll::Pending;
                }
                return Poll::Ready(self.ended(attempt));
            }
            let fresh = buf.filled().get(before..).unwrap_or_default();
            let whole = match self.follow(fresh, attempt) {
                Ok(whole) => whole,
                Err(flaw) => {
                    buf.set_filled(before);
                    return Poll::Ready(Err(self.refuse(flaw, attempt)));
                }
            };
            if self.answers.at() != At::End {
                self.ahead.extend_from_slice(fresh.get(whole..).unwrap_or_default());
            }
            buf.set_filled(before + whole);
            if whole > 0 {
                return Poll::Ready(Ok(()));
            }
        }
    }

    /// Reads more of a head that did not come in one piece. 0: the target has sent its last byte.
    fn poll_head(&mut self, cx: &mut Context<'_>, attempt: &UpstreamAttempt) -> Poll<io::Result<usize>> {
        SCRATCH.with_borrow_mut(|scratch| {
            let mut buf = ReadBuf::new(scratch);
            let read = ready!(self.poll_fill(cx, &mut buf, attempt))?;
            let waiting = self.ahead.len();
            match self.follow(buf.filled(), attempt) {
                Ok(0) => self.ahead.extend_from_slice(buf.filled()),
                Ok(whole) => {
                    let is_over = self.answers.at() == At::End;
                    let kept = if is_over { buf.filled().get(..whole) } else { Some(buf.filled()) };
                    self.ahead.extend_from_slice(kept.unwrap_or_default());
                    self.whole = waiting + whole;
                }
                Err(flaw) => return Poll::Ready(Err(self.refuse(flaw, attempt))),
            }
            Poll::Ready(Ok(read))
        })
    }

    /// Reads what there is: how much.
    ///
    /// Until an answer begins, its target may wait for the rest of the request: what bounds its client bounds that. Then silence is
    /// of both sides: what either sends ends it.
    fn poll_fill(
        &mut self,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
        attempt: &UpstreamAttempt,
    ) -> Poll<io::Result<usize>> {
        let before = buf.filled().len();
        if Pin::new(&mut self.io).poll_read(cx, buf)?.is_pending() {
            // Of a request that cannot be sent on, there is no rest.
            if attempt.is_partial() && !self.spent && self.answers.answer().is_none() {
                // Whoever sends the rest looks here again.
                self.patience.clear();
                return Poll::Pending;
            }
            let silence = attempt.params.silence;
            let limit = if self.answers.answer().is_none() { silence.first_byte } else { silence.later };
            ready!(self.patience.poll_within(cx, limit));
            self.spent = true;
            attempt.fail(WireFault::Silent);
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        self.patience.clear();
        // Who speaks is not stalled. What comes of it may be waited for by nobody, and that is not its time.
        self.stalled.clear();
        let read = buf.filled().len() - before;
        if read > 0 {
            attempt.hear();
        }
        Poll::Ready(Ok(read))
    }

    /// Follows the answer through `fresh`: how much of that may go on, which is whatever belongs to heads that have come whole
    /// and to what follows them.
    fn follow(&mut self, fresh: &[u8], attempt: &UpstreamAttempt) -> Result<usize, Flaw> {
        if self.reading == Reading::Raw {
            return Ok(fresh.len());
        }
        let (mut read, mut whole) = (0, 0);
        loop {
            let progress = self.answers.read(fresh.get(read..).unwrap_or_default())?;
            read += progress.taken;
            match progress.at {
                At::End if self.answers.answer().is_some_and(|answer| answer.status == 101) => {
                    self.reading = Reading::Raw;
                    return Ok(fresh.len());
                }
                At::End => {
                    // What nobody asked for goes no further, and neither does this connection.
                    self.spent |= read < fresh.len();
                    attempt.trailers.bring(&self.answers.take_trailers());
                    return Ok(read);
                }
                At::Body => return Ok(read),
                At::Between | At::Head => {
                    if !self.answers.is_past_interim() {
                        return Ok(whole);
                    }
                    whole = read;
                    if read >= fresh.len() {
                        return Ok(whole);
                    }
                }
            }
        }
    }

    /// Hands over what may go on of a head that came in pieces.
    fn hand_over(&mut self, buf: &mut ReadBuf<'_>) {
        let n = self.whole.min(buf.remaining());
        buf.put_slice(self.ahead.get(..n).unwrap_or_default());
        self.ahead.advance(n);
        self.whole -= n;
        if self.ahead.is_empty() {
            self.ahead = BytesMut::new();
        }
    }

    /// The target has sent its last byte: was that where the answer ends?
    fn ended(&mut self, attempt: &UpstreamAttempt) -> io::Result<()> {
        self.spent = true;
        if self.reading == Reading::Raw || !attempt.has_heard() {
            return Ok(());
        }
        self.answers.end().map_err(|flaw| self.refuse(flaw, attempt))
    }

    fn refuse(&mut self, flaw: Flaw, attempt: &UpstreamAttempt) -> io::Error {
        self.spent = true;
        attempt.fail(WireFault::Flawed(flaw));
        io::Error::new(io::ErrorKind::InvalidData, flaw)
    }

    /// Sends some of the request.
    pub(super) fn poll_request(
        &mut self,
        cx: &mut Context<'_>,
        buf: &[u8],
        attempt: &UpstreamAttempt,
    ) -> Poll<io::Result<usize>> {
        if let Some(socket) = self.web_socket(attempt) {
            return self.poll_frames(cx, buf, attempt, socket);
        }
        let written = Pin::new(&mut self.io).poll_write(cx, buf);
        self.poll_taken(cx, written, attempt)
    }

    /// Sends some of what goes to the target's side of a WebSocket.
    fn poll_frames(
        &mut self,
        cx: &mut Context<'_>,
        buf: &[u8],
        attempt: &UpstreamAttempt,
        socket: &WebSocket,
    ) -> Poll<io::Result<usize>> {
        if let Some(goodbye) = socket.goodbye(To::Target) {
            self.goodbye = goodbye.into();
        }
        ready!(self.poll_goodbye(cx, attempt))?;
        let Passage::Pass(room) = socket.passage(To::Target, buf) else { return Poll::Ready(Ok(buf.len())) };
        let written = Pin::new(&mut self.io).poll_write(cx, buf.get(..room).unwrap_or(buf));
        let written = ready!(self.poll_taken(cx, written, attempt))?;
        socket.passed(To::Target, buf.get(..written).unwrap_or_default());
        Poll::Ready(Ok(written))
    }

    /// Sends what has to go first.
    fn poll_goodbye(&mut self, cx: &mut Context<'_>, attempt: &UpstreamAttempt) -> Poll<io::Result<()>> {
        while !self.goodbye.is_empty() {
            let written = Pin::new(&mut self.io).poll_write(cx, &self.goodbye);
            let written = ready!(self.poll_taken(cx, written, attempt))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.goodbye.advance(written);
        }
        Poll::Ready(Ok(()))
    }

    pub(super) fn poll_flush(&mut self, cx: &mut Context<'_>, attempt: &UpstreamAttempt) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.io).poll_flush(cx);
        self.poll_taken(cx, flushed, attempt)
    }

    pub(super) fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.spent = true;
        Pin::new(&mut self.io).poll_shutdown(cx)
    }

    /// What came of a write. A target may take nothing for only so long; and while it takes something, it need not answer.
    fn poll_taken<T>(
        &mut self,
        cx: &mut Context<'_>,
        written: Poll<io::Result<T>>,
        attempt: &UpstreamAttempt,
    ) -> Poll<io::Result<T>> {
        if written.is_pending() {
            ready!(self.stalled.poll_within(cx, self.dial.timeouts().write.get()));
            self.spent = true;
            attempt.fail(WireFault::Stalled);
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        self.stalled.clear();
        self.patience.clear();
        written
    }
}

#[cfg(test)]
#[path = "wire_tests.rs"]
mod tests;
