//! What one key has used of its limit: a sliding window of its own making ([`log`]) or governor's token bucket ([`bucket`]).

mod bucket;
mod log;

use std::num::NonZeroU32;
use std::time::Duration;

use portreeve_plugin::Clock;
use portreeve_plugin::units::Rate;

use self::bucket::{Bucket, Capacity};
use self::log::{Log, Window};
use crate::policy::whole_seconds;

/// A compiled limit.
#[derive(Debug, Clone)]
pub(crate) enum Limit {
    Window(Window),
    Bucket(Capacity),
}

/// What one key has used.
#[derive(Debug)]
pub(crate) enum Meter {
    Log(Log),
    // Boxed: buckets are the rare kind and would double the size of every entry of the table.
    Bucket(Box<Bucket>),
}

/// What becomes of one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// It may pass; so many more may pass now, and one more than that after this many nanoseconds.
    Admitted { remaining: u32, more_in: u64 },
    /// It may not pass; the next one may after this many nanoseconds.
    Refused { more_in: u64 },
    /// Its key is new and there is no room to remember it.
    Full,
}

impl Limit {
    /// An exact sliding window.
    pub(crate) fn window(rate: Rate) -> Self {
        Self::Window(Window::new(rate.count.get(), nanos(rate.per)))
    }

    /// A token bucket.
    pub(crate) fn bucket(rate: Rate, burst: NonZeroU32) -> Self {
        Self::Bucket(Capacity::new(rate, burst))
    }

    /// So many requests in this span.
    pub(crate) fn quota(&self) -> (u32, Duration) {
        match self {
            Self::Window(window) => (window.count, Duration::from_nanos(window.span)),
            Self::Bucket(capacity) => (capacity.burst().get(), capacity.fill_time()),
        }
    }

    /// What makes two limits unable to share a meter. A window may change its count: the log knows what was admitted.
    pub(crate) fn identity(&self) -> impl std::hash::Hash + use<> {
        match self {
            Self::Window(window) => (window.span, None),
            Self::Bucket(capacity) => (nanos(capacity.interval()), Some(capacity.burst())),
        }
    }

    /// A meter that has seen nothing.
    pub(crate) fn meter(&self, clock: &Clock) -> Meter {
        match self {
            Self::Window(_) => Meter::Log(Log::default()),
            Self::Bucket(capacity) => Meter::Bucket(Box::new(Bucket::new(capacity, clock))),
        }
    }
}

impl Meter {
    /// Counts one request at `now`, in nanoseconds since the table was made.
    pub(crate) fn admit(&mut self, limit: &Limit, now: u64) -> Outcome {
        match (self, limit) {
            (Self::Log(log), Limit::Window(window)) => log.admit(window, now),
            (Self::Bucket(bucket), _) => bucket.admit(now),
            // `Limit::identity` keeps the kinds apart.
            (Self::Log(_), Limit::Bucket(_)) => Outcome::Full,
        }
    }

    /// When it may be forgotten: from then on a new meter would decide the same.
    pub(crate) fn idle_at(&self) -> u64 {
        match self {
            Self::Log(log) => log.idle_at(),
            Self::Bucket(bucket) => bucket.idle_at(),
        }
    }
}

impl Outcome {
    pub(crate) fn remaining(self) -> u32 {
        match self {
            Self::Admitted { remaining, .. } => remaining,
            Self::Refused { .. } | Self::Full => 0,
        }
    }

    /// Whole seconds until there is more, at least one.
    pub(crate) fn seconds(self) -> u64 {
        match self {
            Self::Admitted { more_in, .. } | Self::Refused { more_in } => {
                whole_seconds(Duration::from_nanos(more_in)).max(1)
            }
            Self::Full => 1,
        }
    }
}

/// Nanoseconds fit 64 bits for 584 years.
pub(crate) fn nanos(span: Duration) -> u64 {
    u64::try_from(span.as_nanos()).unwrap_or(u64::MAX)
}
