//! One client connection as a session sees it: a stream that carries one well-formed request at a time.
//!
//! What comes in is read strictly (`portreeve-wire`) before anybody gets it: a request's head when it is whole, its body
//! within its bounds, and the next request only when this one has been answered. What goes out is gathered until it is
//! flushed: the head and the body of an answer come apart, and one `send` less is the dearest thing in the profile
//! (docs/performance.md).

mod frames;
mod tunnel;

use std::cell::RefCell;
use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::os::fd::AsRawFd;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use pingora::protocols::raw_connect::ProxyDigest;
use pingora::protocols::{Digest, SocketDigest};
use portreeve_wire::http1::{At, Body, Bounds, Requests};
use portreeve_wire::http2::{Frames, PREFACE};
use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Instant;

use super::connection_info::{ConnectionInfo, RequestControl};
use super::http2::{Overhead, Uploads};
use super::pace::Pace;
use super::refused::Reason;
use super::rules::ListenerRules;
use super::transport::Transport;
use crate::deadline::Deadline;
use crate::descriptors;
use crate::web_socket::{ClientEnd, WebSocketDrain};
use portreeve_wire::http1::head_length;

/// Bytes gathered before they are sent unasked. A head and a small body fit; large bodies pass by.
const GATHER: usize = 16 * 1024;
/// Buffers that grew beyond this are given back when they are empty, so that an idle connection stays small.
const KEEP: usize = 1024;
/// Bytes read at once where there is no buffer of a session's to read into.
const READ: usize = 16 * 1024;
/// How often it is looked whether a client that sends no more is still there. Arbitrary.
const PRESENCE: Duration = Duration::from_secs(1);
/// A request body may trickle this long before its rate counts.
pub(super) const BODY_GRACE: Duration = Duration::from_secs(10);

thread_local! {
    /// Shared by the connections of a worker: an idle one needs no buffer of its own.
    static SCRATCH: RefCell<Box<[u8]>> = RefCell::new(vec![0; READ].into());
}

/// What a client wants next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Next {
    /// A request, whose head has come and is well-formed.
    Request,
    /// HTTP/2, by its preface.
    Http2,
    /// Nothing: it has left, or been silent for too long.
    Nothing,
    /// Something that is not served.
    Refused(Reason),
}

/// How the bytes that come in are to be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reading {
    /// As HTTP/1.x requests, one at a time.
    Requests,
    /// As they come: what follows a 101.
    Raw,
    /// As the frames of HTTP/2, which pass as they come.
    Frames,
}

/// The frames of HTTP/2 that come in.
#[derive(Debug)]
struct Arriving {
    frames: Frames,
    uploads: Arc<Uploads>,
    overhead: Overhead,
}

/// An accepted connection.
#[derive(Debug)]
pub(super) struct Connection {
    io: Transport,
    terms: Arc<ListenerRules>,
    reading: Reading,
    requests: Requests,
    frames: Option<Box<Arriving>>,
    /// Bytes that came, and that no session has got yet.
    ahead: BytesMut,
    /// So many of them belong to the request in hand.
    in_hand: usize,
    out: Vec<u8>,
    sent: usize,
    /// Something was written that TLS may still hold.
    is_held: bool,
    /// Once it is one.
    web_socket: Option<Box<ClientEnd>>,
    farewell: Arc<WebSocketDrain>,
    /// For reading: silence, heads, bodies.
    patience: Deadline,
    /// The client has sent its last byte, before its answer began.
    finished: bool,
    /// The answer to the request in hand has begun.
    answering: bool,
    /// For looking whether a client that sends no more is still there.
    presence: Deadline,
    /// For writing: a client that takes nothing, or next to nothing.
    stalled: Deadline,
    pace: Pace,
    /// Waiting for bytes of the body in hand since then, and before that for so long.
    waiting: Option<Instant>,
    waited: Duration,
    /// Bytes thrown away after the last word to a client that floods.
    lingered: u64,
    line: Arc<RequestControl>,
    socket: Arc<SocketDigest>,
    facts: Arc<ProxyDigest>,
}

