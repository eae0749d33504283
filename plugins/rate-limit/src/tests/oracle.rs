//! The meters against a log that keeps everything and counts anew for each request, and against `governor`.

use std::num::NonZeroU32;

use governor::clock::FakeRelativeClock;
use governor::{Quota, RateLimiter};
use portreeve_plugin::{Allowance, Spread};
use proptest::prelude::*;

use super::*;
use crate::account::Account;
use crate::meter::{Limit as Compiled, Moment, Standing, Wait, compile_all};

/// When how much was admitted, for ever.
#[derive(Default)]
struct Everything(Vec<(u64, u64)>);

impl Everything {
    fn within(&self, span: u64, now: u64) -> u64 {
        self.0.iter().rev().take_while(|(at, _)| at + span > now).map(|(_, n)| n).sum()
    }

    fn has_room(&self, rate: units::Rate, now: u64, cost: u64) -> bool {
        self.within(nanos(rate.per), now) + cost <= u64::from(rate.count.get())
    }

    /// The smallest wait after which there is room.
    fn wait(&self, rate: units::Rate, now: u64, cost: u64) -> u64 {
        let moments = self.0.iter().map(|(at, _)| at + nanos(rate.per)).filter(|at| *at > now);
        moments.filter(|at| self.has_room(rate, *at, cost)).min().unwrap_or(now) - now
    }
}

fn nanos(span: Duration) -> u64 {
    u64::try_from(span.as_nanos()).unwrap()
}

fn rate(count: u32, seconds: u64) -> units::Rate {
    units::Rate { count: NonZeroU32::new(count).unwrap(), per: Duration::from_secs(seconds) }
}

fn rates(rates: &[units::Rate]) -> Box<[Compiled]> {
    compile_all([&Allowance { rates: rates.to_vec(), ..Allowance::default() }]).unwrap()
}

fn bucket(rate: units::Rate, burst: u32) -> Box<[Compiled]> {
    let spread = Spread::Burst(NonZeroU32::new(burst).unwrap());
    compile_all([&Allowance { rates: vec![rate], spread, quotas: Vec::new() }]).unwrap()
}

fn at(mono: u64) -> Moment {
    Moment { mono, wall: 1_700_000_000 * SPAN + mono }
}

const SPAN: u64 = 1_000_000_000;

/// Steps of time that like to stand exactly on the edges of a second.
fn step() -> impl Strategy<Value = u64> {
    prop_oneof![Just(0_u64), 1..SPAN / 8, Just(SPAN - 1), Just(SPAN), Just(SPAN + 1)]
}

