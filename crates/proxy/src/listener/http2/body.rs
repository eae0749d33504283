//! The body of a request on its way in: at no less than the listener's rate, within the time of the request, and kept as far as
//! another attempt may need it.

use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use h2::{RecvStream, StreamId};
use portreeve_wire::http1::Bounds;
use tokio::time::Instant;

use super::reset_limiter::worth;
use super::uploads::Uploads;
use crate::deadline::Deadline;
use crate::listener::connection::BODY_GRACE;
use crate::listener::connection_info::RequestControl;
use crate::listener::refused::Reason;
use crate::listener::replay_buffer::ReplayBuffer;
use crate::listener::rules::ListenerRules;
use portreeve_connection::trailers;

/// Why no more of a body comes.
#[derive(Debug, thiserror::Error)]
pub(super) enum Ended {
    #[error("the request is refused")]
    Refused,
    #[error("the client broke off the body")]
    Broken(#[source] h2::Error),
}

/// A body as it comes in.
#[derive(Debug)]
pub(super) struct Body {
    reader: RecvStream,
    stream: StreamId,
    announced_empty: bool,
    done: bool,
    pub(super) read: usize,
    line: Arc<RequestControl>,
    uploads: Arc<Uploads>,
    /// Bytes per second; 0 for none.
    rate: u64,
    /// Of trailers.
    bounds: Bounds,
    patience: Deadline,
    /// Waiting for bytes since then, and before that for so long.
    waiting: Option<Instant>,
    waited: Duration,
    kept: Option<ReplayBuffer>,
}

impl Body {
    pub(super) fn new(
        mut reader: RecvStream,
        announced_empty: bool,
        line: Arc<RequestControl>,
        uploads: &Arc<Uploads>,
        terms: &ListenerRules,
    ) -> Self {
        let stream = reader.stream_id();
        if !reader.is_end_stream() {
            uploads.begins(stream, reader.flow_control().clone());
        }
        Self {
            reader,
            stream,
            announced_empty,
            done: false,
            read: 0,
            line,
            uploads: uploads.clone(),
            rate: terms.min_body_rate,
            bounds: terms.bounds,
            patience: Deadline::default(),
            waiting: None,
            waited: Duration::ZERO,
            kept: None,
        }
    }

    /// There is none.
    pub(super) fn is_empty(&self) -> bool {
        // One that was read is none: trailers may have followed it, which another attempt has again.
        self.read == 0 && (self.announced_empty || (!self.done && self.reader.is_end_stream()))
    }

    /// It has been read to its end.
    pub(super) fn is_done(&self) -> bool {
        self.done || self.is_empty() || self.reader.is_end_stream()
    }

    /// The next bytes; `None` at the end. Cancel safe: what has come is handed over or stays.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Bytes>, Ended>> {
        let Poll::Ready(next) = self.reader.poll_data(cx) else { return self.poll_rate(cx) };
        if let Some(since) = self.waiting.take() {
            self.waited += since.elapsed();
        }
        let Some(bytes) = next.transpose().map_err(Ended::Broken)? else { return self.poll_trailers(cx) };
        self.read += bytes.len();
        if !bytes.is_empty() {
            self.line.served(worth(bytes.len(), true));
        }
        // It fails for more than was received only.
        self.reader.flow_control().release_capacity(bytes.len()).ok();
        if let Some(kept) = &mut self.kept {
            kept.take(&bytes);
        }
        Poll::Ready(Ok(Some(bytes)))
    }

    /// What follows the body, which has come with its end.
    fn poll_trailers<T>(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<T>, Ended>> {
        let Poll::Ready(trailers) = self.reader.poll_trailers(cx) else { return self.poll_rate(cx) };
        if let Some(fields) = trailers.map_err(Ended::Broken)? {
            if let Err(refusal) = trailers::check(&fields, &self.bounds) {
                return self.refuse(Reason::Malformed(refusal));
            }
            self.line.trailers.bring_fields(fields);
        }
        self.done = true;
        Poll::Ready(Ok(None))
    }

    /// Waits for more, for as long as the least rate allows. Only waiting counts, and only while the client may send: a window
    /// that others fill is not this body's fault, and once it is answered its client may be silent as long as both sides may.
    fn poll_rate<T>(&mut self, cx: &mut Context<'_>) -> Poll<Result<T, Ended>> {
        if self.line.is_answering() {
            return self.poll_late(cx);
        }
        loop {
            let since = *self.waiting.get_or_insert_with(Instant::now);
            let come = self.read as u64 + self.uploads.arriving(self.stream);
            let Some(earned) = come.checked_div(self.rate).map(Duration::from_secs) else { return self.poll_late(cx) };
            let until = since + (BODY_GRACE + earned).saturating_sub(self.waited);
            if self.line.deadline().is_some_and(|deadline| until >= deadline.into()) {
                return self.poll_late(cx);
            }
            if self.patience.poll_until(cx, until).is_pending() {
                return Poll::Pending;
            }
            if !self.uploads.hold_the_window() {
                return self.refuse(Reason::SlowBody);
            }
            (self.waiting, self.waited) = (None, Duration::ZERO);
        }
    }

    /// Ready when the time of the request has passed.
    pub(super) fn poll_late<T>(&mut self, cx: &mut Context<'_>) -> Poll<Result<T, Ended>> {
        let Some(deadline) = self.line.deadline() else { return Poll::Pending };
        match self.patience.poll_until(cx, deadline.into()) {
            Poll::Ready(()) => self.refuse(Reason::Late),
            Poll::Pending => Poll::Pending,
        }
    }

    fn refuse<T>(&self, reason: Reason) -> Poll<Result<T, Ended>> {
        self.line.refuse(reason);
        Poll::Ready(Err(Ended::Refused))
    }

    /// From here on, what is read is kept.
    pub(super) fn keep(&mut self) {
        self.kept.get_or_insert_default();
    }

    /// More was read than is kept.
    pub(super) fn is_truncated(&self) -> bool {
        self.kept.as_ref().is_some_and(ReplayBuffer::is_truncated)
    }

    /// All that was read, if it was kept.
    pub(super) fn kept(&self) -> Option<Bytes> {
        self.kept.as_ref()?.whole()
    }
}

impl Drop for Body {
    fn drop(&mut self) {
        self.uploads.ends(self.stream);
    }
}
