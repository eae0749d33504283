//! Requests that a client gives up before they are answered: how many it may.

use std::time::Instant;

/// Requests that a client may give up at once, beyond the half of all. As many as nghttp2 takes by default.
const CREDIT: u64 = 1_000;
/// So many a second beyond that half are forgiven. As many as nghttp2 forgives by default.
const FORGIVEN: u64 = 33;

/// Whether most of what a client asks for is in vain (CVE-2023-44487): paced so that none of it waits here, that costs the
/// targets as much as a rapid reset.
///
/// A client that hedges, or whose calls have deadlines, gives up as a matter of course, and none of its calls may be lost by
/// it. So the half of all requests is free, and of the others there is credit that time gives back.
#[derive(Debug)]
pub(super) struct Waste {
    credit: u64,
    /// Requests that had been given up when this was looked at last, and when that was.
    given_up: u32,
    since: Instant,
}

impl Waste {
    pub(super) fn new(now: Instant) -> Self {
        Self { credit: CREDIT, given_up: 0, since: now }
    }

    /// Another request has come, and so many have been given up. Whether that is too much.
    pub(super) fn is_too_much(&mut self, given_up: u32, now: impl FnOnce() -> Instant) -> bool {
        self.credit = (self.credit + 1).min(CREDIT);
        let fresh = given_up.wrapping_sub(self.given_up);
        if fresh == 0 {
            return false;
        }
        self.given_up = given_up;
        let now = now();
        let seconds = now.saturating_duration_since(self.since).as_secs();
        if seconds > 0 {
            self.since = now;
            self.credit = seconds.saturating_mul(FORGIVEN).saturating_add(self.credit).min(CREDIT);
        }
        // Each has earned one when it came.
        let cost = 2 * u64::from(fresh);
        let is_too_much = cost > self.credit;
        self.credit = self.credit.saturating_sub(cost);
        is_too_much
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    /// How many requests a client makes, this long after each other, until it is too much; at most so many.
    fn taken(most: u32, pause: Duration, is_given_up: impl Fn(u32) -> bool) -> u32 {
        let start = Instant::now();
        let (mut waste, mut given_up) = (Waste::new(start), 0);
        for n in 0..most {
            if waste.is_too_much(given_up, || start + pause * n) {
                return n;
            }
            given_up += u32::from(is_given_up(n));
        }
        most
    }

    #[test]
    fn whoever_gives_up_the_half_or_less_may_go_on_for_ever() {
        for pause in [0, 1, 100].map(Duration::from_millis) {
            assert_eq!(taken(50_000, pause, |n| n % 2 == 0), 50_000);
            assert_eq!(taken(50_000, pause, |n| n % 200 < 100), 50_000, "in runs");
            assert_eq!(taken(50_000, pause, |n| n % 10 == 0), 50_000);
        }
    }

    #[test]
    fn a_flood_that_is_given_up_is_too_much_after_a_thousand() {
        let at_once = taken(50_000, Duration::ZERO, |_| true);
        assert!((1_000..1_010).contains(&at_once), "{at_once}");
        let fast = taken(50_000, Duration::from_micros(500), |_| true);
        assert!((1_000..1_050).contains(&fast), "{fast}");
        let mostly = taken(50_000, Duration::ZERO, |n| n % 3 != 0);
        assert!((2_900..3_100).contains(&mostly), "{mostly}");
    }

    #[test]
    fn a_slow_client_may_give_up_all() {
        assert_eq!(taken(50_000, Duration::from_millis(31), |_| true), 50_000);
        assert!(taken(50_000, Duration::from_millis(20), |_| true) < 5_000);
    }
}
