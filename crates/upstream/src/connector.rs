//! What attempts at one target are made of: prepared at load, copied for each attempt.

use std::sync::Arc;
use std::time::Duration;

use portreeve_config::Timeouts;
use portreeve_wire::http1::Asked;
use portreeve_wire::proxy_protocol::Header;
use tokio_rustls::rustls::pki_types::ServerName;

use super::client::{Http1, Http2, TargetExchange};
use super::hedge::Hedge;
use super::link::{AttemptParams, ConnectionLease, Dial, UpstreamAttempt};
use super::stream::Stream;

/// One target, ready to be tried.
#[derive(Debug)]
pub struct TargetConnector {
    dial: Arc<Dial>,
    is_multiplexed: bool,
}

/// What an attempt begins with.
#[derive(Debug)]
pub struct AttemptOptions {
    pub asked: Asked,
    pub silence: Silence,
    /// For whom the connection is, if the target wants to know.
    pub told: Header,
    /// Who may be asked beside the target.
    pub hedge: Option<Hedge>,
}

/// How long a target may be silent.
#[derive(Debug, Clone, Copy)]
pub struct Silence {
    /// Before the head of its answer, when the request is whole.
    pub first_byte: Duration,
    /// After that, while its client is silent as well.
    pub later: Duration,
}

/// What an attempt is made by.
#[derive(Debug)]
pub enum UpstreamHandle {
    /// In HTTP/1.1: a connection, for as long as it takes.
    Connection(Arc<UpstreamAttempt>),
    /// In HTTP/2: a stream of one.
    Stream(Arc<Dial>, Silence),
}

/// A place for an exchange that the gateway makes for itself.
pub(super) struct Place {
    pub(super) target: Box<dyn TargetExchange + Send>,
    /// Whether the connection of a stream had been used before.
    pub(super) is_reused: bool,
}

impl UpstreamHandle {
    /// A place on a kept connection, or on a new one; `None` if the target does not speak HTTP/2, as it should. Cancel safe.
    ///
    /// # Errors
    /// There is no connection.
    pub(super) async fn open(&self) -> pingora::Result<Option<Place>> {
        match self {
            Self::Connection(attempt) => {
                let lease = match ConnectionLease::kept(attempt) {
                    Some(lease) => lease,
                    None => ConnectionLease::open(attempt).await?,
                };
                Ok(Some(Place { target: Box::new(Http1::new(lease)), is_reused: false }))
            }
            Self::Stream(dial, silence) => Ok(Stream::open(dial).await?.map(|stream| Place::of(stream, *silence))),
        }
    }

    /// A place on a new connection that nobody else uses; `None` as above. Cancel safe.
    ///
    /// # Errors
    /// There is no connection.
    pub(super) async fn open_alone(&self) -> pingora::Result<Option<Place>> {
        match self {
            Self::Connection(attempt) => {
                let lease = ConnectionLease::open(attempt).await?;
                Ok(Some(Place { target: Box::new(Http1::new(lease)), is_reused: false }))
            }
            Self::Stream(dial, silence) => Ok(Stream::alone(dial).await?.map(|stream| Place::of(stream, *silence))),
        }
    }

    /// The connection's side of the attempt, where the target speaks HTTP/1.1.
    pub fn upstream_attempt(&self) -> Option<&Arc<UpstreamAttempt>> {
        match self {
            Self::Connection(attempt) => Some(attempt),
            Self::Stream(..) => None,
        }
    }
}

impl Place {
    fn of(stream: Stream, silence: Silence) -> Self {
        let is_reused = stream.is_reused();
        Self { target: Box::new(Http2::new(stream, silence)), is_reused }
    }
}

impl TargetConnector {
    /// A target; `is_multiplexed`: it speaks HTTP/2.
    pub(super) fn new(dial: Dial, is_multiplexed: bool) -> Self {
        Self { dial: Arc::new(dial), is_multiplexed }
    }

    pub fn timeouts(&self) -> &Timeouts {
        self.dial.timeouts()
    }

    /// What an attempt is made by.
    pub fn attempt(&self, start: AttemptOptions) -> UpstreamHandle {
        if self.is_multiplexed {
            return UpstreamHandle::Stream(self.dial.clone(), start.silence);
        }
        let params = AttemptParams { asked: start.asked, silence: start.silence, idle: self.timeouts().idle.get() };
        UpstreamHandle::Connection(UpstreamAttempt::with(
            self.dial.clone(),
            params,
            self.dial.announcement(&start.told),
            start.hedge,
        ))
    }

    /// The same for the gateway itself, in HTTP/1.1 on a connection that has been idle for less than `idle`, or on a new one.
    pub(super) fn own_attempt(&self, asked: Asked, silence: Silence, idle: Duration) -> UpstreamHandle {
        if self.is_multiplexed {
            return UpstreamHandle::Stream(self.dial.clone(), silence);
        }
        let params = AttemptParams { asked, silence, idle };
        UpstreamHandle::Connection(UpstreamAttempt::with(
            self.dial.clone(),
            params,
            self.dial.announcement(&Header::Local),
            None,
        ))
    }

    /// Who the target must prove to be, over TLS.
    pub fn server_name(&self) -> Option<ServerName<'static>> {
        self.dial.name().cloned()
    }

    /// What the target is called where nobody says: over TLS the name of its certificate, else its address.
    pub(super) fn authority(&self) -> String {
        let name = match self.dial.name() {
            Some(ServerName::DnsName(name)) => Some(name.as_ref()),
            _ => None,
        };
        let address = self.dial.address();
        match name {
            Some(name) if address.port() == 443 => name.to_owned(),
            Some(name) => format!("{name}:{}", address.port()),
            None => address.to_string(),
        }
    }

    /// By what connections are made.
    pub(super) fn dial(&self) -> &Arc<Dial> {
        &self.dial
    }
}
