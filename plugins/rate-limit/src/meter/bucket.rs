//! The token bucket, as one number: the generic cell rate algorithm (ITU-T I.371), deciding exactly as `governor` does.
//!
//! `governor` itself takes a whole request before others are asked, cannot be charged after the answer, and takes some
//! hundred bytes a key; the tests hold this against it.

use std::num::NonZeroU32;
use std::time::Duration;

use portreeve_plugin::units::Rate;

use super::{Standing, Wait, nanos};

/// How much a bucket holds and how fast it is refilled.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bucket {
    /// Nanoseconds from one token to the next.
    pub(crate) interval: u64,
    pub(crate) burst: u64,
    /// Only one at a time, and a dear request goes through alone: spike arrest.
    pub(crate) is_smooth: bool,
    /// How much of a time: for what is said of it.
    pub(crate) rate: Rate,
}

/// One key's bucket.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Tokens {
    /// When it will be full: the "theoretical arrival time".
    full_at: u64,
    /// The interval that counts in.
    interval: u64,
}

impl Bucket {
    pub(crate) fn new(rate: Rate, burst: NonZeroU32) -> Self {
        // Rounded up to the next nanosecond: never faster than was written.
        let interval = nanos(rate.per).div_ceil(u64::from(rate.count.get()));
        Self { interval, burst: u64::from(burst.get()), is_smooth: false, rate }
    }

    pub(crate) fn smooth(rate: Rate) -> Self {
        Self { is_smooth: true, ..Self::new(rate, NonZeroU32::MIN) }
    }

    /// How long an empty bucket takes to be full.
    pub(crate) fn fill_time(&self) -> Duration {
        Duration::from_nanos(self.interval.saturating_mul(self.burst))
    }
}

impl Tokens {
    /// Whether `cost` tokens are there.
    pub(crate) fn room(&mut self, bucket: &Bucket, now: u64, cost: u64) -> Result<(), Wait> {
        self.count_in(bucket.interval, now);
        let needed = if bucket.is_smooth { cost.min(1) } else { cost };
        let Some(spare) = bucket.burst.checked_sub(needed) else { return Err(Wait::Forever) };
        let missing = self.full_at.saturating_sub(now);
        match missing.checked_sub(spare.saturating_mul(bucket.interval)) {
            None | Some(0) => Ok(()),
            Some(wait) => Err(Wait::For(wait)),
        }
    }

    /// Takes `cost` tokens, whether they are there or not.
    pub(crate) fn take(&mut self, bucket: &Bucket, now: u64, cost: u64) {
        self.count_in(bucket.interval, now);
        self.add(now, cost);
    }

    /// As [`Tokens::take`], at the rate it had last.
    pub(crate) fn add(&mut self, now: u64, cost: u64) {
        if cost > 0 {
            self.full_at = self.full_at.max(now).saturating_add(cost.saturating_mul(self.interval));
        }
    }

    pub(crate) fn standing(&self, bucket: &Bucket, now: u64) -> Standing {
        let missing = self.full_at.saturating_sub(now);
        let tokens_missing = missing.div_ceil(bucket.interval);
        let remaining = bucket.burst.saturating_sub(tokens_missing);
        // The next token comes when what is missing is a whole number of tokens less.
        let beyond = tokens_missing.saturating_sub(bucket.burst).saturating_mul(bucket.interval);
        let more_in = match missing % bucket.interval {
            0 if missing > 0 => bucket.interval,
            part => part,
        };
        Standing { remaining, more_in: more_in.saturating_add(beyond) }
    }

    pub(crate) fn idle_at(&self) -> u64 {
        self.full_at
    }

    /// Tokens that are missing.
    pub(crate) fn missing(&self, now: u64) -> u64 {
        self.full_at.saturating_sub(now).div_ceil(self.interval.max(1))
    }

    /// A reload that changes the rate leaves as many tokens missing as there were.
    fn count_in(&mut self, interval: u64, now: u64) {
        if self.interval != interval {
            if self.interval != 0 {
                self.full_at = now.saturating_add(self.missing(now).saturating_mul(interval));
            }
            self.interval = interval;
        }
    }
}
