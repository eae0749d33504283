//! Consistent hashing: little moves, nothing moves without need, and a hot key drowns nobody.

use proptest::prelude::*;

use super::*;

fn owners(picker: &Picker<()>, keys: u64) -> Vec<usize> {
    (0..keys).map(|key| picker.place(Instant::now(), mix(key), &[]).unwrap()).collect()
}

#[test]
fn a_hashed_key_stays_where_it_is_when_another_target_goes() {
    let picker = pool(&[1; 10], Algorithm::Hash);
    let before = owners(&picker, 5_000);
    bar(&picker, 3, true);
    let after = owners(&picker, 5_000);
    assert!(before.iter().zip(&after).all(|(before, after)| before == after || *before == 3));
    bar(&picker, 3, false);
    assert_eq!(owners(&picker, 5_000), before);
}

#[test]
fn the_keys_of_a_target_that_goes_are_shared_out_by_weight() {
    let picker = pool(&[1, 1, 2, 4], Algorithm::Hash);
    let before = owners(&picker, 40_000);
    bar(&picker, 3, true);
    let after = owners(&picker, 40_000);
    let mut counts = [0; 4];
    before.iter().zip(&after).filter(|(before, _)| **before == 3).for_each(|(_, after)| counts[*after] += 1);
    let got = shares(&counts);
    for (got, wanted) in got.iter().zip([0.25, 0.25, 0.5, 0.0]) {
        assert!((got - wanted).abs() < 0.02, "{got} for {wanted}");
    }
}

#[test]
fn a_hashed_key_goes_to_the_same_target_in_every_gateway_and_version() {
    // Written down, not computed: a change here moves every key of every fleet.
    let picker = pool(&[1; 5], Algorithm::Hash);
    let places: Vec<_> = (0..12).map(|key| picker.place(Instant::now(), mix(key), &[]).unwrap()).collect();
    assert_eq!(places, [2, 0, 3, 2, 2, 1, 3, 3, 3, 3, 2, 4]);
}

#[test]
fn the_order_of_the_targets_says_nothing() {
    let ledger = Ledger::new();
    let make = |places: &[usize]| {
        let members = places.iter().map(|place| member(&ledger, *place, 1, Group::default())).collect();
        Picker::new(&ledger, members, Algorithm::Hash.into())
    };
    let (one, two) = (make(&[0, 1, 2, 3, 4]), make(&[3, 0, 4, 2, 1]));
    for key in 0..1_000 {
        let at = |picker: &Picker<()>| picker.pick(Instant::now(), mix(key), &[]).unwrap().target.address;
        assert_eq!(at(&one), at(&two));
    }
}

#[test]
fn one_of_a_thousand_moves_few_keys_and_none_between_others() {
    let keys = 50_000;
    let all = pool(&[1; 1_000], Algorithm::Hash);
    let fewer = pool(&[1; 999], Algorithm::Hash);
    let moved = owners(&all, keys).iter().zip(owners(&fewer, keys)).filter(|(a, b)| *a != b).count();
    assert!(moved as f64 <= 1.5 * keys as f64 / 1_000.0, "{moved}");
}

#[test]
fn a_hot_key_stays_while_there_is_little_and_spreads_when_there_is_much() {
    let now = Instant::now();
    let picker = pool(&[1; 10], Algorithm::Hash);
    let mut held: Vec<(usize, InFlight)> = Vec::new();
    for n in 0..200 {
        let place = picker.place(now, mix(7), &[]).unwrap();
        assert!(n >= 8 || place == held.first().map_or(place, |(first, _)| *first), "few in flight move no key");
        held.push((place, hold(&picker, place, now)));
    }
    let busiest = (0..10).map(|place| held.iter().filter(|(at, _)| *at == place).count()).max().unwrap();
    assert!(busiest <= 25, "{busiest} of 200 at one of ten");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn one_that_comes_or_goes_moves_its_own_share_and_nothing_else(
        weights in prop::collection::vec(1_u32..4, 2..40),
        which in any::<prop::sample::Index>(),
    ) {
        let gone = which.index(weights.len());
        let ledger = Ledger::new();
        let make = |without: Option<usize>| {
            let places = (0..weights.len()).filter(|place| Some(*place) != without);
            let members = places.map(|place| member(&ledger, place, weights[place], Group::default())).collect();
            Picker::new(&ledger, members, Algorithm::Hash.into())
        };
        let (with, without) = (make(None), make(Some(gone)));
        let keys = 20_000_u64;
        let mut moved = 0;
        for key in 0..keys {
            let at = |picker: &Picker<()>| picker.pick(Instant::now(), mix(key), &[]).unwrap().target.address;
            let (before, after) = (at(&with), at(&without));
            if before != after {
                prop_assert_eq!(before, address(gone), "a key of a target that stayed has moved");
                moved += 1;
            }
        }
        let share = f64::from(weights[gone]) / f64::from(weights.iter().sum::<u32>());
        prop_assert!(f64::from(moved) <= 1.5 * share * keys as f64, "{moved} for a share of {share}");
    }

    #[test]
    fn no_target_has_more_than_its_bound_whatever_the_keys(
        weights in prop::collection::vec(1_u32..5, 2..20),
        keys in prop::collection::vec(0_u64..3, 1..300),
        out in prop::collection::vec(any::<bool>(), 0..4),
    ) {
        let now = Instant::now();
        let picker = pool(&weights, Algorithm::Hash);
        for place in (0..weights.len() - 1).filter(|place| out.get(*place) == Some(&true)) {
            bar(&picker, place, true);
        }
        let is_in = |place: usize| picker.members()[place].target.is_available();
        let total: u32 = (0..weights.len()).filter(|place| is_in(*place)).map(|place| weights[place]).sum();
        let mut held = Vec::new();
        let mut load = vec![0_u32; weights.len()];
        for key in keys {
            let place = picker.place(now, mix(key), &[]).unwrap();
            held.push(hold(&picker, place, now));
            load[place] += 1;
            let bound = (1.25 * held.len() as f64 * f64::from(weights[place]) / f64::from(total) - 1e-6).ceil();
            prop_assert!(f64::from(load[place]) <= bound.max(8.0), "{load:?} {weights:?}");
        }
    }
}
