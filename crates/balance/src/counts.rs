//! Attempts of the last while, and how many of them failed: a window in slices, of which the oldest falls out whole. No lock.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::time::length;

/// Attempts and how many of them failed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) attempts: u32,
    pub(crate) failures: u32,
}

impl Counts {
    pub(crate) fn rate(self) -> f64 {
        if self.attempts == 0 { 0.0 } else { f64::from(self.failures) / f64::from(self.attempts) }
    }
}

impl std::ops::AddAssign for Counts {
    fn add_assign(&mut self, other: Self) {
        self.attempts += other.attempts;
        self.failures += other.failures;
    }
}

/// A window of `N` slices, in turn; each says which of all time it is.
#[derive(Debug)]
pub(crate) struct Slices<const N: usize>([AtomicU64; N]);

impl<const N: usize> Default for Slices<N> {
    fn default() -> Self {
        Self([const { AtomicU64::new(0) }; N])
    }
}

impl<const N: usize> Slices<N> {
    /// An attempt ended.
    pub(crate) fn observe(&self, failed: bool, window: Duration, nanos: u64) {
        let number = Self::number(window, nanos);
        let Some(slice) = usize::try_from(number % N as u64).ok().and_then(|place| self.0.get(place)) else { return };
        let which = number & WHICH;
        let add = |packed| {
            let mut slice = Slice::unpack(packed);
            if slice.which != which {
                slice = Slice { which, counts: Counts::default() };
            }
            // When full, both stop, so that the share stays what it is.
            if slice.counts.attempts == MOST {
                return None;
            }
            slice.counts += Counts { attempts: 1, failures: u32::from(failed) };
            Some(slice.pack())
        };
        slice.fetch_update(Ordering::Relaxed, Ordering::Relaxed, add).ok();
    }

    /// What came of the attempts of the window: all of it but for a part of its first slice.
    pub(crate) fn counts(&self, window: Duration, nanos: u64) -> Counts {
        let now = Self::number(window, nanos);
        let mut counts = Counts::default();
        for slice in &self.0 {
            let slice = Slice::unpack(slice.load(Ordering::Relaxed));
            if (now.wrapping_sub(slice.which) & WHICH) < N as u64 {
                counts += slice.counts;
            }
        }
        counts
    }

    /// Forgets all of them.
    pub(crate) fn clear(&self) {
        self.0.iter().for_each(|slice| slice.store(0, Ordering::Relaxed));
    }

    /// Which slice it is, of all there are.
    fn number(window: Duration, nanos: u64) -> u64 {
        nanos / (length(window) / N as u64).max(1)
    }
}

/// One slice: 24 bits that say which, 20 of attempts, 20 of failures.
struct Slice {
    which: u64,
    counts: Counts,
}

const COUNT_BITS: u32 = 20;
/// A slice counts no further: a million attempts say all that more could.
const MOST: u32 = (1 << COUNT_BITS) - 1;
const WHICH: u64 = (1 << (64 - 2 * COUNT_BITS)) - 1;

impl Slice {
    fn unpack(packed: u64) -> Self {
        #[expect(clippy::cast_possible_truncation, reason = "masked to 20 bits")]
        let count = |shift: u32| (packed >> shift) as u32 & MOST;
        Self { which: packed >> (2 * COUNT_BITS), counts: Counts { attempts: count(COUNT_BITS), failures: count(0) } }
    }

    fn pack(&self) -> u64 {
        self.which << (2 * COUNT_BITS) | u64::from(self.counts.attempts) << COUNT_BITS | u64::from(self.counts.failures)
    }
}
