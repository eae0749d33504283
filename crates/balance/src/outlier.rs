//! Outlier ejection: who answers badly gets no requests for a while, longer each time. Fed by attempts, not by checks; comes
//! back by time alone.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use crate::counts::{Counts, Slices};
use crate::time::{NEVER, length};

/// When members are ejected.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Outlier {
    /// So many failed attempts in a row eject.
    pub consecutive_failures: u32,
    /// A share of failed attempts within `window`, 0 to 1, that is so much above that of the rest of the pool ejects.
    pub failure_rate: f64,
    /// Attempts within `window` below which the share says nothing.
    pub min_requests: u32,
    /// The time that the share is taken over.
    pub window: Duration,
    /// The first ejection; each further one is longer by as much.
    pub eject_for: Duration,
    /// The longest ejection.
    pub max_eject_for: Duration,
    /// The share of members, 0 to 1, that may be ejected at the same time.
    pub max_ejected: f64,
}

impl Outlier {
    /// How many of `members` may be out at once: rounded down, and never all.
    pub(crate) fn most_ejected(&self, members: usize) -> usize {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            clippy::cast_precision_loss,
            reason = "a share of a count of members"
        )]
        let most = (members as f64 * self.max_ejected + 1e-9) as usize;
        most.min(members.saturating_sub(1))
    }
}

/// What attempts have shown of one member.
#[derive(Debug, Default)]
pub(crate) struct Passive {
    /// Failures in a row.
    streak: AtomicU32,
    /// The two halves of the window, in turn.
    recent: Slices<2>,
    /// From when on it is ejected, or was, and until when.
    since: AtomicU64,
    until: AtomicU64,
    ejections: AtomicU32,
}

impl Passive {
    /// An attempt ended. Returns how many have now failed in a row.
    pub(crate) fn observe(&self, failed: bool, policy: &Outlier, nanos: u64) -> u32 {
        self.recent.observe(failed, policy.window, nanos);
        if failed {
            return self.streak.fetch_add(1, Ordering::Relaxed).saturating_add(1);
        }
        // Mostly it is 0 already, and reading disturbs nobody.
        if self.streak.load(Ordering::Relaxed) != 0 {
            self.streak.store(0, Ordering::Relaxed);
        }
        0
    }

    /// What came of the attempts of the last half to whole window.
    pub(crate) fn counts(&self, policy: &Outlier, nanos: u64) -> Counts {
        self.recent.counts(policy.window, nanos)
    }

    pub(crate) fn is_ejected(&self, nanos: u64) -> bool {
        nanos < self.until()
    }

    /// Until when it is ejected, or was.
    pub(crate) fn until(&self) -> u64 {
        self.until.load(Ordering::Relaxed)
    }

    /// When it was ejected, or when it came back if it has.
    pub(crate) fn turned(&self, nanos: u64) -> Option<u64> {
        let turned = if self.is_ejected(nanos) { self.since.load(Ordering::Relaxed) } else { self.until() };
        (turned != NEVER).then_some(turned)
    }

    pub(crate) fn ejections(&self) -> u32 {
        self.ejections.load(Ordering::Relaxed)
    }

    /// Ejects it from `nanos` on and begins to count anew. Returns for how long. Not for two threads at once.
    pub(crate) fn eject(&self, policy: &Outlier, nanos: u64) -> Duration {
        let base = length(policy.eject_for).max(1);
        // Each time as long as an ejection that it has been well takes one of its ejections off.
        let until = self.until();
        let well = if until == NEVER { 0 } else { nanos.saturating_sub(until) / base };
        let before = u64::from(self.ejections()).saturating_sub(well);
        let times = u32::try_from(before).unwrap_or(u32::MAX).saturating_add(1);
        let lasts = policy.eject_for.saturating_mul(times).min(policy.max_eject_for.max(policy.eject_for));
        // No more is kept than counts, so that it is soon worn off.
        let most = length(policy.max_eject_for).div_ceil(base).max(1);
        self.ejections.store(u32::try_from(most).unwrap_or(u32::MAX).min(times), Ordering::Relaxed);
        self.since.store(nanos, Ordering::Relaxed);
        self.until.store(nanos.saturating_add(length(lasts)), Ordering::Relaxed);
        self.streak.store(0, Ordering::Relaxed);
        self.recent.clear();
        lasts
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    fn policy() -> Outlier {
        Outlier {
            consecutive_failures: 5,
            failure_rate: 0.5,
            min_requests: 10,
            window: Duration::from_secs(10),
            eject_for: Duration::from_secs(30),
            max_eject_for: Duration::from_secs(100),
            max_ejected: 0.5,
        }
    }

    #[test]
    fn one_good_answer_ends_a_row_of_failures() {
        let passive = Passive::default();
        let rows: Vec<_> =
            [true, true, false, true].into_iter().map(|failed| passive.observe(failed, &policy(), SECOND)).collect();
        assert_eq!(rows, [1, 2, 0, 1]);
        assert_eq!(passive.counts(&policy(), SECOND), Counts { attempts: 4, failures: 3 });
    }

    #[test]
    fn counts_are_those_of_the_last_window() {
        let passive = Passive::default();
        for second in 0..60 {
            passive.observe(second % 2 == 0, &policy(), (second + 1) * SECOND);
            let counts = passive.counts(&policy(), (second + 1) * SECOND);
            assert!(counts.attempts <= 10, "{counts:?}");
            assert!(second < 10 || counts.attempts > 5, "{counts:?}");
        }
        assert_eq!(passive.counts(&policy(), 80 * SECOND), Counts::default());
    }

    #[test]
    fn each_ejection_is_longer_up_to_a_limit_and_being_well_wears_it_off() {
        let (passive, policy) = (Passive::default(), policy());
        let mut now = SECOND;
        let mut lasts = Vec::new();
        for _ in 0..6 {
            lasts.push(passive.eject(&policy, now).as_secs());
            assert!(passive.is_ejected(passive.until() - 1) && !passive.is_ejected(passive.until()));
            now = passive.until() + SECOND;
        }
        assert_eq!(lasts, [30, 60, 90, 100, 100, 100]);
        // Two times thirty seconds well: two steps less.
        now = passive.until() + 65 * SECOND;
        assert_eq!(passive.eject(&policy, now).as_secs(), 90);
        now = passive.until() + 3_600 * SECOND;
        assert_eq!(passive.eject(&policy, now).as_secs(), 30);
    }

    #[test]
    fn the_most_that_may_be_ejected_is_rounded_down_and_never_all() {
        let most = |members, max_ejected| Outlier { max_ejected, ..policy() }.most_ejected(members);
        assert_eq!([most(1, 0.5), most(2, 0.5), most(3, 0.5), most(10, 0.3)], [0, 1, 1, 3]);
        assert_eq!([most(1, 1.0), most(3, 1.0), most(3, 0.0), most(0, 0.5)], [0, 2, 0, 0]);
    }
}
