//! `balance`: how a target is chosen.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How a target is chosen, of those that `failover` leaves. The weights of targets count in every way of choosing.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(extend("x-example" = include_str!("../examples/balance.yaml")))]
pub enum Balance {
    /// One after the other, heavy ones spread over the round.
    #[default]
    RoundRobin,
    /// The target with the fewest requests in flight for its weight: of all where they are eight or fewer, else of two drawn by
    /// weight.
    LeastConnections,
    /// The target that is expected to begin its answer soonest, of two drawn by weight: its usual time to the first byte,
    /// times what is in flight there.
    LeastTime,
    /// The less busy of two drawn by weight.
    RandomTwo,
    /// The same target for the same client address, unless that target has more than its bound in flight: eight requests, or
    /// 1.25 times its even share.
    IpHash,
    /// The same target for the same value of a [template](templates.md#templates), within the same bound as `ip_hash`. A request without the value goes
    /// anywhere.
    Hash(String),
}
