//! What a client may ask for in vain: requests that it gives up before they are answered, and frames that carry nothing.

use std::time::Instant;

/// Requests that a client may give up at once, beyond the half of all. As many as nghttp2 takes by default.
const GIVEN_UP: Rate = Rate { at_once: 1_000, per_second: 33 };
/// What frames may cost beyond what those are worth that carry something ([`Frames::cost`]). As many as nghttp2 takes by
/// default of what it finds suspicious ("glitches").
///
/// [`Frames::cost`]: portreeve_wire::http2::Frames::cost
const FRAMES: Rate = Rate { at_once: 10_000, per_second: 330 };

/// So much at once, and so much more for each second.
#[derive(Debug, Clone, Copy)]
struct Rate {
    at_once: u64,
    per_second: u64,
}

/// Credit that is spent, and that use and time give back.
#[derive(Debug)]
struct Credit {
    left: u64,
    rate: Rate,
    since: Instant,
}

impl Credit {
    fn new(rate: Rate, now: Instant) -> Self {
        Self { left: rate.at_once, rate, since: now }
    }

    fn earn(&mut self, worth: u64) {
        self.left = self.left.saturating_add(worth).min(self.rate.at_once);
    }

    /// Whether there is so much.
    fn spend(&mut self, cost: u64, now: Instant) -> bool {
        let seconds = now.saturating_duration_since(self.since).as_secs();
        if seconds > 0 {
            self.since = now;
            self.earn(seconds.saturating_mul(self.rate.per_second));
        }
        let is_there = cost <= self.left;
        self.left = self.left.saturating_sub(cost);
        is_there
    }
}

/// Whether most of what a client asks for is in vain (CVE-2023-44487): paced so that none of it waits here, that costs the
/// targets as much as a rapid reset.
///
/// A client that hedges, or whose calls have deadlines, gives up as a matter of course, and none of its calls may be lost by
/// it. So the half of all requests is free, and of the others there is credit that time gives back.
#[derive(Debug)]
pub(super) struct ResetLimiter {
    credit: Credit,
    /// Requests that had been given up when this was looked at last.
    given_up: u32,
}

impl ResetLimiter {
    pub(super) fn new(now: Instant) -> Self {
        Self { credit: Credit::new(GIVEN_UP, now), given_up: 0 }
    }

    /// Another request has come, and so many have been given up. Whether that is too much.
    pub(super) fn is_too_much(&mut self, given_up: u32, now: impl FnOnce() -> Instant) -> bool {
        self.credit.earn(1);
        let fresh = given_up.wrapping_sub(self.given_up);
        if fresh == 0 {
            return false;
        }
        self.given_up = given_up;
        // Each has earned one when it came.
        !self.credit.spend(2 * u64::from(fresh), now())
    }
}

/// Whether a client sends more frames than what it asks for is worth (CVE-2019-9511 to -9518): each is looked at, and some are
/// answered. Requests and bodies pay for the frames around them, so that whoever asks much may say much.
#[derive(Debug)]
pub(crate) struct Overhead {
    credit: Credit,
    /// What they had cost when this was looked at last.
    cost: u64,
}

/// What a request is worth that is served.
pub(super) const OF_REQUEST: u32 = 10;
/// What a piece of a body is worth. Some clients open two windows for each.
const OF_PIECE: u32 = 2;
/// And each KiB of it, as windows may be small.
const OF_KIB: u32 = 2;

/// What a piece of a body is worth that was taken in or sent. `is_whole`: nobody has made it smaller than it was; otherwise a
/// client could have an answer in single bytes.
pub(super) fn worth(bytes: usize, is_whole: bool) -> u32 {
    let of_bytes = u32::try_from(bytes / 1024).unwrap_or(u32::MAX).saturating_mul(OF_KIB);
    of_bytes.saturating_add(if is_whole { OF_PIECE } else { 0 })
}

impl Overhead {
    pub(crate) fn new(now: Instant) -> Self {
        Self { credit: Credit::new(FRAMES, now), cost: 0 }
    }

    /// The frames so far have cost so much. Whether that is too much; `worth` tells what has been served since it was last
    /// asked.
    pub(crate) fn is_too_much(
        &mut self,
        cost: u64,
        worth: impl FnOnce() -> u32,
        now: impl FnOnce() -> Instant,
    ) -> bool {
        let fresh = cost.saturating_sub(self.cost);
        if fresh == 0 {
            return false;
        }
        self.cost = cost;
        self.credit.earn(u64::from(worth()));
        !self.credit.spend(fresh, now())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    /// How many requests a client makes, this long after each other, until it is too much; at most so many.
    fn taken(most: u32, pause: Duration, is_given_up: impl Fn(u32) -> bool) -> u32 {
        let start = Instant::now();
        let (mut waste, mut given_up) = (ResetLimiter::new(start), 0);
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

    /// Seconds until frames of this cost a second are too much, each second having been worth this; at most so many.
    fn lasts(most: u64, cost: u64, worth: u32) -> u64 {
        let start = Instant::now();
        let mut overhead = Overhead::new(start);
        (0..most)
            .find(|n| overhead.is_too_much((n + 1) * cost, || worth, || start + Duration::from_secs(*n)))
            .unwrap_or(most)
    }

    #[test]
    fn frames_that_carry_nothing_are_forgiven_at_a_pace_and_paid_for_by_what_is_served() {
        assert_eq!(lasts(100_000, 330, 0), 100_000);
        assert_eq!(lasts(100_000, 10_001, 0), 0, "more than may come at once");
        assert!((14..17).contains(&lasts(100_000, 1_000, 0)));
        assert_eq!(lasts(100_000, 8 * 1_000, 1_000 * OF_REQUEST), 100_000, "eight frames a request");
        assert_eq!(lasts(100_000, 2 * 5_000, 5_000 * worth(20, true)), 100_000, "two windows a message");
        assert!(lasts(100_000, 5_000, 5_000 * worth(1, false)) < 3, "an answer in single bytes");
    }
}
