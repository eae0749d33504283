//! `upstreams`: named pools and how they are balanced, checked, retried and timed. One file for each part.

mod balance;
mod circuit_breaker;
mod discover;
mod failover;
mod health;
mod hedge;
mod limits;
mod outlier;
mod proxy_protocol;
mod retry;
mod sticky;
mod target;
mod timeouts;
mod tls;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::sections::OneOrMany;
use crate::units::{Authority, Duration, HeaderName};

pub use balance::Balance;
pub use circuit_breaker::CircuitBreaker;
pub use discover::Discover;
pub use failover::{Failover, Near};
pub use health::{CheckMethod, Health, HealthExpect, Probe};
pub use hedge::Hedge;
pub use limits::{AdaptiveLimit, UpstreamLimits};
pub use outlier::Outlier;
pub use proxy_protocol::ProxyProtocol;
pub use retry::{Backoff, Retry, RetryOn, RouteRetry};
pub use sticky::Sticky;
pub use target::Target;
pub use timeouts::Timeouts;
pub use tls::UpstreamTls;

/// A named pool of targets.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("x-example" = include_str!("../examples/upstream.yaml")))]
pub struct Upstream {
    /// The targets: addresses, or maps with an address, a weight, a zone and a priority.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(min = 1))]
    pub targets: Vec<Target>,
    /// Further targets, that are found in DNS or in a file of their own. Instead of `targets`, or beside them.
    #[serde(default, skip_serializing_if = "none_to_discover")]
    pub discover: OneOrMany<Discover>,
    /// How a target is chosen for a request.
    #[serde(default)]
    pub balance: Balance,
    /// Keeps a client with the target that answered it first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sticky: Option<Sticky>,
    /// Which targets are asked first, and when others help out.
    #[serde(default)]
    pub failover: Failover,
    /// A target that is new or has come back gets a tenth of its share at first, and all of it after this time. Shares are
    /// relative: where all are new, as at the start, none is held back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slow_start: Option<Duration>,
    /// Takes targets out whose answers are bad.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outlier: Option<Outlier>,
    /// Stops asking all of them for a while when too much fails.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub circuit_breaker: Option<CircuitBreaker>,
    /// Active health checks. Without this key every target counts as healthy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub health: Option<Health>,
    /// When a failed attempt is tried again on another target.
    #[serde(default)]
    pub retry: Retry,
    /// Asks a second target when the first is slow to answer. Without this key nobody is asked twice.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hedge: Option<Hedge>,
    /// How long each part of an attempt may take.
    #[serde(default)]
    pub timeouts: Timeouts,
    /// How many requests it may have at once. Without this key there is no bound.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limits: Option<UpstreamLimits>,
    /// What the targets are called in `Host` (`:authority` in HTTP/2), such as `api.internal`: by default requests keep what their
    /// clients asked for, and health checks and calls of plugins say the name or address of the target. `rewrite: { host: … }` of
    /// a route, `health.headers.host`, and a plugin that names a host in its call go before it. The name in `tls` is another
    /// matter (`tls.sni`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<Authority>,
    /// What is spoken to the targets.
    #[serde(default)]
    pub protocol: Protocol,
    /// Every connection to a target begins with a PROXY protocol header of this version that tells it of the client; those of
    /// health checks over HTTP and of calls that plugins make tell that they are the gateway's own. Requests then have a
    /// connection each, which is closed after the answer: a header speaks for one client. Not with `protocol: http2`, except for
    /// TCP listeners.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proxy_protocol: Option<ProxyProtocol>,
    /// Speaks to the targets over TLS. Without this key nothing is encrypted on the way to them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<UpstreamTls>,
}

impl Upstream {
    /// Its health checks as they are made: they call the targets what requests do, unless they say otherwise themselves.
    #[must_use]
    pub fn checks(&self) -> Option<Health> {
        let mut health = self.health.clone()?;
        if let (Some(host), Ok(name)) = (&self.host, "host".parse::<HeaderName>())
            && health.probe() != Probe::Tcp
        {
            health.headers.add(name, host.as_str());
        }
        Some(health)
    }
}

fn none_to_discover(discover: &OneOrMany<Discover>) -> bool {
    discover.is_empty()
}

/// What is spoken to the targets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Protocol {
    /// HTTP/1.1.
    #[default]
    Http1,
    /// HTTP/2, with many requests on each connection: negotiated over TLS (ALPN), and without TLS by prior knowledge (h2c).
    /// A target that does not speak it is an error, never asked in HTTP/1.1 instead. gRPC needs it.
    Http2,
}
