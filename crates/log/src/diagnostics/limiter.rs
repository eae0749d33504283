//! One place in the code says the same only so often: whatever a stranger can cause at will, its lines do not fill a disk, and do
//! not drown others. What is left out is counted, and told.

use std::collections::HashMap;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};
use parking_lot::Mutex;
use prometheus::IntCounter;
use tracing::Level;
use tracing::callsite::Identifier;

/// Lines of one kind that may come at once.
const BURST: NonZeroU32 = NonZeroU32::new(20).unwrap();
/// Lines of one kind a second after that.
const RATE: NonZeroU32 = NonZeroU32::new(1).unwrap();
/// What was left out is told so often.
const TELL_EVERY: Duration = Duration::from_secs(10);
/// Kinds that are told apart. Names of upstreams, targets and the like come from the configuration, and so there are few; beyond
/// this, a place in the code is one kind whatever it speaks of.
const MAX_KINDS: usize = 4_096;

/// What makes lines alike: the place in the code, and whom it speaks of.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Kind {
    pub(super) callsite: Identifier,
    /// A hash of the names from the configuration that the line has.
    pub(super) of: u64,
}

/// What is told of lines that were left out.
#[derive(Debug)]
pub(super) struct Like {
    pub(super) level: Level,
    pub(super) module: String,
    pub(super) message: String,
}

#[derive(Debug)]
struct Bucket {
    limit: DefaultDirectRateLimiter,
    left_out: AtomicU64,
    like: Like,
}

#[derive(Debug, Default)]
struct Kinds {
    known: HashMap<Kind, Arc<Bucket>>,
    /// When those that are silent were last forgotten.
    pruned: Option<Instant>,
}

/// Who may write a line.
#[derive(Debug)]
pub(super) struct Limiter {
    kinds: Mutex<Kinds>,
    suppressed: IntCounter,
    /// Since when something is left out and not told.
    owed: Mutex<Option<Instant>>,
    hurries: AtomicBool,
}

/// Whether a line is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It is.
    Written,
    /// It is not; it is the first of which that is to be told.
    FirstLeftOut,
    /// It is not.
    LeftOut,
}

impl Limiter {
    pub(super) fn new(suppressed: IntCounter) -> Self {
        Self { kinds: Mutex::default(), suppressed, owed: Mutex::new(None), hurries: AtomicBool::new(false) }
    }

    /// Takes one line of a kind into account.
    pub(super) fn check(&self, kind: Kind, like: impl FnOnce() -> Like) -> Verdict {
        let bucket = self.bucket(kind, like);
        if bucket.limit.check().is_ok() {
            return Verdict::Written;
        }
        self.suppressed.inc();
        if bucket.left_out.fetch_add(1, Ordering::Relaxed) > 0 {
            return Verdict::LeftOut;
        }
        let mut owed = self.owed.lock();
        if owed.is_some() {
            return Verdict::LeftOut;
        }
        *owed = Some(Instant::now());
        Verdict::FirstLeftOut
    }

    fn bucket(&self, mut kind: Kind, like: impl FnOnce() -> Like) -> Arc<Bucket> {
        let mut kinds = self.kinds.lock();
        let Kinds { known, pruned } = &mut *kinds;
        if let Some(known) = known.get(&kind) {
            return known.clone();
        }
        if known.len() >= MAX_KINDS && pruned.is_none_or(|pruned| pruned.elapsed() >= TELL_EVERY) {
            // Who could say as much as at first has been silent for long enough to be forgotten.
            known.retain(|_, bucket| bucket.left_out.load(Ordering::Relaxed) > 0 || bucket.is_in_use());
            *pruned = Some(Instant::now());
        }
        if known.len() >= MAX_KINDS {
            // Places in the code are few.
            kind.of = 0;
        }
        let bucket = || Arc::new(Bucket { limit: limit(), left_out: AtomicU64::new(0), like: like() });
        known.entry(kind).or_insert_with(bucket).clone()
    }