proptest! {
    #[test]
    fn a_window_decides_as_one_that_forgets_nothing(
        counts in prop::collection::vec(1_u32..12, 1..4),
        steps in prop::collection::vec((step(), 0_u64..4), 1..200),
    ) {
        let limits: Vec<_> = counts.iter().map(|count| (rate(*count, 1), rates(&[rate(*count, 1)]))).collect();
        let (mut account, mut everything, mut now) = (Account::default(), Everything::default(), 0);
        for (index, (step, cost)) in steps.iter().enumerate() {
            now += step;
            // Now and then a reload changes the count.
            let (rate, limits) = &limits[index / 60 % limits.len()];
            let count = u64::from(rate.count.get());
            let decision = account.decide(limits, *cost, at(now));
            if everything.has_room(*rate, now, *cost) {
                prop_assert_eq!(decision.verdict, Ok(()));
                everything.0.push((now, *cost));
            } else if *cost > count {
                prop_assert_eq!(decision.verdict.unwrap_err().wait, Wait::Forever);
            } else {
                prop_assert_eq!(decision.verdict.unwrap_err().wait, Wait::For(everything.wait(*rate, now, *cost)));
            }
            let left = count.saturating_sub(everything.within(SPAN, now));
            let oldest = everything.0.iter().find(|(at, n)| *n > 0 && at + SPAN > now);
            let more_in = oldest.map_or(0, |(at, _)| at + SPAN - now);
            prop_assert_eq!(decision.standings[0], Standing { remaining: left, more_in });
        }
        let last = everything.0.iter().filter(|(_, n)| *n > 0).map(|(at, _)| at + SPAN).max().unwrap_or(0);
        prop_assert!(account.idle_at() == last || account.idle_at() == 0 && last <= now);
    }

    #[test]
    fn several_windows_admit_what_all_have_room_for_and_a_refusal_counts_in_none(
        short in 1_u32..8,
        long in 1_u32..40,
        steps in prop::collection::vec((step(), 1_u64..3), 1..200),
    ) {
        let both = [rate(short, 1), rate(long, 60)];
        let limits = rates(&both);
        let (mut account, mut everything, mut now) = (Account::default(), Everything::default(), 0);
        for (step, cost) in steps {
            now += step;
            let decision = account.decide(&limits, cost, at(now));
            let fits = both.iter().all(|rate| everything.has_room(*rate, now, cost));
            prop_assert_eq!(decision.verdict.is_ok(), fits);
            if fits {
                everything.0.push((now, cost));
            }
            for (rate, standing) in both.iter().zip(&decision.standings) {
                let used = everything.within(nanos(rate.per), now);
                prop_assert_eq!(standing.remaining, u64::from(rate.count.get()) - used);
            }
        }
    }

    #[test]
    fn a_bucket_decides_as_governor_does(
        count in 1_u32..50,
        burst in 1_u32..12,
        steps in prop::collection::vec((step(), 1_u32..4), 1..200),
    ) {
        let rate = rate(count, 1);
        let limits = bucket(rate, burst);
        let interval = Duration::from_nanos(SPAN.div_ceil(u64::from(count)));
        let quota = Quota::with_period(interval).unwrap().allow_burst(NonZeroU32::new(burst).unwrap());
        let clock = FakeRelativeClock::default();
        let governor = RateLimiter::direct_with_clock(quota, clock.clone());
        let (mut account, mut now) = (Account::default(), 0);
        for (step, cost) in steps {
            now += step;
            clock.advance(Duration::from_nanos(step));
            let theirs = governor.check_n(NonZeroU32::new(cost).unwrap());
            let ours = account.decide(&limits, u64::from(cost), at(now)).verdict.map_err(|refusal| refusal.wait);
            match theirs {
                Ok(Ok(())) => prop_assert_eq!(ours, Ok(())),
                Ok(Err(refused)) => {
                    let wait = refused.wait_time_from(governor::clock::Clock::now(&clock));
                    prop_assert_eq!(ours, Err(Wait::For(nanos(wait))));
                }
                Err(_) => prop_assert_eq!(ours, Err(Wait::Forever)),
            }
        }
    }

    #[test]
    fn what_is_charged_afterwards_is_waited_for(
        count in 1_u32..6,
        charges in prop::collection::vec((0..SPAN, 0_u64..20), 1..20),
    ) {
        let one = rate(count, 1);
        for limits in [rates(&[one]), bucket(one, count)] {
            let (mut account, mut everything, mut now) = (Account::default(), Everything::default(), 0);
            for (step, charge) in &charges {
                now += step;
                if account.decide(&limits, 1, at(now)).verdict.is_ok() {
                    let used = everything.within(SPAN, now);
                    prop_assert!(matches!(limits[0], Compiled::Bucket(_)) || used < u64::from(count));
                    account.take(&limits, *charge, at(now));
                    everything.0.push((now, 1 + charge));
                }
            }
            // However far below zero: by and by all of it is back.
            let idle = account.idle_at().max(now);
            prop_assert!(account.decide(&limits, u64::from(count), at(idle)).verdict.is_ok());
        }
    }

    #[test]
    fn going_from_one_kind_of_limit_to_another_never_gives_out_a_limit_twice(
        steps in prop::collection::vec((0..SPAN / 2, 0_usize..3), 1..120),
    ) {
        let (short, long) = (rate(4, 1), rate(10, 60));
        let sets = [rates(&[short]), rates(&[long]), rates(&[short, long])];
        let spans: [&[units::Rate]; 3] = [&[short], &[long], &[short, long]];
        let (mut account, mut everything, mut now) = (Account::default(), Everything::default(), 0);
        let mut long_since = None;
        for (step, set) in steps {
            now += step;
            let is_long = spans[set].contains(&long);
            // A long window knows what came before it only as far as a shorter one remembers.
            let since = is_long.then(|| *long_since.get_or_insert(now));
            if account.decide(&sets[set], 1, at(now)).verdict.is_ok() {
                let counted = |span: u64, since: u64| everything.0.iter().filter(|(at, _)| at + span > now && *at >= since).count();
                prop_assert!(!spans[set].contains(&short) || counted(SPAN, 0) < 4);
                prop_assert!(since.is_none_or(|since| counted(60 * SPAN, since) < 10));
                everything.0.push((now, 1));
            }
        }
    }
}

