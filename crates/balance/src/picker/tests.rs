//! The picker against what it promises, algorithm by algorithm, and one model of a whole pool.
#![expect(clippy::cast_precision_loss, reason = "counts of a test")]

mod hashing;
mod model;
mod nearness;
mod outliers;
mod preference;
mod search;
mod weights;

use std::time::Duration;

use super::*;
use crate::{Bar, Failover, Group, InFlight, Order, Outlier, Target};

/// The first that a search gives, in short.
impl<P> Picker<P> {
    fn pick(&self, now: Instant, key: u64, tried: &[SocketAddr]) -> Option<&Arc<Member<P>>> {
        self.pick_near(now, key, tried, None)
    }

    fn pick_near(
        &self,
        now: Instant,
        key: u64,
        tried: &[SocketAddr],
        order: Option<&Order>,
    ) -> Option<&Arc<Member<P>>> {
        self.members.get(self.place_near(now, key, tried, order)?)
    }

    fn place(&self, now: Instant, key: u64, tried: &[SocketAddr]) -> Option<usize> {
        self.place_near(now, key, tried, None)
    }

    fn place_near(&self, now: Instant, key: u64, tried: &[SocketAddr], order: Option<&Order>) -> Option<usize> {
        Search::new(now, key).without(tried).near(order).next_in(self)
    }
}

pub(super) const ALL: [Algorithm; 5] =
    [Algorithm::RoundRobin, Algorithm::LeastConnections, Algorithm::LeastTime, Algorithm::RandomTwo, Algorithm::Hash];

pub(super) fn address(place: usize) -> SocketAddr {
    SocketAddr::from(([10, 0, u8::try_from(place / 200).unwrap(), u8::try_from(place % 200 + 1).unwrap()], 80))
}

pub(super) fn member(ledger: &Ledger, place: usize, weight: u32, group: Group) -> Arc<Member<()>> {
    let target = Arc::new(Target::new(address(place)));
    Arc::new(Member { target, seat: ledger.seat(address(place)), weight, group, prepared: () })
}

/// Members with these weights, all of one group.
pub(super) fn pool(weights: &[u32], policy: impl Into<Policy>) -> Picker<()> {
    let members: Vec<_> = weights.iter().map(|weight| (*weight, Group::default())).collect();
    grouped(&members, policy)
}

/// Members with these weights and groups.
pub(super) fn grouped(members: &[(u32, Group)], policy: impl Into<Policy>) -> Picker<()> {
    let ledger = Ledger::new();
    let members = members.iter().enumerate().map(|(place, (weight, group))| member(&ledger, place, *weight, *group));
    Picker::new(&ledger, members.collect(), policy.into())
}

pub(super) fn priority(priority: u16) -> Group {
    Group { priority, zone: 0 }
}

pub(super) fn bar(picker: &Picker<()>, place: usize, up: bool) {
    picker.members()[place].target.bar(Bar::Unhealthy, up);
}

/// How often each place was picked in so many picks, each with a key of its own.
pub(super) fn counts(picker: &Picker<()>, now: Instant, picks: usize) -> Vec<usize> {
    let mut counts = vec![0; picker.members().len()];
    for n in 0..picks {
        counts[picker.place(now, mix(n as u64), &[]).unwrap()] += 1;
    }
    counts
}

pub(super) fn shares(counts: &[usize]) -> Vec<f64> {
    let total = counts.iter().sum::<usize>() as f64;
    counts.iter().map(|count| *count as f64 / total).collect()
}

pub(super) fn hold(picker: &Picker<()>, place: usize, now: Instant) -> InFlight {
    InFlight::new(&picker.members()[place], now)
}

pub(super) fn outlier() -> Outlier {
    Outlier {
        consecutive_failures: 3,
        failure_rate: 0.5,
        min_requests: 10,
        window: Duration::from_secs(10),
        eject_for: Duration::from_secs(30),
        max_eject_for: Duration::from_mins(5),
        max_ejected: 0.5,
    }
}

#[test]
fn an_empty_pool_picks_nobody() {
    for algorithm in ALL {
        let picker = pool(&[], algorithm);
        assert!(picker.pick(Instant::now(), 7, &[]).is_none() && !picker.has_another(Instant::now(), &[]));
    }
}

#[test]
fn the_one_target_left_of_many_is_found_by_every_algorithm() {
    let now = Instant::now();
    for algorithm in ALL {
        let picker = pool(&[5; 1_000], algorithm);
        (0..1_000).filter(|place| *place != 700).for_each(|place| bar(&picker, place, true));
        assert!((0..200).all(|key| picker.place(now, mix(key), &[]) == Some(700)), "{algorithm:?}");
        assert_eq!(picker.place(now, 1, &[address(700)]), None);
    }
}

#[test]
fn who_comes_back_is_picked_again_without_anybody_telling_the_picker() {
    let now = Instant::now();
    for algorithm in ALL {
        let picker = pool(&[1, 1], algorithm);
        bar(&picker, 0, true);
        assert_eq!(counts(&picker, now, 50), [0, 50]);
        bar(&picker, 0, false);
        assert!(counts(&picker, now, 50)[0] > 0, "{algorithm:?}");
    }
}

#[test]
fn another_pool_that_shares_a_target_sees_it_go_as_well() {
    let now = Instant::now();
    let one = pool(&[1, 1], Algorithm::RoundRobin);
    let ledger = Ledger::new();
    let same = |member: &Arc<Member<()>>| {
        let seat = ledger.seat(member.target.address);
        Arc::new(Member { target: member.target.clone(), seat, weight: 1, group: Group::default(), prepared: () })
    };
    let two = Picker::new(&ledger, one.members().iter().map(same).collect(), Algorithm::RandomTwo.into());
    assert!(counts(&two, now, 50).iter().all(|count| *count > 0));
    bar(&one, 0, true);
    assert_eq!(counts(&two, now, 50), [0, 50]);
}
