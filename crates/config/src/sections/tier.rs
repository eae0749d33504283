//! `tiers`: named limits.

use std::num::NonZeroU32;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::units::Rate;

/// What consumers of this tier may do. Enforced where a chain has `rate-limit: { limit: tier }`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Tier {
    /// At most so many requests in any such span, all at once if wished: `100/min`.
    pub rate: Rate,
    /// Makes the limit a token bucket that holds this many requests and is refilled at `rate`: so many may come at once
    /// after a pause, and later no more than `rate` on average. Without it the limit is an exact sliding window.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub burst: Option<NonZeroU32>,
    /// Who goes first when an upstream with `limits` is full: requests of tiers with a higher priority wait in front of those
    /// with a lower one, and take their place when the queue is full. From 0 to 9; requests without a tier have 0.
    #[serde(default)]
    #[schemars(range(min = 0, max = 9))]
    pub priority: u8,
}
