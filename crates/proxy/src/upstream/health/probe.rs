//! One check of one target: what is asked, how the answer is judged, and in which words a failure is told.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use arc_swap::ArcSwap;
use async_trait::async_trait;
use pingora::connectors::L4Connect;
use pingora::connectors::http::v2::Connector;
use pingora::protocols::http::client::HttpSession;
use pingora::{Error, ErrorType, Result};
use pingora_load_balancing::Backend;
use pingora_load_balancing::health_check::HealthCheck;
use portreeve_balance::Thresholds;
use portreeve_config::{Health as HealthConfig, Probe};
use tokio::net::TcpStream;

use super::grpc::GrpcProbe;
use super::http::HttpProbe;
use crate::upstream::Wrong;
use crate::upstream::announcement::Own;
use crate::upstream::transport::Transport;

/// What the file calls a target, beside its address.
#[derive(Clone)]
pub(super) struct Name(pub(super) Arc<str>);

/// The type of an error whose context says in a few words why the target is not well.
const UNWELL: ErrorType = ErrorType::Custom("the target is not well");

/// A failed check: the target is not well, for this reason.
pub(super) fn unwell<T>(why: impl Into<String>) -> Result<T> {
    Error::e_explain(UNWELL, why.into())
}

/// The check that the file asks for.
pub(super) struct Prober {
    question: Question,
    timeout: Duration,
    thresholds: Thresholds,
    /// How targets are spoken to, by the newest pool: its files may have changed.
    transport: Arc<ArcSwap<Transport>>,
    connector: Arc<OnceLock<Connector>>,
}

enum Question {
    /// Opens a connection: TCP alone, also where TLS is spoken.
    Connection,
    Http(HttpProbe),
    Grpc(GrpcProbe),
}

impl Question {
    fn new(config: &HealthConfig) -> Result<Self, Vec<Wrong>> {
        Ok(match config.probe() {
            Probe::Tcp => Self::Connection,
            Probe::Http(path) => Self::Http(HttpProbe::new(path, config)?),
            Probe::Grpc(service) => Self::Grpc(GrpcProbe::new(service, config)),
        })
    }
}

/// What is wrong with a check, below the upstream, without making it.
pub(in crate::upstream) fn wrong(config: &HealthConfig) -> Vec<Wrong> {
    Question::new(config).err().unwrap_or_default()
}

impl Prober {
    /// `None` for checks that [`wrong`] finds something wrong with.
    pub(super) fn new(
        config: &HealthConfig,
        transport: Arc<ArcSwap<Transport>>,
        connector: Arc<OnceLock<Connector>>,
    ) -> Option<Self> {
        let question = Question::new(config).ok()?;
        let timeout = config.timeout.get();
        Some(Self { question, timeout, thresholds: thresholds(config), transport, connector })
    }
}

#[async_trait]
impl HealthCheck for Prober {
    /// Cancel safe: dropping the future closes the connection.
    async fn check(&self, target: &Backend) -> Result<()> {
        let Some(address) = target.addr.as_inet() else { return unwell("a check needs an internet address") };
        if let Question::Connection = self.question {
            if let Some(version) = self.transport.load().announces() {
                return Own(version).connect(&target.addr).await.map(drop);
            }
            return TcpStream::connect(address).await.map(drop).or_else(|error| unwell(plain(&error)));
        }
        let name = target.ext.get::<Name>().map(|name| &*name.0);
        let peer = self.transport.load().check_peer(*address, name, self.timeout);
        let connector = self.connector.get_or_init(|| Connector::new(None));
        // Always a new connection: whether one can be made is a part of the question.
        let mut session: HttpSession = connector.new_http_session(&peer).await?;
        let outcome = match &self.question {
            Question::Connection => Ok(()),
            Question::Http(probe) => probe.exchange(&mut session, &peer).await,
            Question::Grpc(probe) => probe.exchange(&mut session, &peer).await,
        };
        session.shutdown().await;
        outcome
    }

    fn health_threshold(&self, success: bool) -> usize {
        let in_a_row = if success { self.thresholds.healthy_after } else { self.thresholds.unhealthy_after };
        usize::try_from(in_a_row).unwrap_or(usize::MAX)
    }
}

/// How many checks in a row count.
pub(super) fn thresholds(config: &HealthConfig) -> Thresholds {
    Thresholds { healthy_after: config.healthy_after, unhealthy_after: config.unhealthy_after }
}

/// The words for a check that took too long.
pub(super) fn too_slow(timeout: Duration) -> String {
    format!("no answer within {timeout:?}")
}

/// What went wrong, in the words of an operator rather than of a library.
pub(super) fn told(error: &Error, timeout: Duration) -> String {
    let cause = error.cause.as_ref().map(ToString::to_string).unwrap_or_default();
    let with_cause = |what: &str| if cause.is_empty() { what.to_owned() } else { format!("{what}: {cause}") };
    match error.etype() {
        &UNWELL => error.context.as_ref().map(|why| why.as_str().to_owned()).unwrap_or_default(),
        ErrorType::ConnectRefused => "connection refused".to_owned(),
        ErrorType::ConnectNoRoute => "no route to the target".to_owned(),
        ErrorType::ConnectTimedout
        | ErrorType::TLSHandshakeTimedout
        | ErrorType::ReadTimedout
        | ErrorType::WriteTimedout => too_slow(timeout),
        ErrorType::TLSHandshakeFailure | ErrorType::HandshakeError => with_cause("the handshake failed"),
        ErrorType::InvalidCert => with_cause("the certificate is not accepted"),
        ErrorType::ConnectionClosed => "the connection was closed before an answer".to_owned(),
        ErrorType::ConnectError | ErrorType::SocketError => with_cause("no connection"),
        _ => with_cause("no answer"),
    }
}

fn plain(error: &std::io::Error) -> String {
    match error.kind() {
        std::io::ErrorKind::ConnectionRefused => "connection refused".to_owned(),
        std::io::ErrorKind::HostUnreachable | std::io::ErrorKind::NetworkUnreachable => {
            "no route to the target".to_owned()
        }
        _ => format!("no connection: {error}"),
    }
}
