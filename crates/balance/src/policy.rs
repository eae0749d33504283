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
    /// The number of its zone in the gateway's own order: of the same priority, those of lower numbers are asked first.
    pub zone: u8,
}

/// The most zones that an [`Order`] tells apart. Large clouds have some forty regions.
pub const MOST_ZONES: usize = 64;

/// In what order the zones are asked for one client, in the place of the gateway's own order. Priorities go before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Order {
    /// By the number of a zone: when it is asked.
    ranks: [u8; MOST_ZONES],
}

impl Order {
    /// The zones of these numbers, one after the other. All others come after them, in the gateway's own order.
    pub fn new(zones: impl IntoIterator<Item = u8>) -> Self {
        let mut ranks = [u8::MAX; MOST_ZONES];
        for (rank, zone) in (0..).zip(zones) {
            if let Some(place) = ranks.get_mut(usize::from(zone)) {
                *place = rank;
            }
        }
        Self { ranks }
    }

    /// When a zone is asked: smaller numbers come first.
    #[must_use]
    pub fn rank(&self, zone: u8) -> u8 {
        self.ranks.get(usize::from(zone)).copied().unwrap_or(u8::MAX)
    }

    /// When members of this group are asked. Different for different groups.
    pub(crate) fn turn(&self, group: Group) -> Turn {
        (group.priority, self.rank(group.zone), group.zone)
    }
}

/// When a group is asked: by its priority, then by its rank for the client, then by the gateway's own order.
pub(crate) type Turn = (u16, u8, u8);
