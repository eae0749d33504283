//! What carries the bytes between a target and us.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};

use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

use portreeve_connection::descriptors::Descriptor;

/// The transport of a connection, which takes up a descriptor for as long as it lives. None where those are kept back that it uses.
#[derive(Debug)]
pub enum Io {
    Plain(TcpStream, Option<Descriptor>),
    /// Boxed: a TLS session is some kilobytes, which plain connections need not carry.
    Tls(Box<TlsStream<TcpStream>>, Option<Descriptor>),
}

impl Io {
    /// The socket beneath.
    pub fn socket(&self) -> SockRef<'_> {
        SockRef::from(match self {
            Self::Plain(io, _) => io,
            Self::Tls(tls, _) => tls.get_ref().0,
        })
    }

    /// Whether the target has agreed to speak HTTP/2, where that was asked (RFC 7301). Without TLS nobody can ask.
    pub(crate) fn agrees_to_http2(&self) -> bool {
        match self {
            Self::Plain(..) => true,
            Self::Tls(io, _) => io.get_ref().1.alpn_protocol() == Some(b"h2"),
        }
    }
}

impl AsyncRead for Io {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(io, _) => Pin::new(io).poll_read(cx, buf),
            Self::Tls(io, _) => Pin::new(io).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Io {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(io, _) => Pin::new(io).poll_write(cx, buf),
            Self::Tls(io, _) => Pin::new(io).poll_write(cx, buf),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(io, _) => Pin::new(io).poll_write_vectored(cx, bufs),
            Self::Tls(io, _) => Pin::new(io).poll_write_vectored(cx, bufs),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Self::Plain(io, _) => io.is_write_vectored(),
            Self::Tls(io, _) => io.is_write_vectored(),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(io, _) => Pin::new(io).poll_flush(cx),
            Self::Tls(io, _) => Pin::new(io).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(io, _) => Pin::new(io).poll_shutdown(cx),
            Self::Tls(io, _) => Pin::new(io).poll_shutdown(cx),
        }
    }
}
