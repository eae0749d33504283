//! The workers: threads that accept and serve. Listeners come and go at run time; a stop drains.

use std::io;
use std::net::TcpListener as StdListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use pingora::apps::{HttpServerApp, ServerApp};
use pingora::server::configuration::ServerConf;
use pingora_proxy::{HttpProxy, http_proxy};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};

use super::connection::{Connection, Facts};
use super::socket::Sockets;
use crate::phases::Phases;

/// After the system refused a socket (descriptors or memory are short), accepting rests this long.
const ACCEPT_REST: Duration = Duration::from_millis(50);
/// How often a stop looks whether the last connection has gone.
const DRAIN_POLL: Duration = Duration::from_millis(10);
/// Idle upstream connections each worker keeps.
const IDLE_UPSTREAM_CONNECTIONS: usize = 512;
/// The most attempts Pingora makes for one request; each upstream's own limit is lower (at most 10).
const MAX_ATTEMPTS: usize = 16;

/// The threads that accept and serve.
#[derive(Debug)]
pub(crate) struct Workers {
    each: Vec<Worker>,
    stopping: watch::Sender<bool>,
    open: Arc<AtomicUsize>,
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
    },
    Close {
        listener: usize,
    },
    /// Accept no more and let idle connections go.
    Drain,
}

/// How a stop ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Drained {
    /// Every connection had ended by itself.
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
        let conf = Arc::new(ServerConf {
            threads: 1,
            max_retries: MAX_ATTEMPTS,
            upstream_keepalive_pool_size: IDLE_UPSTREAM_CONNECTIONS,
            ..ServerConf::default()
        });
        let spawn = |number: usize| {
            let (commands, inbox) = mpsc::unbounded_channel();
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            let served = Served { phases: phases.clone(), conf: conf.clone(), stop: stop.clone(), open: open.clone() };
            let name = format!("worker-{number}");
            let thread = thread::Builder::new().name(name).spawn(move || runtime.block_on(served.run(inbox)))?;
            Ok(Worker { commands, thread })
        };
        let each = (0..count.max(1)).map(spawn).collect::<io::Result<_>>()?;
        Ok(Self { each, stopping, open })
    }

    /// How many there are.
    pub(crate) fn count(&self) -> usize {
        self.each.len()
    }

    /// Client connections open now.
    pub(crate) fn connections(&self) -> usize {
        self.open.load(Ordering::Relaxed)
    }

    /// Begins to accept on `sockets` for the listener of this number.
    pub(crate) fn open(&self, listener: usize, sockets: Sockets) {
        for (worker, socket) in self.each.iter().zip(sockets.each) {
            // A worker's inbox closes only when its thread ends, at the very end.
            worker.commands.send(Command::Open { listener, socket }).ok();
        }
    }

    /// Accepts no more on this listener. Its connections live on.
    pub(crate) fn close(&self, listener: usize) {
        for worker in &self.each {
            worker.commands.send(Command::Close { listener }).ok();
        }
    }

    /// Accepts no more at all, lets requests in flight end for at most `limit`, then cuts what is left.
    pub(crate) async fn drain(self, limit: Duration) -> Drained {
        self.stopping.send_replace(true);
        for worker in &self.each {
            worker.commands.send(Command::Drain).ok();
        }
        let until = Instant::now() + limit;
        while self.connections() > 0 && Instant::now() < until {
            tokio::time::sleep(DRAIN_POLL).await;
        }
        let left = self.connections();
        let threads = self.each.into_iter().map(|Worker { commands, thread }| {
            drop(commands);
            thread
        });
        let threads: Vec<_> = threads.collect();
        // Joining waits for threads that are about to end; not on this runtime.
        tokio::task::spawn_blocking(move || threads.into_iter().for_each(|thread| drop(thread.join()))).await.ok();
        if left == 0 { Drained::Clean } else { Drained::Cut(left) }
    }
}

/// What one worker serves with.
struct Served {
    phases: Phases,
    conf: Arc<ServerConf>,
    stop: watch::Receiver<bool>,
    open: Arc<AtomicUsize>,
}

impl Served {
    /// The life of one worker: until its inbox closes. Connections that are still open then end with the runtime.
    async fn run(self, mut inbox: mpsc::UnboundedReceiver<Command>) {
        let proxy = Arc::new(http_proxy(&self.conf, self.phases.clone()));
        let mut accepting: Vec<(usize, tokio::task::JoinHandle<()>)> = Vec::new();
        while let Some(command) = inbox.recv().await {
            match command {
                Command::Open { listener, socket } => match TcpListener::from_std(socket) {
                    Ok(socket) => {
                        let door =
                            Door { listener, proxy: proxy.clone(), stop: self.stop.clone(), open: self.open.clone() };
                        accepting.push((listener, tokio::spawn(door.accept(socket))));
                    }
                    Err(error) => tracing::error!(%error, "A listener could not be watched."),
                },
                Command::Close { listener } => accepting.retain(|(number, task)| {
                    if *number == listener {
                        task.abort();
                    }
                    *number != listener
                }),
                Command::Drain => {
                    accepting.drain(..).for_each(|(_, task)| task.abort());
                    proxy.http_cleanup().await;
                }
            }
        }
    }
}

/// One listener's socket in one worker.
struct Door {
    listener: usize,
    proxy: Arc<HttpProxy<Phases>>,
    stop: watch::Receiver<bool>,
    open: Arc<AtomicUsize>,
}

impl Door {
    async fn accept(self, socket: TcpListener) {
        let mut resting = false;
        loop {
            match socket.accept().await {
                Ok((io, peer)) => {
                    resting = false;
                    self.serve(io, Facts::new(self.listener, peer));
                }
                // The client gave up between the handshake and our accept.
                Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
                Err(error) => {
                    if !resting {
                        tracing::error!(%error, "Accepting failed; it rests for a moment.");
                    }
                    resting = true;
                    tokio::time::sleep(ACCEPT_REST).await;
                }
            }
        }
    }

    fn serve(&self, io: TcpStream, facts: Facts) {
        // Answers leave in one piece when they are flushed; waiting for more (Nagle) would only delay them.
        io.set_nodelay(true).ok();
        let Ok(connection) = Connection::new(io, facts) else { return };
        let (proxy, stop, counted) = (self.proxy.clone(), self.stop.clone(), Counted::new(&self.open));
        tokio::spawn(async move {
            let _counted = counted;
            proxy.process_new(Box::new(connection), &stop).await;
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
