//! Two connections that were asked the same: whoever begins an acceptable answer first is heard, the other is closed.
//!
//! Until the second is asked this only keeps what was sent, and a clock. Dropped at any moment, it closes what it has and gives
//! back what is counted.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::BytesMut;
use futures::future::{Either, select};
use http::StatusCode;
use tokio::io::ReadBuf;
use tokio::time::{Sleep, sleep_until};

use super::attempt::UpstreamAttempt;
use super::hedge_state::Settled;
use super::wire::Link;
use super::{Dial, idle};
use crate::AttemptOutcome;
use crate::fault::Fault;
use crate::hedge::Second;

/// A longer head is not sent twice. As long as one may be on a listener by default.
const MOST_SENT: usize = 64 * 1024;
/// Read of each at once, until one is heard.
const READ: usize = 16 * 1024;

/// A connection for the attempt, or, if that takes too long, for another target.
pub(super) async fn connect(attempt: &UpstreamAttempt) -> pingora::Result<Box<Link>> {
    let first = Box::pin(attempt.dial.open(&attempt.first, attempt.kept()));
    let Some(due) = attempt.hedge.due() else { return first.await };
    let first = match select(first, Box::pin(sleep_until(due.into()))).await {
        Either::Left((link, _)) => return link,
        Either::Right(((), first)) => first,
    };
    let Some(second) = attempt.hedge.second() else { return first.await };
    let dial = second.prepared().dial().clone();
    match select(first, Box::pin(open(&dial, attempt))).await {
        Either::Left((Ok(link), _)) => {
            attempt.settle(Settled::lost(second.address()));
            second.lose();
            Ok(link)
        }
        Either::Left((Err(error), other)) => match other.await {
            Ok(link) => {
                attempt.settle(Settled::won(second, Some(Fault::of_connecting(&error))));
                Ok(link)
            }
            Err(of_second) => {
                attempt.settle(Settled::lost(second.address()));
                second.fail(Fault::of_connecting(&of_second));
                Err(error)
            }
        },
        Either::Right((Ok(link), _)) => {
            attempt.settle(Settled::won(second, None));
            Ok(link)
        }
        Either::Right((Err(of_second), first)) => {
            attempt.settle(Settled::lost(second.address()));
            second.fail(Fault::of_connecting(&of_second));
            first.await
        }
    }
}

async fn open(dial: &Arc<Dial>, attempt: &UpstreamAttempt) -> pingora::Result<Box<Link>> {
    match idle::take(dial, attempt.kept()) {
        Some(link) => Ok(link),
        None => dial.open(&attempt.first, attempt.kept()).await,
    }
}

/// One attempt that may be overtaken.
pub(super) struct Race {
    clock: Pin<Box<Sleep>>,
    /// What was sent, to be sent to the second.
    sent: BytesMut,
    second: Option<Runner>,
    /// What the first has said that was not acceptable, or how it failed, while the second is waited for.
    first: Option<ResponseStart>,
}

/// What one of two has come to.
enum ResponseStart {
    /// An answer that is only taken if the other has none that is better.
    Answer(BytesMut),
    /// The end.
    Failure(io::Result<()>),
}

/// The second connection.
struct Runner {
    second: Option<Second>,
    attempt: Arc<UpstreamAttempt>,
    state: State,
}

type Opening = Pin<Box<dyn Future<Output = Result<Box<Link>, Unasked>> + Send>>;

/// Why the second could not be asked: what kept it from being connected to; its attempt knows what went wrong after that.
struct Unasked(Option<Fault>);

impl From<io::Error> for Unasked {
    fn from(_: io::Error) -> Self {
        Self(None)
    }
}

enum State {
    Opening(Opening),
    Asked(Box<Link>),
    ResponseStart(Box<Link>, BytesMut),
    /// By this, if its attempt does not know by what.
    Failed(Option<Fault>),
}

/// What the connection goes on with.
pub(super) struct Heard {
    /// Instead of the first.
    pub(super) link: Option<Box<Link>>,
    /// What was read of it.
    pub(super) read: BytesMut,
    pub(super) end: io::Result<()>,
}

impl Race {
    /// A race that may begin, if the attempt is hedged and has not raced for its connection.
    pub(super) fn new(attempt: &UpstreamAttempt) -> Option<Box<Self>> {
        let due = attempt.hedge.due()?;
        let clock = Box::pin(sleep_until(due.into()));
        Some(Box::new(Self { clock, sent: BytesMut::new(), second: None, first: None }))
    }

    /// Something was sent. Whether it can be sent again.
    pub(super) fn sent(&mut self, bytes: &[u8]) -> bool {
        self.sent.extend_from_slice(bytes);
        self.sent.len() <= MOST_SENT
    }

    /// Whether both have been asked.
    pub(super) fn is_on(&self) -> bool {
        self.second.is_some()
    }

    /// Whether the time has come to ask somebody else; asks. `Err`: nobody else is to be asked.
    pub(super) fn poll_begin(&mut self, cx: &mut Context<'_>, attempt: &UpstreamAttempt) -> Result<bool, ()> {
        if self.clock.as_mut().poll(cx).is_pending() {
            return Ok(false);
        }
        // A head that is still on its way is not sent in part.
        if !self.sent.ends_with(b"\r\n\r\n") {
            return Err(());
        }
        let second = attempt.hedge.second().ok_or(())?;
        let dial = second.prepared().dial().clone();
        let (sent, first, kept) = (self.sent.split().freeze(), attempt.first.clone(), attempt.kept());
        let attempt = UpstreamAttempt::new(dial.clone(), attempt.params);
        let asked = attempt.clone();
        let opening = async move {
            let mut link = match idle::take(&dial, kept) {
                Some(link) => link,
                None => dial.open(&first, kept).await.map_err(|error| Unasked(Some(Fault::of_connecting(&error))))?,
            };
            link.ask(asked.params.asked);
            if link.was_kept() {
                asked.reuses();
            }
            let mut rest = &sent[..];
            while !rest.is_empty() {
                let n = std::future::poll_fn(|cx| link.poll_request(cx, rest, &asked)).await?;
                if n == 0 {
                    return Err(Unasked(None));
                }
                rest = rest.get(n..).unwrap_or_default();
            }
            std::future::poll_fn(|cx| link.poll_flush(cx, &asked)).await?;
            Ok(link)
        };
        self.second = Some(Runner { second: Some(second), attempt, state: State::Opening(Box::pin(opening)) });
        Ok(true)
    }

