//! How far the clock is trusted before anything is deleted by it: a machine may start with a clock in the future, and set it
//! right a minute later.

use serde::{Deserialize, Serialize};

use crate::{DAY, HOUR};

/// A step of the clock beyond this, either way, is a jump: it may be wrong.
const STEP: i64 = HOUR;
/// For so long a clock has to stand by a jump until it is believed.
const PROOF: i64 = DAY;

/// The time by which is deleted. It follows the clock, but not over a jump before the clock has stood by it for a day; until
/// then it goes on as time passes.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) struct Trust {
    believed: i64,
    /// The last time that the clock told.
    last: i64,
    /// Since when it has not jumped.
    since: i64,
}

impl Trust {
    pub(crate) const fn new(now: i64) -> Self {
        Self { believed: now, last: now, since: now }
    }

    /// Goes on from what another process has saved: this one may have begun with a clock that is wrong.
    pub(crate) fn recall(&mut self, saved: Self) {
        let now = std::mem::replace(self, saved).last;
        self.look(now);
    }

    /// Learns what the clock tells.
    pub(crate) fn look(&mut self, now: i64) {
        let step = now.saturating_sub(self.last);
        let has_jumped = !(0..=STEP).contains(&step);
        if has_jumped {
            self.since = now;
        }
        self.last = now;
        let is_near = now.abs_diff(self.believed) <= STEP.unsigned_abs();
        let has_stood = now.saturating_sub(self.since) >= PROOF;
        self.believed = match (is_near || has_stood, has_jumped) {
            (true, _) => now,
            (false, true) => self.believed,
            (false, false) => self.believed.saturating_add(step),
        };
    }

    /// The time by which is deleted: of what the clock tells and what is believed the earlier.
    pub(crate) fn time(&self) -> i64 {
        self.believed.min(self.last)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_795_334_400;

    #[test]
    fn a_clock_that_goes_on_is_followed() {
        let mut trust = Trust::new(NOW);
        for second in 1..=10_000 {
            trust.look(NOW + second);
            assert_eq!(trust.time(), NOW + second);
        }
    }

    #[test]
    fn a_jump_is_believed_when_the_clock_has_stood_by_it_for_a_day_also_over_restarts() {
        let (saved, then) = (Trust::new(NOW), NOW + 400 * DAY);
        let mut trust = Trust::new(then);
        trust.recall(saved);
        for minute in 0..DAY / 60 {
            trust.look(then + minute * 60);
            assert_eq!(trust.time(), NOW + minute * 60);
            if minute % 100 == 0 {
                let saved = std::mem::replace(&mut trust, Trust::new(then + minute * 60));
                trust.recall(saved);
            }
        }
        trust.look(then + DAY);
        assert_eq!(trust.time(), then + DAY);
    }

    #[test]
    fn a_clock_that_is_set_right_again_is_followed_at_once() {
        let mut trust = Trust::new(NOW);
        trust.look(NOW + 400 * DAY);
        trust.look(NOW + 400 * DAY + 60);
        assert_eq!(trust.time(), NOW + 60);
        trust.look(NOW + 120);
        assert_eq!(trust.time(), NOW + 120);
    }

    #[test]
    fn by_a_clock_that_is_set_back_nothing_is_deleted_early() {
        let mut trust = Trust::new(NOW);
        trust.look(NOW - 10 * DAY);
        assert_eq!(trust.time(), NOW - 10 * DAY);
        // A restart that recalls the time before does not change that.
        let mut next = Trust::new(NOW - 10 * DAY);
        next.recall(trust);
        next.look(NOW - 10 * DAY + 1);
        assert_eq!(next.time(), NOW - 10 * DAY + 1);
    }
}
