//! `upstreams.X.limits`: how much of the gateway's traffic an upstream is asked to bear at once.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::units::{Duration, Percent};

/// How many requests an upstream and each of its targets may have at once, and how many may wait for their turn. Each worker
/// counts with the others; requests, calls that plugins make, and mirrored requests count alike. Over HTTP/1.1 a request in
/// flight has a connection of its own, so connections in use are bounded as well.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("x-example" = include_str!("../examples/upstream_limits.yaml")))]
pub struct UpstreamLimits {
    /// Requests in flight in all, retries and waiting between them included. Without this key there is no bound but that of
    /// `requests_per_target` and `connections_per_target`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1_000_000))]
    pub requests: Option<u32>,
    /// Requests in flight at each target; a full one is passed over. A target that other upstreams name too has their
    /// requests as well.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1_000_000))]
    pub requests_per_target: Option<u32>,
    /// Connections to each target, in use and idle; a target that has as many and none of them idle is passed over. Counted for
    /// this upstream alone, over all workers and generations; those of health checks do not count. Not with `protocol: http2`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1_000_000))]
    pub connections_per_target: Option<u32>,
    /// In the place of `requests`: a bound that the gateway finds by itself, by how fast the upstream answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub adaptive: Option<AdaptiveLimit>,
    /// Requests that may wait for their turn. One more is refused with 503 at once; or, if its tier has a higher `priority`
    /// than one of those that wait, the last of the lowest is refused in its place.
    #[serde(default = "default_queue")]
    #[schemars(range(min = 0, max = 100_000))]
    pub queue: u32,
    /// The longest that a request waits for its turn; after it 503.
    #[serde(default = "default_queue_timeout")]
    pub queue_timeout: Duration,
}

/// Adaptive concurrency: as many requests in flight as the upstream can work on, and a short queue of its own. When answers begin
/// later than they do without a queue the bound goes down, when they do not it goes up; what is beyond it waits in the gateway,
/// where higher tiers go first.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AdaptiveLimit {
    /// The bound is never lower.
    #[serde(default = "default_min")]
    #[schemars(range(min = 1, max = 1_000_000))]
    pub min: u32,
    /// The bound is never higher.
    #[serde(default = "default_max")]
    #[schemars(range(min = 1, max = 1_000_000))]
    pub max: u32,
    /// How much longer than without a queue answers may take to begin before the bound goes down: at most 75%.
    #[serde(default = "default_tolerance")]
    pub tolerance: Percent,
}

impl Default for AdaptiveLimit {
    fn default() -> Self {
        Self { min: default_min(), max: default_max(), tolerance: default_tolerance() }
    }
}

const fn default_min() -> u32 {
    4
}

const fn default_max() -> u32 {
    1000
}

const fn default_tolerance() -> Percent {
    Percent::new(50)
}

const fn default_queue() -> u32 {
    100
}

const fn default_queue_timeout() -> Duration {
    Duration::from_secs(1)
}
