//! The meters against a log that keeps everything and counts anew for each request, and against `governor`.

use std::num::NonZeroU32;

use governor::clock::FakeRelativeClock;
use governor::{Quota, RateLimiter};
use portreeve_plugin::{Allowance, Spread};
use proptest::prelude::*;

use super::*;
use crate::account::Account;
use crate::meter::{Limit as Compiled, Moment, Wait, compile_all};

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
            prop_assert_eq!(decision.standings[0].remaining, left);
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
