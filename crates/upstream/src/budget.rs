//! How many retries an upstream may have: a share of its requests, so that retries never drown what is failing already.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Thousandths of a retry: what one retry costs.
const COST: i64 = 1_000;
/// Retries that may be saved up, so that a quiet upstream can retry at all.
const RESERVE: i64 = 10 * COST;
/// So often a retry is earned by time alone.
const EACH: Duration = Duration::from_secs(1);

/// A token bucket that requests fill and retries empty. In any span of time there are at most as many retries as the share of
/// the requests in it, plus the reserve, plus one for each second.
#[derive(Debug)]
pub(super) struct Budget {
    /// What a request earns.
    deposit: i64,
    saved: AtomicI64,
    begun: Instant,
    /// Spans of [`EACH`] since `begun` that have earned theirs.
    earned: AtomicU64,
}

impl Budget {
    /// A budget of this share of the requests. Nothing of them is no retry at all.
    pub(super) fn new(share: f64, now: Instant) -> Self {
        #[expect(clippy::cast_possible_truncation, clippy::cast_precision_loss, reason = "a share of a thousand")]
        let deposit = (share * COST as f64) as i64;
        let saved = AtomicI64::new(if deposit > 0 { RESERVE } else { 0 });
        Self { deposit, saved, begun: now, earned: AtomicU64::new(0) }
    }

    /// Counts a request. Where nothing fails the budget is full, and this only looks.
    pub(super) fn earn(&self) {
        self.put(self.deposit);
    }

    /// Takes one retry out, if there is one.
    pub(super) fn take(&self, now: Instant) -> bool {
        self.earn_by_time(now);
        let taken = self
            .saved
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |saved| (saved >= COST).then_some(saved - COST));
        taken.is_ok()
    }

    fn earn_by_time(&self, now: Instant) {
        if self.deposit == 0 {
            return;
        }
        let spans = now.saturating_duration_since(self.begun).as_millis() / EACH.as_millis();
        let spans = u64::try_from(spans).unwrap_or(u64::MAX);
        // Whoever moves the mark puts in what lies between: nobody else does so again.
        let before = self.earned.fetch_max(spans, Ordering::Relaxed);
        let fresh = i64::try_from(spans.saturating_sub(before)).unwrap_or(i64::MAX);
        self.put(fresh.saturating_mul(COST));
    }

    fn put(&self, amount: i64) {
        if amount > 0 && self.saved.load(Ordering::Relaxed) < RESERVE {
            let full = |saved: i64| (saved < RESERVE).then(|| saved.saturating_add(amount).min(RESERVE));
            // `Err`: somebody filled it meanwhile.
            self.saved.fetch_update(Ordering::Relaxed, Ordering::Relaxed, full).ok();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicU32;

    use super::*;

    #[test]
    fn retries_stay_within_their_share_of_the_requests() {
        let now = Instant::now();
        let budget = Budget::new(0.2, now);
        let taken = (0..1_000).filter(|_| {
            budget.earn();
            budget.take(now)
        });
        let taken = taken.count();
        assert!((200..=210).contains(&taken), "{taken}");
    }

    #[test]
    fn a_share_of_nothing_is_no_retry_ever() {
        let now = Instant::now();
        let budget = Budget::new(0.0, now);
        budget.earn();
        assert!(!budget.take(now) && !budget.take(now + Duration::from_hours(1)));
    }

    #[test]
    fn a_quiet_upstream_earns_one_retry_a_second_and_saves_no_more_than_the_reserve() {
        let now = Instant::now();
        let budget = Budget::new(0.01, now);
        let take_all = |at: Instant| (0..100).filter(|_| budget.take(at)).count();
        assert_eq!(take_all(now), 10);
        assert_eq!(take_all(now + Duration::from_millis(999)), 0);
        assert_eq!(take_all(now + Duration::from_secs(3)), 3);
        assert_eq!(take_all(now + Duration::from_hours(1)), 10);
    }

    #[test]
    fn it_holds_however_many_ask_at_once() {
        const THREADS: u32 = 4;
        const EACH_DOES: u32 = 20_000;
        let now = Instant::now();
        let (budget, taken) = (Budget::new(0.2, now), AtomicU32::new(0));
        std::thread::scope(|scope| {
            for _ in 0..THREADS {
                scope.spawn(|| {
                    for _ in 0..EACH_DOES {
                        budget.earn();
                        taken.fetch_add(u32::from(budget.take(now)), Ordering::Relaxed);
                    }
                });
            }
        });
        let (taken, requests) = (taken.into_inner(), THREADS * EACH_DOES);
        assert!(taken <= requests / 5 + 10, "{taken}");
        assert!(taken >= requests / 5 - 10, "{taken}");
    }
}