    /// Waits for whoever answers first.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>, first: &mut Link, attempt: &UpstreamAttempt) -> Poll<Heard> {
        if self.first.is_none() {
            self.first = match poll_said(cx, first, attempt) {
                Poll::Pending => None,
                Poll::Ready(ResponseStart::Answer(read)) if is_acceptable(first) => {
                    self.lose(attempt);
                    return Poll::Ready(Heard { link: None, read, end: Ok(()) });
                }
                Poll::Ready(said) => Some(said),
            };
        }
        let Some(runner) = &mut self.second else { return Poll::Pending };
        if runner.poll(cx) && matches!(&runner.state, State::ResponseStart(link, _) if is_acceptable(link)) {
            return Poll::Ready(self.win(attempt));
        }
        let is_over = matches!(runner.state, State::ResponseStart(..) | State::Failed(_));
        if !is_over || self.first.is_none() {
            return Poll::Pending;
        }
        // Neither is good: an answer goes before a failure, and the first before the second.
        match (self.first.take(), &runner.state) {
            (Some(ResponseStart::Failure(_)), State::ResponseStart(..)) => Poll::Ready(self.win(attempt)),
            (Some(ResponseStart::Answer(read)), _) => {
                self.lose(attempt);
                Poll::Ready(Heard { link: None, read, end: Ok(()) })
            }
            (Some(ResponseStart::Failure(end)), _) => {
                self.lose(attempt);
                Poll::Ready(Heard { link: None, read: BytesMut::new(), end })
            }
            (None, _) => Poll::Pending,
        }
    }

    /// The first is heard.
    fn lose(&mut self, attempt: &UpstreamAttempt) {
        if let Some(runner) = self.second.take() {
            let Some(second) = runner.second else { return };
            attempt.settle(Settled::lost(second.address()));
            match &runner.state {
                // A kept connection that was closed meanwhile says nothing.
                State::Failed(None) if runner.attempt.was_stale() => second.lose(),
                State::Failed(fault) => second.fail(fault.unwrap_or_else(|| runner.attempt.fault_of())),
                State::ResponseStart(..) => second.fail(Fault::UpstreamStatus),
                _ => second.lose(),
            }
        }
    }

    /// The second is heard.
    fn win(&mut self, attempt: &UpstreamAttempt) -> Heard {
        let nothing = Heard { link: None, read: BytesMut::new(), end: Ok(()) };
        let Some(Runner { second: Some(second), state: State::ResponseStart(link, read), attempt: heard }) =
            self.second.take()
        else {
            return nothing;
        };
        // A whole answer may have come by now, of either.
        attempt.trailers.replace(&heard.trailers);
        let first = match self.first {
            None => None,
            Some(ResponseStart::Answer(_)) => Some(Fault::UpstreamStatus),
            Some(ResponseStart::Failure(_)) => (!attempt.was_stale()).then(|| attempt.fault_of()),
        };
        attempt.settle(Settled::won(second, first));
        Heard { link: Some(link), read, end: Ok(()) }
    }
}

impl Runner {
    /// Whether it has come to something now.
    fn poll(&mut self, cx: &mut Context<'_>) -> bool {
        if let State::Opening(opening) = &mut self.state {
            match opening.as_mut().poll(cx) {
                Poll::Pending => return false,
                Poll::Ready(Ok(link)) => self.state = State::Asked(link),
                Poll::Ready(Err(Unasked(fault))) => {
                    self.state = State::Failed(fault);
                    return true;
                }
            }
        }
        let State::Asked(link) = &mut self.state else { return false };
        let Poll::Ready(said) = poll_said(cx, link, &self.attempt) else { return false };
        let state = std::mem::replace(&mut self.state, State::Failed(None));
        if let (ResponseStart::Answer(read), State::Asked(link)) = (said, state) {
            self.state = State::ResponseStart(link, read);
        }
        true
    }
}

/// What comes of an answer first.
fn poll_said(cx: &mut Context<'_>, link: &mut Link, attempt: &UpstreamAttempt) -> Poll<ResponseStart> {
    let mut bytes = BytesMut::zeroed(READ);
    let mut buf = ReadBuf::new(&mut bytes);
    let ended = match link.poll_answer(cx, &mut buf, attempt) {
        Poll::Pending => return Poll::Pending,
        Poll::Ready(ended) => ended,
    };
    let n = buf.filled().len();
    bytes.truncate(n);
    Poll::Ready(if n > 0 && ended.is_ok() { ResponseStart::Answer(bytes) } else { ResponseStart::Failure(ended) })
}

/// Whether what has begun to come is worth not waiting for the other. An interim answer is: its target is at work.
fn is_acceptable(link: &Link) -> bool {
    let status = link.status().and_then(|status| StatusCode::from_u16(status).ok());
    status.is_none_or(|status| AttemptOutcome::by_status(status) == AttemptOutcome::Answered)
}

impl std::fmt::Debug for Race {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Race(both asked: {})", self.is_on())
    }
}
