//! One request on an HTTP/2 connection, as Pingora sees it: its door for sessions that are not Pingora's own.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use h2::RecvStream;
use h2::server::SendResponse;
use http::{HeaderMap, Request, header};
use pingora::http::{RequestHeader, ResponseHeader};
use pingora::protocols::Digest;
use pingora::protocols::http::HttpTask;
use pingora::protocols::http::custom::CustomMessageWrite;
use pingora::protocols::http::custom::server::Session;
use pingora::protocols::l4::socket::SocketAddr;
use pingora::{Error, ErrorType, OrErr, Result};
use tokio::time::timeout;

use super::answer::Answer;
use super::body::{Body, Ended};
use super::uploads::Uploads;
use crate::listener::connection_info::RequestControl;
use crate::listener::pace::Pace;
use crate::listener::rules::ListenerRules;

/// One request and its answer.
pub(super) struct Stream {
    head: RequestHeader,
    body: Body,
    answer: Answer,
    line: Arc<RequestControl>,
    digest: Digest,
    /// Kept because Pingora asks for them. The time of a body is the listener's (`body.rs`), and so is that of an answer.
    read_timeout: Option<Duration>,
    write_timeout: Option<Duration>,
    drain_timeout: Option<Duration>,
    /// By the client, before it was answered.
    given_up: bool,
}

impl Stream {
    pub(super) fn new(
        request: Request<RecvStream>,
        respond: SendResponse<Bytes>,
        digest: Digest,
        line: Arc<RequestControl>,
        uploads: &Arc<Uploads>,
        terms: &ListenerRules,
    ) -> Self {
        let (head, reader) = request.into_parts();
        let announced_empty = head.headers.get(header::CONTENT_LENGTH).is_some_and(|length| length == "0");
        Self {
            head: head.into(),
            body: Body::new(reader, announced_empty, line.clone(), uploads, terms),
            answer: Answer::new(respond, Pace::new(terms)),
            line,
            digest,
            read_timeout: None,
            write_timeout: None,
            drain_timeout: None,
            given_up: false,
        }
    }

    /// The body has come: until it is answered, only whether the client stays is of interest, and the time.
    fn poll_client(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Bytes>>> {
        match self.answer.poll_gone(cx) {
            Poll::Ready(Ok(reason)) => {
                self.note_given_up();
                Poll::Ready(Error::e_explain(ErrorType::H2Error, format!("the client gave the stream up: {reason}")))
            }
            Poll::Ready(Err(error)) => Poll::Ready(Error::e_because(ErrorType::H2Error, "the client is gone", error)),
            Poll::Pending => {
                self.body.poll_late(cx).map(|late| late.or_err(ErrorType::ReadError, "the request is late"))
            }
        }
    }

    /// The client has reset the stream: before its answer, that is a request for nothing.
    fn note_given_up(&mut self) {
        if self.answer.head.is_none() && !std::mem::replace(&mut self.given_up, true) {
            self.line.is_given_up();
        }
    }

    /// The answer is over, but for what follows it.
    fn end(&mut self) -> Result<()> {
        match self.line.trailers.take_due() {
            Some(trailers) => self.answer.write_trailers(*trailers),
            None => self.answer.finish(),
        }
    }

    async fn drain(&mut self) -> Result<()> {
        while self.read_body_bytes().await?.is_some() {}
        Ok(())
    }
}

#[async_trait]
impl Session for Stream {
    fn req_header(&self) -> &RequestHeader {
        &self.head
    }

    fn req_header_mut(&mut self) -> &mut RequestHeader {
        &mut self.head
    }

    async fn read_body_bytes(&mut self) -> Result<Option<Bytes>> {
        let read = poll_fn(|cx| self.body.poll(cx)).await;
        if matches!(read, Err(Ended::Broken(_))) {
            self.note_given_up();
        }
        read.or_err(ErrorType::ReadError, "while the request body was read").map_err(Error::into_down)
    }

