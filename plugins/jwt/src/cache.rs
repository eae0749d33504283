//! Tokens already verified. An entry is found by the whole token, and counts only until the token expires and only under
//! the very set of keys that verified it.

use std::sync::Arc;
use std::time::Duration;

use ahash::RandomState;
use portreeve_plugin::Consumer;
use quick_cache::sync::{Cache, DefaultLifecycle};

use crate::keyset::Generation;

/// Verified tokens, bounded by the memory they take. Tokens that do not hold are never in it, so strangers cannot fill it.
pub(crate) struct Verified(Cache<Box<[u8]>, Entry, Weight, RandomState>);

#[derive(Debug, Clone)]
struct Entry {
    consumer: Arc<Consumer>,
    /// Since 1970.
    until: Duration,
    generation: Generation,
}

#[derive(Debug, Clone)]
struct Weight;

impl quick_cache::Weighter<Box<[u8]>, Entry> for Weight {
    // The claims as a tree take about three times the bytes of their text; the rest is the entry and its allocations.
    fn weight(&self, token: &Box<[u8]>, _: &Entry) -> u64 {
        token.len() as u64 * 4 + 512
    }
}

impl Verified {
    /// A cache of about this many bytes.
    pub(crate) fn new(bytes: u64) -> Self {
        // A token of 1 KiB is an ordinary one. The hash is keyed at random, and the whole token is compared behind it.
        let tokens = usize::try_from(bytes / 4096).unwrap_or(usize::MAX).clamp(16, 1 << 20);
        Self(Cache::with(tokens, bytes, Weight, RandomState::new(), DefaultLifecycle::default()))
    }

    /// Who this token speaks for, if it was verified under this generation of keys and has not expired.
    pub(crate) fn find(&self, token: &[u8], generation: Generation, now: Duration) -> Option<Arc<Consumer>> {
        let entry = self.0.get(token)?;
        if entry.generation == generation && now < entry.until {
            return Some(entry.consumer);
        }
        self.0.remove(token);
        None
    }

    /// Remembers a verified token until this time since 1970.
    pub(crate) fn keep(&self, token: &[u8], consumer: Arc<Consumer>, generation: Generation, until: Duration) {
        self.0.insert(token.into(), Entry { consumer, until, generation });
    }
}

impl std::fmt::Debug for Verified {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Verified({} tokens)", self.0.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LATER: Duration = Duration::from_secs(10);

    #[test]
    fn an_entry_counts_under_its_own_generation_and_until_its_time_alone() {
        let (cache, one, other) = (Verified::new(1 << 20), Generation::next(), Generation::next());
        let ada = Arc::new(Consumer::new("ada"));
        cache.keep(b"token", ada.clone(), one, LATER);
        assert!(cache.find(b"token", one, Duration::from_secs(9)).is_some());
        assert!(cache.find(b"toke", one, Duration::ZERO).is_none());
        assert!(cache.find(b"token", other, Duration::ZERO).is_none());
        assert!(cache.find(b"token", one, Duration::ZERO).is_none(), "what no longer counts is forgotten");
        cache.keep(b"token", ada, one, LATER);
        assert!(cache.find(b"token", one, LATER).is_none());
    }

    #[test]
    fn it_stays_within_its_memory() {
        let (cache, generation) = (Verified::new(1 << 20), Generation::next());
        let ada = Arc::new(Consumer::new("ada"));
        for number in 0..5_000_u32 {
            let token = [number.to_be_bytes().as_slice(), &[b'x'; 700]].concat();
            cache.keep(&token, ada.clone(), generation, LATER);
        }
        assert!((100..=315).contains(&cache.0.len()), "{}", cache.0.len());
    }
}
