//! A way to a server that a test can shut, slow down, and turn to another server.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// What a way to a server does with bytes.
#[derive(Debug, Clone, Copy)]
pub enum Way {
    /// Carries them.
    To(SocketAddr),
    /// Holds them back until it is another way.
    Slow(SocketAddr),
    /// Closes connections.
    Shut,
}

/// A way to a server.
#[derive(Debug)]
pub struct Road {
    address: SocketAddr,
    way: watch::Sender<Way>,
}

impl Road {
    /// Leads to this server.
    ///
    /// # Panics
    /// When the system has no port.
    pub async fn to(server: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (way, ways) = watch::channel(Way::To(server));
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let way = *ways.borrow();
                if let Way::To(server) | Way::Slow(server) = way
                    && let Ok(server) = TcpStream::connect(server).await
                {
                    let ((from, to), (back, forth)) = (client.into_split(), server.into_split());
                    tokio::spawn(carry(from, forth, ways.clone()));
                    tokio::spawn(carry(back, to, ways.clone()));
                }
            }
        });
        Self { address, way }
    }

    /// Where it begins.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Makes it another way, for the connections that there are as well.
    pub fn turn(&self, way: Way) {
        self.way.send_replace(way);
    }
}

/// Carries bytes until the way leads elsewhere; holds them back while it is slow.
async fn carry(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, mut ways: watch::Receiver<Way>) {
    let mut bytes = vec![0; 64 * 1024];
    let (Way::To(home) | Way::Slow(home)) = *ways.borrow_and_update() else { return };
    loop {
        let read = tokio::select! {
            read = from.read(&mut bytes) => read,
            changed = ways.changed() => match (changed, *ways.borrow()) {
                (Ok(()), Way::To(server) | Way::Slow(server)) if server == home => continue,
                _ => return,
            },
        };
        let Ok(read @ 1..) = read else { return };
        let open = ways.wait_for(|way| !matches!(way, Way::Slow(server) if *server == home)).await.map(|way| *way);
        match open {
            Ok(Way::To(server)) if server == home => {}
            _ => return,
        }
        if to.write_all(&bytes[..read]).await.is_err() {
            return;
        }
    }
}
