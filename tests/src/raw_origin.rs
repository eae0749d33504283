//! An origin that a test plays by itself, byte for byte and at its own pace.

use std::net::SocketAddr;

use tokio::net::TcpListener;

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
