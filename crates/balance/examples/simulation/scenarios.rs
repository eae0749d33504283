//! The scenarios that the tests hold and that docs/load-balancing.md shows.

use std::time::Duration;

use portreeve_balance::{Algorithm, Policy};

use crate::world::{Hedge, Kind, Scenario, Stalls};

/// The algorithms that look at targets, and the one that does not.
pub(crate) const ALGORITHMS: [(&str, Algorithm); 4] = [
    ("round_robin", Algorithm::RoundRobin),
    ("least_connections", Algorithm::LeastConnections),
    ("random_two", Algorithm::RandomTwo),
    ("least_time", Algorithm::LeastTime),
];

/// Eight targets, of which one is ten times slower than the others; together they are busy by half.
pub(crate) fn one_slow(algorithm: Algorithm) -> Scenario {
    let fast = Kind::usual(Duration::from_millis(10), 4);
    let slow = Kind { service: Duration::from_millis(100), ..fast };
    let mut targets = vec![fast; 7];
    targets.push(slow);
    // Seven times four workers do 2,800 requests a second, the slow one 40.
    Scenario {
        targets,
        policy: algorithm.into(),
        rate: 1_400.0,
        lasts: Duration::from_mins(1),
        stalls: None,
        hedge: None,
        seed: 7,
    }
}

/// When the fifth target comes, and the time over which it rises where it does.
pub(crate) const JOINS: Duration = Duration::from_secs(20);
pub(crate) const RISES: Duration = Duration::from_secs(20);

/// Four warm targets, busy by 70%; a fifth comes cold, twelve times slower at first.
pub(crate) fn cold_start(algorithm: Algorithm, slow_start: bool) -> Scenario {
    let warm = Kind::usual(Duration::from_millis(10), 4);
    let mut targets = vec![warm; 4];
    targets.push(Kind { joins: JOINS, cold: 12.0, ..warm });
    let policy = Policy { slow_start: slow_start.then_some(RISES), ..algorithm.into() };
    Scenario { targets, policy, rate: 1_120.0, lasts: Duration::from_mins(1), stalls: None, hedge: None, seed: 11 }
}

/// How long is waited for the first target, if another is ever asked.
pub(crate) const AFTER: [Option<Duration>; 3] =
    [None, Some(Duration::from_millis(30)), Some(Duration::from_millis(60))];

/// Eight targets that each stand still for a fifth of a second now and then, a hundredth of all time, and how long is waited for
/// them before another is asked.
pub(crate) fn stalling(algorithm: Algorithm, after: Option<Duration>) -> Scenario {
    Scenario {
        targets: vec![Kind::usual(Duration::from_millis(10), 8); 8],
        policy: algorithm.into(),
        // Two fifths of what they can do.
        rate: 2_560.0,
        lasts: Duration::from_mins(2),
        stalls: Some(Stalls { every: Duration::from_millis(19_800), lasts: Duration::from_millis(200) }),
        hedge: after.map(|after| Hedge { after, budget: 0.05 }),
        seed: 13,
    }
}
