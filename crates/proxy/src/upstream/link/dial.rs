//! How connections to one target are made.

use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use pingora::protocols::l4::ext;
use pingora::{Error, ErrorType, OrErr};
use portreeve_config::Timeouts;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::ClientConfig;
use tokio_rustls::rustls::pki_types::ServerName;

use super::wire::{Io, Link};

/// What connections to one target are made of, and how many there are. Prepared at load.
pub(in crate::upstream) struct Dial {
    address: SocketAddr,
    tls: Option<(TlsConnector, ServerName<'static>)>,
    timeouts: Timeouts,
    key: u64,
    open: AtomicUsize,
}

impl Dial {
    /// `key` stands for whatever a target or an onlooker could tell of the transport; see `Transport`.
    pub(in crate::upstream) fn new(
        address: SocketAddr,
        tls: Option<(Arc<ClientConfig>, ServerName<'static>)>,
        timeouts: Timeouts,
        key: u64,
    ) -> Self {
        let mut hasher = DefaultHasher::new();
        (address, key).hash(&mut hasher);
        tls.as_ref().map(|(_, name)| name).hash(&mut hasher);
        let tls = tls.map(|(config, name)| (TlsConnector::from(config), name));
        Self { address, tls, timeouts, key: hasher.finish(), open: AtomicUsize::new(0) }
    }

    /// Connections of equal keys may stand in for each other.
    pub(in crate::upstream) fn key(&self) -> u64 {
        self.key
    }

    pub(in crate::upstream) fn timeouts(&self) -> &Timeouts {
        &self.timeouts
    }

    /// Who the target must prove to be; `None` without TLS.
    pub(in crate::upstream) fn name(&self) -> Option<&ServerName<'static>> {
        self.tls.as_ref().map(|(_, name)| name)
    }

    /// Makes a connection, TLS included, within `timeouts.connect`.
    pub(super) async fn open(self: &Arc<Self>) -> pingora::Result<Box<Link>> {
        // Boxed: a handshake takes some kilobytes that an attempt on a kept connection need not carry.
        let opening = Box::pin(async {
            let io = ext::connect(&self.address, None).await?;
            io.set_nodelay(true).or_err(ErrorType::ConnectError, "setting TCP_NODELAY")?;
            // A header of the PROXY protocol, for a target that wants one, would be sent here.
            let Some((connector, name)) = &self.tls else { return Ok(Io::Plain(io)) };
            match connector.connect(name.clone(), io).await {
                Ok(tls) => Ok(Io::Tls(Box::new(tls))),
                Err(error) => Error::e_because(ErrorType::TLSHandshakeFailure, "TLS with the target", error),
            }
        });
        match tokio::time::timeout(self.timeouts.connect.get(), opening).await {
            Ok(io) => Ok(Box::new(Link::new(io?, self.clone()))),
            Err(_) => Error::e_explain(ErrorType::ConnectTimedout, "no connection to the target in time"),
        }
    }

    pub(super) fn opened(&self) {
        self.open.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn closed(&self) {
        self.open.fetch_sub(1, Ordering::Relaxed);
    }
}

impl fmt::Debug for Dial {
    /// Without keys and certificates.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let open = self.open.load(Ordering::Relaxed);
        write!(f, "Dial({}, tls: {}, open: {open})", self.address, self.tls.is_some())
    }
}
