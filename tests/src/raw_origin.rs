//! An origin that a test plays by itself, byte for byte and at its own pace.

use std::net::SocketAddr;
use std::time::Duration;

use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::{TcpListener, TcpStream};

use crate::{Wire, within};

/// Listens on a port of its own; what is said on its connections is up to the test.
#[derive(Debug)]
pub struct RawOrigin(TcpListener);

impl RawOrigin {
    /// Listens.
    ///
    /// # Panics
    /// When the system gives no port.
    pub async fn start() -> Self {
        Self(TcpListener::bind("127.0.0.1:0").await.unwrap())
    }

    /// Where it listens.
    ///
    /// # Panics
    /// Never: it has an address.
    pub fn address(&self) -> SocketAddr {
        self.0.local_addr().unwrap()
    }

    /// The next connection.
    ///
    /// # Panics
    /// When none comes.
    pub async fn accept(&self) -> Wire {
        Wire::of(within("a connection", self.0.accept()).await.unwrap().0)
    }

    /// The next connection, once the head of a request has come on it, and what has come so far.
    ///
    /// # Panics
    /// When none comes.
    pub async fn request(&self) -> (Wire, String) {
        let mut wire = self.accept().await;
        let head = wire.read_until("\r\n\r\n").await;
        (wire, head)
    }
}

/// Where connections are begun and never made, as behind a router that drops them: its queue is full and nobody is accepted, until
/// it is cleared.
#[derive(Debug)]
pub struct Clogged {
    listener: Socket,
    waiting: Vec<TcpStream>,
}

impl Clogged {
    /// Listens, and fills its own queue.
    ///
    /// # Panics
    /// When the system gives no port.
    pub async fn start() -> Self {
        let listener = Socket::new(Domain::IPV4, Type::STREAM, Some(Protocol::TCP)).unwrap();
        listener.set_nonblocking(true).unwrap();
        listener.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
        listener.listen(0).unwrap();
        let mut clogged = Self { listener, waiting: Vec::new() };
        // One that takes so long on this machine is not made at all.
        let patience = Duration::from_millis(500);
        while let Ok(made) = tokio::time::timeout(patience, TcpStream::connect(clogged.address())).await {
            clogged.waiting.push(made.unwrap());
        }
        clogged
    }

    /// Where it listens.
    ///
    /// # Panics
    /// Never: it has an address.
    pub fn address(&self) -> SocketAddr {
        self.listener.local_addr().unwrap().as_socket().unwrap()
    }

    /// Accepts whoever comes from now on. Those who have begun to connect try again by themselves, after a second.
    ///
    /// # Panics
    /// When the system gives out what waits no more.
    pub async fn clear(self) -> RawOrigin {
        let origin = RawOrigin(TcpListener::from_std(self.listener.into()).unwrap());
        for _ in &self.waiting {
            drop(origin.accept().await);
        }
        origin
    }
}
