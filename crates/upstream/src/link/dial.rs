//! How connections to one target are made.

use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use pingora::protocols::l4::ext;
use pingora::{Error, ErrorType, OrErr};
use portreeve_config::{ProxyProtocol, Timeouts};
use portreeve_wire::proxy_protocol::Header;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::ClientConfig;
use tokio_rustls::rustls::pki_types::ServerName;

use super::bound::{Bound, Connections, Turn};
use super::io::Io;
use super::tunnel::Tunnel;
use super::wire::Link;
use crate::announcement;
use crate::fault::Fault;
use portreeve_connection::descriptors;

/// What connections to one target are made of, and how many there are. Prepared at load.
pub struct Dial {
    address: SocketAddr,
    tls: Option<(TlsConnector, ServerName<'static>)>,
    timeouts: Timeouts,
    key: u64,
    announces: Option<ProxyProtocol>,
    bound: Option<Bound>,
    /// Its connections are counted with those of requests, of which there are only so many.
    is_counted: bool,
    tunnel: Option<Tunnel>,
}

impl Dial {
    /// `key` stands for whatever a target or an onlooker could tell of the transport; see `Transport`.
    pub(crate) fn new(
        address: SocketAddr,
        tls: Option<(Arc<ClientConfig>, ServerName<'static>)>,
        timeouts: Timeouts,
        key: u64,
    ) -> Self {
        let mut hasher = DefaultHasher::new();
        (address, key).hash(&mut hasher);
        tls.as_ref().map(|(_, name)| name).hash(&mut hasher);
        let tls = tls.map(|(config, name)| (TlsConnector::from(config), name));
        Self {
            address,
            tls,
            timeouts,
            key: hasher.finish(),
            announces: None,
            bound: None,
            is_counted: true,
            tunnel: None,
        }
    }

    /// Its connections begin with a PROXY protocol header of this version.
    pub(crate) fn announcing(self, announces: Option<ProxyProtocol>) -> Self {
        Self { announces, ..self }
    }

    /// There are never more of its connections than this.
    pub(crate) fn bounded(self, bound: Option<Bound>) -> Self {
        Self { bound, ..self }
    }

    /// Its connections are among those for which descriptors are kept back: they are no request's.
    pub(crate) fn uncounted(self) -> Self {
        Self { is_counted: false, ..self }
    }

    /// Who answers at the address is a proxy, which is asked for the target.
    pub(crate) fn through(self, tunnel: Option<Tunnel>) -> Self {
        Self { tunnel, ..self }
    }

    pub(super) fn connections(&self) -> Option<&Arc<Connections>> {
        self.bound.as_ref().map(|bound| &bound.connections)
    }

    /// What a connection for whoever the header tells of begins with. Nothing where the target does not want to know.
    pub(crate) fn announcement(&self, told: &Header) -> Bytes {
        let Some(version) = self.announces else { return Bytes::new() };
        let mut first = Vec::new();
        announcement(version, told, None, "", &mut first);
        first.into()
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Connections of equal keys may stand in for each other.
    pub(crate) fn key(&self) -> u64 {
        self.key
    }

    pub fn timeouts(&self) -> &Timeouts {
        &self.timeouts
    }

    /// Who the target must prove to be; `None` without TLS.
    pub fn name(&self) -> Option<&ServerName<'static>> {
        self.tls.as_ref().map(|(_, name)| name)
    }

    /// Makes a connection, TLS included, within `timeouts.connect`; where there may not be one more, waits as long for one that
    /// was closed, or has become idle and has been for less than `kept`. `first` goes before everything else.
    pub(super) async fn open(self: &Arc<Self>, first: &[u8], kept: Duration) -> pingora::Result<Box<Link>> {
        // Boxed: a handshake takes some kilobytes that an attempt on a kept connection need not carry.
        let opening = Box::pin(async {
            let permit = match &self.bound {
                None => None,
                Some(bound) => match bound.turn(self.key, kept).await {
                    Turn::Idle(link) => return Ok(link),
                    Turn::Open(permit) => Some(permit),
                },
            };
            let io = self.connect(first).await?;
            Ok(Box::new(Link::new(io, self.clone(), permit)))
        });
        match tokio::time::timeout(self.timeouts.connect.get(), opening).await {
            Ok(link) => link,
            Err(_) => Error::e_explain(ErrorType::ConnectTimedout, "no connection to the target in time"),
        }
    }

    /// A transport to the target, TLS included. `first` goes before everything else.
    ///
    /// # Errors
    /// Nobody answers at the address, or not who should, or no descriptor is left. How long that may take is for whoever waits.
    pub(crate) async fn connect(&self, first: &[u8]) -> pingora::Result<Io> {
        let descriptor = if self.is_counted {
            let Some(descriptor) = descriptors::of_target() else { return Err(Fault::no_descriptors()) };
            Some(descriptor)
        } else {
            None
        };
        let mut io = self.reach(first).await?;
        if let Some(tunnel) = &self.tunnel {
            tunnel.open(&mut io).await?;
        }
        let Some((connector, name)) = &self.tls else { return Ok(Io::Plain(io, descriptor)) };
        match connector.connect(name.clone(), io).await {
            Ok(tls) => Ok(Io::Tls(Box::new(tls), descriptor)),
            Err(error) => Error::e_because(ErrorType::TLSHandshakeFailure, "TLS with the target", error),
        }
    }

    /// A connection to the address, without TLS. `first` goes before everything else.
    ///
    /// # Errors
    /// As above.
    pub(crate) async fn reach(&self, first: &[u8]) -> pingora::Result<TcpStream> {
        let mut io = ext::connect(&self.address, None).await.map_err(|error| {
            if !error.cause.as_deref().is_some_and(|cause| descriptors::is_exhaustion(cause)) {
                return error;
            }
            descriptors::tell(&error);
            Fault::no_descriptors()
        })?;
        io.set_nodelay(true).or_err(ErrorType::ConnectError, "setting TCP_NODELAY")?;
        if !first.is_empty() {
            io.write_all(first).await.or_err(ErrorType::ConnectError, "no PROXY protocol header could be sent")?;
        }
        Ok(io)
    }
}

impl fmt::Debug for Dial {
    /// Without keys and certificates.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Dial({}, tls: {})", self.address, self.tls.is_some())
    }
}
