//! One request as Pingora sees it: its door for sessions that are not Pingora's own.

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, StatusCode, Version, header};
use pingora::http::{RequestHeader, ResponseHeader};
use pingora::protocols::Digest;
use pingora::protocols::http::HttpTask;
use pingora::protocols::http::custom::CustomMessageWrite;
use pingora::protocols::http::custom::server::Session;
use pingora::protocols::l4::socket::SocketAddr;
use pingora::{Error, ErrorType, OrErr, Result};
use portreeve_wire::http1::{AnswerBody, Body, Content, Incoming};
use tokio::io::{AsyncRead, AsyncReadExt, ReadBuf};
use tokio::time::timeout;

use super::Shared;
use super::answer::{Framing, Says, Wanted, write_chunk_line, write_head};
use crate::listener::connection::Connection;
use crate::listener::connection_info::RequestControl;
use crate::listener::replay_buffer::ReplayBuffer;
use portreeve_connection::trailers;

/// Bytes of a body read at once.
const READ: usize = 32 * 1024;
/// Up to this many bytes of a body, reading them is worth keeping the connection when the answer is there before they are.
const SMALL_BODY: u64 = 64 * 1024;

/// One request and its answer. When the answer has gone whole, the connection is given back; if it is broken off, it is closed.
pub(super) struct Single {
    connection: Option<Box<Connection>>,
    line: Arc<RequestControl>,
    head: RequestHeader,
    /// How the body is delimited; what has come of it, how much of it has been read, and that as far as it is kept.
    body: Body,
    came: Incoming,
    read: usize,
    kept: Option<ReplayBuffer>,
    wanted: Wanted,
    switch: Switch,
    /// The head that was sent, or waits to be; and what had been gathered before it.
    answer: Option<Box<ResponseHeader>>,
    before: usize,
    framing: Framing,
    is_over: bool,
    /// Another request may follow, as far as is known.
    is_kept: bool,
    /// Bytes of the body so far.
    sent: usize,
    digest: Digest,
    shared: Arc<Shared>,
    /// Kept because Pingora asks for them. All that is waited for has its time at the connection.
    timeouts: Timeouts,
}

/// A change to another protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Switch {
    None,
    /// By the request, which has no body: no handshake of a WebSocket has one. One with a body, or that offers anything else, gets
    /// the answer that it would get without asking (RFC 9110 §7.8).
    Offered,
    /// By the answer. `is_told`: whoever relays knows that all that was put has gone.
    Made {
        is_told: bool,
    },
}

#[derive(Default)]
struct Timeouts {
    read: Option<Duration>,
    write: Option<Duration>,
    drain: Option<Duration>,
}

impl Single {
    pub(super) fn new(
        connection: Box<Connection>,
        head: RequestHeader,
        digest: Digest,
        shared: Arc<Shared>,
        last: bool,
    ) -> Self {
        let (body, bounds) = connection.body();
        Self {
            is_kept: !last && connection.is_persistent(),
            body,
            came: Incoming::of(Content::of(AnswerBody::Framed(body), bounds)),
            read: 0,
            kept: None,
            line: connection.line(),
            switch: if connection.is_upgrade() { Switch::Offered } else { Switch::None },
            wanted: Wanted { is_head: connection.is_head(), is_http10: head.version < Version::HTTP_11 },
            connection: Some(connection),
            head,
            answer: None,
            before: 0,
            framing: Framing::None,
            is_over: false,
            sent: 0,
            digest,
            shared,
            timeouts: Timeouts::default(),
        }
    }

    /// The connection; it is there until this is dropped.
    fn connection(&mut self) -> Result<&mut Connection> {
        match &mut self.connection {
            Some(connection) => Ok(connection),
            None => Error::e_explain(ErrorType::InternalError, "the connection has been given back"),
        }
    }

