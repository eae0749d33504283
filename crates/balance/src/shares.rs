//! What part of the requests each group of a pool gets: the first takes all while it is healthy enough, and what it cannot
//! take falls on the next (Envoy's priority levels with an overprovisioning factor, as a threshold).

use crate::Failover;

/// How a group stands.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Capacity {
    /// Weight of the members that are in service by the operator's will and have proved themselves once.
    pub(crate) weight: u64,
    /// Weight of those of them that are available.
    pub(crate) available: u64,
    /// How many members the operator has not taken out.
    pub(crate) members: usize,
    /// How many members are available.
    pub(crate) up: usize,
}

/// What a group gets.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Share {
    /// Its part of the requests, 0 to 1. The parts of all groups make 1, or 0 where nobody can be asked.
    pub(crate) part: f64,
    /// What part of the requests it could take, 0 to 1, were it asked first. In whatever order the groups are asked, each gets
    /// so much of what those before it leave.
    pub(crate) strength: f64,
    /// Whether all its members are used, whatever checks and ejections say.
    pub(crate) panics: bool,
}

/// The shares of groups in their order of preference.
pub(crate) fn shares(groups: &[Capacity], failover: Failover) -> Vec<Share> {
    let strength = |group: &Capacity| match group.available {
        0 => 0.0,
        available => (ratio(available, group.weight) / failover.spill_below).min(1.0),
    };
    let mut left = 1.0_f64;
    let mut shares: Vec<Share> = Vec::with_capacity(groups.len());
    for group in groups {
        let strength = strength(group);
        let part = strength.min(left);
        left -= part;
        shares.push(Share { part, strength, panics: false });
    }
    if left <= f64::EPSILON {
        return shares;
    }
    // Too weak, all together: what there is takes all of it, and whoever is below the threshold uses everybody it has.
    for (share, group) in shares.iter_mut().zip(groups) {
        let up = ratio(group.up as u64, group.members as u64);
        share.panics = group.members > 0 && up < failover.panic_below;
    }
    let taken = 1.0 - left;
    if taken > f64::EPSILON {
        for share in &mut shares {
            share.part /= taken;
            // None of them was cut short, so this holds in any order.
            share.strength = share.part;
        }
    } else {
        for share in shares.iter_mut().filter(|share| share.panics) {
            share.strength = 1.0;
        }
        if let Some(first) = shares.iter_mut().find(|share| share.panics) {
            first.part = 1.0;
        }
    }
    shares
}

#[expect(clippy::cast_precision_loss, reason = "a share needs no more than 53 bits")]
fn ratio(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn group(up: u64, of: u64) -> Capacity {
        let count = |n: u64| usize::try_from(n).unwrap();
        Capacity { weight: of, available: up, members: count(of), up: count(up) }
    }

    fn parts(groups: &[Capacity], failover: Failover) -> Vec<f64> {
        shares(groups, failover).iter().map(|share| (share.part * 1000.0).round() / 1000.0).collect()
    }

    #[test]
    fn a_group_takes_everything_until_it_falls_below_the_threshold() {
        let failover = Failover { spill_below: 0.7, panic_below: 0.0 };
        assert_eq!(parts(&[group(10, 10), group(10, 10)], failover), [1.0, 0.0]);
        assert_eq!(parts(&[group(7, 10), group(10, 10)], failover), [1.0, 0.0]);
        assert_eq!(parts(&[group(35, 100), group(10, 10)], failover), [0.5, 0.5]);
        assert_eq!(parts(&[group(0, 10), group(10, 10)], failover), [0.0, 1.0]);
        assert_eq!(parts(&[group(0, 10), group(35, 100), group(1, 1)], failover), [0.0, 0.5, 0.5]);
    }

    #[test]
    fn the_ends_of_the_threshold_mean_what_they_say() {
        let last_one = Failover { spill_below: 0.0, panic_below: 0.0 };
        assert_eq!(parts(&[group(1, 10), group(10, 10)], last_one), [1.0, 0.0]);
        assert_eq!(parts(&[group(0, 10), group(10, 10)], last_one), [0.0, 1.0]);
        let at_once = Failover { spill_below: 1.0, panic_below: 0.0 };
        assert_eq!(parts(&[group(9, 10), group(10, 10)], at_once), [0.9, 0.1]);
    }

    #[test]
    fn what_is_left_of_weak_groups_takes_all() {
        let failover = Failover { spill_below: 1.0, panic_below: 0.0 };
        assert_eq!(parts(&[group(2, 10), group(3, 10)], failover), [0.4, 0.6]);
        assert_eq!(parts(&[group(0, 10), group(0, 10)], failover), [0.0, 0.0]);
    }

    #[test]
    fn checks_are_disbelieved_only_where_all_groups_together_are_too_weak() {
        let failover = Failover { spill_below: 0.7, panic_below: 0.3 };
        let panics =
            |groups: &[Capacity]| -> Vec<bool> { shares(groups, failover).iter().map(|share| share.panics).collect() };
        assert_eq!(panics(&[group(1, 10), group(10, 10)]), [false, false]);
        assert_eq!(panics(&[group(1, 10), group(4, 10)]), [true, false]);
        assert_eq!(panics(&[group(0, 10), group(0, 10)]), [true, true]);
        assert_eq!(parts(&[group(0, 10), group(0, 10)], failover), [1.0, 0.0]);
    }

    proptest! {
        /// What each group could take holds in any order: dealt out one after the other it makes what this order makes.
        #[test]
        fn strengths_say_the_shares_of_every_order(
            groups in prop::collection::vec((0_u64..20, 0_u64..20), 1..6),
            spill in 0.0_f64..=1.0,
            panic in prop_oneof![Just(0.0), 0.0_f64..=1.0],
            turns in any::<u64>(),
        ) {
            let groups: Vec<_> = groups.iter().map(|(up, more)| group(*up, up + more)).collect();
            let failover = Failover { spill_below: spill, panic_below: panic };
            let of_ours = shares(&groups, failover);
            let mut order: Vec<usize> = (0..groups.len()).collect();
            fastrand::Rng::with_seed(turns).shuffle(&mut order);
            let other: Vec<_> = order.iter().map(|place| groups[*place]).collect();
            let mut left = 1.0_f64;
            for (place, wanted) in order.iter().zip(shares(&other, failover)) {
                let part = of_ours[*place].strength.min(left);
                left -= part;
                prop_assert!((part - wanted.part).abs() < 1e-9, "{part} for {}", wanted.part);
                prop_assert_eq!(of_ours[*place].panics, wanted.panics);
            }
        }

        #[test]
        fn shares_make_a_whole_and_nobody_gets_what_it_cannot_take(
            groups in prop::collection::vec((0_u64..20, 0_u64..20), 1..5),
            spill in 0.0_f64..=1.0,
        ) {
            let groups: Vec<_> = groups.iter().map(|(a, b)| group(*a.min(b), *a.max(b))).collect();
            let shares = shares(&groups, Failover { spill_below: spill, panic_below: 0.0 });
            let whole: f64 = shares.iter().map(|share| share.part).sum();
            let any = groups.iter().any(|group| group.available > 0);
            prop_assert!((whole - if any { 1.0 } else { 0.0 }).abs() < 1e-9, "{whole}");
            for (share, group) in shares.iter().zip(&groups) {
                prop_assert!(share.part >= 0.0 && (share.part == 0.0 || group.available > 0));
            }
        }
    }
}
