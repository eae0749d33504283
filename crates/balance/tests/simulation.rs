//! What balancing by load is for, shown in virtual time: docs/load-balancing.md has the figures of the same scenarios.
#![expect(clippy::indexing_slicing, reason = "places that this file itself has made")]
#![expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "counts and seconds of one minute"
)]

#[path = "../examples/simulation/scenarios.rs"]
mod scenarios;
#[path = "../examples/simulation/world.rs"]
mod world;

use std::sync::LazyLock;
use std::time::Instant;

use portreeve_balance::Algorithm;
use scenarios::{AFTER, ALGORITHMS, JOINS, cold_start, one_slow, stalling};
use world::{Played, play, quantile};

/// Where the virtual time of all begins: what is played comes out the same each time.
static EPOCH: LazyLock<Instant> = LazyLock::new(Instant::now);

#[test]
fn with_one_slow_target_whoever_looks_beats_round_robin_at_the_99th_percentile() {
    let p99 = |algorithm| quantile(play(&one_slow(algorithm), *EPOCH).answered, 0.99);
    let [blind, least_connections, random_two, least_time] = ALGORITHMS.map(|(_, algorithm)| p99(algorithm));
    // Round robin sends the slow one an eighth, four times what it can do.
    assert!(blind > 1_000.0, "{blind}");
    for looking in [least_connections, random_two, least_time] {
        assert!(looking < blind / 5.0, "{looking} against {blind}");
    }
    assert!(least_time < random_two && least_time < least_connections, "{least_time} {random_two} {least_connections}");
}

#[test]
fn the_slow_target_gets_next_to_nothing_by_time_and_a_try_now_and_then() {
    let answered = play(&one_slow(Algorithm::LeastTime), *EPOCH).answered;
    let share = answered.iter().filter(|answered| answered.target == 7).count() as f64 / answered.len() as f64;
    assert!(share > 0.0 && share < 0.02, "{share}");
}

/// The worst 99th percentile of any second after the cold target has joined.
fn worst_second(algorithm: Algorithm, slow: bool) -> f64 {
    let answered = play(&cold_start(algorithm, slow), *EPOCH).answered;
    let of = |second: u64| answered.iter().filter(move |answered| answered.at.as_secs() == second).copied();
    (JOINS.as_secs()..JOINS.as_secs() + 30).map(|second| quantile(of(second), 0.99)).fold(0.0, f64::max)
}

#[test]
fn slow_start_keeps_a_cold_target_from_being_overrun() {
    let (at_once, slowly) = (worst_second(Algorithm::RoundRobin, false), worst_second(Algorithm::RoundRobin, true));
    assert!(slowly < at_once / 3.0, "{slowly} against {at_once}");
    // Who looks is overrun for a moment only: an idle target draws everything until it is as busy as the others.
    let (at_once, slowly) =
        (worst_second(Algorithm::LeastConnections, false), worst_second(Algorithm::LeastConnections, true));
    assert!(slowly < at_once, "{slowly} against {at_once}");
}

#[test]
fn asking_another_target_makes_up_for_those_that_stand_still_and_stays_in_its_budget() {
    for (name, algorithm) in ALGORITHMS {
        let [alone, early, late] = AFTER.map(|after| play(&stalling(algorithm, after), *EPOCH));
        let at = |played: &Played, share| quantile(played.answered.iter().copied(), share);
        assert!(at(&early, 0.99) < at(&alone, 0.99), "{name}");
        // Whoever draws two is hit by chance alone, and then the other one answers.
        if matches!(algorithm, Algorithm::RandomTwo | Algorithm::LeastTime) {
            let [alone, late] = [&alone, &late].map(|played| at(played, 0.999));
            assert!(late < alone / 2.0, "{name}: {late} against {alone}");
        }
        for played in [alone, early, late] {
            assert_eq!(played.answered.len(), played.asked, "{name}: each is answered once");
            let seconds = 120.0;
            let most = 0.05 * played.asked as f64 + 10.0 + seconds;
            assert!(played.hedged as f64 <= most, "{name}: {} of {most}", played.hedged);
        }
    }
}
