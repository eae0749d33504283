//! `circuit_breaker`: an upstream of which too much fails is not asked for a while.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::units::{Duration, Percent};

/// Stops asking an upstream of which too large a share of the attempts fails: its requests are answered 503 at once, with
/// `Retry-After`, and its targets have time to recover. `circuit_breaker: {}` is enough.
///
/// An attempt fails as it does for `outlier`: if no connection can be made, if it breaks off, if no answer comes in time, with a
/// status of 500, 502, 503 or 504, or with gRPC's status UNAVAILABLE in the head. One that its client gave up counts for nothing.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("x-example" = include_str!("../examples/circuit_breaker.yaml")))]
pub struct CircuitBreaker {
    /// It opens when so large a share of the attempts within `window` has failed.
    #[serde(default = "default_failures")]
    pub failures: Percent,
    /// Attempts within `window` below which `failures` says nothing.
    #[serde(default = "default_minimum")]
    #[schemars(range(min = 1, max = 1_000_000))]
    pub minimum: u32,
    /// The time over which the share is taken; it slides by tenths.
    #[serde(default = "default_window")]
    pub window: Duration,
    /// How long nobody is asked once it is open.
    #[serde(default = "default_open_for")]
    pub open_for: Duration,
    /// So many attempts are let through after that. When all have succeeded it closes; the first that fails opens it again.
    #[serde(default = "default_probes")]
    #[schemars(range(min = 1, max = 1_000))]
    pub probes: u16,
}

const fn default_failures() -> Percent {
    Percent::new(50)
}

const fn default_minimum() -> u32 {
    20
}

const fn default_window() -> Duration {
    Duration::from_secs(10)
}

const fn default_open_for() -> Duration {
    Duration::from_secs(30)
}

const fn default_probes() -> u16 {
    3
}