impl Connection {
    pub(super) fn new(
        io: Transport,
        facts: ConnectionInfo,
        terms: Arc<ListenerRules>,
        farewell: Arc<WebSocketDrain>,
    ) -> pingora::Result<Self> {
        let socket = SocketDigest::from_raw_fd(io.as_raw_fd());
        // Known from `accept`: saves the `getpeername` that Pingora would make.
        socket.peer_addr.set(Some(facts.client.into())).ok();
        let line = facts.line.clone();
        let facts = facts.carried()?;
        Ok(Self {
            io,
            requests: Requests::new(terms.bounds),
            pace: Pace::new(&terms),
            terms,
            reading: Reading::Requests,
            frames: None,
            ahead: BytesMut::new(),
            in_hand: 0,
            out: Vec::new(),
            sent: 0,
            is_held: false,
            web_socket: None,
            farewell,
            patience: Deadline::default(),
            finished: false,
            answering: false,
            presence: Deadline::default(),
            stalled: Deadline::default(),
            waiting: None,
            waited: Duration::ZERO,
            lingered: 0,
            line,
            socket: Arc::new(socket),
            facts,
        })
    }

    /// From here on bytes pass as they come, those that were read already first.
    pub(super) fn pass_raw(&mut self) {
        self.reading = Reading::Raw;
    }

    /// From here on HTTP/2 is spoken. Bytes pass as they come, but a head must be whole in time, whatever else waits.
    pub(super) fn pass_frames(&mut self, uploads: Arc<Uploads>) {
        self.reading = Reading::Frames;
        let overhead = Overhead::new(std::time::Instant::now());
        self.frames = Some(Box::new(Arriving { frames: Frames::default(), uploads, overhead }));
        self.patience.clear();
    }

    /// Whether the request in hand asks for another protocol. One with a body gets the answer it would get without asking (RFC 9110
    /// §7.8): no handshake of a WebSocket has one.
    pub(super) fn is_upgrade(&self) -> bool {
        let is_none = |body| matches!(body, Body::None | Body::Length(0));
        self.requests.head().is_some_and(|head| head.upgrade && is_none(head.body))
    }

    /// How the body of the request in hand is delimited, and the bounds that it is held to.
    pub(super) fn body(&self) -> (Body, Bounds) {
        (self.requests.head().map_or(Body::None, |head| head.body), self.terms.bounds)
    }

    /// Whether the client may wait for `100 Continue` before it sends the body.
    pub(super) fn expects_continue(&self) -> bool {
        self.requests.head().is_some_and(|head| head.expects_continue)
    }

    /// Whether the client means to send further requests here.
    pub(super) fn is_persistent(&self) -> bool {
        self.requests.head().is_some_and(|head| head.is_persistent)
    }

    /// Whether the client has asked for a head alone.
    pub(super) fn is_head(&self) -> bool {
        self.requests.head().is_some_and(|head| head.is_head)
    }

    /// Takes the bytes of the head of the request in hand. What has come of its body stays.
    pub(super) fn take_head(&mut self) -> Bytes {
        let came = self.ahead.get(..self.in_hand).unwrap_or_default();
        let is_all = matches!(self.body().0, Body::None | Body::Length(0));
        let length = if is_all { came.len() } else { head_length(came).unwrap_or(came.len()) };
        // A copy, so that the buffer stays for the next one.
        let head = Bytes::copy_from_slice(came.get(..length).unwrap_or_default());
        self.pass(length);
        head
    }

    /// What is gathered of the answer, to be added to.
    pub(super) fn answer(&mut self) -> &mut Vec<u8> {
        self.answering = true;
        &mut self.out
    }

    /// What Pingora's hooks may know of it.
    pub(super) fn digest(&self) -> Digest {
        let (proxy_digest, socket_digest) = (Some(self.facts.clone()), Some(self.socket.clone()));
        Digest { proxy_digest, socket_digest, ..Digest::default() }
    }

    pub(super) fn line(&self) -> Arc<RequestControl> {
        self.line.clone()
    }

    /// When this is dropped, the client learns that it was broken off.
    pub(super) fn reset_when_closed(&self) {
        // Best effort: a connection that has been reset already needs none.
        SockRef::from(&self.io).set_linger(Some(Duration::ZERO)).ok();
    }

