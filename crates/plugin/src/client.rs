//! Calling out: upstreams through their pools ([`Upstream`]) and outside URLs ([`crate::Host::fetch`]).

use std::any::Any;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::future::BoxFuture;
use http::uri::PathAndQuery;
use http::{HeaderMap, Method, StatusCode};

/// An upstream of the file, found by name while an instance is built. Calls go through its pool: balancing, health, timeouts, retries.
#[derive(Clone)]
pub struct Upstream(Arc<dyn Pool>);

/// What stands behind an [`Upstream`]. Implemented by the engine and by the test kit.
pub trait Pool: Send + Sync + 'static {
    /// Name in the file.
    fn name(&self) -> &Arc<str>;

    /// Asks one of the targets.
    fn call(&self, call: Call) -> BoxFuture<'_, Result<Answer, CallError>>;

    /// The engine's own type.
    fn as_any(&self) -> &(dyn Any + Send + Sync);
}

/// A request to an upstream or an outside URL.
#[derive(Debug, Clone)]
pub struct Call {
    /// Method.
    pub method: Method,
    /// Path and query.
    pub target: PathAndQuery,
    /// Headers. Framing and hop-by-hop fields are the engine's; `Host` is the target's address, or over TLS the name its
    /// certificate is for, unless given here.
    pub headers: HeaderMap,
    /// Body.
    pub body: Bytes,
    /// One deadline over connecting, retries and reading the whole answer.
    pub timeout: Duration,
    /// Longest answer accepted, in bytes.
    pub max_body: usize,
    /// Tier of the consumer for whom it is made: decides who goes first where the upstream is full.
    pub tier: Option<Arc<str>>,
}

impl Call {
    /// A GET of `target` with a deadline of 10 s and an answer of at most 1 MiB.
    pub fn get(target: PathAndQuery) -> Self {
        Self {
            method: Method::GET,
            target,
            headers: HeaderMap::new(),
            body: Bytes::new(),
            timeout: Duration::from_secs(10),
            max_body: 1 << 20,
            tier: None,
        }
    }
}

/// A whole answer.
#[derive(Debug, Clone)]
pub struct Answer {
    /// Status.
    pub status: StatusCode,
    /// Headers.
    pub headers: HeaderMap,
    /// Body.
    pub body: Bytes,
}

/// Why a call brought no answer. The text is for the operator, never for a client.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    /// No target could be tried: 503.
    #[error("no target of {0} is available")]
    Unavailable(Arc<str>),
    /// The upstream has as many requests as its `limits` allow, and the call had no turn: 503.
    #[error("{0} is full")]
    Full(Arc<str>),
    /// No target could be reached, or it broke off: 502.
    #[error("{0}")]
    Failed(String),
    /// The deadline passed: 504.
    #[error("no answer within {0:?}")]
    TimedOut(Duration),
    /// The answer was longer than allowed: 502.
    #[error("the answer is longer than {0} bytes")]
    TooLarge(usize),
}

impl CallError {
    /// The status a client should see: 502, 503 or 504 (RFC 9110 §15.6.3 to §15.6.5).
    pub fn status(&self) -> StatusCode {
        match self {
            Self::Unavailable(_) | Self::Full(_) => StatusCode::SERVICE_UNAVAILABLE,
            Self::Failed(_) | Self::TooLarge(_) => StatusCode::BAD_GATEWAY,
            Self::TimedOut(_) => StatusCode::GATEWAY_TIMEOUT,
        }
    }
}

impl Upstream {
    /// Made by the engine and the test kit.
    pub fn new(pool: Arc<dyn Pool>) -> Self {
        Self(pool)
    }

    /// Its name.
    pub fn name(&self) -> &Arc<str> {
        self.0.name()
    }

    /// Asks one of its targets.
    ///
    /// # Errors
    /// See [`CallError`]. Dropping the future closes the connection that was in use.
    pub async fn call(&self, call: Call) -> Result<Answer, CallError> {
        self.0.call(call).await
    }

    /// What stands behind it.
    pub fn pool(&self) -> &Arc<dyn Pool> {
        &self.0
    }
}

impl fmt::Debug for Upstream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Upstream({})", self.name())
    }
}
