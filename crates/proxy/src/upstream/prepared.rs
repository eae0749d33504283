//! What attempts at one target are made of: prepared at load, copied for each attempt.

use std::net::{IpAddr, SocketAddr};
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
    peer: HttpPeer,
    way: Way,
}

/// What an attempt begins with.
#[derive(Debug)]
pub(crate) struct Start {
    pub(crate) asked: Asked,
    /// How long the target may be silent.
    pub(crate) silence: Duration,
    /// For whom the connection is, if the target wants to know.
    pub(crate) told: Header,
    /// Who may be asked beside the target.
    pub(crate) hedge: Option<Hedge>,
    /// The longest that the attempt may wait for the head of its answer.
    pub(crate) per_try: Option<Duration>,
}

/// What an attempt is made by.
#[derive(Debug)]
pub(crate) enum Means {
    /// In HTTP/1.1: a connection, for as long as it takes.
    Connection(Arc<Leg>),
    /// In HTTP/2: a stream of one.
    Stream(Box<HttpPeer>),
}

/// How connections to a target are made.
#[derive(Debug)]
enum Way {
    /// In HTTP/1.1, for one exchange at a time: by us.
    Single(Arc<Dial>),
    /// In HTTP/2: by Pingora, which knows which of them has a place for another stream.
    Multiplexed(Box<Timeouts>),
}

impl Prepared {
    /// A target that speaks HTTP/1.1. Pingora is told of an address alone: TLS, deadlines and what is kept are the dial's.
    pub(super) fn single(address: SocketAddr, dial: Dial) -> Self {
        Self { peer: HttpPeer::new(address, false, String::new()), way: Way::Single(Arc::new(dial)) }
    }

    /// A target that speaks HTTP/2.
    pub(super) fn multiplexed(peer: HttpPeer, timeouts: Timeouts) -> Self {
        Self { peer, way: Way::Multiplexed(Box::new(timeouts)) }
    }

    pub(crate) fn timeouts(&self) -> &Timeouts {
        match &self.way {
            Way::Single(dial) => dial.timeouts(),
            Way::Multiplexed(timeouts) => timeouts,
        }
    }

    /// What Pingora makes one attempt by; and in HTTP/1.1 the connection's side of it.
    pub(crate) fn attempt(&self, start: Start) -> (Box<HttpPeer>, Option<Arc<Leg>>) {
        let (mut peer, leg) = self.leg(self.terms(&start), &start.told, start.hedge);
        if let Some(most) = start.per_try {
            let connect = peer.options.total_connection_timeout;
            peer.options.total_connection_timeout = Some(connect.map_or(most, |connect| connect.min(most)));
        }
        (peer, leg)
    }

    /// What an attempt is made by where the exchange is ours.
    pub(crate) fn alone(&self, start: Start) -> (Means, Option<Arc<Leg>>) {
        let Way::Single(dial) = &self.way else {
            let (peer, leg) = self.attempt(start);
            return (Means::Stream(peer), leg);
        };
        let terms = self.terms(&start);
        let leg = Leg::with(dial.clone(), terms, dial.announcement(&start.told), start.hedge);
        (Means::Connection(leg.clone()), Some(leg))
    }

    fn terms(&self, start: &Start) -> Terms {
        Terms { asked: start.asked, silence: start.silence, idle: self.timeouts().idle.get() }
    }

    /// The same for the gateway itself, on a connection that has been idle for less than `idle`, or on a new one.
    pub(super) fn attempt_kept(
        &self,
        asked: Asked,
        silence: Duration,
        idle: Duration,
    ) -> (Box<HttpPeer>, Option<Arc<Leg>>) {
        self.leg(Terms { asked, silence, idle }, &Header::Local, None)
    }

    /// `told` is for whom the connection is, if the target wants to know.
    fn leg(&self, terms: Terms, told: &Header, hedge: Option<Hedge>) -> (Box<HttpPeer>, Option<Arc<Leg>>) {
        let mut peer = Box::new(self.peer.clone());
        let Way::Single(dial) = &self.way else {
            peer.options.read_timeout = Some(terms.silence);
            return (peer, None);
        };
        let leg = Leg::with(dial.clone(), terms, dial.announcement(told), hedge);
        peer.options.custom_l4 = Some(Arc::new(Connecting(leg.clone())));
        (peer, Some(leg))
    }

    /// Whether TLS is spoken.
    pub(super) fn is_tls(&self) -> bool {
        match &self.way {
            Way::Single(dial) => dial.name().is_some(),
            Way::Multiplexed(_) => self.peer.is_tls(),
        }
    }

    /// Who the target must prove to be, over TLS.
    pub(crate) fn server_name(&self) -> Option<ServerName<'static>> {
        match &self.way {
            Way::Single(dial) => dial.name().cloned(),
            Way::Multiplexed(_) => ServerName::try_from(self.peer.sni.clone()).ok(),
        }
    }

    pub(super) fn is_multiplexed(&self) -> bool {
        matches!(self.way, Way::Multiplexed(_))
    }

    /// What the target is called where nobody says: over TLS the name of its certificate, else its address.
    pub(super) fn authority(&self) -> String {
        let name = match &self.way {
            Way::Single(dial) => match dial.name() {
                Some(ServerName::DnsName(name)) => Some(name.as_ref()),
                _ => None,
            },
            Way::Multiplexed(_) => {
                let is_name = self.peer.is_tls() && self.peer.sni.parse::<IpAddr>().is_err();
                is_name.then_some(&*self.peer.sni)
            }
        };
        let address = self.peer.address();
        match (name, address.as_inet()) {
            (Some(name), Some(address)) if address.port() == 443 => name.to_owned(),
            (Some(name), Some(address)) => format!("{name}:{}", address.port()),
            _ => address.to_string(),
        }
    }

    pub(super) fn dial(&self) -> Option<&Arc<Dial>> {
        match &self.way {
            Way::Single(dial) => Some(dial),
            Way::Multiplexed(_) => None,
        }
    }

    #[cfg(test)]
    pub(super) fn peer(&self) -> &HttpPeer {
        &self.peer
    }
}