    /// Gathers a head: any number of interim ones (RFC 9110 §15.2), then one that counts. Another one after that takes its place
    /// as long as it has not been sent.
    fn put_head(&mut self, head: Box<ResponseHeader>, end: bool) -> Result<()> {
        if self.answer.is_some() && (is_interim(&head) || !self.take_back()?) {
            return Ok(());
        }
        let switches = head.status == StatusCode::SWITCHING_PROTOCOLS;
        if switches && !self.is_upgrade_req() {
            return Error::e_explain(ErrorType::InternalError, "nobody asked for another protocol");
        }
        if is_interim(&head) {
            // HTTP/1.0 has none.
            if !self.wanted.is_http10 {
                let says = Says { framing: None, is_kept: true };
                write_head(self.connection()?.answer(), &head, says);
            }
            return Ok(());
        }
        self.framing = if switches { Framing::Tunnel } else { Framing::of(&head, self.wanted, end) };
        let is_last = self.line.is_last() || *self.shared.stop.borrow();
        self.is_kept &= !is_last && !switches && self.framing != Framing::UntilClose && self.is_to_be_read();
        let says = Says { framing: Some(self.framing), is_kept: self.is_kept };
        let out = self.connection()?.answer();
        let before = out.len();
        write_head(out, &head, says);
        (self.answer, self.before) = (Some(head), before);
        self.line.set_held(true);
        if switches {
            self.connection()?.open_tunnel();
            self.switch = Switch::Made { is_told: false };
        }
        Ok(())
    }

    /// Forgets an answer of which nothing has been sent. Whether that was so.
    fn take_back(&mut self) -> Result<bool> {
        let is_held = self.line.is_held();
        if is_held {
            let before = self.before;
            self.connection()?.answer().truncate(before);
            (self.answer, self.sent) = (None, 0);
        }
        Ok(is_held)
    }

    /// Gathers or sends a piece of the body. Waits while the client takes nothing.
    async fn put_body(&mut self, data: &[u8]) -> Result<()> {
        if data.is_empty() || self.framing == Framing::None {
            return Ok(());
        }
        if self.answer.is_none() || self.is_over {
            return Error::e_explain(ErrorType::InternalError, "a body without a head, or behind its end");
        }
        match &mut self.framing {
            Framing::Tunnel => {
                // Nobody waits for a client here (`exchange/upgrade.rs`).
                self.connection()?.put_tunnel(data);
                self.sent += data.len();
                self.switch = Switch::Made { is_told: false };
                return Ok(());
            }
            Framing::Length(left) => {
                let Some(after) = left.checked_sub(data.len() as u64) else {
                    return Error::e_explain(ErrorType::InternalError, "more body than was announced");
                };
                *left = after;
            }
            Framing::Chunked => write_chunk_line(self.connection()?.answer(), data.len()),
            Framing::UntilClose | Framing::None => {}
        }
        self.put(data).await?;
        if self.framing == Framing::Chunked {
            self.connection()?.answer().extend_from_slice(b"\r\n");
        }
        self.sent += data.len();
        Ok(())
    }

    async fn put(&mut self, mut data: &[u8]) -> Result<()> {
        let connection = self.connection()?;
        while !data.is_empty() {
            let taken = poll_fn(|cx| connection.poll_put(cx, data)).await;
            let taken = taken.or_err(ErrorType::WriteError, "while the answer was sent").map_err(Error::into_down)?;
            data = data.get(taken..).unwrap_or_default();
        }
        Ok(())
    }

    /// The answer is over, but for what follows it: sends all that was gathered.
    async fn end(&mut self) -> Result<()> {
        if self.is_over || self.answer.is_none() {
            return Ok(());
        }
        match self.framing {
            Framing::Length(1..) => {
                return Error::e_explain(ErrorType::InternalError, "less body than was announced");
            }
            Framing::Chunked => {
                let trailers = self.line.trailers.take_due();
                let out = self.connection()?.answer();
                out.extend_from_slice(b"0\r\n");
                if let Some(fields) = trailers {
                    trailers::write(out, &fields);
                }
                out.extend_from_slice(b"\r\n");
            }
            _ => {}
        }
        let connection = self.connection()?;
        let sent = poll_fn(|cx| connection.poll_end(cx)).await;
        sent.or_err(ErrorType::WriteError, "while the answer was sent").map_err(Error::into_down)?;
        self.is_over = true;
        Ok(())
    }