    /// Whether the request in hand has been read to its end: then another may follow.
    pub(super) fn is_between(&self) -> bool {
        self.reading == Reading::Requests && self.in_hand == 0 && self.requests.at() == At::End
    }

    /// Waits for the next request. When `stopping` is ready, the client has only `last` more to send one.
    pub(super) async fn next(&mut self, mut stopping: Pin<&mut (impl Future + Send)>, last: Duration) -> Next {
        self.patience.clear();
        self.line.next_request();
        let mut stopped = false;
        poll_fn(|cx| {
            if !stopped && stopping.as_mut().poll(cx).is_ready() {
                stopped = true;
                self.patience.hurry(last);
            }
            self.poll_next(cx)
        })
        .await
    }

    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Next> {
        loop {
            if let Some(next) = self.look() {
                self.patience.clear();
                return Poll::Ready(next);
            }
            // A preface that has begun is a head, too.
            let in_head = self.requests.at() == At::Head || self.ahead.len() > self.in_hand;
            match self.poll_fill(cx) {
                Poll::Ready(Ok(n)) if n > 0 => {
                    if !in_head {
                        // The silence is over; the head has its own time.
                        self.patience.clear();
                    }
                }
                Poll::Ready(_) => return Poll::Ready(Next::Nothing),
                Poll::Pending => {
                    let limit = if in_head { self.terms.head } else { descriptors::idle(self.terms.idle) };
                    ready!(self.patience.poll_within(cx, limit));
                    return Poll::Ready(if in_head { Next::Refused(Reason::SlowHead) } else { Next::Nothing });
                }
            }
        }
    }

    /// What the bytes that have come so far are; `None` while it takes more of them to tell.
    fn look(&mut self) -> Option<Next> {
        let fresh = self.ahead.get(self.in_hand..).filter(|fresh| !fresh.is_empty())?;
        let plain = matches!(self.io, Transport::Plain(_));
        if self.requests.at() == At::Between && plain && self.terms.http2 && fresh.first() == PREFACE.first() {
            let n = fresh.len().min(PREFACE.len());
            if fresh.get(..n) == PREFACE.get(..n) {
                return (n == PREFACE.len()).then_some(Next::Http2);
            }
        }
        match self.requests.read(fresh) {
            Ok(progress) => {
                self.in_hand += progress.taken;
                matches!(progress.at, At::Body | At::End).then(|| {
                    (self.waiting, self.waited, self.answering) = (None, Duration::ZERO, false);
                    self.pace.restart();
                    self.line.trailers.clear();
                    self.note_trailers();
                    Next::Request
                })
            }
            Err(refusal) => Some(Next::Refused(Reason::Malformed(refusal))),
        }
    }

