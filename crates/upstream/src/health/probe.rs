//! One check of one target: what is asked, how the answer is judged, and in which words a failure is told.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use async_trait::async_trait;
use bytes::Bytes;
use http::Method;
use pingora::{Error, ErrorType, Result};
use pingora_load_balancing::Backend;
use pingora_load_balancing::health_check::HealthCheck;
use portreeve_balance::Thresholds;
use portreeve_config::{Health as HealthConfig, Probe};
use portreeve_wire::http1::Asked;
use portreeve_wire::proxy_protocol::Header;

use super::grpc::GrpcProbe;
use super::http::HttpProbe;
use crate::Wrong;
use crate::client::{Conversation, RequestHead};
use crate::connector::Silence;
use crate::fault::Fault;
use crate::transport::Transport;

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
pub(crate) fn wrong(config: &HealthConfig) -> Vec<Wrong> {
    Question::new(config).err().unwrap_or_default()
}

impl Prober {
    /// `None` for checks that [`wrong`] finds something wrong with.
    pub(super) fn new(config: &HealthConfig, transport: Arc<ArcSwap<Transport>>) -> Option<Self> {
        let question = Question::new(config).ok()?;
        let timeout = config.timeout.get();
        Some(Self { question, timeout, thresholds: thresholds(config), transport })
    }
}

#[async_trait]
impl HealthCheck for Prober {
    /// Cancel safe: dropping the future closes the connection.
    async fn check(&self, target: &Backend) -> Result<()> {
        let Some(address) = target.addr.as_inet() else { return unwell("a check needs an internet address") };
        let name = target.ext.get::<Name>().map(|name| &*name.0);
        let prepared = self.transport.load().prepare_check(*address, name, self.timeout);
        let (head, body) = match &self.question {
            Question::Connection => {
                let dial = prepared.dial();
                return dial.reach(&dial.announcement(&Header::Local)).await.map(drop);
            }
            Question::Http(probe) => (probe.request(&prepared.authority())?, Bytes::new()),
            Question::Grpc(probe) => probe.request(&prepared.authority())?,
        };
        let asked = Asked { is_head: head.method == Method::HEAD, upgrade: false };
        let silence = Silence { first_byte: self.timeout, later: self.timeout };
        let handle = prepared.own_attempt(asked, silence, Duration::ZERO);
        // Always a new connection: whether one can be made is a part of the question.
        let Some(place) = handle.open_alone().await? else { return unwell("the target does not speak HTTP/2") };
        let judged = match Conversation::begin(place.target, RequestHead::made(head), body) {
            Ok(mut conversation) => match &self.question {
                Question::Connection => Ok(()),
                Question::Http(probe) => probe.judge(&mut conversation).await,
                Question::Grpc(probe) => probe.judge(&mut conversation).await,
            },
            Err(error) => Err(error),
        };
        judged.map_err(|mut error| {
            if let Some(attempt) = handle.upstream_attempt() {
                attempt.explain(&mut error);
            }
            error
        })
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
    if Fault::of(error) == Fault::NoDescriptors {
        return Fault::NoDescriptors.text().to_owned();
    }
    let context = || error.context.as_ref().map(|why| why.as_str().to_owned()).unwrap_or_default();
    let cause = error.cause.as_ref().map_or_else(context, ToString::to_string);
    let with_cause = |what: &str| if cause.is_empty() { what.to_owned() } else { format!("{what}: {cause}") };
    match error.etype() {
        &UNWELL => context(),
        ErrorType::ConnectRefused => "connection refused".to_owned(),
        ErrorType::ConnectNoRoute => "no route to the target".to_owned(),
        ErrorType::ConnectTimedout | ErrorType::ReadTimedout | ErrorType::WriteTimedout => too_slow(timeout),
        ErrorType::TLSHandshakeFailure => with_cause("the handshake failed"),
        ErrorType::ConnectionClosed => "the connection was closed before an answer".to_owned(),
        ErrorType::ConnectError | ErrorType::BindError | ErrorType::InternalError => with_cause("no connection"),
        _ => with_cause("no answer"),
    }
}
