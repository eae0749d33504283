//! Every algorithm through the traits of pingora-load-balancing, against the plainest words for who may be picked.
#![expect(clippy::cast_precision_loss, reason = "counts of a test")]

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use pingora_load_balancing::Backend;
use pingora_load_balancing::selection::{BackendIter, BackendSelection};
use portreeve_balance::hash::mix;
use portreeve_balance::{Algorithm, Bar, Group, InFlight, Ledger, Member, Order, Outcome, Outlier, Policy, Target};
use proptest::prelude::*;

use super::selection::{Selection, Settings, Stay, Wants, backend, hash_key, state};

const ALL: [Algorithm; 5] =
    [Algorithm::RoundRobin, Algorithm::LeastConnections, Algorithm::LeastTime, Algorithm::RandomTwo, Algorithm::Hash];

/// In the order of their places.
fn address(place: usize) -> SocketAddr {
    SocketAddr::from(([10, 0, 0, u8::try_from(place + 1).unwrap()], 80))
}

/// A selection of targets with these weights and groups, and their state.
fn selection(targets: &[(u32, Group)], policy: impl Into<Policy>) -> (Arc<Selection<()>>, Vec<Arc<Member<()>>>) {
    let ledger = Ledger::new();
    let member = |(place, (weight, group)): (usize, &(u32, Group))| {
        let target = Arc::new(Target::new(address(place)));
        Arc::new(Member { target, seat: ledger.seat(address(place)), weight: *weight, group: *group, prepared: () })
    };
    let members: Vec<_> = targets.iter().enumerate().map(member).collect();
    let backends = members.iter().map(|member| backend(member.target.address, member.weight, member.clone())).collect();
    let settings = Settings { policy: policy.into(), ledger };
    (Arc::new(Selection::build_with_config(&backends, &settings)), members)
}

fn equal(count: usize, policy: impl Into<Policy>) -> (Arc<Selection<()>>, Vec<Arc<Member<()>>>) {
    selection(&vec![(1, Group::default()); count], policy)
}

/// All that an iterator gives, until it ends.
fn all(mut candidates: impl BackendIter) -> Vec<SocketAddr> {
    let mut all = Vec::new();
    while let Some(target) = candidates.next() {
        all.push(*target.addr.as_inet().unwrap());
        assert!(all.len() <= 1_000, "it does not end: {all:?}");
    }
    assert!(candidates.next().is_none(), "what has ended stays so");
    all
}

#[test]
fn a_candidate_is_its_target_with_its_weight_and_its_state() {
    for algorithm in ALL {
        let (selection, members) = selection(&[(7, Group::default())], algorithm);
        let mut candidates = selection.iter(b"alice");
        let target = candidates.next().unwrap();
        assert_eq!((target.addr.as_inet(), target.weight), (Some(&address(0)), 7));
        assert!(Arc::ptr_eq(state::<Member<()>>(target).unwrap(), &members[0]));
    }
}

#[test]
fn a_key_has_the_candidates_of_a_request_that_is_hashed_by_the_same_text() {
    let (selection, _) = equal(20, Algorithm::Hash);
    for user in ["alice", "bob", "", "12345678"] {
        let wants = Wants { key: hash_key(user.bytes()), ..Wants::default() };
        let of_request = all(selection.candidates(Instant::now(), &wants, &[]));
        assert_eq!(all(selection.iter(user.as_bytes())), of_request, "{user}");
    }
}

#[test]
fn a_hashed_key_goes_to_the_same_target_in_every_gateway_and_version() {
    // Written down, not computed: a change here moves every key of every fleet.
    let (selection, _) = equal(5, Algorithm::Hash);
    let first =
        |wants: Wants| *selection.candidates(Instant::now(), &wants, &[]).next().unwrap().addr.as_inet().unwrap();
    let places: Vec<_> = (0..12).map(|key| first(Wants { key: mix(key), ..Wants::default() })).collect();
    assert_eq!(places, [2, 0, 3, 2, 2, 1, 3, 3, 3, 3, 2, 4].map(address));
}

#[test]
fn without_targets_or_without_their_state_there_is_no_candidate() {
    for algorithm in ALL {
        assert!(all(equal(0, algorithm).0.iter(b"alice")).is_empty());
    }
    // As another discovery might make it.
    let strangers = BTreeSet::from([Backend::new("10.0.0.1:80").unwrap()]);
    assert!(all(Arc::new(Selection::<()>::build(&strangers)).iter(b"alice")).is_empty());
}