    async fn read_body_or_idle(&mut self, no_body_expected: bool) -> Result<Option<Bytes>> {
        if no_body_expected || self.is_body_done() {
            return poll_fn(|cx| self.poll_client(cx)).await.map_err(Error::into_down);
        }
        self.read_body_bytes().await
    }

    async fn drain_request_body(&mut self) -> Result<()> {
        if self.body.is_done() {
            return Ok(());
        }
        match self.drain_timeout {
            None => self.drain().await,
            Some(limit) => timeout(limit, self.drain())
                .await
                .unwrap_or_else(|_| Error::e_explain(ErrorType::ReadTimedout, "the rest of the body does not come")),
        }
    }

    async fn write_response_header(&mut self, head: Box<ResponseHeader>, end: bool) -> Result<()> {
        self.answer.write_head(head, end).await
    }

    async fn write_response_header_ref(&mut self, head: &ResponseHeader, end: bool) -> Result<()> {
        self.answer.write_head(Box::new(head.clone()), end).await
    }

    async fn write_body(&mut self, data: Bytes, end: bool) -> Result<()> {
        self.answer.write_body(data, end, &self.line).await
    }

    async fn write_trailers(&mut self, trailers: HeaderMap) -> Result<()> {
        self.answer.write_trailers(trailers)
    }

    async fn response_duplex_vec(&mut self, tasks: Vec<HttpTask>) -> Result<bool> {
        let mut over = false;
        for task in tasks {
            over |= match task {
                HttpTask::Header(head, end) => {
                    self.answer.write_head(head, end).await?;
                    end
                }
                HttpTask::Body(data, end) => {
                    if let Some(data) = data.filter(|data| !data.is_empty()) {
                        let end = end && !self.line.trailers.has_due();
                        self.answer.write_body(data, end, &self.line).await?;
                    }
                    end
                }
                HttpTask::UpgradedBody(..) => {
                    return Error::e_explain(ErrorType::InternalError, "HTTP/2 has no upgrade (RFC 9113 §8.6)");
                }
                HttpTask::Trailer(trailers) => {
                    if let Some(trailers) = trailers {
                        self.answer.write_trailers(*trailers)?;
                    }
                    true
                }
                HttpTask::Done => true,
                HttpTask::Failed(error) => return Err(error),
            };
        }
        if over {
            self.end()?;
        }
        Ok(over)
    }

    fn set_read_timeout(&mut self, timeout: Option<Duration>) {
        self.read_timeout = timeout;
    }

    fn get_read_timeout(&self) -> Option<Duration> {
        self.read_timeout
    }

    fn set_write_timeout(&mut self, timeout: Option<Duration>) {
        self.write_timeout = timeout;
    }

    fn get_write_timeout(&self) -> Option<Duration> {
        self.write_timeout
    }

    fn set_total_drain_timeout(&mut self, timeout: Option<Duration>) {
        self.drain_timeout = timeout;
    }

    fn get_total_drain_timeout(&self) -> Option<Duration> {
        self.drain_timeout
    }

    fn request_summary(&self) -> String {
        format!("{} {}", self.head.method, self.head.uri.path())
    }

    fn response_written(&self) -> Option<&ResponseHeader> {
        self.answer.head.as_deref()
    }

    async fn shutdown(&mut self, _code: u32, _why: &str) {
        self.answer.reset();
    }

    fn is_body_done(&mut self) -> bool {
        self.body.is_done()
    }

    async fn finish(&mut self) -> Result<()> {
        self.end()
    }

    fn is_body_empty(&mut self) -> bool {
        self.body.is_empty()
    }

    fn body_bytes_sent(&self) -> usize {
        self.answer.sent
    }

    fn body_bytes_read(&self) -> usize {
        self.body.read
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
        self.body.keep();
    }

    fn retry_buffer_truncated(&self) -> bool {
        self.body.is_truncated()
    }

    fn get_retry_buffer(&self) -> Option<Bytes> {
        self.body.kept()
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
