//! A connection to a target: picked like for a request, and another one tried where that fails.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use portreeve_balance::{InFlight, Outcome, Tried};
use portreeve_wire::proxy_protocol::Header;
use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::ClientConfig;
use tokio_rustls::rustls::pki_types::ServerName;

use super::account::{Account, End};
use crate::upstream::{Pool, RetryCause, announcement};

/// For whom a target is connected to.
pub(super) struct Caller<'c> {
    pub(super) client: IpAddr,
    /// What targets are told of it, where they want to know.
    pub(super) told: Header,
    pub(super) name: Option<&'c str>,
    pub(super) id: &'c str,
}

/// Connects to a target of the pool, or to the next one, as often as its policy has it. The guard counts the connection there.
///
/// Cancel safe: dropping the future closes what it had opened.
pub(super) async fn dial(pool: &Pool, caller: &Caller<'_>, account: &mut Account) -> Result<(Target, InFlight), End> {
    let transport = pool.transport();
    // It was asked for at load, and an error is one of the file then.
    let Ok(tls) = transport.stream_tls() else { return Err(End::NoTarget) };
    let mut first = Vec::new();
    if let Some(version) = transport.announces() {
        announcement(version, &caller.told, caller.name, caller.id, &mut first);
    }
    let (key, mut tried, mut made) = (pool.client_key(caller.client), Tried::new(), 0);
    pool.earn_retry();
    loop {
        let Some((member, in_flight)) = pool.pick(key, &tried) else {
            pool.metrics.unavailable();
            return Err(End::NoTarget);
        };
        let address = member.target.address;
        tried.push(address);
        account.tries(address);
        made += 1;
        let connecting = connect(address, &first, tls.as_ref(), &member.prepared.sni);
        let failed = match timeout(transport.connect_within(), connecting).await {
            Ok(Ok(target)) => {
                pool.metrics.attempted(true);
                // The time to a connection stands for that to a first byte, which a target of TCP may never send.
                pool.report(&in_flight, Outcome::Answered);
                return Ok((target, in_flight));
            }
            Ok(Err(error)) => {
                tracing::debug!(upstream = %pool.name, %address, %error, "The target could not be connected to.");
                End::ConnectFailed
            }
            Err(_) => End::ConnectTimeout,
        };
        pool.report(&in_flight, Outcome::Failed);
        drop(in_flight);
        pool.metrics.connect_failed();
        if !pool.take_retry(made, &tried, RetryCause::Connect) {
            return Err(failed);
        }
    }
}

async fn connect(address: SocketAddr, first: &[u8], tls: Option<&Arc<ClientConfig>>, name: &str) -> io::Result<Target> {
    let mut io = TcpStream::connect(address).await?;
    // Pieces have the size their sender gave them; waiting for more (Nagle) would only delay them.
    io.set_nodelay(true)?;
    if !first.is_empty() {
        io.write_all(first).await?;
    }
    let Some(tls) = tls else { return Ok(Target::Plain(io)) };
    let name = ServerName::try_from(name.to_owned()).map_err(io::Error::other)?;
    let stream = TlsConnector::from(tls.clone()).connect(name, io).await?;
    Ok(Target::Tls(Box::new(stream)))
}

/// A connection to a target.
#[derive(Debug)]
pub(super) enum Target {
    Plain(TcpStream),
    /// Boxed: a TLS session is some kilobytes.
    Tls(Box<TlsStream<TcpStream>>),
}

impl Target {
    pub(super) fn socket(&self) -> SockRef<'_> {
        SockRef::from(match self {
            Self::Plain(io) => io,
            Self::Tls(tls) => tls.get_ref().0,
        })
    }
}

impl AsyncRead for Target {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(io) => Pin::new(io).poll_read(cx, buf),
            Self::Tls(tls) => Pin::new(tls).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Target {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(io) => Pin::new(io).poll_write(cx, buf),
            Self::Tls(tls) => Pin::new(tls).poll_write(cx, buf),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(io) => Pin::new(io).poll_flush(cx),
            Self::Tls(tls) => Pin::new(tls).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(io) => Pin::new(io).poll_shutdown(cx),
            Self::Tls(tls) => Pin::new(tls).poll_shutdown(cx),
        }
    }
}
