//! Groups: who is asked first, when the next helps out, and who is used when nobody seems well.

use super::*;

const AWAY: Group = Group { priority: 0, zone: 1 };

/// Whether the picks fall so, within six deviations.
fn falls(picker: &Picker<()>, now: Instant, wanted: &[f64]) {
    let got = shares(&counts(picker, now, 8_000));
    assert!(got.iter().zip(wanted).all(|(got, wanted)| (got - wanted).abs() < 0.034), "{got:?} for {wanted:?}");
}

#[test]
fn a_standby_gets_nothing_until_the_first_group_is_weak_and_all_when_it_is_gone() {
    let now = Instant::now();
    for algorithm in ALL {
        let members = [(1, priority(0)), (1, priority(0)), (1, priority(1))];
        let picker = grouped(&members, algorithm);
        assert_eq!(counts(&picker, now, 500)[2], 0, "{algorithm:?}");
        bar(&picker, 0, true);
        // Half of the first group is there; at 70% it would take all: five sevenths.
        let standby = shares(&counts(&picker, now, 8_000))[2];
        assert!((standby - 2.0 / 7.0).abs() < 0.03, "{algorithm:?}: {standby}");
        bar(&picker, 1, true);
        assert_eq!(counts(&picker, now, 500), [0, 0, 500], "{algorithm:?}");
        bar(&picker, 0, false);
        bar(&picker, 1, false);
        assert_eq!(counts(&picker, now, 500)[2], 0, "{algorithm:?}");
    }
}

#[test]
fn targets_of_one_priority_are_all_active() {
    let picker = grouped(&[(1, priority(3)), (1, priority(3))], Algorithm::RoundRobin);
    assert_eq!(counts(&picker, Instant::now(), 100), [50, 50]);
}

#[test]
fn the_own_zone_goes_first_then_the_other_zones_then_the_next_priority() {
    let now = Instant::now();
    let standby = Group { priority: 1, zone: 0 };
    let picker = grouped(&[(1, Group::default()), (1, AWAY), (1, AWAY), (1, standby)], Algorithm::RandomTwo);
    assert_eq!(counts(&picker, now, 100), [100, 0, 0, 0]);
    bar(&picker, 0, true);
    falls(&picker, now, &[0.0, 0.5, 0.5, 0.0]);
    bar(&picker, 1, true);
    falls(&picker, now, &[0.0, 0.0, 5.0 / 7.0, 2.0 / 7.0]);
}

#[test]
fn who_was_tried_in_the_first_group_is_followed_by_the_next() {
    let now = Instant::now();
    for algorithm in ALL {
        let picker = grouped(&[(1, priority(0)), (1, priority(1))], algorithm);
        assert_eq!(picker.place(now, 1, &[address(0)]), Some(1), "{algorithm:?}");
        assert_eq!(picker.place(now, 1, &[address(0), address(1)]), None);
    }
}

#[test]
fn a_hashed_key_does_not_wander_between_groups() {
    let now = Instant::now();
    let picker = grouped(&[(1, priority(0)), (1, priority(0)), (1, priority(1))], Algorithm::Hash);
    bar(&picker, 0, true);
    for key in 0..200 {
        let first = picker.place(now, mix(key), &[]);
        assert!((0..5).all(|_| picker.place(now, mix(key), &[]) == first));
    }
}

#[test]
fn a_new_target_that_no_check_has_passed_gets_nothing_and_is_not_missed() {
    let now = Instant::now();
    let picker = grouped(&[(1, priority(0)), (1, priority(0)), (1, priority(1))], Algorithm::RoundRobin);
    picker.members()[0].target.bar(Bar::Unproven, true);
    assert_eq!(counts(&picker, now, 100), [0, 100, 0]);
}

#[test]
fn in_a_panic_checks_are_disbelieved() {
    let now = Instant::now();
    let failover = Failover { panic_below: 0.5, ..Failover::default() };
    for algorithm in ALL {
        let picker = pool(&[1; 3], Policy { failover, ..algorithm.into() });
        bar(&picker, 0, true);
        assert_eq!(counts(&picker, now, 300)[0], 0, "two of three are there: {algorithm:?}");
        bar(&picker, 1, true);
        let counts = counts(&picker, now, 900);
        assert!(counts.iter().all(|count| *count > 200), "{algorithm:?}: {counts:?}");
        bar(&picker, 2, true);
        assert!(picker.place(now, 1, &[address(0), address(1)]) == Some(2), "{algorithm:?}");
    }
}

#[test]
fn those_serve_who_can_be_picked_of_the_groups_that_have_a_part() {
    let now = Instant::now();
    let members = [0, 0, 0, 0, 1, 1].map(|group| (1, priority(group)));
    let outlier = Outlier { consecutive_failures: 1, ..outlier() };
    let picker = grouped(&members, Policy { outlier: Some(outlier), ..Algorithm::RoundRobin.into() });
    assert_eq!(picker.serving(now), 4);
    // Three of four are enough for all requests.
    let held = hold(&picker, 0, now);
    assert!(picker.report(&held, Outcome::Failed, now).is_some());
    assert_eq!(picker.serving(now), 3);
    assert_eq!(picker.serving(now + Duration::from_mins(10)), 4);
    // Now the others get a part.
    bar(&picker, 0, true);
    bar(&picker, 1, true);
    assert_eq!(picker.serving(now), 2 + 2);
    bar(&picker, 2, true);
    bar(&picker, 3, true);
    assert_eq!(picker.serving(now), 2);
    (4..6).for_each(|place| bar(&picker, place, true));
    assert_eq!(picker.serving(now), 0);
}

#[test]
fn without_a_threshold_nobody_panics() {
    let picker = pool(&[1; 2], Algorithm::RoundRobin);
    bar(&picker, 0, true);
    bar(&picker, 1, true);
    assert_eq!(picker.place(Instant::now(), 0, &[]), None);
}
