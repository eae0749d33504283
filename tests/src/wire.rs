//! A TCP client that sends whatever bytes a test wants.

use std::io;
use std::net::SocketAddr;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

use crate::http1::{Answer, read_answer};
use crate::within;

/// A connection.
#[derive(Debug)]
pub struct Wire(BufReader<TcpStream>);

impl Wire {
    /// Connects.
    ///
    /// # Panics
    /// When nobody listens there.
    pub async fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).await.unwrap_or_else(|error| panic!("{address}: {error}"));
        stream.set_nodelay(true).unwrap();
        Self(BufReader::new(stream))
    }

    /// Sends these bytes as they are. A peer that has closed already is not an error: the answer tells.
    pub async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.0.get_mut().write_all(bytes.as_ref()).await.ok();
    }

    /// Says that no more bytes follow.
    pub async fn finish(&mut self) {
        self.0.get_mut().shutdown().await.ok();
    }

    /// Reads the answer to a request that was not `HEAD`.
    ///
    /// # Panics
    /// When there is none, or it breaks off.
    pub async fn answer(&mut self) -> Answer {
        self.try_answer("GET").await.expect("an answer")
    }

    /// Reads the answer to a request of this method.
    ///
    /// # Errors
    /// When the connection ends before it is whole, or it is not HTTP/1.
    pub async fn try_answer(&mut self, method: &str) -> io::Result<Answer> {
        within("an answer", read_answer(&mut self.0, method)).await
    }

    /// Reads the next bytes as they come, at least one; none if the peer has closed.
    pub async fn next(&mut self) -> Vec<u8> {
        let read = within("the next bytes", self.0.fill_buf()).await.map(<[u8]>::to_vec).unwrap_or_default();
        self.0.consume(read.len());
        read
    }

    /// Reads until this text has come, and returns all that came.
    pub async fn read_until(&mut self, text: &str) -> String {
        let mut all = String::new();
        while !all.contains(text) {
            let next = self.next().await;
            assert!(!next.is_empty(), "closed before {text:?}: {all:?}");
            all.push_str(&String::from_utf8_lossy(&next));
        }
        all
    }

    /// Reads until the peer closes.
    pub async fn rest(&mut self) -> Vec<u8> {
        let mut rest = Vec::new();
        // A reset ends it as well as a proper close.
        within("the end of the connection", self.0.read_to_end(&mut rest)).await.ok();
        rest
    }
}
