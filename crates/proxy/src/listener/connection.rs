//! One accepted connection as Pingora sees it: a TCP stream that coalesces writes until they are flushed.
//!
//! Pingora sends the head and the body of an answer apart; together they cost one `send` less, the dearest thing in the
//! profile (docs/performance.md). TLS, PROXY protocol and absolute deadlines belong here too: they wrap or replace `io`.

use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::os::fd::AsRawFd;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use async_trait::async_trait;
use http::HeaderValue;
use pingora::http::ResponseHeader;
use pingora::protocols::raw_connect::ProxyDigest;
use pingora::protocols::{
    GetProxyDigest, GetSocketDigest, GetTimingDigest, Peek, Shutdown, SocketDigest, Ssl, TimingDigest, UniqueID,
    UniqueIDType,
};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Sleep, sleep};

/// Bytes gathered before they are sent unasked. A head and a small body fit; large bodies pass by.
const GATHER: usize = 16 * 1024;
/// A buffer that grew beyond this is given back when it is empty, so that an idle connection stays small.
const KEEP: usize = 2 * 1024;

/// Longest that a client may take nothing of what it is sent.
const STALL: Duration = Duration::from_secs(30);

/// What every hook may know of the connection a request came on.
#[derive(Debug, Clone)]
pub(crate) struct Facts {
    /// The listener that accepted it, by its number in the engine.
    pub(crate) listener: usize,
    /// The client's address, as accepted.
    pub(crate) peer: SocketAddr,
    /// The same for `X-Forwarded-For`: written once for the connection, not for each request.
    pub(crate) forwarded_for: HeaderValue,
}

impl Facts {
    pub(super) fn new(listener: usize, peer: SocketAddr) -> Self {
        // An IPv4 client on a dual-stack socket is still an IPv4 client.
        let peer = SocketAddr::new(peer.ip().to_canonical(), peer.port());
        let text = HeaderValue::from_str(&peer.ip().to_string());
        Self { listener, peer, forwarded_for: text.unwrap_or(HeaderValue::from_static("unknown")) }
    }
}

/// An accepted connection.
#[derive(Debug)]
pub(super) struct Connection {
    io: TcpStream,
    out: Vec<u8>,
    sent: usize,
    stalled: Option<Pin<Box<Sleep>>>,
    socket: Arc<SocketDigest>,
    facts: Arc<ProxyDigest>,
}

impl Connection {
    pub(super) fn new(io: TcpStream, facts: Facts) -> pingora::Result<Self> {
        let socket = SocketDigest::from_raw_fd(io.as_raw_fd());
        // Known from `accept`: saves the `getpeername` that Pingora would make.
        socket.peer_addr.set(Some(facts.peer.into())).ok();
        // The one slot of Pingora's connection digest that takes a value of ours.
        let carrier = Box::new(ResponseHeader::build_no_case(200, Some(0))?);
        let facts = Arc::new(ProxyDigest::new(carrier, Some(Box::new(facts))));
        Ok(Self { io, out: Vec::new(), sent: 0, stalled: None, socket: Arc::new(socket), facts })
    }

    /// Sends what was gathered.
    fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while let Some(rest) = self.out.get(self.sent..).filter(|rest| !rest.is_empty()) {
            let Poll::Ready(written) = Pin::new(&mut self.io).poll_write(cx, rest) else {
                return self.poll_stalled(cx);
            };
            self.stalled = None;
            let n = written?;
            if n == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.sent += n;
        }
        self.sent = 0;
        self.out.clear();
        self.out.shrink_to(KEEP);
        Poll::Ready(Ok(()))
    }
}

impl Connection {
    /// The client takes nothing: it may do so only for so long. Costs nothing while it takes what it is sent.
    fn poll_stalled(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let stalled = self.stalled.get_or_insert_with(|| Box::pin(sleep(STALL)));
        ready!(stalled.as_mut().poll(cx));
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the client takes nothing")))
    }
}

impl AsyncRead for Connection {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if Pin::new(&mut self.io).poll_read(cx, buf)?.is_ready() {
            return Poll::Ready(Ok(()));
        }
        // Somebody waits for the client, so nothing more is coming for it at the moment: what was gathered goes out.
        if !self.out.is_empty()
            && let Poll::Ready(Err(error)) = self.poll_send(cx)
        {
            return Poll::Ready(Err(error));
        }
        Poll::Pending
    }
}

impl AsyncWrite for Connection {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        if self.out.len() + buf.len() > GATHER {
            ready!(self.poll_send(cx))?;
            if buf.len() > GATHER {
                return Pin::new(&mut self.io).poll_write(cx, buf);
            }
        }
        self.out.extend_from_slice(buf);
        Poll::Ready(Ok(buf.len()))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let first = bufs.iter().find(|buf| !buf.is_empty()).map_or(&[][..], |buf| &**buf);
        self.poll_write(cx, first)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_send(cx))?;
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_send(cx))?;
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

#[async_trait]
impl Shutdown for Connection {
    async fn shutdown(&mut self) {
        // The client may be gone already; there is nobody to tell.
        AsyncWriteExt::shutdown(self).await.ok();
    }
}

impl UniqueID for Connection {
    fn id(&self) -> UniqueIDType {
        self.io.as_raw_fd()
    }
}

impl Ssl for Connection {}

#[async_trait]
impl Peek for Connection {}

impl GetTimingDigest for Connection {
    fn get_timing_digest(&self) -> Vec<Option<TimingDigest>> {
        Vec::new()
    }
}

impl GetProxyDigest for Connection {
    fn get_proxy_digest(&self) -> Option<Arc<ProxyDigest>> {
        Some(self.facts.clone())
    }

    fn set_proxy_digest(&mut self, digest: ProxyDigest) {
        self.facts = Arc::new(digest);
    }
}

impl GetSocketDigest for Connection {
    fn get_socket_digest(&self) -> Option<Arc<SocketDigest>> {
        Some(self.socket.clone())
    }

    fn set_socket_digest(&mut self, digest: SocketDigest) {
        self.socket = Arc::new(digest);
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncReadExt;
    use tokio::net::TcpListener;

    use super::*;

    async fn pair() -> (Connection, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (io, peer) = listener.accept().await.unwrap();
        (Connection::new(io, Facts::new(0, peer)).unwrap(), client)
    }

    #[tokio::test]
    async fn writes_wait_for_the_flush_and_then_arrive_together() {
        let (mut connection, mut client) = pair().await;
        connection.write_all(b"head ").await.unwrap();
        connection.write_all(b"body").await.unwrap();
        assert_eq!(client.try_read(&mut [0; 16]).unwrap_err().kind(), io::ErrorKind::WouldBlock);
        connection.flush().await.unwrap();
        let mut all = [0; 9];
        client.read_exact(&mut all).await.unwrap();
        assert_eq!(&all, b"head body");
    }

    #[tokio::test]
    async fn a_large_write_passes_by_in_order_and_the_buffer_shrinks_again() {
        let (mut connection, mut client) = pair().await;
        let large = vec![7_u8; 300_000];
        let reader = tokio::spawn(async move {
            let mut all = vec![0; 300_004];
            client.read_exact(&mut all).await.unwrap();
            all
        });
        connection.write_all(b"abcd").await.unwrap();
        connection.write_all(&large).await.unwrap();
        connection.flush().await.unwrap();
        let all = reader.await.unwrap();
        assert_eq!(&all[..4], b"abcd");
        assert_eq!(&all[4..], &large);
        assert!(connection.out.capacity() <= KEEP);
    }
}
