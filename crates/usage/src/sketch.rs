//! Latency quantiles in a fixed size: how many requests took how long, in buckets that grow by 6% (the logarithmic buckets
//! of `DDSketch`, Masson et al., VLDB 2019). A quantile is within 3% of the true one between 0.1 ms and seven minutes.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Enough from [`SHORTEST`] to seven minutes; then the number of a bucket is one byte, and a sketch one KiB.
const BUCKETS: usize = 256;
/// The upper end of the first bucket, in seconds: what is shorter is told as this.
const SHORTEST: f64 = 1e-4;
/// How far a quantile may be off, as a part of it.
pub(crate) const ERROR: f64 = 0.03;
/// The ratio of the ends of a bucket: then its middle is within [`ERROR`] of everything in it.
const GROWTH: f64 = (1.0 + ERROR) / (1.0 - ERROR);

/// The bucket of a latency.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "brought into the range of a byte")]
fn bucket(took: Duration) -> u8 {
    let place = ((took.as_secs_f64() / SHORTEST).ln() / GROWTH.ln()).ceil();
    // Also of no time at all, whose logarithm is below every number.
    place.clamp(0.0, 255.0) as u8
}

/// What a latency in this bucket is told as, in seconds: the middle of the bucket, in the sense of the relative error.
fn middle(bucket: u8) -> f64 {
    let upper = SHORTEST * GROWTH.powi(i32::from(bucket));
    if bucket == 0 { upper } else { upper * (1.0 - ERROR) }
}

/// A sketch that is being filled: every bucket has its place, so that counting allocates nothing.
#[derive(Debug, Clone)]
pub(crate) struct Sketch(Box<[u32; BUCKETS]>);

impl Default for Sketch {
    fn default() -> Self {
        Self(Box::new([0; BUCKETS]))
    }
}

impl Sketch {
    /// Counts one latency.
    pub(crate) fn record(&mut self, took: Duration) {
        if let Some(count) = self.0.get_mut(usize::from(bucket(took))) {
            *count = count.saturating_add(1);
        }
    }

    /// Adds what another holds.
    pub(crate) fn add(&mut self, other: &Self) {
        for (count, more) in self.0.iter_mut().zip(other.0.iter()) {
            *count = count.saturating_add(*more);
        }
    }

    /// Forgets everything.
    pub(crate) fn clear(&mut self) {
        self.0.fill(0);
    }

    /// The same for keeping: only buckets that hold something.
    pub(crate) fn spread(&self) -> Spread {
        let held = (0..=u8::MAX).zip(self.0.iter()).filter(|(_, count)| **count > 0);
        Spread(held.map(|(bucket, count)| (bucket, u64::from(*count))).collect())
    }
}

/// A sketch that is kept: its buckets that hold something, ascending.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Spread(Vec<(u8, u64)>);

impl Spread {
    /// Adds what another holds.
    pub(crate) fn add(&mut self, other: &Self) {
        for (bucket, more) in &other.0 {
            match self.0.binary_search_by_key(bucket, |(bucket, _)| *bucket) {
                Ok(place) => {
                    if let Some((_, count)) = self.0.get_mut(place) {
                        *count = count.saturating_add(*more);
                    }
                }
                Err(place) => self.0.insert(place, (*bucket, *more)),
            }
        }
    }

    /// The latency in seconds that the share `quantile` of all took at most, by nearest rank; `None` of nothing.
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a rank among fewer than 2^53, rounded up"
    )]
    pub(crate) fn quantile(&self, quantile: f64) -> Option<f64> {
        let all: u64 = self.0.iter().fold(0, |all, (_, count)| all.saturating_add(*count));
        let rank = ((all as f64 * quantile).ceil() as u64).clamp(1, all.max(1));
        let mut below = 0_u64;
        self.0.iter().find_map(|(bucket, count)| {
            below = below.saturating_add(*count);
            (below >= rank).then(|| middle(*bucket))
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The latency of nearest rank, from all of them.
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a rank among a few hundred"
    )]
    fn exact(mut all: Vec<u64>, quantile: f64) -> f64 {
        all.sort_unstable();
        let rank = ((all.len() as f64 * quantile).ceil() as usize).clamp(1, all.len());
        Duration::from_micros(all[rank - 1]).as_secs_f64()
    }

    proptest! {
        #[test]
        fn a_quantile_is_within_three_percent_also_when_sketches_are_put_together(
            left in prop::collection::vec(100_u64..420_000_000, 1..200),
            right in prop::collection::vec(100_u64..5_000_000, 0..200),
            quantile in 0.0..=1.0_f64,
        ) {
            let of = |all: &[u64]| {
                let mut sketch = Sketch::default();
                for micros in all {
                    sketch.record(Duration::from_micros(*micros));
                }
                sketch
            };
            let (mut dense, other) = (of(&left), of(&right));
            let mut spread = dense.spread();
            spread.add(&other.spread());
            dense.add(&other);
            prop_assert_eq!(&dense.spread(), &spread);
            let (told, true_one) = (spread.quantile(quantile).unwrap(), exact([left, right].concat(), quantile));
            prop_assert!((told - true_one).abs() <= true_one * (ERROR + 1e-9), "{told} instead of {true_one}");
        }
    }

    #[test]
    fn what_is_beyond_the_ends_is_told_as_the_ends() {
        let mut sketch = Sketch::default();
        sketch.record(Duration::ZERO);
        assert_eq!(sketch.spread().quantile(0.5), Some(SHORTEST));
        sketch.clear();
        assert_eq!(sketch.spread().quantile(0.5), None);
        sketch.record(Duration::MAX);
        let longest = sketch.spread().quantile(0.5).unwrap();
        assert!((400.0..460.0).contains(&longest), "{longest}");
    }
}
