//! Moments as numbers that fit into an atomic. Which moment they count from says nothing and is never shown.

use std::sync::OnceLock;
use std::time::{Duration, Instant};

/// Never, or not yet.
pub(crate) const NEVER: u64 = 0;

/// The first moment that anybody came with: so that what is played out in virtual time comes out the same each time.
static BEGINNING: OnceLock<Instant> = OnceLock::new();

/// Nanoseconds to `now`, at least 1. Room for five centuries.
pub(crate) fn nanos(now: Instant) -> u64 {
    length(now.saturating_duration_since(*BEGINNING.get_or_init(|| now))).saturating_add(1)
}

/// A length of time in nanoseconds.
pub(crate) fn length(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}
