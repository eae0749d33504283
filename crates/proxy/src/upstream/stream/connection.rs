//! One connection to a target in HTTP/2, from the moment it is asked for to its end: a task of its own lives as long as it does.

use std::future::{Future, pending, poll_fn};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock, Weak};
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use h2::client::{Builder, SendRequest};
use h2::{Ping, PingPong};
use parking_lot::Mutex;
use pingora::ErrorType;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};

use super::Stream;
use super::refused::Refused;
use crate::upstream::link::{ANSWERS, Dial, Io};

/// Requests at once on one connection, if the target allows as many; the next one opens another connection.
pub(super) const STREAMS: usize = 100;
/// What a target may send of one answer ahead of a slow client (RFC 9113 §5.2).
const STREAM_WINDOW: u32 = 256 << 10;
/// The same for all answers on a connection together: more than all its streams may have, so that clients which take nothing
/// cannot hold up the answers to others. Half of it is what the h2 library lets small frames cost in memory while they wait,
/// beside their content, before it ends the connection with all its streams.
const CONNECTION_WINDOW: u32 = 128 << 20;
/// Bytes of one request that wait for its target here.
const SEND_BUFFER: usize = 64 << 10;
/// What a field of a head counts beside its bytes (RFC 9113 §6.5.2).
const FIELD: usize = 32;
/// Finds connections that died without a word beneath long streams. No oftener: gRPC servers take more than one ping in five
/// minutes for an attack, and end the connection with `too_many_pings`.
const PING: Duration = Duration::from_secs(330);
/// So long a target has to answer one: what gRPC's implementations give each other.
const PONG: Duration = Duration::from_secs(20);

type Http2 = h2::client::Connection<Io, Bytes>;

/// A connection that is being made, is open, or has ended.
pub(super) struct Connection {
    dial: Arc<Dial>,
    state: watch::Sender<State>,
    /// By which streams are begun, from when it is open.
    requests: OnceLock<SendRequest<Bytes>>,
    streams: AtomicUsize,
    waiting: AtomicUsize,
    was_used: AtomicBool,
    is_retired: AtomicBool,
    /// Since when there has been no stream, if there is none.
    idle_since: Mutex<Instant>,
}

#[derive(Debug, Clone)]
enum State {
    Opening,
    Open,
    Refused(Refused),
    Ended,
}

impl Connection {
    /// Begins to make one. It goes on with it whoever waits, and for as long as somebody keeps this.
    pub(super) fn open(dial: Arc<Dial>) -> Arc<Self> {
        dial.opened();
        let connection = Arc::new(Self {
            dial: dial.clone(),
            state: watch::Sender::new(State::Opening),
            requests: OnceLock::new(),
            streams: AtomicUsize::new(0),
            waiting: AtomicUsize::new(0),
            was_used: AtomicBool::new(false),
            is_retired: AtomicBool::new(false),
            idle_since: Mutex::new(Instant::now()),
        });
        tokio::spawn(live(Arc::downgrade(&connection), dial));
        connection
    }

    pub(super) fn is_opening(&self) -> bool {
        matches!(*self.state.borrow(), State::Opening)
    }

    /// Whether no stream will ever begin on it again.
    pub(super) fn is_over(&self) -> bool {
        self.is_retired.load(Ordering::Relaxed) || matches!(*self.state.borrow(), State::Refused(_) | State::Ended)
    }

    /// Whether nobody has needed it for so long.
    pub(super) fn is_idle(&self, limit: Duration) -> bool {
        self.streams.load(Ordering::Acquire) == 0
            && self.waiting.load(Ordering::Acquire) == 0
            && !self.is_opening()
            && self.idle_since.lock().elapsed() >= limit
    }

    /// How long it may be idle.
    pub(super) fn idle_limit(&self) -> Duration {
        self.dial.timeouts().idle.get()
    }

    /// Streams at once, as far as the target has said how many it takes.
    pub(super) fn most(&self) -> Option<usize> {
        self.requests.get().map(|requests| requests.current_max_send_streams().min(STREAMS))
    }

    /// A place for a stream, if it has one.
    pub(super) fn place(self: &Arc<Self>) -> Option<Stream> {
        let requests = self.requests.get().filter(|_| !self.is_over())?;
        let most = requests.current_max_send_streams().min(STREAMS);
        let has_place = |streams: usize| (streams < most).then_some(streams + 1);
        self.streams.fetch_update(Ordering::AcqRel, Ordering::Acquire, has_place).ok()?;
        let is_reused = self.was_used.swap(true, Ordering::Relaxed);
        Some(Stream { requests: requests.clone(), connection: self.clone(), is_reused })
    }

    /// A place is free again.
    pub(super) fn leave(&self) {
        if self.streams.fetch_sub(1, Ordering::AcqRel) == 1 {
            *self.idle_since.lock() = Instant::now();
        }
    }

