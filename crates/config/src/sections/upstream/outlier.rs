//! `outlier`: targets that answer badly get no requests for a while.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::units::{Duration, Percent};

/// Takes a target out for a while when attempts at it fail. `outlier: {}` is enough.
///
/// An attempt fails if no connection can be made, if it breaks off, if no answer comes in time, with a status of 500, 502, 503
/// or 504, or with gRPC's status UNAVAILABLE in the head. A target comes back by time alone, and with `slow_start` little by little. The last target that is left is
/// never ejected.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("x-example" = include_str!("../examples/outlier.yaml")))]
pub struct Outlier {
    /// So many failed attempts in a row eject.
    #[serde(default = "default_consecutive")]
    #[schemars(range(min = 1, max = 1_000_000))]
    pub consecutive_failures: u32,
    /// A target is ejected when the share of its attempts that failed is above that of the other targets by so much.
    #[serde(default = "default_rate")]
    pub failure_rate: Percent,
    /// Attempts within `window` below which `failure_rate` says nothing of a target.
    #[serde(default = "default_min_requests")]
    #[schemars(range(min = 1, max = 500_000))]
    pub min_requests: u32,
    /// The time over which shares are taken.
    #[serde(default = "default_window")]
    pub window: Duration,
    /// The first ejection. Each further one is longer by as much, and one less for each such time without one.
    #[serde(default = "default_eject_for")]
    pub eject_for: Duration,
    /// The longest ejection.
    #[serde(default = "default_max_eject_for")]
    pub max_eject_for: Duration,
    /// The share of the targets that may be ejected at the same time, rounded down.
    #[serde(default = "default_max_ejected")]
    pub max_ejected: Percent,
}

const fn default_consecutive() -> u32 {
    5
}

const fn default_rate() -> Percent {
    Percent::new(50)
}

const fn default_min_requests() -> u32 {
    20
}

const fn default_window() -> Duration {
    Duration::from_secs(30)
}

const fn default_eject_for() -> Duration {
    Duration::from_secs(30)
}

const fn default_max_eject_for() -> Duration {
    Duration::from_secs(5 * 60)
}

const fn default_max_ejected() -> Percent {
    Percent::new(50)
}
