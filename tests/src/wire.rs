//! A TCP connection on which a test sends whatever bytes it wants: as a client, or as an origin ([`crate::RawOrigin`]).

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use socket2::SockRef;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpSocket, TcpStream};

use crate::http1::{Answer, read_answer};
use crate::within;

/// A connection.
#[derive(Debug)]
pub struct Wire {
    read: BufReader<OwnedReadHalf>,
    write: OwnedWriteHalf,
}

impl Wire {
    /// Connects.
    ///
    /// # Panics
    /// When nobody listens there.
    pub async fn connect(address: SocketAddr) -> Self {
        Self::of(TcpStream::connect(address).await.unwrap_or_else(|error| panic!("{address}: {error}")))
    }

    /// Connects with room for few bytes that nobody has read yet.
    ///
    /// # Panics
    /// When nobody listens there.
    pub async fn connect_narrow(address: SocketAddr) -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(4_096).unwrap();
        Self::of(socket.connect(address).await.unwrap_or_else(|error| panic!("{address}: {error}")))
    }

    /// On a connection that is there.
    ///
    /// # Panics
    /// When the system refuses to send at once.
    pub fn of(stream: TcpStream) -> Self {
        stream.set_nodelay(true).unwrap();
        let (read, write) = stream.into_split();
        Self { read: BufReader::new(read), write }
    }

    /// Sends these bytes as they are. A peer that has closed already is not an error: the answer tells.
    pub async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        within("room for what is sent", self.write.write_all(bytes.as_ref())).await.ok();
    }

    /// Says that no more bytes follow.
    pub async fn finish(&mut self) {
        self.write.shutdown().await.ok();
    }

    /// Ends the connection with a reset, as a client that crashed or a middlebox that lost patience.
    ///
    /// # Panics
    /// When the system refuses to.
    pub fn reset(self) {
        SockRef::from(self.write.as_ref()).set_linger(Some(Duration::ZERO)).unwrap();
        // Dropped as it is, it would say goodbye first.
        self.write.forget();
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
        within("an answer", read_answer(&mut self.read, method)).await
    }

    /// Sends these bytes, and meanwhile reads the answer to a request that was not `HEAD`, as a client of an upload does.
    /// Returns how the sending ended, and the answer.
    ///
    /// # Errors
    /// When the connection ends before the answer is whole, or it is not HTTP/1.
    pub async fn send_and_hear(&mut self, bytes: impl AsRef<[u8]>) -> io::Result<(io::Result<()>, Answer)> {
        let Self { read, write } = self;
        let exchange = async { tokio::join!(write.write_all(bytes.as_ref()), read_answer(read, "GET")) };
        let (sent, answer) = within("an answer", exchange).await;
        Ok((sent, answer?))
    }

    /// Reads the next bytes as they come, at least one; none if the peer has closed.
    pub async fn next(&mut self) -> Vec<u8> {
        let read = within("the next bytes", self.read.fill_buf()).await.map(<[u8]>::to_vec).unwrap_or_default();
        self.read.consume(read.len());
        read
    }

    /// Whether for so long neither a byte comes nor the connection ends.
    pub async fn is_silent_for(&mut self, time: Duration) -> bool {
        tokio::time::timeout(time, self.read.fill_buf()).await.is_err()
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
        within("the end of the connection", self.read.read_to_end(&mut rest)).await.ok();
        rest
    }

    /// Reads until the peer closes, and returns what came.
    ///
    /// # Errors
    /// When it is not closed but reset.
    pub async fn closed(&mut self) -> io::Result<Vec<u8>> {
        let mut rest = Vec::new();
        within("the end of the connection", self.read.read_to_end(&mut rest)).await.map(|_| rest)
    }
}
