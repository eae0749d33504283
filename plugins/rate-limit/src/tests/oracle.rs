//! The meters against a log that keeps everything and counts anew for each request.

use proptest::prelude::*;

use super::*;
use crate::meter::Meter;

/// When every request was admitted, for ever.
#[derive(Default)]
struct Everything(Vec<u64>);

impl Everything {
    fn within(&self, span: u64, now: u64) -> usize {
        self.0.len() - self.0.partition_point(|at| at + span <= now)
    }

    /// The smallest wait after which fewer than `count` would be left.
    fn wait(&self, count: u32, span: u64, now: u64) -> u64 {
        let moments = self.0.iter().map(|at| at + span).filter(|at| *at > now);
        let free = moments.filter(|at| self.within(span, *at) < count as usize).min();
        free.map_or(0, |at| at - now)
    }
}

fn rate(count: u32) -> units::Rate {
    units::Rate { count: NonZeroU32::new(count).unwrap(), per: Duration::from_secs(1) }
}

fn meter(limit: &Compiled) -> Meter {
    limit.meter(&Clock::frozen(SystemTime::UNIX_EPOCH))
}

const SPAN: u64 = 1_000_000_000;

proptest! {
    #[test]
    fn a_window_decides_as_one_that_forgets_nothing(
        counts in prop::collection::vec(1_u32..12, 1..4),
        steps in prop::collection::vec(prop_oneof![Just(0_u64), 1..SPAN / 8, Just(SPAN - 1), Just(SPAN)], 1..200),
    ) {
        let limits: Vec<_> = counts.iter().map(|count| (*count, Compiled::window(rate(*count)))).collect();
        let (mut meter, mut everything, mut now) = (meter(&limits[0].1), Everything::default(), 0);
        for (index, step) in steps.iter().enumerate() {
            now += step;
            // Now and then a reload changes the count.
            let (count, limit) = &limits[index / 60 % limits.len()];
            let used = everything.within(SPAN, now);
            let outcome = meter.admit(limit, now);
            if used < *count as usize {
                everything.0.push(now);
                let remaining = count - u32::try_from(used).unwrap() - 1;
                let oldest = everything.0.iter().find(|at| **at + SPAN > now).unwrap();
                prop_assert_eq!(outcome, Outcome::Admitted { remaining, more_in: oldest + SPAN - now });
            } else {
                prop_assert_eq!(outcome, Outcome::Refused { more_in: everything.wait(*count, SPAN, now) });
            }
        }
        prop_assert_eq!(meter.idle_at(), everything.0.last().unwrap() + SPAN);
    }

    #[test]
    fn a_large_window_never_admits_too_many_and_frees_a_place_late_by_one_slot_at_most(
        count in 1025_u32..1100,
        steps in prop::collection::vec((0..SPAN / 3, 1_usize..900), 1..12),
    ) {
        let limit = Compiled::window(rate(count));
        let (mut meter, mut everything, mut now) = (meter(&limit), Everything::default(), 0);
        for (step, burst) in steps {
            now += step;
            for _ in 0..burst {
                match meter.admit(&limit, now) {
                    Outcome::Admitted { .. } => {
                        prop_assert!(everything.within(SPAN, now) < count as usize);
                        everything.0.push(now);
                    }
                    Outcome::Refused { more_in } => {
                        prop_assert!(everything.within(SPAN + SPAN / 1024, now) >= count as usize);
                        prop_assert!(more_in > 0 && more_in <= SPAN + SPAN / 1024);
                    }
                    Outcome::Full => prop_assert!(false, "a meter is never full"),
                }
            }
        }
    }

    #[test]
    fn whoever_waits_as_long_as_told_is_admitted(
        count in prop_oneof![1_u32..8, 1025_u32..1030],
        bursts in prop::collection::vec((0..SPAN, 1_usize..1100), 1..8),
    ) {
        let limit = Compiled::window(rate(count));
        let (mut meter, mut now) = (meter(&limit), 0);
        for (step, burst) in bursts {
            now += step;
            for _ in 0..burst {
                if let Outcome::Refused { more_in } = meter.admit(&limit, now) {
                    now += more_in;
                    let admitted = matches!(meter.admit(&limit, now), Outcome::Admitted { .. });
                    prop_assert!(admitted);
                }
            }
        }
    }
}