    /// No other stream begins on it.
    pub(super) fn retire(&self) {
        self.is_retired.store(true, Ordering::Relaxed);
    }

    pub(super) fn dial(&self) -> &Arc<Dial> {
        &self.dial
    }

    /// Waits until it is open, if not too many do.
    pub(super) fn wait(self: &Arc<Self>, most: usize) -> Option<Waiting> {
        let waits = |waiting: usize| (waiting < most).then_some(waiting + 1);
        let waits = self.is_opening() && self.waiting.fetch_update(Ordering::AcqRel, Ordering::Acquire, waits).is_ok();
        waits.then(|| Waiting(self.clone()))
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.dial.closed();
    }
}

/// Somebody waits for a connection, until this is dropped.
pub(super) struct Waiting(Arc<Connection>);

impl Waiting {
    /// Until it is open.
    ///
    /// # Errors
    /// It could not be made.
    pub(super) async fn opened(self) -> Result<(), Refused> {
        let mut state = self.0.state.subscribe();
        let state = state.wait_for(|state| !matches!(state, State::Opening)).await;
        match state.as_deref() {
            Ok(State::Refused(refused)) => Err(refused.clone()),
            // One that has ended already has no place, and another is made.
            _ => Ok(()),
        }
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::AcqRel);
    }
}

/// The life of a connection. It ends with the last handle by which a stream could be begun, and the last stream.
async fn live(connection: Weak<Connection>, dial: Arc<Dial>) {
    let told = |state| {
        if let Some(connection) = connection.upgrade() {
            connection.state.send_replace(state);
        }
    };
    match make(&dial).await {
        Ok((requests, http2)) => {
            if let Some(connection) = connection.upgrade() {
                connection.requests.set(requests).ok();
                *connection.idle_since.lock() = Instant::now();
            }
            told(State::Open);
            drive(http2).await;
            told(State::Ended);
        }
        Err(refused) => told(State::Refused(refused)),
    }
}

/// Makes it, within `timeouts.connect`: up to what the target says of itself (RFC 9113 §3.4), for only then is known how many
/// streams it takes. gRPC's implementations wait for that as well.
async fn make(dial: &Dial) -> Result<(SendRequest<Bytes>, Http2), Refused> {
    let making = async {
        let io = dial.connect(&[]).await?;
        if !io.agrees_to_http2() {
            return Err(Refused::NotHttp2);
        }
        let handshake = options().handshake(io).await;
        let (requests, mut http2) = handshake.map_err(|error| refused(&error))?;
        poll_fn(|cx| match Pin::new(&mut http2).poll(cx) {
            Poll::Ready(Err(error)) => Poll::Ready(Err(refused(&error))),
            Poll::Ready(Ok(())) => Poll::Ready(Err(Refused::new(ErrorType::ConnectError, "the target closed it"))),
            Poll::Pending if requests.current_max_send_streams() == 0 => Poll::Pending,
            Poll::Pending => Poll::Ready(Ok(())),
        })
        .await?;
        Ok((requests, http2))
    };
    let late = || Refused::new(ErrorType::ConnectTimedout, "no connection to the target in time");
    timeout(dial.timeouts().connect.get(), making).await.unwrap_or_else(|_| Err(late()))
}

fn options() -> Builder {
    let head = u32::try_from(ANSWERS.head_bytes + FIELD * ANSWERS.fields).unwrap_or(u32::MAX);
    let mut options = Builder::new();
    options
        .enable_push(false)
        // Until the target has said how many.
        .initial_max_send_streams(0)
        .initial_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_header_list_size(head)
        .max_send_buffer_size(SEND_BUFFER);
    options
}

/// Nobody has said anything that could be understood.
fn refused(error: &h2::Error) -> Refused {
    if error.is_io() || error.is_remote() {
        Refused::new(ErrorType::ConnectError, error.to_string())
    } else {
        Refused::NotHttp2
    }
}

/// Until it ends, or its target does not answer any more.
async fn drive(mut http2: Http2) {
    let pings = http2.ping_pong();
    tokio::select! {
        ended = &mut http2 => if let Err(error) = ended {
            tracing::debug!(%error, "A connection to a target in HTTP/2 has come to its end.");
        },
        () = unanswered(pings) => tracing::debug!("A target in HTTP/2 does not answer pings any more."),
    }
}

/// Until a ping is not answered in time.
async fn unanswered(pings: Option<PingPong>) {
    let Some(mut pings) = pings else { return pending().await };
    loop {
        sleep(PING).await;
        match timeout(PONG, pings.ping(Ping::opaque())).await {
            Ok(Ok(_)) => {}
            // The connection says itself that it has ended.
            Ok(Err(_)) => return pending().await,
            Err(_) => return,
        }
    }
}