    /// Whether the body has been read, or will be although it has been answered before: then another request may follow.
    fn is_to_be_read(&mut self) -> bool {
        // Whoever waits for leave to send a body need not send it after another answer than that, and may send the next request in
        // its place.
        let is_coming = self.connection.as_ref().is_some_and(|connection| !connection.expects_continue());
        self.is_body_done() || (is_coming && matches!(self.body, Body::Length(..=SMALL_BODY)))
    }

    /// The next bytes of another protocol; `None` at their end, and no bytes once all that was put has gone.
    fn poll_tunnel(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Bytes>>> {
        let Some(connection) = &mut self.connection else { return Poll::Ready(Ok(None)) };
        self.came.room().reserve(READ);
        if let Poll::Ready(read) = pin!(connection.read_buf(self.came.room())).poll(cx) {
            let read = read.or_err(ErrorType::ReadError, "from the client of an upgraded connection")?;
            self.read += read;
            return Poll::Ready(Ok((read > 0).then(|| self.came.room().split().freeze())));
        }
        self.poll_gone()
    }

    /// Ready when all that was put into the tunnel has gone, once.
    fn poll_gone(&mut self) -> Poll<Result<Option<Bytes>>> {
        let has_gone = self.connection.as_ref().is_some_and(|connection| connection.has_sent());
        if has_gone && self.switch == (Switch::Made { is_told: false }) {
            self.switch = Switch::Made { is_told: true };
            return Poll::Ready(Ok(Some(Bytes::new())));
        }
        Poll::Pending
    }

    /// The next bytes of the body; `None` at its end. What has come is handed over or stays.
    fn poll_body(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Bytes>>> {
        while !self.is_body_done() {
            if let Some((data, _)) = self.came.next_piece().or_err(ErrorType::InvalidHTTPHeader, "a malformed body")? {
                let Some(data) = data else { break };
                self.read += data.len();
                if let Some(kept) = &mut self.kept {
                    kept.take(&data);
                }
                return Poll::Ready(Ok(Some(data)));
            }
            let Some(connection) = &mut self.connection else { break };
            let most = if let Body::Length(length) = self.body { usize::try_from(length).ok() } else { None };
            self.came.room().reserve(most.map_or(READ, |most| most.min(READ)));
            let read = pin!(connection.read_buf(self.came.room())).poll(cx);
            if ready!(read).or_err(ErrorType::ReadError, "while the request body was read")? == 0 {
                return Poll::Ready(Error::e_explain(ErrorType::ConnectionClosed, "within the request body"));
            }
        }
        Poll::Ready(Ok(None))
    }

    /// Nothing is wanted of the client: only whether it stays is of interest, once its request has come whole, and the time.
    fn poll_client(&mut self, cx: &mut Context<'_>) -> Poll<Result<()>> {
        let is_whole = self.is_body_done();
        let connection = match self.connection() {
            Ok(connection) => connection,
            Err(error) => return Poll::Ready(Err(error)),
        };
        let left = if is_whole {
            // It never hands bytes over: the request is over.
            Pin::new(connection).poll_read(cx, &mut ReadBuf::new(&mut [0]))
        } else {
            connection.poll_time(cx)
        };
        left.map(|left| match left {
            Ok(()) => Error::e_explain(ErrorType::ConnectionClosed, "the client left"),
            Err(error) => Error::e_because(ErrorType::ReadError, "while the answer was waited for", error),
        })
    }

    async fn drain(&mut self) -> Result<()> {
        while self.read_body_bytes().await?.is_some() {}
        Ok(())
    }
}

impl Drop for Single {
    fn drop(&mut self) {
        if let Some(connection) = self.connection.take().filter(|_| self.is_over) {
            let is_kept = self.is_kept && !self.line.is_last() && connection.is_between();
            *self.shared.back.lock() = Some((connection, is_kept));
        }
    }
}

/// Whether another head follows this one (RFC 9110 §15.2).
fn is_interim(head: &ResponseHeader) -> bool {
    head.status.is_informational() && head.status != StatusCode::SWITCHING_PROTOCOLS
}

#[async_trait]
impl Session for Single {
    fn req_header(&self) -> &RequestHeader {
        &self.head
    }

    fn req_header_mut(&mut self) -> &mut RequestHeader {
        &mut self.head
    }

    async fn read_body_bytes(&mut self) -> Result<Option<Bytes>> {
        poll_fn(|cx| self.poll_body(cx)).await.map_err(Error::into_down)
    }

    async fn read_body_or_idle(&mut self, no_body_expected: bool) -> Result<Option<Bytes>> {
        if self.was_upgraded() {
            let next = poll_fn(|cx| match self.connection().map(|connection| connection.poll_time(cx)) {
                _ if !no_body_expected => self.poll_tunnel(cx),
                Ok(Poll::Pending) => self.poll_gone(),
                Ok(Poll::Ready(Err(error))) => Poll::Ready(Err(error).or_err(ErrorType::ReadError, "the client left")),
                Ok(Poll::Ready(Ok(()))) => Poll::Ready(Ok(None)),
                Err(error) => Poll::Ready(Err(error)),
            });
            return next.await.map_err(Error::into_down);
        }
        if no_body_expected || self.is_body_done() {
            return poll_fn(|cx| self.poll_client(cx)).await.map(|()| None).map_err(Error::into_down);
        }
        self.read_body_bytes().await
    }

    async fn drain_request_body(&mut self) -> Result<()> {
        match self.timeouts.drain {
            None => self.drain().await,
            Some(limit) => timeout(limit, self.drain())
                .await
                .unwrap_or_else(|_| Error::e_explain(ErrorType::ReadTimedout, "the rest of the body does not come")),
        }
    }

    async fn write_response_header(&mut self, head: Box<ResponseHeader>, end: bool) -> Result<()> {
        let is_interim = is_interim(&head);
        self.put_head(head, end)?;
        if end && !is_interim { self.end().await } else { Ok(()) }
    }

    async fn write_response_header_ref(&mut self, head: &ResponseHeader, end: bool) -> Result<()> {
        self.write_response_header(Box::new(head.clone()), end).await
    }

    async fn write_body(&mut self, data: Bytes, end: bool) -> Result<()> {
        self.put_body(&data).await?;
        if end { self.end().await } else { Ok(()) }
    }

    /// They go with the end of the body, and only if the client takes them (`trailers.rs`).
    async fn write_trailers(&mut self, _trailers: HeaderMap) -> Result<()> {
        Error::e_explain(ErrorType::InternalError, "HTTP/1.1 has no trailers without chunks")
    }

    async fn response_duplex_vec(&mut self, tasks: Vec<HttpTask>) -> Result<bool> {
        let mut is_over = false;
        for task in tasks {
            is_over |= match task {
                HttpTask::Header(head, end) => {
                    let is_interim = is_interim(&head);
                    self.put_head(head, end)?;
                    end && !is_interim
                }
                HttpTask::Body(data, end) => {
                    self.put_body(data.as_deref().unwrap_or_default()).await?;
                    end
                }
                HttpTask::UpgradedBody(..) => {
                    return Error::e_explain(
                        ErrorType::InternalError,
                        "bytes of another protocol have a way of their own",
                    );
                }
                HttpTask::Trailer(_) | HttpTask::Done => true,
                HttpTask::Failed(error) => return Err(error),
            };
        }
        if is_over {
            self.end().await?;
        }
        Ok(is_over)
    }

    fn is_upgrade_req(&self) -> bool {
        let offers = |offer: &HeaderValue| offer.as_bytes().eq_ignore_ascii_case(b"websocket");
        self.switch != Switch::None && self.head.headers.get(header::UPGRADE).is_some_and(offers)
    }

    fn was_upgraded(&self) -> bool {
        matches!(self.switch, Switch::Made { .. })
    }

    fn set_read_timeout(&mut self, timeout: Option<Duration>) {
        self.timeouts.read = timeout;
    }

    fn get_read_timeout(&self) -> Option<Duration> {
        self.timeouts.read
    }

    fn set_write_timeout(&mut self, timeout: Option<Duration>) {
        self.timeouts.write = timeout;
    }

    fn get_write_timeout(&self) -> Option<Duration> {
        self.timeouts.write
    }

    fn set_total_drain_timeout(&mut self, timeout: Option<Duration>) {
        self.timeouts.drain = timeout;
    }

    fn get_total_drain_timeout(&self) -> Option<Duration> {
        self.timeouts.drain
    }

    fn request_summary(&self) -> String {
        format!("{} {}", self.head.method, self.head.uri.path())
    }

    fn response_written(&self) -> Option<&ResponseHeader> {
        self.answer.as_deref()
    }

    /// Breaks off, so that nobody takes a part of the answer for the whole.
    async fn shutdown(&mut self, _code: u32, _why: &str) {
        if !self.is_over {
            self.is_kept = false;
            if let Some(connection) = self.connection.as_ref().filter(|_| self.framing == Framing::UntilClose) {
                connection.reset_when_closed();
            }
        }
    }

    fn is_body_done(&mut self) -> bool {
        self.came.is_over()
    }

    async fn finish(&mut self) -> Result<()> {
        self.end().await
    }

    fn is_body_empty(&mut self) -> bool {
        matches!(self.body, Body::None | Body::Length(0))
    }

    fn body_bytes_sent(&self) -> usize {
        self.sent
    }

    fn body_bytes_read(&self) -> usize {
        self.read
    }

    fn digest(&self) -> Option<&Digest> {
        Some(&self.digest)
    }

    fn digest_mut(&mut self) -> Option<&mut Digest> {
        Some(&mut self.digest)
    }

    fn client_addr(&self) -> Option<&SocketAddr> {
        self.digest.socket_digest.as_ref()?.peer_addr()
    }

    fn server_addr(&self) -> Option<&SocketAddr> {
        self.digest.socket_digest.as_ref()?.local_addr()
    }

    /// For subrequests, of which there are none here.
    fn pseudo_raw_h1_request_header(&self) -> Bytes {
        Bytes::new()
    }

    fn enable_retry_buffering(&mut self) {
        self.kept.get_or_insert_default();
    }

    fn retry_buffer_truncated(&self) -> bool {
        self.kept.as_ref().is_some_and(ReplayBuffer::is_truncated)
    }

    fn get_retry_buffer(&self) -> Option<Bytes> {
        self.kept.as_ref()?.whole()
    }

    /// There are no messages beside HTTP's own, here and below.
    async fn finish_custom(&mut self) -> Result<()> {
        Ok(())
    }

    fn take_custom_message_reader(
        &mut self,
    ) -> Option<Box<dyn futures::Stream<Item = Result<Bytes>> + Unpin + Send + Sync + 'static>> {
        None
    }

    fn restore_custom_message_reader(
        &mut self,
        _reader: Box<dyn futures::Stream<Item = Result<Bytes>> + Unpin + Send + Sync + 'static>,
    ) -> Result<()> {
        Ok(())
    }

    fn take_custom_message_writer(&mut self) -> Option<Box<dyn CustomMessageWrite>> {
        None
    }

    fn restore_custom_message_writer(&mut self, _writer: Box<dyn CustomMessageWrite>) -> Result<()> {
        Ok(())
    }
}