proptest! {
    // Each of these makes thousands of decisions.
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn whoever_waits_as_long_as_told_is_admitted_and_would_not_have_been_a_moment_before(
        count in prop_oneof![1_u32..8, 1025_u32..1030],
        is_smooth in any::<bool>(),
        bursts in prop::collection::vec((0..SPAN, 1_usize..1100, 1_u64..3), 1..8),
    ) {
        let quota = units::Quota::calendar("5000/h".parse().unwrap());
        let window = Allowance { rates: vec![rate(count, 1)], ..Allowance::default() };
        let spread = if is_smooth { Spread::Smooth } else { Spread::Burst(NonZeroU32::new(3).unwrap()) };
        let other = Allowance { rates: vec![rate(20, 60)], spread, quotas: vec![quota] };
        let limits = compile_all([&window, &other]).unwrap();
        let (mut account, mut now) = (Account::default(), 0);
        for (step, burst, cost) in bursts {
            now += step;
            for _ in 0..burst {
                match account.decide(&limits, cost, at(now)).verdict.map_err(|refusal| refusal.wait) {
                    Ok(()) => {}
                    Err(Wait::Forever) => prop_assert!(cost > u64::from(count)),
                    Err(Wait::For(wait)) => {
                        now += wait - 1;
                        prop_assert!(account.decide(&limits, cost, at(now)).verdict.is_err());
                        now += 1;
                        prop_assert!(account.decide(&limits, cost, at(now)).verdict.is_ok());
                    }
                }
            }
        }
    }

    #[test]
    fn a_large_window_never_admits_too_many_and_frees_a_place_late_by_one_slot_at_most(
        count in 1025_u32..1100,
        steps in prop::collection::vec((0..SPAN / 3, 1_usize..900), 1..12),
    ) {
        let limits = rates(&[rate(count, 1)]);
        let (mut account, mut everything, mut now) = (Account::default(), Everything::default(), 0);
        for (step, burst) in steps {
            now += step;
            for _ in 0..burst {
                match account.decide(&limits, 1, at(now)).verdict {
                    Ok(()) => {
                        prop_assert!(everything.within(SPAN, now) < u64::from(count));
                        everything.0.push((now, 1));
                    }
                    Err(refusal) => {
                        prop_assert!(everything.within(SPAN + SPAN / 1024, now) >= u64::from(count));
                        let Wait::For(wait) = refusal.wait else { panic!("a cost of one fits") };
                        prop_assert!(wait > 0 && wait <= SPAN + SPAN / 1024);
                    }
                }
            }
        }
    }
}

