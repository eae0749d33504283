//! Each WebSocket when the gateway stops: both ends are told with a close frame (1001, "going away", RFC 6455 §7.4.1), put between
//! two of theirs, and have a moment to say goodbye. Until then their frames are only followed, never read.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Waker};

use http::{HeaderMap, header};
use parking_lot::Mutex;
use portreeve_wire::websocket::{Frames, close, masked_close};
use tokio::sync::watch;

/// An endpoint that goes away: a server that goes down (RFC 6455 §7.4.1).
const GOING_AWAY: u16 = 1001;

/// Whether this 101 is one to a WebSocket.
pub fn is_agreed_on(answer: &HeaderMap) -> bool {
    answer.get(header::UPGRADE).is_some_and(|protocol| protocol.as_bytes().eq_ignore_ascii_case(b"websocket"))
}

/// The end of every WebSocket, and how many there are.
#[derive(Debug)]
pub struct WebSocketDrain {
    begun: watch::Sender<bool>,
    open: AtomicUsize,
}

impl WebSocketDrain {
    pub fn new() -> Arc<Self> {
        Arc::new(Self { begun: watch::Sender::new(false), open: AtomicUsize::new(0) })
    }

    /// Says goodbye to all of them.
    pub fn begin(&self) {
        self.begun.send_replace(true);
    }

    pub fn open(&self) -> usize {
        self.open.load(Ordering::Relaxed)
    }
}

/// To whom bytes go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum To {
    Client,
    Target,
}

/// What is to be done with bytes on their way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Passage {
    /// The first so many go on.
    Pass(usize),
    /// They come after the goodbye: nobody waits for them.
    Drop,
}

/// One WebSocket, as both of its connections see it.
#[derive(Debug)]
pub struct WebSocket(Mutex<State>);

#[derive(Debug)]
struct State {
    is_ending: bool,
    to_client: Way,
    to_target: Way,
}

/// One direction.
#[derive(Debug, Default)]
struct Way {
    frames: Frames,
    /// No more goes this way: our close frame or their own was the last.
    is_closed: bool,
    /// Nobody sends this way any more.
    is_left: bool,
    /// Whoever reads at the end of it.
    reader: Option<Waker>,
}

impl WebSocket {
    /// One whose 101 is about to be sent to the client.
    pub fn open() -> Arc<Self> {
        Arc::new(Self(Mutex::new(State { is_ending: false, to_client: Way::default(), to_target: Way::default() })))
    }

    /// The close frame that has to go before anything else does, once.
    pub fn goodbye(&self, to: To) -> Option<Vec<u8>> {
        let state = &mut *self.0.lock();
        let is_ending = state.is_ending;
        let way = state.way(to);
        if !is_ending || way.is_closed || !way.frames.is_between() {
            return None;
        }
        way.is_closed = true;
        // The mask keeps others from choosing what is on the wire (RFC 6455 §10.3). Nobody chooses these two bytes, so it need
        // not be a secret.
        (!way.frames.has_closed()).then(|| match to {
            To::Client => close(GOING_AWAY).to_vec(),
            To::Target => masked_close(GOING_AWAY, fastrand::u32(..).to_be_bytes()).to_vec(),
        })
    }

    /// The same for whoever waits for the peer that is there: it is woken when there may be one.
    pub fn poll_goodbye(&self, to: To, cx: &Context<'_>) -> Option<Vec<u8>> {
        let goodbye = self.goodbye(to);
        let state = &mut *self.0.lock();
        let reader = &mut state.way(to).reader;
        if !reader.as_ref().is_some_and(|reader| reader.will_wake(cx.waker())) {
            *reader = Some(cx.waker().clone());
        }
        goodbye
    }

    /// What is to be done with these bytes. Those that pass are to be told of when they have; the others are noted here.
    pub fn passage(&self, to: To, bytes: &[u8]) -> Passage {
        let state = &mut *self.0.lock();
        let is_ending = state.is_ending;
        let way = state.way(to);
        match (is_ending, way.is_closed) {
            (false, _) => Passage::Pass(bytes.len()),
            (true, false) => Passage::Pass(way.frames.in_hand(bytes)),
            (true, true) => {
                way.frames.take(bytes);
                state.wake_if_over();
                Passage::Drop
            }
        }
    }

    /// These bytes have gone.
    pub fn passed(&self, to: To, bytes: &[u8]) {
        self.0.lock().way(to).frames.take(bytes);
    }

    /// Whoever sends this way has sent its last byte. Whether the WebSocket is to be kept a little longer, for the other one's
    /// goodbye.
    pub fn leaves(&self, to: To) -> bool {
        let state = &mut *self.0.lock();
        state.way(to).is_left = true;
        state.wake_if_over();
        state.is_ending && !state.is_over()
    }

    /// Both have said goodbye.
    pub fn is_over(&self) -> bool {
        self.0.lock().is_over()
    }

    fn end(&self) {
        let state = &mut *self.0.lock();
        state.is_ending = true;
        state.to_target.wake();
    }
}

impl State {
    fn way(&mut self, to: To) -> &mut Way {
        match to {
            To::Client => &mut self.to_client,
            To::Target => &mut self.to_target,
        }
    }

    fn is_over(&self) -> bool {
        let is_done = |way: &Way| way.frames.has_closed() || way.is_left;
        self.is_ending && is_done(&self.to_client) && is_done(&self.to_target)
    }

    /// The client's connection ends it.
    fn wake_if_over(&mut self) {
        if self.is_over() {
            self.to_client.wake();
        }
    }
}

impl Way {
    fn wake(&mut self) {
        if let Some(reader) = self.reader.take() {
            reader.wake();
        }
    }
}

/// The client's side of a WebSocket: waits for the end of all, and is counted.
pub struct ClientEnd {
    pub socket: Arc<WebSocket>,
    farewell: Arc<WebSocketDrain>,
    /// Until the farewell begins.
    begins: Option<Pin<Box<dyn Future<Output = ()> + Send + Sync>>>,
}

impl ClientEnd {
    pub fn new(socket: Arc<WebSocket>, farewell: &Arc<WebSocketDrain>) -> Self {
        farewell.open.fetch_add(1, Ordering::Relaxed);
        let mut begun = farewell.begun.subscribe();
        let begins = Box::pin(async move {
            // Its sender is not dropped before this is.
            begun.wait_for(|begun| *begun).await.ok();
        });
        Self { socket, farewell: farewell.clone(), begins: Some(begins) }
    }

    /// The close frame for the client, when it is time.
    pub fn poll_goodbye(&mut self, cx: &mut Context<'_>) -> Option<Vec<u8>> {
        if let Some(begins) = &mut self.begins
            && begins.as_mut().poll(cx) == Poll::Ready(())
        {
            self.begins = None;
            self.socket.end();
            // The target's connection may not have waited for this yet. One task drives both.
            cx.waker().wake_by_ref();
        }
        self.socket.poll_goodbye(To::Client, cx)
    }
}

impl Drop for ClientEnd {
    fn drop(&mut self) {
        self.farewell.open.fetch_sub(1, Ordering::Relaxed);
    }
}

impl std::fmt::Debug for ClientEnd {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("ClientEnd").field(&self.socket).finish()
    }
}
