//! What the file says of picking in one pool, as plain values.

use std::time::Duration;

use crate::Outlier;

/// How a member is chosen. Weights count in each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Algorithm {
    /// One after the other, heavy ones spread over the round.
    RoundRobin,
    /// The fewest in flight for its weight: of all where they are few, or of two drawn by weight.
    LeastConnections,
    /// The less costly of two drawn by weight: expected time to the first byte, times what is in flight there.
    LeastTime,
    /// The less busy of two drawn by weight.
    RandomTwo,
    /// The same member for the same key, unless it has far more than its share in flight.
    Hash,
}

/// How one pool picks.
#[derive(Debug, Clone, PartialEq)]
pub struct Policy {
    /// How a member of a group is chosen.
    pub algorithm: Algorithm,
    /// When the next group helps out.
    pub failover: Failover,
    /// A member that is new or back rises to its whole weight over this time.
    pub slow_start: Option<Duration>,
    /// When members are ejected for what they answer.
    pub outlier: Option<Outlier>,
}

impl From<Algorithm> for Policy {
    /// No slow start, no ejections, failover as by default.
    fn from(algorithm: Algorithm) -> Self {
        Self { algorithm, failover: Failover::default(), slow_start: None, outlier: None }
    }
}

/// When a group of members is too weak to take all that comes to it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Failover {
    /// The available share of a group's weight, 0 to 1, below which a part of its requests goes on to the next group.
    pub spill_below: f64,
    /// The available share of a group's members, 0 to 1, below which its checks and ejections are disbelieved, if all groups
    /// together are too weak. 0 never disbelieves.
    pub panic_below: f64,
}

impl Default for Failover {
    /// 70%, which is Envoy's overprovisioning factor of 1.4; and no panic.
    fn default() -> Self {
        Self { spill_below: 0.7, panic_below: 0.0 }
    }
}

/// Where a member stands in the order of preference: groups are asked from the lowest.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Group {
    /// 0 is asked first.
    pub priority: u16,
    /// Whether it is in another zone than the gateway: of the same priority, those of its own zone are asked first.
    pub away: bool,
}
