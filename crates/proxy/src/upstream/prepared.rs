//! What attempts at one target are made of: prepared at load, copied for each attempt.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use pingora::upstreams::peer::{HttpPeer, Peer};
use portreeve_config::Timeouts;
use portreeve_wire::http1::Asked;
use portreeve_wire::proxy_protocol::Header;
use tokio_rustls::rustls::pki_types::ServerName;

use super::hedge::Hedge;
use super::link::{Connecting, Dial, Leg, Terms};

/// One target, ready to be tried.
#[derive(Debug)]
pub(crate) struct Prepared {
    /// For what Pingora does: handshakes, and some calls. It is told of an address alone: TLS, deadlines and what is
    /// kept are the dial's.
    peer: HttpPeer,
    dial: Arc<Dial>,
    is_multiplexed: bool,
}

/// What an attempt begins with.
#[derive(Debug)]
pub(crate) struct Start {
    pub(crate) asked: Asked,
    pub(crate) silence: Silence,
    /// For whom the connection is, if the target wants to know.
    pub(crate) told: Header,
    /// Who may be asked beside the target.
    pub(crate) hedge: Option<Hedge>,
}

/// How long a target may be silent.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Silence {
    /// Before the head of its answer, when the request is whole.
    pub(crate) first_byte: Duration,
    /// After that, while its client is silent as well.
    pub(crate) later: Duration,
}

/// What an attempt is made by.
#[derive(Debug)]
pub(crate) enum Means {
    /// In HTTP/1.1: a connection, for as long as it takes.
    Connection(Arc<Leg>),
    /// In HTTP/2: a stream of one.
    Stream(Arc<Dial>, Silence),
}

impl Means {
    /// The connection's side of the attempt, where the target speaks HTTP/1.1.
    pub(crate) fn leg(&self) -> Option<&Arc<Leg>> {
        match self {
            Self::Connection(leg) => Some(leg),
            Self::Stream(..) => None,
        }
    }
}

impl Prepared {
    /// A target; `is_multiplexed`: it speaks HTTP/2.
    pub(super) fn new(address: SocketAddr, dial: Dial, is_multiplexed: bool) -> Self {
        Self { peer: HttpPeer::new(address, false, String::new()), dial: Arc::new(dial), is_multiplexed }
    }

    pub(crate) fn timeouts(&self) -> &Timeouts {
        self.dial.timeouts()
    }

    /// What an attempt is made by.
    pub(crate) fn attempt(&self, start: Start) -> Means {
        if self.is_multiplexed {
            return Means::Stream(self.dial.clone(), start.silence);
        }
        let terms = Terms { asked: start.asked, silence: start.silence, idle: self.timeouts().idle.get() };
        Means::Connection(Leg::with(self.dial.clone(), terms, self.dial.announcement(&start.told), start.hedge))
    }

    /// The same in HTTP/1.1 for the gateway itself, on a connection that has been idle for less than `idle`, or on a new one.
    pub(super) fn kept(&self, asked: Asked, silence: Silence, idle: Duration) -> (Box<HttpPeer>, Arc<Leg>) {
        let mut peer = Box::new(self.peer.clone());
        let leg = self.leg(&mut peer, Terms { asked, silence, idle }, &Header::Local, None);
        (peer, leg)
    }

    /// `told` is for whom the connection is, if the target wants to know.
    fn leg(&self, peer: &mut HttpPeer, terms: Terms, told: &Header, hedge: Option<Hedge>) -> Arc<Leg> {
        let leg = Leg::with(self.dial.clone(), terms, self.dial.announcement(told), hedge);
        peer.options.custom_l4 = Some(Arc::new(Connecting(leg.clone())));
        leg
    }

    /// Whether TLS is spoken.
    pub(super) fn is_tls(&self) -> bool {
        self.dial.name().is_some()
    }

    /// Who the target must prove to be, over TLS.
    pub(crate) fn server_name(&self) -> Option<ServerName<'static>> {
        self.dial.name().cloned()
    }

    pub(super) fn is_multiplexed(&self) -> bool {
        self.is_multiplexed
    }

    /// What the target is called where nobody says: over TLS the name of its certificate, else its address.
    pub(super) fn authority(&self) -> String {
        let name = match self.dial.name() {
            Some(ServerName::DnsName(name)) => Some(name.as_ref()),
            _ => None,
        };
        let address = self.peer.address();
        match (name, address.as_inet()) {
            (Some(name), Some(address)) if address.port() == 443 => name.to_owned(),
            (Some(name), Some(address)) => format!("{name}:{}", address.port()),
            _ => address.to_string(),
        }
    }

    /// By what connections are made.
    pub(super) fn dial(&self) -> &Arc<Dial> {
        &self.dial
    }
}
