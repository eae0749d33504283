//! Ejections in a pool: who goes, for how long, and who must stay.

use super::*;

fn policy() -> Policy {
    Policy { outlier: Some(outlier()), ..Algorithm::RoundRobin.into() }
}

/// So many attempts there, each failed or not.
fn attempts(picker: &Picker<()>, place: usize, now: Instant, failed: bool, count: usize) -> Option<Ejection> {
    let outcome = if failed { Outcome::Failed } else { Outcome::Answered };
    (0..count).filter_map(|_| picker.report(&hold(picker, place, now), outcome, now)).last()
}

#[test]
fn failures_in_a_row_eject_for_a_while_and_time_alone_brings_back() {
    let now = Instant::now();
    let picker = pool(&[1; 3], policy());
    assert_eq!(attempts(&picker, 0, now, true, 2), None);
    attempts(&picker, 0, now, false, 1);
    assert_eq!(attempts(&picker, 0, now, true, 2), None);
    let ejection = attempts(&picker, 0, now, true, 1).unwrap();
    assert_eq!(ejection, Ejection { lasts: Duration::from_secs(30), cause: Cause::Consecutive(3) });
    assert_eq!(counts(&picker, now + Duration::from_secs(29), 60), [0, 30, 30]);
    assert_eq!(counts(&picker, now + Duration::from_secs(31), 60), [20, 20, 20]);
    // Since when it is out, and then since when it is back.
    let turned = |place: usize, after| picker.members()[place].seat.turned(now + Duration::from_secs(after));
    assert_eq!([turned(0, 29), turned(0, 31)], [29, 1].map(|ago| Some(Duration::from_secs(ago))));
    assert_eq!(turned(1, 31), None);
    let later = now + Duration::from_secs(32);
    assert_eq!(attempts(&picker, 0, later, true, 3).unwrap().lasts, Duration::from_mins(1));
}

#[test]
fn no_more_are_ejected_than_the_share_says_and_never_the_last_one() {
    let now = Instant::now();
    let picker = pool(&[1; 4], policy());
    for place in 0..4 {
        let ejected = attempts(&picker, place, now, true, 20).is_some();
        assert_eq!(ejected, place < 2, "{place}");
    }
    let picker = pool(&[1; 2], policy());
    bar(&picker, 1, true);
    assert_eq!(attempts(&picker, 0, now, true, 20), None, "the only one that its checks leave");
    assert_eq!(attempts(&pool(&[1], policy()), 0, now, true, 20), None);
}

#[test]
fn a_target_that_fails_far_more_than_the_others_is_ejected() {
    let now = Instant::now();
    let picker = pool(&[1; 3], policy());
    attempts(&picker, 1, now, false, 20);
    // Never three in a row, yet two of three.
    let mut ejection = None;
    for _ in 0..10 {
        ejection = attempts(&picker, 0, now, true, 2).or(ejection);
        attempts(&picker, 0, now, false, 1);
    }
    assert_eq!(ejection.map(|ejection| ejection.cause), Some(Cause::Rate));
}

#[test]
fn nobody_is_ejected_by_rate_when_the_whole_pool_fails_alike() {
    let now = Instant::now();
    let picker = pool(&[1; 3], policy());
    for _ in 0..40 {
        for place in 0..3 {
            assert_eq!(attempts(&picker, place, now, true, 2), None);
            assert_eq!(attempts(&picker, place, now, false, 1), None);
        }
    }
}

#[test]
fn ejections_outlive_the_picker_and_end_with_the_setting() {
    let now = Instant::now();
    let picker = pool(&[1; 2], policy());
    attempts(&picker, 0, now, true, 3).unwrap();
    let next = Picker::new(&picker.ledger, picker.members().to_vec(), policy());
    assert_eq!(counts(&next, now, 20), [0, 20]);
    let without = Picker::new(&picker.ledger, picker.members().to_vec(), Algorithm::RoundRobin.into());
    assert_eq!(counts(&without, now, 20), [10, 10]);
    assert_eq!(attempts(&without, 0, now, true, 20), None);
}

#[test]
fn who_comes_back_from_an_ejection_rises_slowly() {
    let now = Instant::now();
    let picker = pool(&[1; 2], Policy { slow_start: Some(Duration::from_secs(10)), ..policy() });
    counts(&picker, now, 2);
    let warm = now + Duration::from_secs(20);
    attempts(&picker, 0, warm, true, 3).unwrap();
    counts(&picker, warm, 2);
    let back = warm + Duration::from_secs(30);
    counts(&picker, back, 1);
    let share = shares(&counts(&picker, back + Duration::from_secs(1), 4_000))[0];
    assert!((share - 0.1 / 1.1).abs() < 0.03, "{share}");
}