#[test]
fn a_calendar_begins_anew_at_midnight_where_it_is_said_to() {
    let zone: units::TimeZone = "Europe/Zurich".parse().unwrap();
    let quota =
        |of: &str| units::Quota { time_zone: Some(zone.clone()), ..units::Quota::calendar(of.parse().unwrap()) };
    let wall = |text: &str| u64::try_from(text.parse::<jiff::Zoned>().unwrap().timestamp().as_nanosecond()).unwrap();
    for (of, used, wait, free) in [
        // The day the clocks go forward has 23 hours, the one on which they go back has 25.
        ("1/day", "2026-03-29T00:00:00+01:00[Europe/Zurich]", 23 * 3600, "2026-03-30T00:00:00+02:00[Europe/Zurich]"),
        ("1/day", "2026-10-25T00:00:00+02:00[Europe/Zurich]", 25 * 3600, "2026-10-26T00:00:00+01:00[Europe/Zurich]"),
        ("1/week", "2026-11-22T23:59:59+01:00[Europe/Zurich]", 1, "2026-11-23T00:00:00+01:00[Europe/Zurich]"),
        ("1/month", "2028-02-29T23:00:00+01:00[Europe/Zurich]", 3600, "2028-03-01T00:00:00+01:00[Europe/Zurich]"),
        ("1/h", "2026-11-22T10:30:00+01:00[Europe/Zurich]", 1800, "2026-11-22T11:00:00+01:00[Europe/Zurich]"),
    ] {
        let limits = compile_all([&Allowance { quotas: vec![quota(of)], ..Allowance::default() }]).unwrap();
        let mut account = Account::default();
        let first = Moment { mono: 0, wall: wall(used) };
        assert!(account.decide(&limits, 1, first).verdict.is_ok());
        assert_eq!(
            account.decide(&limits, 1, first).verdict.unwrap_err().wait,
            Wait::For(wait * SPAN),
            "{of} at {used}"
        );
        let then = Moment { mono: wait * SPAN, wall: wall(free) };
        assert!(account.decide(&limits, 1, then).verdict.is_ok(), "{of} at {free}");
        // A clock that is set back does not bring the old day back.
        assert!(account.decide(&limits, 1, Moment { mono: wait * SPAN + 1, ..first }).verdict.is_err());
    }
}

#[test]
fn a_quota_knows_what_a_window_saw_of_its_period() {
    let window = rates(&[rate(100, 3600)]);
    let mut account = Account::default();
    for _ in 0..7 {
        assert!(account.decide(&window, 1, at(0)).verdict.is_ok());
    }
    let quota = units::Quota::calendar("10/day".parse().unwrap());
    let day = compile_all([&Allowance { quotas: vec![quota], ..Allowance::default() }]).unwrap();
    assert_eq!(account.decide(&day, 1, at(SPAN)).standings[0].remaining, 2);
    // And a bucket has as many tokens less.
    assert_eq!(account.decide(&bucket(rate(1, 3600), 20), 1, at(SPAN)).standings[0].remaining, 11);
}

/// Used that many times as of a moment, and then as many left of each limit.
fn left(account: &mut Account, limits: &[Compiled], times: u64, at: Moment) -> Vec<u64> {
    for _ in 0..times {
        assert!(account.decide(limits, 1, at).verdict.is_ok());
    }
    account.look(limits, 1, at).standings.iter().map(|standing| standing.remaining).collect()
}

fn day(of: &str) -> Box<[Compiled]> {
    let quotas = vec![units::Quota::calendar(of.parse().unwrap())];
    compile_all([&Allowance { quotas, ..Allowance::default() }]).unwrap()
}

#[test]
fn what_is_charged_counts_also_for_a_key_that_was_forgotten_meanwhile() {
    let limits = rates(&[rate(10, 1)]);
    let mut account = Account::default();
    assert_eq!(account.take(&limits, 8, at(0))[0].remaining, 2);
    assert_eq!(left(&mut account, &limits, 2, at(1)), [0]);
}

#[test]
fn a_key_is_idle_when_the_last_of_its_limits_is() {
    let mut account = Account::default();
    left(&mut account, &rates(&[rate(10, 1), rate(10, 60)]), 1, at(0));
    assert_eq!(account.idle_at(), 60 * SPAN);
}

