//! What threads share. `tests/models.rs` has doubles of it that try every order.

pub(crate) use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

pub(crate) use parking_lot::Mutex;

/// Enough that as many cores rarely meet, and that sweeping one of a million keys takes no longer than some ten
/// microseconds; a power of two. (Arbitrary beyond that.)
pub(crate) const SHARDS: usize = 256;
