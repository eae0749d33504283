//! Counts what changes who may be picked, so that a picker knows by one read whether what it prepared still holds.

use std::sync::atomic::{AtomicU64, Ordering};

/// Counts changes: of the availability of targets, and of what a pool thinks of them.
#[derive(Debug, Default)]
pub(crate) struct Changes(AtomicU64);

impl Changes {
    /// So many so far.
    pub(crate) fn count(&self) -> u64 {
        self.0.load(Ordering::Acquire)
    }

    /// One more. Whoever sees the count sees what was changed before it.
    pub(crate) fn note(&self) {
        self.0.fetch_add(1, Ordering::Release);
    }
}
