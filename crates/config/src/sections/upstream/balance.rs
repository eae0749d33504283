//! `balance`: how a target is chosen.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How a target is chosen. The weights of targets count in every way of choosing.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Balance {
    /// One after the other.
    #[default]
    RoundRobin,
    /// The target with the fewest requests in flight.
    LeastConnections,
    /// The less busy of two drawn at random.
    RandomTwo,
    /// Always the same target for the same client address.
    IpHash,
    /// Always the same target for the same value of a template.
    Hash(String),
}
