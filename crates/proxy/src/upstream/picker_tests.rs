//! The picker against what it promises: weights, smoothness, health, and little movement of hashed keys.

use std::collections::HashMap;

use proptest::prelude::*;

use super::*;
use crate::upstream::target::InFlight;

fn pool(weights: &[u32], balance: &Balance) -> Picker {
    let member = |(index, weight): (usize, &u32)| {
        let address = format!("10.0.0.{}:80", index + 1).parse().unwrap();
        let peer = HttpPeer::new(address, false, String::new());
        Arc::new(Member { target: Arc::new(Target::new(address)), weight: *weight, peer })
    };
    Picker::new(weights.iter().enumerate().map(member).collect(), balance)
}

fn counts(picker: &Picker, picks: usize) -> HashMap<usize, usize> {
    let mut counts = HashMap::new();
    for n in 0..picks {
        let (place, _) = picker.pick(n as u64, &[]).unwrap();
        *counts.entry(place).or_default() += 1;
    }
    counts
}

#[test]
fn round_robin_spreads_a_heavy_target_over_the_round() {
    let picker = pool(&[3, 1], &Balance::RoundRobin);
    let round: Vec<_> = (0..4).map(|_| picker.pick(0, &[]).unwrap().0).collect();
    assert_eq!(round, [0, 0, 1, 0]);
}

#[test]
fn an_empty_pool_picks_nobody() {
    for balance in [Balance::RoundRobin, Balance::LeastConnections, Balance::RandomTwo, Balance::IpHash] {
        assert!(pool(&[], &balance).pick(7, &[]).is_none());
    }
}

#[test]
fn least_connections_prefers_the_idle() {
    let picker = pool(&[1, 1], &Balance::LeastConnections);
    let _busy = InFlight::new(picker.members()[0].target.clone());
    assert!((0..20).all(|_| picker.pick(0, &[]).unwrap().0 == 1));
}

#[test]
fn a_hashed_key_stays_where_it_is_when_another_target_goes() {
    let picker = pool(&[1; 10], &Balance::IpHash);
    let before: Vec<_> = (0..2_000).map(|key| picker.pick(key, &[]).unwrap().0).collect();
    picker.members()[3].target.set_healthy(false);
    let after: Vec<_> = (0..2_000).map(|key| picker.pick(key, &[]).unwrap().0).collect();
    assert!(before.iter().zip(&after).all(|(before, after)| before == after || *before == 3));
}

proptest! {
    #[test]
    fn round_robin_meets_the_weights_exactly_over_a_round(weights in prop::collection::vec(1_u32..20, 1..8)) {
        let picker = pool(&weights, &Balance::RoundRobin);
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
        let balance = [Balance::RoundRobin, Balance::LeastConnections, Balance::RandomTwo, Balance::IpHash][which].clone();
        let picker = pool(&vec![2; sick.len()], &balance);
        for (member, sick) in picker.members().iter().zip(&sick) {
            member.target.set_healthy(!sick);
        }
        let left = (0..sick.len()).any(|place| !sick[place] && !tried.contains(&place));
        match picker.pick(key, &tried) {
            Some((place, _)) => prop_assert!(!sick[place] && !tried.contains(&place)),
            None => prop_assert!(!left),
        }
    }

    #[test]
    fn random_and_hashed_picks_follow_the_weights(weights in prop::collection::vec(1_u32..6, 2..5), hashed in any::<bool>()) {
        let balance = if hashed { Balance::IpHash } else { Balance::RandomTwo };
        let picker = pool(&weights, &balance);
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