    /// Whatever is owed is told at the next opportunity: the process ends.
    pub(super) fn hurry(&self) {
        self.hurries.store(true, Ordering::Release);
    }

    /// Tells how many lines of each kind were left out, if it is time.
    pub(super) fn tell(&self, mut each: impl FnMut(&Like, u64)) {
        let mut owed = self.owed.lock();
        let is_time = owed.is_some_and(|since| since.elapsed() >= TELL_EVERY) || self.hurries.load(Ordering::Acquire);
        if owed.is_none() || !is_time {
            return;
        }
        *owed = None;
        drop(owed);
        let kinds: Vec<_> = self.kinds.lock().known.values().cloned().collect();
        for bucket in kinds {
            let left_out = bucket.left_out.swap(0, Ordering::Relaxed);
            if left_out > 0 {
                each(&bucket.like, left_out);
            }
        }
    }

    /// When there will be something to tell; `None` if nothing was left out.
    pub(super) fn next(&self) -> Option<Duration> {
        self.owed.lock().map(|since| TELL_EVERY.saturating_sub(since.elapsed()))
    }
}

impl Bucket {
    /// Whether a line of this kind counts still. Asking takes as many as there were at first, and is asked of who is forgotten then.
    fn is_in_use(&self) -> bool {
        !matches!(self.limit.check_n(BURST), Ok(Ok(())))
    }
}

fn limit() -> DefaultDirectRateLimiter {
    RateLimiter::direct(Quota::per_second(RATE).allow_burst(BURST))
}

#[cfg(test)]
mod tests {
    use tracing::subscriber::Interest;
    use tracing::{Callsite, Metadata};

    use super::*;

    struct Here;

    impl Callsite for Here {
        fn set_interest(&self, _: Interest) {}

        fn metadata(&self) -> &Metadata<'_> {
            unreachable!("nobody asks for it")
        }
    }

    fn kind(of: u64) -> Kind {
        Kind { callsite: Identifier(&Here), of }
    }

    fn like() -> Like {
        Like { level: Level::WARN, module: "here".into(), message: "Something.".into() }
    }

    fn limiter() -> Limiter {
        Limiter::new(IntCounter::new("suppressed", "suppressed").unwrap())
    }

    #[test]
    fn what_is_said_too_often_is_left_out_and_counted_and_others_are_heard() {
        let limiter = limiter();
        let verdicts: Vec<_> = (0..10_000).map(|_| limiter.check(kind(1), like)).collect();
        let written = verdicts.iter().filter(|verdict| **verdict == Verdict::Written).count();
        // A slow machine refills the bucket meanwhile.
        assert!((20..60).contains(&written), "{written}");
        assert_eq!(verdicts.iter().filter(|verdict| **verdict == Verdict::FirstLeftOut).count(), 1);
        assert_eq!(limiter.suppressed.get(), 10_000 - written as u64);
        assert_eq!(limiter.check(kind(2), like), Verdict::Written);

        assert!(limiter.next().is_some());
        let mut told = Vec::new();
        limiter.tell(|like, count| told.push((like.message.clone(), count)));
        assert_eq!(told, [], "it is not time yet");
        limiter.hurry();
        limiter.tell(|like, count| told.push((like.message.clone(), count)));
        assert_eq!(told, [("Something.".to_owned(), 10_000 - written as u64)]);
        assert!(limiter.next().is_none());
    }

    #[test]
    fn kinds_are_bounded_whatever_lines_speak_of() {
        let limiter = limiter();
        for of in 0..3 * MAX_KINDS as u64 {
            limiter.check(kind(of + 1), like);
        }
        assert!(limiter.kinds.lock().known.len() <= MAX_KINDS + 1);
        // All beyond are one kind, and that has been heard.
        let beyond = (0..1_000).filter(|of| limiter.check(kind(u64::MAX - of), like) == Verdict::Written).count();
        assert!(beyond < 100, "{beyond}");
    }
}