#[test]
fn a_limit_that_a_reload_left_behind_counts_until_its_time_has_passed_since_it_was_asked_for() {
    let (short, other) = (rates(&[rate(5, 60)]), day("100/day"));
    let mut account = Account::default();
    left(&mut account, &short, 1, at(0));
    left(&mut account, &short, 3, at(50 * SPAN));
    assert_eq!(left(&mut account, &other, 1, at(70 * SPAN)), [95]);
    // Taken back: three of the second minute, and the one that the other limit let through.
    assert_eq!(left(&mut account, &short, 1, at(80 * SPAN)), [0]);
}

#[test]
fn a_limit_that_nobody_asks_for_any_more_goes_when_it_would_be_idle() {
    let (hour, slow) = (rates(&[rate(5, 3600)]), bucket(rate(1, 60), 10));
    for before in [&hour, &slow] {
        let (second, then) = (rates(&[rate(5, 1)]), 2 * 3600 * SPAN);
        let mut account = Account::default();
        left(&mut account, before, 1, at(0));
        left(&mut account, &second, 1, at(then));
        assert_eq!(account.idle_at(), then + SPAN);
    }
}

#[test]
fn of_several_limits_that_go_on_each_counts_a_request_once() {
    let (short, long, other) = (rate(5, 1), rate(9, 60), rate(20, 3600));
    let mut account = Account::default();
    left(&mut account, &rates(&[short, long, other]), 1, at(0));
    assert_eq!(left(&mut account, &rates(&[short, long]), 1, at(1)), [3, 7]);
    assert_eq!(left(&mut account, &rates(&[short, long, other]), 1, at(2)), [2, 6, 17]);
}

#[test]
fn a_new_limit_learns_from_the_longest_window_and_a_window_from_what_a_bucket_misses() {
    let mut account = Account::default();
    for second in 0..5 {
        left(&mut account, &rates(&[rate(10, 1), rate(100, 60)]), 1, at(second * SPAN));
    }
    assert_eq!(left(&mut account, &rates(&[rate(20, 3600)]), 0, at(5 * SPAN)), [15]);
    // Of several buckets the one that misses most.
    let several = compile_all([
        &Allowance { rates: vec![rate(1, 3600)], spread: Spread::Burst(NonZeroU32::new(9).unwrap()), quotas: vec![] },
        &Allowance { rates: vec![rate(1000, 1)], spread: Spread::Burst(NonZeroU32::new(9).unwrap()), quotas: vec![] },
    ]);
    let mut account = Account::default();
    left(&mut account, &several.unwrap(), 4, at(0));
    assert_eq!(left(&mut account, &rates(&[rate(10, 60)]), 0, at(SPAN)), [6]);
    // A quota is counted by the calendar alone, which says nothing of the last minute.
    let mut account = Account::default();
    left(&mut account, &day("10/day"), 1, at(0));
    assert_eq!(left(&mut account, &rates(&[rate(10, 60)]), 0, at(SPAN)), [10]);
}

#[test]
fn a_quota_learns_from_a_window_only_what_was_used_since_its_period_began() {
    let midnight = 1_700_006_400 * SPAN;
    let moment = |seconds: u64| Moment { mono: seconds * SPAN, wall: midnight + seconds * SPAN - 1000 * SPAN };
    let hour = rates(&[rate(20, 3600)]);
    let mut account = Account::default();
    left(&mut account, &hour, 3, moment(0));
    left(&mut account, &hour, 4, moment(1000));
    left(&mut account, &hour, 1, moment(1600));
    assert_eq!(left(&mut account, &day("10/day"), 0, moment(2000)), [5]);
}

