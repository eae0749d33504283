//! An origin: an HTTP/1.1 server that says who it is, keeps what it received byte for byte, and plays what a test scripts.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use serde_json::json;
use socket2::{Domain, Protocol, SockRef, Socket, Type};
use tokio::io::{AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::http1::{Head, read_head, read_request_body};
use crate::within;

/// A request as it arrived.
#[derive(Debug, Clone)]
pub struct Received {
    /// Request line and headers.
    pub head: Head,
    /// Body, without framing.
    pub body: Vec<u8>,
}

impl Received {
    /// The method.
    pub fn method(&self) -> &str {
        self.head.word(0)
    }

    /// The target as it stood in the request line.
    pub fn target(&self) -> &str {
        self.head.word(1)
    }

    /// The first value of a header.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.header(name)
    }

    fn is_health_check(&self) -> bool {
        self.header("user-agent") == Some("portreeve-health-check")
    }
}

/// One thing that an origin does with a connection in answer to a request.
#[derive(Debug, Clone)]
pub enum Beat {
    /// Sends these bytes.
    Write(Vec<u8>),
    /// Does nothing for so long.
    Pause(Duration),
    /// Does nothing until [`Origin::cue`] has been called so often.
    Await(u64),
    /// Closes the connection.
    Close,
    /// Ends the connection with a reset, as a process that was killed.
    Reset,
}

impl Beat {
    /// A whole answer with `Content-Length`.
    pub fn answer(status: u16, headers: &[(&str, &str)], body: impl AsRef<[u8]>) -> Self {
        let body = body.as_ref();
        let headers = headers.iter().map(|(name, value)| [name, ": ", value, "\r\n"].concat()).collect::<String>();
        let head = format!("HTTP/1.1 {status} Scripted\r\n{headers}content-length: {}\r\n\r\n", body.len());
        Self::Write([head.as_bytes(), body].concat())
    }

    /// These bytes.
    pub fn write(bytes: impl AsRef<[u8]>) -> Self {
        Self::Write(bytes.as_ref().to_vec())
    }

    /// One chunk of a chunked body.
    pub fn chunk(bytes: impl AsRef<[u8]>) -> Self {
        let bytes = bytes.as_ref();
        Self::Write([format!("{:x}\r\n", bytes.len()).as_bytes(), bytes, b"\r\n"].concat())
    }
}

type Script = Arc<dyn Fn(&Received) -> Vec<Beat> + Send + Sync>;

/// A server on a port of its own, until it is dropped.
pub struct Origin {
    name: String,
    stage: Arc<Stage>,
    address: SocketAddr,
    /// Bound and never listening: the port stays ours while the origin is dead, and connecting to it is refused.
    _reserved: Socket,
    /// The acceptor and its connections.
    alive: Option<JoinSet<()>>,
}

struct Stage {
    script: Mutex<Script>,
    seen: Mutex<Vec<Received>>,
    forgets: AtomicBool,
    checks: Mutex<u64>,
    connections: AtomicUsize,
    open: AtomicUsize,
    cues: watch::Sender<u64>,
}

impl std::fmt::Debug for Origin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Origin({})", self.address)
    }
}

impl Origin {
    /// Starts an origin that echoes: `{"origin": name, "method", "target", "headers", "body"}`.
    pub async fn start(name: &str) -> Self {
        let mut origin = Self::dead(name).await;
        origin.revive().await;
        origin
    }

    /// An origin that refuses connections until it is revived.
    #[expect(clippy::unused_async, reason = "needs a runtime, as every constructor of the harness")]
    pub async fn dead(name: &str) -> Self {
        let reserved = socket(SocketAddr::from(([127, 0, 0, 1], 0)));
        let address = reserved.local_addr().unwrap().as_socket().unwrap();
        let (name, echoing) = (name.to_owned(), name.to_owned());
        let stage = Stage {
            script: Mutex::new(Arc::new(move |received| vec![echo(&echoing, received)])),
            seen: Mutex::default(),
            forgets: AtomicBool::default(),
            checks: Mutex::default(),
            connections: AtomicUsize::default(),
            open: AtomicUsize::default(),
            cues: watch::channel(0).0,
        };
        Self { name, stage: Arc::new(stage), address, _reserved: reserved, alive: None }
    }

    /// Plays what `script` makes of each request from now on.
    #[must_use]
    pub fn playing(self, script: impl Fn(&Received) -> Vec<Beat> + Send + Sync + 'static) -> Self {
        self.play(script);
        self
    }

    /// Keeps nothing of what it receives from now on, as one that is asked millions of times must.
    #[must_use]
    pub fn forgetting(self) -> Self {
        self.stage.forgets.store(true, Ordering::Relaxed);
        self
    }

    /// Echoes again.
    pub fn echo(&self) {
        let name = self.name.clone();
        self.play(move |received| vec![echo(&name, received)]);
    }

