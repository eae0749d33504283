//! The picker against what it promises: weights, smoothness, health, and little movement of hashed keys.

use std::collections::HashMap;

use proptest::prelude::*;

use super::*;
use crate::{InFlight, Thresholds};

fn address(place: usize) -> SocketAddr {
    SocketAddr::from(([10, 0, u8::try_from(place / 200).unwrap(), u8::try_from(place % 200 + 1).unwrap()], 80))
}

/// The target at this place fails its check.
fn fail(picker: &Picker<()>, place: usize) {
    let at_once = Thresholds { healthy_after: 1, unhealthy_after: 1 };
    picker.members()[place].target.observe(false, at_once);
}

fn pool(weights: &[u32], balance: Algorithm) -> Picker<()> {
    let member = |(index, weight): (usize, &u32)| {
        let address = address(index);
        Arc::new(Member { target: Arc::new(Target::new(address)), weight: *weight, prepared: () })
    };
    Picker::new(weights.iter().enumerate().map(member).collect(), balance)
}

fn counts(picker: &Picker<()>, picks: usize) -> HashMap<usize, usize> {
    let mut counts = HashMap::new();
    for n in 0..picks {
        let place = picker.place(n as u64, &[]).unwrap();
        *counts.entry(place).or_default() += 1;
    }
    counts
}

#[test]
fn round_robin_spreads_a_heavy_target_over_the_round() {
    let picker = pool(&[3, 1], Algorithm::RoundRobin);
    let round: Vec<_> = (0..4).map(|_| picker.place(0, &[]).unwrap()).collect();
    assert_eq!(round, [0, 0, 1, 0]);
}

#[test]
fn an_empty_pool_picks_nobody() {
    for balance in [Algorithm::RoundRobin, Algorithm::LeastConnections, Algorithm::RandomTwo, Algorithm::Hash] {
        assert!(pool(&[], balance).pick(7, &[]).is_none());
    }
}

#[test]
fn least_connections_prefers_the_idle() {
    let picker = pool(&[1, 1], Algorithm::LeastConnections);
    let _busy = InFlight::new(picker.members()[0].target.clone());
    assert!((0..20).all(|_| picker.place(0, &[]).unwrap() == 1));
}

#[test]
fn a_hashed_key_stays_where_it_is_when_another_target_goes() {
    let picker = pool(&[1; 10], Algorithm::Hash);
    let before: Vec<_> = (0..2_000).map(|key| picker.place(key, &[]).unwrap()).collect();
    fail(&picker, 3);
    let after: Vec<_> = (0..2_000).map(|key| picker.place(key, &[]).unwrap()).collect();
    assert!(before.iter().zip(&after).all(|(before, after)| before == after || *before == 3));
}

#[test]
fn a_hashed_key_goes_to_the_same_target_in_every_gateway_and_version() {
    // Written down, not computed: a change here moves every key of every fleet.
    let picker = pool(&[1; 5], Algorithm::Hash);
    let places: Vec<_> = (0..12).map(|key| picker.place(mix(key), &[]).unwrap()).collect();
    assert_eq!(places, [2, 4, 3, 3, 4, 2, 0, 4, 0, 3, 4, 1]);
}

#[test]
fn the_one_target_left_of_many_is_found_however_rare_its_turn() {
    let picker = pool(&[5; 1_000], Algorithm::RoundRobin);
    (0..1_000).filter(|place| *place != 700).for_each(|place| fail(&picker, place));
    assert!((0..2_000).all(|_| picker.place(0, &[]) == Some(700)));
    assert_eq!(picker.place(0, &[address(700)]), None);
}

proptest! {
    #[test]
    fn round_robin_meets_the_weights_exactly_over_a_round(weights in prop::collection::vec(1_u32..20, 1..8)) {
        let picker = pool(&weights, Algorithm::RoundRobin);
        let total: u32 = weights.iter().sum();
        let counts = counts(&picker, total as usize);
        for (place, weight) in weights.iter().enumerate() {
            prop_assert_eq!(counts.get(&place).copied().unwrap_or(0), *weight as usize);
        }
    }

    #[test]
    fn no_algorithm_picks_the_sick_or_the_tried_while_another_is_left(
        sick in prop::collection::vec(any::<bool>(), 1..12),
        tried in prop::collection::vec(0_usize..12, 0..4),
        which in 0_usize..4,
        key in any::<u64>(),
    ) {
        let balance = [Algorithm::RoundRobin, Algorithm::LeastConnections, Algorithm::RandomTwo, Algorithm::Hash][which];
        let picker = pool(&vec![2; sick.len()], balance);
        sick.iter().enumerate().filter(|(_, sick)| **sick).for_each(|(place, _)| fail(&picker, place));
        let left = (0..sick.len()).any(|place| !sick[place] && !tried.contains(&place));
        let addresses: Vec<_> = tried.iter().map(|place| address(*place)).collect();
        prop_assert_eq!(picker.has_another(&addresses), left);
        match picker.place(key, &addresses) {
            Some(place) => prop_assert!(!sick[place] && !tried.contains(&place)),
            None => prop_assert!(!left),
        }
    }

    #[test]
    fn random_and_hashed_picks_follow_the_weights(weights in prop::collection::vec(1_u32..6, 2..5), hashed in any::<bool>()) {
        let balance = if hashed { Algorithm::Hash } else { Algorithm::RandomTwo };
        let picker = pool(&weights, balance);
        let total: u32 = weights.iter().sum();
        let counts = counts(&picker, 20_000);
        for (place, weight) in weights.iter().enumerate() {
            let got = f64::from(u32::try_from(counts.get(&place).copied().unwrap_or(0)).unwrap()) / 20_000.0;
            let want = f64::from(*weight) / f64::from(total);
            // Idle targets tie, and the first draw wins a tie unless weights differ: a third off is the most that leaves.
            prop_assert!((got - want).abs() < 0.34, "{weights:?} {place} {got} {want}");
        }
    }
}