#[test]
fn up_to_1024_a_window_is_exact_to_the_nanosecond() {
    let limits = rates(&[rate(1024, 1)]);
    let mut account = Account::default();
    assert_eq!(left(&mut account, &limits, 1, at(7)), [1023]);
    assert_eq!(left(&mut account, &limits, 1023, at(8)), [0]);
    assert!(account.decide(&limits, 1, at(SPAN + 6)).verdict.is_err());
    assert_eq!(left(&mut account, &limits, 1, at(SPAN + 7)), [0]);
    assert_eq!(left(&mut account, &limits, 1, at(SPAN + 8)), [1022]);
}

/// More charges after the answer than a log has runs: what no longer has one of its own counts as later, never as earlier.
#[test]
fn a_log_that_is_full_counts_the_newest_for_longer_and_none_for_less() {
    let limits = rates(&[rate(1000, 1)]);
    let mut account = Account::default();
    let charges = (0..3000).map(|n| n * SPAN / 4000);
    charges.for_each(|mono| drop(account.take(&limits, 1, at(mono))));
    for n in (0..3000).step_by(100) {
        let now = SPAN + n * SPAN / 4000;
        let counted = 2999 - n;
        let told = account.look(&limits, 1, at(now)).standings[0].remaining;
        assert!(told <= 1000_u64.saturating_sub(counted), "{n}: {told} left with {counted} in the last second");
    }
    assert_eq!(account.idle_at(), SPAN + 2999 * SPAN / 4000);
}

#[test]
fn a_bucket_whose_rate_changes_misses_as_many_tokens_as_before() {
    let mut account = Account::default();
    assert_eq!(left(&mut account, &bucket(rate(1, 1), 10), 6, at(0)), [4]);
    let slower = bucket(rate(1, 60), 10);
    // Two have come back by then.
    let refused = account.look(&slower, 7, at(2 * SPAN)).verdict.unwrap_err();
    assert_eq!(refused.wait, Wait::For(60 * SPAN));
    assert_eq!(left(&mut account, &slower, 6, at(2 * SPAN)), [0]);
    assert_eq!(account.idle_at(), 2 * SPAN + 600 * SPAN);
    assert_eq!(left(&mut account, &bucket(rate(10, 1), 10), 0, at(602 * SPAN)), [10]);
}

#[test]
fn a_quota_is_forgotten_when_its_period_is_over_however_the_clock_is_set() {
    let (day, wall) = (day("10/day"), 1_700_000_000 * SPAN);
    let mut account = Account::default();
    assert_eq!(left(&mut account, &day, 0, at(0)), [10]);
    assert_eq!(account.idle_at(), 0);
    // 6400 seconds to midnight; then the clock is set back by 1000, then forth again.
    left(&mut account, &day, 1, Moment { mono: SPAN, wall });
    assert_eq!(account.idle_at(), 6401 * SPAN);
    left(&mut account, &day, 1, Moment { mono: 2 * SPAN, wall: wall - 1000 * SPAN });
    assert_eq!(account.idle_at(), 7402 * SPAN);
    left(&mut account, &day, 1, Moment { mono: 3 * SPAN, wall });
    assert_eq!(account.idle_at(), 7402 * SPAN);
}

#[test]
fn the_limit_that_keeps_a_request_waiting_longest_is_the_one_that_is_named() {
    for (order, cost, expected) in [
        ([rate(1, 60), rate(1, 3600)], 1, (1, Wait::For(3600 * SPAN))),
        ([rate(1, 3600), rate(1, 60)], 1, (0, Wait::For(3600 * SPAN))),
        ([rate(2, 60), rate(1, 3600)], 2, (1, Wait::Forever)),
        ([rate(1, 3600), rate(2, 60)], 2, (0, Wait::Forever)),
    ] {
        let (limits, mut account) = (rates(&order), Account::default());
        left(&mut account, &limits, 1, at(0));
        let refusal = account.look(&limits, cost, at(0)).verdict.unwrap_err();
        assert_eq!((refusal.limit, refusal.wait), expected, "{order:?}");
    }
}
