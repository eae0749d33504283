//! One check of one target: what is asked, how the answer is judged, and in which words a failure is told.

use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use arc_swap::ArcSwap;
use futures::future::BoxFuture;
use pingora::connectors::L4Connect;
use pingora::connectors::http::v2::Connector;
use pingora::protocols::http::client::HttpSession;
use pingora::protocols::l4::socket::SocketAddr as PingoraAddr;
use pingora::{Error, ErrorType};
use portreeve_config::{Health as HealthConfig, Probe};
use tokio::net::TcpStream;

use super::grpc::GrpcProbe;
use super::http::HttpProbe;
use crate::upstream::Wrong;
use crate::upstream::announcement::Own;
use crate::upstream::transport::Transport;

/// Asks a target whether it is well. The prober around it owns deadline, schedule and thresholds; this can be played in tests.
pub(super) trait Ask: Send + Sync {
    /// Asks the target at `address`, which the file calls `name`. An error says in a few words why it is not well.
    ///
    /// Cancel safe: dropping the future closes the connection.
    fn ask<'a>(&'a self, address: SocketAddr, name: Option<&'a str>) -> BoxFuture<'a, Result<(), String>>;
}

/// The checks of a file.
pub(super) struct Prober {
    question: Question,
    timeout: Duration,
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
            Probe::Grpc(service) => Self::Grpc(GrpcProbe::new(service, config.timeout.get())),
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
        Some(Self { question, timeout: config.timeout.get(), transport, connector })
    }

    async fn exchange(&self, address: SocketAddr, name: Option<&str>) -> Result<(), String> {
        if let Question::Connection = self.question {
            if let Some(version) = self.transport.load().announces() {
                let connected = Own(version).connect(&PingoraAddr::Inet(address)).await;
                return connected.map(drop).map_err(|error| told(&error, self.timeout));
            }
            return TcpStream::connect(address).await.map(drop).map_err(|error| plain(&error));
        }
        let peer = self.transport.load().check_peer(address, name, self.timeout);
        let connector = self.connector.get_or_init(|| Connector::new(None));
        // Always a new connection: whether one can be made is a part of the question.
        let mut session: HttpSession =
            connector.new_http_session(&peer).await.map_err(|error| told(&error, self.timeout))?;
        let outcome = match &self.question {
            Question::Connection => Ok(()),
            Question::Http(probe) => probe.exchange(&mut session, &peer).await,
            Question::Grpc(probe) => probe.exchange(&mut session, &peer).await,
        };
        session.shutdown().await;
        outcome.map_err(|failure| match failure {
            Failure::Broken(error) => told(&error, self.timeout),
            Failure::Unwell(why) => why,
        })
    }
}

impl Ask for Prober {
    fn ask<'a>(&'a self, address: SocketAddr, name: Option<&'a str>) -> BoxFuture<'a, Result<(), String>> {
        Box::pin(self.exchange(address, name))
    }
}

/// Why a target is not well.
pub(super) enum Failure {
    /// There was no whole answer.
    Broken(Box<Error>),
    /// The answer says so.
    Unwell(String),
}

impl From<Box<Error>> for Failure {
    fn from(error: Box<Error>) -> Self {
        Self::Broken(error)
    }
}

/// The words for a check that took too long.
pub(super) fn too_slow(timeout: Duration) -> String {
    format!("no answer within {timeout:?}")
}

/// What went wrong, in the words of an operator rather than of a library.
fn told(error: &Error, timeout: Duration) -> String {
    let cause = error.cause.as_ref().map(ToString::to_string).unwrap_or_default();
    let with_cause = |what: &str| if cause.is_empty() { what.to_owned() } else { format!("{what}: {cause}") };
    match error.etype() {
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