    /// Reads what there is into `ahead`. `Ready(0)`: the client has sent its last byte.
    fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        SCRATCH.with_borrow_mut(|scratch| {
            let mut buf = ReadBuf::new(scratch);
            ready!(Pin::new(&mut self.io).poll_read(cx, &mut buf))?;
            self.ahead.extend_from_slice(buf.filled());
            Poll::Ready(Ok(buf.filled().len()))
        })
    }

    /// Hands over up to `limit` of the bytes that wait.
    fn hand_over(&mut self, limit: usize, buf: &mut ReadBuf<'_>) {
        let n = self.ahead.len().min(limit).min(buf.remaining());
        buf.put_slice(self.ahead.get(..n).unwrap_or_default());
        self.pass(n);
    }

    /// So many of the bytes that wait have been taken.
    fn pass(&mut self, n: usize) {
        self.ahead.advance(n.min(self.ahead.len()));
        self.in_hand = self.in_hand.saturating_sub(n);
        if self.ahead.is_empty() && self.ahead.capacity() > KEEP {
            self.ahead = BytesMut::new();
        }
    }

    /// Reads more of the body in hand, into the buffer of its session.
    fn poll_body(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        if Pin::new(&mut self.io).poll_read(cx, buf)?.is_pending() {
            return self.poll_rate(cx);
        }
        if let Some(since) = self.waiting.take() {
            self.waited += since.elapsed();
        }
        let fresh = buf.filled().get(before..).unwrap_or_default();
        match self.requests.read(fresh) {
            Ok(progress) => {
                self.ahead.extend_from_slice(fresh.get(progress.taken..).unwrap_or_default());
                buf.set_filled(before + progress.taken);
                self.note_trailers();
                Poll::Ready(Ok(()))
            }
            Err(refusal) => {
                buf.set_filled(before);
                Poll::Ready(Err(self.refuse(Reason::Malformed(refusal))))
            }
        }
    }

    /// Tells the hooks what followed the body, once it has come whole.
    fn note_trailers(&mut self) {
        if self.requests.at() == At::End {
            self.line.trailers.bring(&self.requests.take_trailers());
        }
    }

    /// Waits for more of the body, for as long as the least rate allows. Only waiting counts: a body that Pingora is in no
    /// hurry to read is not the client's fault, and once it is answered it may be silent as long as both sides may.
    fn poll_rate(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.line.is_answering() {
            return self.poll_late(cx);
        }
        let now = Instant::now();
        let since = *self.waiting.get_or_insert(now);
        let rate = self.terms.min_body_rate;
        if let Some(earned) = self.requests.body_bytes().checked_div(rate).map(Duration::from_secs) {
            let until = since + (BODY_GRACE + earned).saturating_sub(self.waited);
            if self.line.deadline().is_none_or(|deadline| until < deadline.into()) {
                ready!(self.patience.poll_until(cx, until));
                return Poll::Ready(Err(self.refuse(Reason::SlowBody)));
            }
        }
        self.poll_late(cx)
    }

    fn refuse(&self, reason: Reason) -> io::Error {
        self.line.refuse(reason);
        io::Error::new(io::ErrorKind::InvalidData, "the request is refused")
    }

    /// The request has come whole: only whether the client stays is of interest until it is answered.
    fn poll_client(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.ahead.is_empty()
            && !self.finished
            && let Poll::Ready(read) = self.poll_fill(cx)
            && read? == 0
        {
            if self.answering {
                // Whoever half-closes does so with its request. This one has had enough of the answer.
                return Poll::Ready(Ok(()));
            }
            self.finish();
        }
        if self.finished {
            ready!(self.poll_absence(cx))?;
        }
        // A client that sends ahead is still there; what it sends waits, and no more of it is read.
        if let Some(until) = self.line.attempt_until() {
            ready!(self.patience.poll_until(cx, until.into()));
            self.line.end_attempt();
            return Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the time of the attempt passed")));
        }
        self.poll_late(cx)
    }

    /// The client has sent its last byte, and may still wait for its answer (RFC 9112 §9.6): or it is gone, which looks the
    /// same. An interim answer, which every client of HTTP/1.1 reads past (RFC 9110 §15.2), is refused by a system whose
    /// client is gone.
    fn finish(&mut self) {
        self.finished = true;
        if self.requests.head().is_some_and(|head| !head.is_http10) {
            self.out.extend_from_slice(b"HTTP/1.1 100 Continue\r\n\r\n");
        }
    }

    /// Ready when a client that sends no more turns out to be gone.
    fn poll_absence(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            ready!(self.presence.poll_within(cx, PRESENCE));
            self.presence.clear();
            // Reading tells the end again and again. What came after it stands in the socket's error.
            if let Some(reset) = SockRef::from(&self.io).take_error()? {
                return Poll::Ready(Err(reset));
            }
        }
    }

    /// Ready when the time of the request in hand has passed.
    fn poll_late(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Some(deadline) = self.line.deadline() else { return Poll::Pending };
        ready!(self.patience.poll_until(cx, deadline.into()));
        Poll::Ready(Err(self.refuse(Reason::Late)))
    }

    /// For whoever wants nothing of the client at the moment: ready when it has reset its connection, or the time of the request in
    /// hand has passed. That it has sent its last byte is behind what is not read.
    pub(super) fn poll_time(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if let Poll::Ready(Err(gone)) = self.poll_absence(cx) {
            return Poll::Ready(Err(gone));
        }
        let late = self.poll_late(cx);
        if late.is_pending() { self.poll_gathered(cx) } else { late }
    }

    /// Somebody waits for the client, so nothing more is coming for it at the moment: what was gathered goes out.
    fn poll_gathered(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if (self.is_held || !self.out.is_empty())
            && let Poll::Ready(Err(error)) = self.poll_all(cx)
        {
            return Poll::Ready(Err(error));
        }
        Poll::Pending
    }

    fn poll_incoming(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.reading {
            Reading::Raw => return self.poll_tunnel(cx, buf),
            Reading::Frames => return self.poll_frames(cx, buf),
            Reading::Requests => {}
        }
        if self.in_hand > 0 {
            self.hand_over(self.in_hand, buf);
            return Poll::Ready(Ok(()));
        }
        match self.requests.at() {
            At::Body => self.poll_body(cx, buf),
            _ => self.poll_client(cx),
        }
    }

    /// Gathers what is small, and sends what is not.
    fn poll_gather(&mut self, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        if self.out.len() + buf.len() > GATHER {
            ready!(self.poll_send(cx))?;
            if buf.len() > GATHER {
                let written = Pin::new(&mut self.io).poll_write(cx, buf);
                return self.poll_taken(cx, written).map(|taken| taken.and_then(some));
            }
        }
        self.out.extend_from_slice(buf);
        Poll::Ready(Ok(buf.len()))
    }

    /// Sends what was gathered.
    fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while let Some(rest) = self.out.get(self.sent..).filter(|rest| !rest.is_empty()) {
            let written = Pin::new(&mut self.io).poll_write(cx, rest);
            self.sent += some(ready!(self.poll_taken(cx, written))?)?;
            self.line.set_held(false);
        }
        self.sent = 0;
        self.out.clear();
        self.out.shrink_to(KEEP);
        Poll::Ready(Ok(()))
    }

    /// Sends what was gathered, to the last byte: TLS takes some that the system has no room for.
    fn poll_all(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_send(cx))?;
        let flushed = Pin::new(&mut self.io).poll_flush(cx).map_ok(|()| 0);
        ready!(self.poll_taken(cx, flushed))?;
        self.is_held = false;
        Poll::Ready(Ok(()))
    }

    /// What came of a write. A client may take nothing for only so long, and not too little of it all the time; while it takes
    /// what it is sent, that costs nothing.
    fn poll_taken(&mut self, cx: &mut Context<'_>, written: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        let Poll::Ready(written) = written else {
            ready!(self.stalled.poll_until(cx, self.pace.until()));
            // Closed in the usual way, the kernel would go on holding what this client does not take.
            self.reset_when_closed();
            return Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the client takes too little")));
        };
        self.pace.took(written.as_ref().map_or(0, |taken| *taken));
        self.is_held = true;
        Poll::Ready(written)
    }

    /// Gathers or sends some of an answer that is framed already, as long as the time of its request is not up.
    pub(super) fn poll_put(&mut self, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.answering = true;
        let taken = self.poll_gather(cx, buf);
        if taken.is_pending() { self.poll_late(cx).map_ok(|()| 0) } else { taken }
    }

    /// Sends an answer to its last byte, as long as the time of its request is not up.
    pub(super) fn poll_end(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let sent = self.poll_all(cx);
        if sent.is_pending() { self.poll_late(cx) } else { sent }
    }
}

/// Nothing written means that nothing will be.
fn some(written: usize) -> io::Result<usize> {
    if written == 0 { Err(io::ErrorKind::WriteZero.into()) } else { Ok(written) }
}

impl AsyncRead for Connection {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let incoming = self.poll_incoming(cx, buf);
        if incoming.is_pending() { self.poll_gathered(cx) } else { incoming }
    }
}

impl AsyncWrite for Connection {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.answering = true;
        self.poll_gather(cx, buf)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let first = bufs.iter().find(|buf| !buf.is_empty()).map_or(&[][..], |buf| &**buf);
        self.poll_write(cx, first)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_all(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_send(cx))?;
        let shut = Pin::new(&mut self.io).poll_shutdown(cx).map_ok(|()| 0);
        ready!(self.poll_taken(cx, shut))?;
        if self.line.is_flooded() { self.poll_linger(cx).map(Ok) } else { Poll::Ready(Ok(())) }
    }
}

#[cfg(test)]
#[path = "connection_tests.rs"]
mod tests;
