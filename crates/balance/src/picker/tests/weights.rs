//! Weights are met by every algorithm; the busy and the slow are avoided; who is new rises.

use proptest::prelude::*;

use super::*;

/// What independent draws may be off by, of 20,000: five deviations of the worst share.
const OFF: f64 = 0.018;

#[test]
fn least_connections_prefers_the_idle_for_its_weight() {
    let now = Instant::now();
    for size in [2, 3, 40] {
        let picker = pool(&vec![1; size], Algorithm::LeastConnections);
        let _busy = hold(&picker, 0, now);
        let counts = counts(&picker, now, 400);
        // Of many, two are looked at: the busy one is picked only if it is both, which cannot be.
        assert_eq!(counts[0], 0, "{size}");
    }
    let picker = pool(&[3, 1], Algorithm::LeastConnections);
    let held: Vec<_> = (0..40)
        .map(|_| {
            let place = picker.place(now, 0, &[]).unwrap();
            (place, hold(&picker, place, now))
        })
        .collect();
    let heavy = held.iter().filter(|(place, _)| *place == 0).count();
    assert!((29..=31).contains(&heavy), "{heavy} of 40 are at the one with three quarters of the weight");
}

#[test]
fn least_time_gives_each_unknown_one_a_try_and_then_prefers_the_fast() {
    let begun = Instant::now();
    let picker = pool(&[1; 3], Algorithm::LeastTime);
    let time = [5, 50, 5];
    let mut counts = [0; 3];
    for n in 0..600 {
        let now = begun + Duration::from_millis(n * 60);
        let place = picker.place(now, 0, &[]).unwrap();
        let attempt = hold(&picker, place, now);
        picker.report(&attempt, Outcome::Answered, now + Duration::from_millis(time[place]));
        counts[place] += 1;
    }
    assert!(counts.iter().all(|count| *count > 0), "{counts:?}");
    assert!(counts[1] < 20, "the slow one is asked now and then only: {counts:?}");
}

#[test]
fn least_time_does_not_take_fast_failures_for_speed() {
    let begun = Instant::now();
    let picker = pool(&[1, 1], Algorithm::LeastTime);
    let mut counts = [0; 2];
    for n in 0..600 {
        let now = begun + Duration::from_millis(n * 20);
        let place = picker.place(now, 0, &[]).unwrap();
        let attempt = hold(&picker, place, now);
        let (outcome, micros) = if place == 0 { (Outcome::Failed, 50) } else { (Outcome::Answered, 10_000) };
        picker.report(&attempt, outcome, now + Duration::from_micros(micros));
        counts[place] += 1;
    }
    assert!(counts[0] < 10, "{counts:?}");
}

#[test]
fn least_time_sends_no_flood_to_an_unknown_target() {
    let now = Instant::now();
    let picker = pool(&[1; 2], Algorithm::LeastTime);
    let known = hold(&picker, 0, now);
    picker.report(&known, Outcome::Answered, now + Duration::from_millis(10));
    drop(known);
    let later = now + Duration::from_millis(20);
    let mut held = Vec::new();
    for _ in 0..20 {
        let place = picker.place(later, 0, &[]).unwrap();
        held.push((place, hold(&picker, place, later)));
    }
    let unknown = held.iter().filter(|(place, _)| *place == 1).count();
    assert!((9..=11).contains(&unknown), "{unknown} of 20");
}

#[test]
fn a_target_that_comes_late_rises_to_its_share_under_every_algorithm() {
    let begun = Instant::now();
    let over = Duration::from_secs(30);
    for algorithm in ALL {
        let policy = Policy { slow_start: Some(over), ..algorithm.into() };
        let picker = pool(&[1; 4], policy);
        // At the beginning all are new, and so nobody is.
        bar(&picker, 3, true);
        let first = shares(&counts(&picker, begun, 3_000));
        assert!(first[..3].iter().all(|share| (share - 0.333).abs() < 0.05), "{algorithm:?}: {first:?}");
        let risen = begun + over;
        counts(&picker, risen, 10);
        bar(&picker, 3, false);
        counts(&picker, risen, 1);
        let mut before = 0.0;
        // Its weight rises from a tenth: w / (3 + w) of the requests.
        for (second, weight) in [(1, 0.1), (9, 0.3), (15, 0.5), (24, 0.8), (31, 1.0)] {
            let share = shares(&counts(&picker, risen + Duration::from_secs(second), 20_000))[3];
            let exact: f64 = weight / (3.0 + weight);
            assert!((share - exact).abs() < 0.03, "{algorithm:?} after {second} s: {share} for {exact}");
            assert!(share > before - 0.01);
            before = share;
        }
    }
}

