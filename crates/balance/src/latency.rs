//! How long a target takes to begin an answer: a moving average that rises at once and falls with time (peak EWMA, as in
//! Finagle and Linkerd), in one atomic.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::time::length;

/// What was learnt so long ago counts a third (1/e). Long enough to see a pattern, short enough that a target that was slow
/// once is asked again within a minute.
const MEMORY_MS: f32 = 10_000.0;
/// What an unknown target that fails is taken to need.
const FIRST_PENALTY_US: f32 = 1e6;
/// The most that failures make of a target's time, so that it is asked again at all.
const WORST_US: f32 = 60e6;

/// A peak-sensitive, time-decayed mean: microseconds as `f32` in the upper half, when in the lower, in milliseconds that wrap
/// after 49 days. 0 says that nothing is known.
#[derive(Debug, Default)]
pub(crate) struct Latency(AtomicU64);

impl Latency {
    /// The expected microseconds to the first byte; `None` before the first attempt has ended. What nobody asks for fades, so
    /// that the slow are tried again.
    pub(crate) fn at(&self, nanos: u64) -> Option<f32> {
        let (micros, stamp) = unpacked(self.0.load(Ordering::Relaxed))?;
        Some(micros * fade(stamp, nanos))
    }

    /// An answer began after `took`.
    pub(crate) fn observe(&self, took: Duration, nanos: u64) {
        let sample = micros(took);
        self.update(nanos, |known| match known {
            Some((mean, stamp)) if sample < mean => {
                let fade = fade(stamp, nanos);
                mean * fade + sample * (1.0 - fade)
            }
            _ => sample,
        });
    }

    /// An attempt failed after `took`: counts as an answer that took twice as long as ever, so that who fails fast does not
    /// look fast.
    pub(crate) fn penalise(&self, took: Duration, nanos: u64) {
        self.update(nanos, |known| {
            let known = known.map_or(FIRST_PENALTY_US / 2.0, |(mean, _)| mean);
            (known * 2.0).max(micros(took)).min(WORST_US)
        });
    }

    /// No answer had begun after `took`, when it was no longer waited for. Of a target of which nothing is known nothing is
    /// known still.
    pub(crate) fn exceeded(&self, took: Duration, nanos: u64) {
        if self.at(nanos).is_some_and(|known| known < micros(took)) {
            self.observe(took, nanos);
        }
    }

    fn update(&self, nanos: u64, change: impl Fn(Option<(f32, u32)>) -> f32) {
        let change = |packed| Some(pack(change(unpacked(packed)), millis(nanos)));
        // The closure never says no.
        self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, change).ok();
    }
}

fn micros(time: Duration) -> f32 {
    #[expect(clippy::cast_precision_loss, reason = "a mean needs no more than 24 bits")]
    let micros = length(time) as f32 / 1e3;
    // 0 would say that nothing is known.
    micros.max(0.001)
}

#[expect(clippy::cast_possible_truncation, reason = "wraps, as the type says")]
fn millis(nanos: u64) -> u32 {
    (nanos / 1_000_000) as u32
}

fn pack(micros: f32, stamp: u32) -> u64 {
    u64::from(micros.to_bits()) << 32 | u64::from(stamp)
}

#[expect(clippy::cast_possible_truncation, reason = "the two halves")]
fn unpacked(packed: u64) -> Option<(f32, u32)> {
    (packed != 0).then(|| (f32::from_bits((packed >> 32) as u32), packed as u32))
}

/// What is left of a mean from then.
fn fade(stamp: u32, nanos: u64) -> f32 {
    let passed = millis(nanos).wrapping_sub(stamp);
    // Another thread can have been here with a later moment.
    if passed == 0 || passed > u32::MAX / 2 {
        return 1.0;
    }
    #[expect(clippy::cast_precision_loss, reason = "a mean needs no more than 24 bits")]
    let passed = passed as f32;
    (-passed / MEMORY_MS).exp()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_was_overtaken_takes_at_least_that_long() {
        let latency = Latency::default();
        let after = |millis: u64| (Duration::from_millis(millis), millis * 1_000_000 + 1);
        let exceeded = |millis: u64| latency.exceeded(after(millis).0, after(millis).1);
        exceeded(50);
        assert_eq!(latency.at(1), None, "nothing is known of it");
        latency.observe(Duration::from_millis(10), 1);
        exceeded(5);
        assert_eq!(latency.at(1), Some(10_000.0));
        exceeded(50);
        assert!(latency.at(after(50).1).is_some_and(|mean| mean > 49_000.0));
    }

    const MS: u64 = 1_000_000;

    fn at(latency: &Latency, ms: u64) -> f32 {
        latency.at(ms * MS).unwrap() / 1e3
    }

    #[test]
    fn it_rises_at_once_and_falls_with_time() {
        let latency = Latency::default();
        assert_eq!(latency.at(MS), None);
        latency.observe(Duration::from_millis(10), MS);
        latency.observe(Duration::from_millis(100), 2 * MS);
        assert!((at(&latency, 2) - 100.0).abs() < 0.01);
        // One fast answer ten milliseconds later says next to nothing; ten seconds of them say nearly all.
        latency.observe(Duration::from_millis(10), 12 * MS);
        assert!(at(&latency, 12) > 99.0);
        for ms in 13..30_013 {
            latency.observe(Duration::from_millis(10), ms * MS);
        }
        assert!((at(&latency, 30_013) - 14.5).abs() < 1.0, "{}", at(&latency, 30_013));
    }

    #[test]
    fn what_nobody_asks_for_fades() {
        let latency = Latency::default();
        latency.observe(Duration::from_millis(100), MS);
        assert!((at(&latency, 10_001) - 36.8).abs() < 0.1);
        // A moment before the last one is taken for it.
        latency.observe(Duration::from_millis(100), 20_000 * MS);
        assert!((at(&latency, 19_000) - 100.0).abs() < 0.1);
    }

    #[test]
    fn failures_make_slow_more_with_each_and_not_without_end() {
        let latency = Latency::default();
        latency.observe(Duration::from_millis(10), MS);
        latency.penalise(Duration::from_micros(50), MS);
        assert!((at(&latency, 1) - 20.0).abs() < 0.01);
        for _ in 0..40 {
            latency.penalise(Duration::ZERO, MS);
        }
        assert!((at(&latency, 1) - 60_000.0).abs() < 1.0);
        let unknown = Latency::default();
        unknown.penalise(Duration::ZERO, MS);
        assert!((at(&unknown, 1) - 1_000.0).abs() < 0.1);
    }
}
