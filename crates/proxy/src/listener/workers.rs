//! The workers: threads that accept and serve. Listeners come and go at run time; a stop drains.

use std::io;
use std::net::{SocketAddr, TcpListener as StdListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use pingora::server::configuration::ServerConf;
use pingora_proxy::http_proxy;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, oneshot, watch};

use super::connection_limiter::ConnectionLimiter;
use super::serve::Serving;
use super::socket::{Sockets, waiting};
use crate::descriptors;
use crate::request::phases::Phases;
use crate::web_socket::WebSocketDrain;

/// After the system refused a socket (descriptors or memory are short), accepting rests this long.
const ACCEPT_REST: Duration = Duration::from_millis(50);
/// After the limit of a stop, a worker has this long to end. One that does not is held up by a plugin and left behind.
const STUCK: Duration = Duration::from_secs(1);
/// After the limit of a stop, a WebSocket has this long to close: a message each way.
const GOODBYE: Duration = Duration::from_secs(1);
/// How often a stop looks whether the last connection has gone.
const DRAIN_POLL: Duration = Duration::from_millis(10);
/// The most attempts Pingora makes for one request; each upstream's own limit is lower (at most 10).
const MAX_ATTEMPTS: usize = 16;

/// The threads that accept and serve.
#[derive(Debug)]
pub(crate) struct Workers {
    each: Vec<Worker>,
    stopping: watch::Sender<bool>,
    open: Arc<AtomicUsize>,
    farewell: Arc<WebSocketDrain>,
}

#[derive(Debug)]
struct Worker {
    commands: mpsc::UnboundedSender<Command>,
    thread: JoinHandle<()>,
}

#[derive(Debug)]
enum Command {
    Open {
        listener: usize,
        socket: StdListener,
        crowd: Arc<ConnectionLimiter>,
    },
    /// Accept no more here. `done` is dropped when the socket is closed.
    Close {
        listener: usize,
        done: oneshot::Sender<()>,
    },
    /// Accept no more anywhere and let idle connections go. `done` is dropped when every socket is closed.
    Drain {
        done: oneshot::Sender<()>,
    },
}

/// How a stop ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Drained {
    /// Every connection had ended, by itself or, a WebSocket, by a close frame of ours.
    Clean,
    /// So many were still open at the limit and were cut.
    Cut(usize),
}

impl Workers {
    /// Starts `count` workers that serve with `phases`.
    ///
    /// # Errors
    /// When the system gives no thread or no runtime.
    pub(crate) fn start(count: usize, phases: &Phases) -> io::Result<Self> {
        let (stopping, stop) = watch::channel(false);
        let open = Arc::new(AtomicUsize::new(0));
        let farewell = WebSocketDrain::new();
        let conf = Arc::new(ServerConf { threads: 1, max_retries: MAX_ATTEMPTS, ..ServerConf::default() });
        let spawn = |number: usize| {
            let (commands, inbox) = mpsc::unbounded_channel();
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            let served = Served {
                phases: phases.clone(),
                conf: conf.clone(),
                stop: stop.clone(),
                open: open.clone(),
                farewell: farewell.clone(),
            };
            let name = format!("worker-{number}");
            let thread = thread::Builder::new().name(name).spawn(move || runtime.block_on(served.run(inbox)))?;
            Ok(Worker { commands, thread })
        };
        let each = (0..count.max(1)).map(spawn).collect::<io::Result<_>>()?;
        Ok(Self { each, stopping, open, farewell })
    }

    /// How many there are.
    pub(crate) fn count(&self) -> usize {
        self.each.len()
    }

    /// Counts the client connections that are open, for as long as anybody looks.
    pub(crate) fn counter(&self) -> Arc<AtomicUsize> {
        self.open.clone()
    }

    /// Begins to accept on `sockets` for the listener of this number.
    pub(super) fn open(&self, listener: usize, sockets: Sockets) {
        let crowd = Arc::new(ConnectionLimiter::default());
        for (worker, socket) in self.each.iter().cycle().zip(sockets.each) {
            // A worker's inbox closes only when its thread ends, at the very end.
            worker.commands.send(Command::Open { listener, socket, crowd: crowd.clone() }).ok();
        }
    }

    /// Accepts no more on this listener. Its connections live on, and so do those that were established before. The future
    /// is done when every worker has closed its socket; it need not be waited for.
    pub(super) fn close(&self, listener: usize) -> impl Future<Output = ()> + Send + use<> {
        self.tell(&|done| Command::Close { listener, done })
    }

    /// Sends every worker a command; the future is done when all have carried it out.
    fn tell(&self, command: &dyn Fn(oneshot::Sender<()>) -> Command) -> impl Future<Output = ()> + Send + use<> {
        let each = self.each.iter().map(|worker| {
            let (done, heard) = oneshot::channel();
            worker.commands.send(command(done)).ok();
            heard
        });
        let all: Vec<_> = each.collect();
        async move {
            futures::future::join_all(all).await;
        }
    }