#[test]
fn a_target_that_rises_is_picked_when_nobody_else_is_there() {
    let begun = Instant::now();
    for algorithm in ALL {
        let picker = pool(&[1; 2], Policy { slow_start: Some(Duration::from_mins(1)), ..algorithm.into() });
        bar(&picker, 1, true);
        counts(&picker, begun, 1);
        let later = begun + Duration::from_mins(2);
        bar(&picker, 1, false);
        counts(&picker, later, 1);
        bar(&picker, 0, true);
        assert_eq!(counts(&picker, later, 100), [0, 100], "{algorithm:?}");
        // And when the others were tried.
        bar(&picker, 0, false);
        assert!((0..100).all(|key| picker.place(later, mix(key), &[address(0)]) == Some(1)), "{algorithm:?}");
    }
}

/// One idle pool for all: what 20,000 picks come to, with some of the targets out.
fn idle_shares(algorithm: Algorithm, weights: &[u32], out: &[bool]) -> (Vec<f64>, Vec<f64>) {
    let picker = pool(weights, algorithm);
    let is_in = |place: usize| !out.get(place).copied().unwrap_or(false);
    (0..weights.len()).filter(|place| !is_in(*place)).for_each(|place| bar(&picker, place, true));
    let weights = weights.iter().enumerate().map(|(place, weight)| if is_in(place) { *weight } else { 0 });
    let weights: Vec<_> = weights.map(f64::from).collect();
    let total: f64 = weights.iter().sum();
    let wanted = weights.iter().map(|weight| weight / total).collect();
    let got = if total > 0.0 { shares(&counts(&picker, Instant::now(), 20_000)) } else { Vec::new() };
    (got, wanted)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn every_algorithm_meets_the_weights_of_whoever_is_there(
        weights in prop::collection::vec(1_u32..8, 2..9),
        out in prop::collection::vec(any::<bool>(), 0..6),
        which in 0_usize..5,
    ) {
        let (got, wanted) = idle_shares(ALL[which], &weights, &out);
        for (got, wanted) in got.iter().zip(&wanted) {
            prop_assert!((got - wanted).abs() < OFF, "{:?} {weights:?}: {got} for {wanted}", ALL[which]);
        }
    }
}

proptest! {
    #[test]
    fn round_robin_meets_the_weights_exactly_over_a_round(weights in prop::collection::vec(1_u32..20, 1..8)) {
        let picker = pool(&weights, Algorithm::RoundRobin);
        let total: u32 = weights.iter().sum();
        let counts = counts(&picker, Instant::now(), total as usize);
        for (count, weight) in counts.iter().zip(&weights) {
            prop_assert_eq!(*count, *weight as usize);
        }
    }

    #[test]
    fn round_robin_is_smooth(weights in prop::collection::vec(1_u32..20, 1..8), length in 1_usize..60) {
        let picker = pool(&weights, Algorithm::RoundRobin);
        let total: u32 = weights.iter().sum();
        let counts = counts(&picker, Instant::now(), length);
        for (count, weight) in counts.iter().zip(&weights) {
            let share = f64::from(*weight) / f64::from(total);
            let bound = 1.0 + share * weights.len() as f64;
            prop_assert!((*count as f64 - share * length as f64).abs() <= bound, "{weights:?}: {counts:?}");
        }
    }

    #[test]
    fn a_new_picker_and_a_flapping_target_do_not_begin_the_round_again(flaps in 1_usize..40) {
        let picker = pool(&[1; 4], Algorithm::RoundRobin);
        let mut counts = [0_usize; 4];
        for n in 0..400 {
            if n % flaps == 0 {
                bar(&picker, 3, n % (2 * flaps) == 0);
            }
            counts[picker.place(Instant::now(), 0, &[]).unwrap()] += 1;
        }
        let (least, most) = (counts[..3].iter().min().unwrap(), counts[..3].iter().max().unwrap());
        // Each flap changes the length of the round, by which one may miss a turn.
        prop_assert!(most - least <= 2 + 400 / flaps, "{counts:?}");
    }
}
