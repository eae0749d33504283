//! An origin that keeps the bytes of each request exactly as they came, and answers those that are whole.

use std::net::SocketAddr;
use std::sync::Arc;

use parking_lot::Mutex;
use portreeve_wire::http1::{At, Bounds, Requests};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

/// Larger than anything that the gateway lets in.
pub(super) const WIDE: Bounds = Bounds {
    head_bytes: 1 << 20,
    fields: 1_000,
    target_bytes: 1 << 20,
    trailer_bytes: 1 << 20,
    chunk_line_bytes: 256,
    extension_bytes: 16 * 1024,
};

/// What an origin has heard since it was last asked.
#[derive(Debug, Default)]
pub(super) struct Heard {
    /// Requests that came to their end.
    pub(super) whole: Vec<Vec<u8>>,
    /// What came on connections that ended, or made no sense, before a request was whole.
    pub(super) broken: Vec<Vec<u8>>,
    /// Heads that a body was to follow.
    pub(super) begun: usize,
}

/// Listens on a port of its own, until it is dropped.
pub(super) struct Recorder {
    address: SocketAddr,
    heard: Arc<Mutex<Heard>>,
    _accepting: JoinSet<()>,
}

impl Recorder {
    pub(super) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let heard = Arc::<Mutex<Heard>>::default();
        let mut accepting = JoinSet::new();
        accepting.spawn(accept(listener, heard.clone()));
        Self { address, heard, _accepting: accepting }
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Heads so far that a body was to follow.
    pub(super) fn begun(&self) -> usize {
        self.heard.lock().begun
    }

    /// What was heard since this was last called.
    pub(super) fn take(&self) -> Heard {
        std::mem::take(&mut self.heard.lock())
    }
}

async fn accept(listener: TcpListener, heard: Arc<Mutex<Heard>>) {
    let mut connections = JoinSet::new();
    while let Ok((io, _)) = listener.accept().await {
        connections.spawn(serve(io, heard.clone()));
    }
}

async fn serve(mut io: TcpStream, heard: Arc<Mutex<Heard>>) {
    io.set_nodelay(true).unwrap();
    let (mut requests, mut message) = (Requests::new(WIDE), Vec::new());
    if hear(&mut io, &mut requests, &mut message, &heard).await.is_none() && !message.is_empty() {
        heard.lock().broken.push(message);
    }
}

/// One request after the other. `None`: the connection has ended, or what came is no request.
async fn hear(io: &mut TcpStream, requests: &mut Requests, message: &mut Vec<u8>, heard: &Mutex<Heard>) -> Option<()> {
    let mut piece = vec![0; 16 * 1024];
    let mut in_body = false;
    loop {
        let read = io.read(&mut piece).await.ok().filter(|read| *read > 0)?;
        let mut rest = &piece[..read];
        while !rest.is_empty() {
            let Ok(progress) = requests.read(rest) else {
                message.extend_from_slice(rest);
                return None;
            };
            message.extend_from_slice(&rest[..progress.taken]);
            rest = &rest[progress.taken..];
            if progress.at == At::Body && !in_body {
                in_body = true;
                heard.lock().begun += 1;
                if requests.head().is_some_and(|head| head.expects_continue) {
                    io.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").await.ok()?;
                }
            }
            if progress.at == At::End {
                in_body = false;
                heard.lock().whole.push(std::mem::take(message));
                let body = if requests.head().is_some_and(|head| head.is_head) { "" } else { "ok" };
                io.write_all(format!("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{body}").as_bytes()).await.ok()?;
            }
        }
    }
}