    /// Accepts no more at all, lets requests in flight end for at most `limit`, then closes each WebSocket
    /// and cuts what is left.
    pub(crate) async fn drain(self, limit: Duration) -> Drained {
        let until = Instant::now() + limit;
        self.stopping.send_replace(true);
        // Until then there may be more to come than are counted.
        tokio::time::timeout(limit, self.tell(&|done| Command::Drain { done })).await.ok();
        let open = || self.open.load(Ordering::Relaxed);
        while open() > 0 && Instant::now() < until {
            tokio::time::sleep(DRAIN_POLL).await;
        }
        self.say_goodbye().await;
        let left = open();
        let threads = self.each.into_iter().map(|Worker { commands, thread }| {
            drop(commands);
            thread
        });
        let threads: Vec<_> = threads.collect();
        // Joining waits for threads that are about to end; not on this runtime.
        let joined = tokio::task::spawn_blocking(move || threads.into_iter().for_each(|thread| drop(thread.join())));
        if tokio::time::timeout(STUCK, joined).await.is_err() {
            tracing::error!("A worker does not end: a plugin holds it up. It is left behind.");
        }
        if left == 0 { Drained::Clean } else { Drained::Cut(left) }
    }
}

impl Workers {
    /// Lets each WebSocket end in the words of its own protocol, for at most [`GOODBYE`].
    async fn say_goodbye(&self) {
        let open = || self.open.load(Ordering::Relaxed);
        let others = open().saturating_sub(self.farewell.open());
        let until = Instant::now() + GOODBYE;
        self.farewell.begin();
        while open() > others && Instant::now() < until {
            tokio::time::sleep(DRAIN_POLL).await;
        }
    }
}

/// What one worker serves with.
struct Served {
    phases: Phases,
    conf: Arc<ServerConf>,
    stop: watch::Receiver<bool>,
    open: Arc<AtomicUsize>,
    farewell: Arc<WebSocketDrain>,
}

impl Served {
    /// The life of one worker: until its inbox closes. Connections that are still open then end with the runtime.
    async fn run(self, mut inbox: mpsc::UnboundedReceiver<Command>) {
        let proxy = Arc::new(http_proxy(&self.conf, self.phases.clone()));
        let phases = Arc::new(self.phases);
        let mut accepting: Vec<Accepting> = Vec::new();
        while let Some(command) = inbox.recv().await {
            match command {
                Command::Open { listener, socket, crowd } => match TcpListener::from_std(socket) {
                    Ok(socket) => {
                        let (proxy, phases) = (proxy.clone(), phases.clone());
                        let (stop, farewell) = (self.stop.clone(), self.farewell.clone());
                        let serving = Serving { listener, proxy, phases, stop, crowd, farewell };
                        let door = Acceptor { serving, open: self.open.clone() };
                        let (close, closing) = oneshot::channel();
                        let task = tokio::spawn(door.accept(socket, closing));
                        accepting.push(Accepting { listener, close, task });
                    }
                    Err(error) => tracing::error!(%error, "A listener could not be watched."),
                },
                Command::Close { listener, done } => {
                    for gone in accepting.extract_if(.., |accepting| accepting.listener == listener) {
                        gone.close().await;
                    }
                    drop(done);
                }
                Command::Drain { done } => {
                    for gone in accepting.drain(..) {
                        gone.close().await;
                    }
                    drop(done);
                }
            }
        }
    }
}

/// The task that accepts on one socket.
struct Accepting {
    listener: usize,
    close: oneshot::Sender<()>,
    task: tokio::task::JoinHandle<()>,
}

impl Accepting {
    /// Ends it. When this is over the socket is closed.
    async fn close(self) {
        drop(self.close);
        self.task.await.ok();
    }
}

/// One listener's socket in one worker.
struct Acceptor {
    serving: Serving,
    open: Arc<AtomicUsize>,
}

impl Acceptor {
    /// Accepts until `closing`, serves whoever had been connected by then, and closes.
    async fn accept(self, socket: TcpListener, mut closing: oneshot::Receiver<()>) {
        loop {
            let accepted = tokio::select! {
                biased;
                _ = &mut closing => break,
                accepted = socket.accept() => accepted,
            };
            match accepted {
                Ok((io, peer)) => self.serve(io, peer),
                // The client gave up between the handshake and our accept.
                Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
                Err(error) => {
                    // Those who wait are accepted later; a loop that tried at once would take the worker from those who are served.
                    descriptors::tell_not_accepted(&error);
                    tokio::time::timeout(ACCEPT_REST, &mut closing).await.ok();
                }
            }
        }
        let Ok(socket) = socket.into_std() else { return };
        for (io, peer) in waiting(&socket) {
            let io = io.set_nonblocking(true).and_then(|()| TcpStream::from_std(io));
            if let Ok(io) = io {
                self.serve(io, peer);
            }
        }
    }

    fn serve(&self, io: TcpStream, peer: SocketAddr) {
        let (serving, counted) = (self.serving.clone(), Counted::new(&self.open));
        tokio::spawn(async move {
            let _counted = counted;
            serving.serve(io, peer).await;
        });
    }
}

/// Counts a connection for as long as it is open, whatever ends it.
struct Counted(Arc<AtomicUsize>);

impl Counted {
    fn new(open: &Arc<AtomicUsize>) -> Self {
        open.fetch_add(1, Ordering::Relaxed);
        Self(open.clone())
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
