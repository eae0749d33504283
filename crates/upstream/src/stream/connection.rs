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
use crate::link::{Dial, Io};

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
/// Largest head that h2 unpacks, and hands over: beyond, that stream ends, and beyond four times as much the connection. Far more
/// than what an answer may have, so that a target which goes beyond that says so of one answer only.
const HEAD: u32 = 1 << 20;
/// Streams that their clients have given up, and on which targets may still be sending: so many are remembered, for so long.
const RESETS: usize = 4096;
const REMEMBERED: Duration = Duration::from_secs(10);
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
    /// Begins to make one, and to wait for it. It goes on whoever waits, and for as long as somebody keeps it.
    pub(super) fn open(dial: Arc<Dial>) -> (Arc<Self>, Waiting) {
        let connection = Arc::new(Self {
            dial: dial.clone(),
            state: watch::Sender::new(State::Opening),
            requests: OnceLock::new(),
            streams: AtomicUsize::new(0),
            waiting: AtomicUsize::new(1),
            was_used: AtomicBool::new(false),
            is_retired: AtomicBool::new(false),
            idle_since: Mutex::new(Instant::now()),
        });
        tokio::spawn(live(StateReporter(Arc::downgrade(&connection)), dial));
        let waiting = Waiting(connection.clone());
        (connection, waiting)
    }

    pub(super) fn is_opening(&self) -> bool {
        matches!(*self.state.borrow(), State::Opening)
    }

    /// Whether no stream will ever begin on it again.
    pub(super) fn is_over(&self) -> bool {
        self.is_retired.load(Ordering::Relaxed) || matches!(*self.state.borrow(), State::Refused(_) | State::Ended)
    }

    /// Since when nobody has needed it, if nobody does.
    pub(super) fn idle_since(&self) -> Option<Instant> {
        let is_needed = self.is_opening() || self.has_streams() || self.waiting.load(Ordering::Acquire) > 0;
        (!is_needed).then(|| *self.idle_since.lock())
    }

    fn has_streams(&self) -> bool {
        self.streams.load(Ordering::Acquire) > 0
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
    pub(super) fn place(self: &Arc<Self>, dial: &Arc<Dial>) -> Option<Stream> {
        let requests = self.requests.get().filter(|_| !self.is_over())?;
        let most = requests.current_max_send_streams().min(STREAMS);
        let has_place = |streams: usize| (streams < most).then_some(streams + 1);
        self.streams.fetch_update(Ordering::AcqRel, Ordering::Acquire, has_place).ok()?;
        let is_reused = self.was_used.swap(true, Ordering::Relaxed);
        let mut stream = Stream { requests: requests.clone(), connection: self.clone(), dial: dial.clone(), is_reused };
        stream.may_begin().then_some(stream)
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

    /// Waits until it is open, if not too many do.
    pub(super) fn wait(self: &Arc<Self>, most: usize) -> Option<Waiting> {
        let waits = |waiting: usize| (waiting < most).then_some(waiting + 1);
        let waits = self.is_opening() && self.waiting.fetch_update(Ordering::AcqRel, Ordering::Acquire, waits).is_ok();
        waits.then(|| Waiting(self.clone()))
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

/// Tells those who wait for a connection what becomes of it, and that it has ended when this is dropped.
struct StateReporter(Weak<Connection>);

impl StateReporter {
    fn tell(&self, state: State) {
        if let Some(connection) = self.0.upgrade() {
            connection.state.send_replace(state);
        }
    }
}

impl Drop for StateReporter {
    fn drop(&mut self) {
        if let Some(connection) = self.0.upgrade() {
            connection.state.send_if_modified(|state| {
                let is_alive = matches!(state, State::Opening | State::Open);
                if is_alive {
                    *state = State::Ended;
                }
                is_alive
            });
        }
    }
}

/// The life of a connection. It ends with the last handle by which a stream could be begun, and the last stream.
async fn live(connection: StateReporter, dial: Arc<Dial>) {
    match make(&dial).await {
        Ok((requests, http2)) => {
            if let Some(connection) = connection.0.upgrade() {
                connection.requests.set(requests).ok();
                *connection.idle_since.lock() = Instant::now();
            }
            connection.tell(State::Open);
            drive(http2, &connection.0).await;
        }
        Err(refused) => connection.tell(State::Refused(refused)),
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
    let mut options = Builder::new();
    options
        .enable_push(false)
        // Until the target has said how many.
        .initial_max_send_streams(0)
        .initial_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_header_list_size(HEAD)
        .max_send_buffer_size(SEND_BUFFER)
        .max_concurrent_reset_streams(RESETS)
        .reset_stream_duration(REMEMBERED)
        // What a target still sends on streams that are forgotten would end the connection for all others, once there has been
        // enough of it in its whole life.
        .max_local_error_reset_streams(None);
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
async fn drive(mut http2: Http2, connection: &Weak<Connection>) {
    let pings = http2.ping_pong();
    tokio::select! {
        ended = &mut http2 => if let Err(error) = ended {
            tracing::debug!(%error, "A connection to a target in HTTP/2 has come to its end.");
        },
        () = unanswered(pings, connection) => tracing::debug!("A target in HTTP/2 does not answer pings any more."),
    }
}

/// Until a ping is not answered in time. Without streams none is sent: some targets take that for an attack, too.
async fn unanswered(pings: Option<PingPong>, connection: &Weak<Connection>) {
    let Some(mut pings) = pings else { return pending().await };
    loop {
        sleep(PING).await;
        if !connection.upgrade().is_some_and(|connection| connection.has_streams()) {
            continue;
        }
        match timeout(PONG, pings.ping(Ping::opaque())).await {
            Ok(Ok(_)) => {}
            // The connection says itself that it has ended.
            Ok(Err(_)) => return pending().await,
            Err(_) => return,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, SocketAddr};

    use portreeve_config::Timeouts;

    use super::*;

    /// Whatever becomes of the task of a connection, be it that it panics.
    #[tokio::test]
    async fn whoever_waits_for_a_connection_is_told_of_its_end() {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 1));
        let (connection, waiting) = Connection::open(Arc::new(Dial::new(address, None, Timeouts::default(), 0)));
        assert!(connection.is_opening() && !connection.is_over());
        // Its own task has not run yet: nothing here waits.
        drop(StateReporter(Arc::downgrade(&connection)));
        assert!(connection.is_over());
        waiting.opened().await.unwrap();
    }
}