    /// Plays what `script` makes of each request from now on.
    pub fn play(&self, script: impl Fn(&Received) -> Vec<Beat> + Send + Sync + 'static) {
        *self.stage.script.lock() = Arc::new(script);
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Lets everything go on that waits in [`Beat::Await`] for one more cue.
    pub fn cue(&self) {
        self.stage.cues.send_modify(|cues| *cues += 1);
    }

    /// Every request but health checks, in the order they were complete.
    pub fn seen(&self) -> Vec<Received> {
        self.stage.seen.lock().clone()
    }

    /// How many requests but health checks.
    pub fn count(&self) -> usize {
        self.stage.seen.lock().len()
    }

    /// How many health checks.
    pub fn checks(&self) -> u64 {
        *self.stage.checks.lock()
    }

    /// How many connections were made to it.
    pub fn connections(&self) -> usize {
        self.stage.connections.load(Ordering::Relaxed)
    }

    /// The last request.
    ///
    /// # Panics
    /// When there was none.
    pub fn last(&self) -> Received {
        self.seen().pop().expect("the origin has seen a request")
    }

    /// Closes every connection and refuses new ones.
    pub async fn die(&mut self) {
        if let Some(mut alive) = self.alive.take() {
            alive.shutdown().await;
            // Its connections end with the acceptor, but each when its own task is next looked at: one might still answer.
            let closing = async {
                while self.stage.open.load(Ordering::SeqCst) > 0 {
                    tokio::task::yield_now().await;
                }
            };
            within("its connections are closed", closing).await;
        }
    }

    /// Listens again, on the port it had.
    #[expect(clippy::unused_async, reason = "needs a runtime, as every constructor of the harness")]
    pub async fn revive(&mut self) {
        let socket = socket(self.address);
        socket.listen(1024).unwrap();
        let listener = TcpListener::from_std(socket.into()).unwrap();
        let mut alive = JoinSet::new();
        alive.spawn(accept(listener, self.stage.clone()));
        self.alive = Some(alive);
    }
}

/// A configuration in which `@name` stands for the address of the origin of that name.
pub fn at(origins: &[&Origin], yaml: &str) -> String {
    let mut origins = origins.to_vec();
    // So that `@a` is not taken for the beginning of `@ab`.
    origins.sort_by_key(|origin| std::cmp::Reverse(origin.name.len()));
    origins
        .iter()
        .fold(yaml.to_owned(), |yaml, origin| yaml.replace(&format!("@{}", origin.name), &origin.address.to_string()))
}

fn socket(address: SocketAddr) -> Socket {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, Some(Protocol::TCP)).unwrap();
    socket.set_reuse_address(true).unwrap();
    socket.set_nonblocking(true).unwrap();
    socket.bind(&address.into()).unwrap();
    socket
}

async fn accept(listener: TcpListener, stage: Arc<Stage>) {
    let mut connections = JoinSet::new();
    loop {
        let accepted = listener.accept().await;
        // The ended ones are forgotten; the others end with this task.
        while connections.try_join_next().is_some() {}
        if let Ok((connection, _)) = accepted {
            stage.connections.fetch_add(1, Ordering::Relaxed);
            stage.open.fetch_add(1, Ordering::SeqCst);
            let open = Open(stage.clone());
            connections.spawn(async move {
                converse(connection, &open.0).await;
            });
        }
    }
}

/// Counts a connection for as long as it is open.
struct Open(Arc<Stage>);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Serves one connection until somebody closes it.
async fn converse(mut connection: TcpStream, stage: &Stage) {
    connection.set_nodelay(true).ok();
    let (read, mut write) = connection.split();
    let mut read = BufReader::new(read);
    while let Ok(Some(head)) = read_head(&mut read).await {
        let Ok(body) = read_request_body(&mut read, &head).await else { return };
        let received = Received { head, body };
        if received.is_health_check() {
            *stage.checks.lock() += 1;
        } else if !stage.forgets.load(Ordering::Relaxed) {
            stage.seen.lock().push(received.clone());
        }
        let script = stage.script.lock().clone();
        for beat in script(&received) {
            match beat {
                Beat::Write(bytes) => {
                    if write.write_all(&bytes).await.is_err() {
                        return;
                    }
                }
                Beat::Pause(pause) => tokio::time::sleep(pause).await,
                Beat::Await(cues) => {
                    stage.cues.subscribe().wait_for(|given| *given >= cues).await.ok();
                }
                Beat::Close => return,
                Beat::Reset => {
                    SockRef::from(write.as_ref()).set_linger(Some(Duration::ZERO)).ok();
                    return;
                }
            }
        }
    }
}

fn echo(name: &str, received: &Received) -> Beat {
    let body = json!({
        "origin": name,
        "method": received.method(),
        "target": received.target(),
        "headers": received.head.headers.iter().map(|(name, value)| (name.to_ascii_lowercase(), value.clone()))
            .collect::<std::collections::BTreeMap<_, _>>(),
        "body": String::from_utf8_lossy(&received.body),
    });
    let body = if received.method() == "HEAD" { String::new() } else { body.to_string() };
    Beat::answer(200, &[("content-type", "application/json"), ("server", "an-origin/1.0")], body)
}