#[test]
fn without_a_configuration_targets_come_in_turn() {
    let member = |place: usize| {
        let (target, seat) = (Arc::new(Target::new(address(place))), Ledger::new().seat(address(place)));
        backend(address(place), 1, Arc::new(Member { target, seat, weight: 1, group: Group::default(), prepared: () }))
    };
    let selection = Arc::new(Selection::<()>::build(&(0..4).map(member).collect()));
    let firsts: Vec<_> = (0..8).map(|_| *selection.iter(b"").next().unwrap().addr.as_inet().unwrap()).collect();
    let turn = (0..4).find(|place| address(*place) == firsts[0]).unwrap();
    assert_eq!(firsts, (0..8).map(|n| address((turn + n) % 4)).collect::<Vec<_>>());
}

#[test]
fn the_first_candidates_of_every_algorithm_meet_the_weights_of_whoever_is_there() {
    for algorithm in ALL {
        let weights = [1, 2, 5, 4].map(|weight| (weight, Group::default()));
        let (selection, members) = selection(&weights, algorithm);
        members[3].target.bar(Bar::Unhealthy, true);
        let mut counts = [0_usize; 4];
        for key in 0..20_000 {
            let wants = Wants { key: mix(key), ..Wants::default() };
            let mut candidates = selection.candidates(Instant::now(), &wants, &[]);
            let first = *candidates.next().unwrap().addr.as_inet().unwrap();
            counts[(0..4).find(|place| address(*place) == first).unwrap()] += 1;
        }
        for (count, wanted) in counts.into_iter().zip([0.125, 0.25, 0.625, 0.0]) {
            assert!((count as f64 / 20_000.0 - wanted).abs() < 0.018, "{algorithm:?}: {counts:?}");
        }
    }
}

proptest! {
    /// Whoever is available, not ejected and not tried is a candidate, once; and nobody else.
    #[test]
    fn the_candidates_of_every_algorithm_are_those_who_may_be_picked_each_once(
        targets in prop::collection::vec(
            (1_u32..5, 0_u16..3, 0_u8..3, prop::bits::u8::between(0, 4)), 0..40
        ),
        which in 0..ALL.len(),
        key in any::<[u8; 6]>(),
        slow in any::<bool>(),
        near in any::<bool>(),
        stay in prop::option::of(0_usize..45),
    ) {
        let now = Instant::now();
        let groups: Vec<_> =
            targets.iter().map(|(weight, priority, zone, _)| (*weight, Group { priority: *priority, zone: *zone })).collect();
        let outlier = Outlier {
            consecutive_failures: 1,
            failure_rate: 0.5,
            min_requests: 10,
            window: Duration::from_secs(10),
            eject_for: Duration::from_secs(30),
            max_eject_for: Duration::from_mins(5),
            max_ejected: 0.5,
        };
        let slow_start = slow.then_some(Duration::from_secs(20));
        let policy = Policy { slow_start, outlier: Some(outlier), ..ALL[which].into() };
        let (selection, members) = selection(&groups, policy);
        let (mut tried, mut held) = (Vec::new(), Vec::new());
        for (place, (.., against)) in targets.iter().enumerate() {
            members[place].target.bar(Bar::Unhealthy, against & 1 != 0);
            members[place].target.bar(Bar::Unproven, against & 2 != 0);
            if against & 4 != 0 {
                let attempt = InFlight::new(&members[place], now);
                selection.report(&attempt, Outcome::Failed, now);
                held.push(attempt);
            }
            if against & 8 != 0 {
                tried.push(address(place));
            }
        }
        let may_be_picked = |tried: &[SocketAddr]| -> BTreeSet<SocketAddr> {
            let of = |member: &&Arc<Member<()>>| {
                let is_out = member.target.is_barred(Bar::Unhealthy) || member.target.is_barred(Bar::Unproven);
                !is_out && !member.seat.is_ejected(now) && !tried.contains(&member.target.address)
            };
            members.iter().filter(of).map(|member| member.target.address).collect()
        };
        let wants = Wants {
            key: hash_key(key),
            stay: stay.map(|place| Stay { place, address: address(place) }),
            order: near.then(|| Order::new([2, 0, 1])),
        };
        for (candidates, wanted) in [
            (all(selection.iter(&key)), may_be_picked(&[])),
            (all(selection.candidates(now, &wants, &tried)), may_be_picked(&tried)),
        ] {
            prop_assert_eq!(candidates.len(), wanted.len(), "somebody comes twice or not at all");
            prop_assert_eq!(candidates.into_iter().collect::<BTreeSet<_>>(), wanted);
        }
        let first = all(selection.candidates(now, &wants, &tried)).first().copied();
        if let Some(stay) = wants.stay.filter(|stay| may_be_picked(&tried).contains(&stay.address)) {
            prop_assert_eq!(first, Some(stay.address), "where the client was before comes first");
        }
    }
}
