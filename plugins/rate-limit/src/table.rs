//! The meters of all keys: sharded, bounded, forgetting only what is idle.
//!
//! A key is held as the 128 bits that two runs of `SipHash` with random seeds make of it and of its limit, so that an entry has
//! one size whatever a client sends, and no address or name stays in memory. Among a million keys the chance that any two
//! share a meter is below 10⁻²⁶, and without the seeds nobody can look for such a pair.

use std::collections::HashMap;
use std::hash::{BuildHasher, BuildHasherDefault, Hasher, RandomState};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Instant;

use parking_lot::Mutex;
use portreeve_plugin::Clock;

use crate::meter::{Limit, Meter, Outcome, nanos};

/// Enough that as many cores rarely meet; a power of two. (Arbitrary beyond that.)
const SHARDS: usize = 64;

/// How often a full table is searched for idle keys: a flood of new keys must not buy a search with each.
const SEARCH_INTERVAL: u64 = 1_000_000_000;

/// A shard is swept when it has taken in this many keys, or as many as it held, so that a key pays for its own removal.
const FEW: usize = 128;

/// What every key has used.
#[derive(Debug)]
pub(crate) struct Table {
    shards: Box<[Mutex<Shard>]>,
    seeds: [RandomState; 2],
    /// Over all shards; entries are added only after a place was claimed here.
    keys: AtomicUsize,
    /// A full table is not searched again before this time.
    searched_until: AtomicU64,
    epoch: Instant,
}

#[derive(Debug, Default)]
struct Shard {
    meters: HashMap<u128, Meter, BuildHasherDefault<Prehashed>>,
    taken_in: usize,
    held: usize,
    next_search: u64,
}

impl Table {
    pub(crate) fn new(clock: &Clock) -> Self {
        Self {
            shards: (0..SHARDS).map(|_| Mutex::default()).collect(),
            seeds: [RandomState::new(), RandomState::new()],
            keys: AtomicUsize::new(0),
            searched_until: AtomicU64::new(0),
            epoch: clock.now(),
        }
    }

    /// Counts one request of `key`. A key that is known allocates nothing unless its log grows.
    pub(crate) fn admit(&self, limit: &Limit, key: &str, clock: &Clock, max_keys: usize) -> Outcome {
        let now = nanos(clock.now().saturating_duration_since(self.epoch));
        let [high, low] = self.seeds.each_ref().map(|seed| seed.hash_one((limit.identity(), key)));
        let digest = u128::from(high) << 64 | u128::from(low);
        // From the upper half: the maps go by the lower.
        let home = usize::from(high.to_le_bytes()[0]) % SHARDS;
        loop {
            let Some(shard) = self.shards.get(home) else { return Outcome::Full };
            let mut shard = shard.lock();
            if let Some(meter) = shard.meters.get_mut(&digest) {
                return meter.admit(limit, now);
            }
            if self.claim(max_keys) {
                self.sweep_if_due(&mut shard, now);
                shard.taken_in += 1;
                return shard.meters.entry(digest).or_insert_with(|| limit.meter(clock)).admit(limit, now);
            }
            drop(shard);
            if !self.make_room(home, now) {
                return Outcome::Full;
            }
        }
    }

    /// How many keys are held.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.keys.load(Ordering::Relaxed)
    }

    fn claim(&self, max_keys: usize) -> bool {
        let one_more = |keys: usize| (keys < max_keys).then_some(keys + 1);
        self.keys.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_more).is_ok()
    }

    fn sweep_if_due(&self, shard: &mut Shard, now: u64) {
        if shard.taken_in >= shard.held.max(FEW) {
            self.keys.fetch_sub(shard.sweep(now), Ordering::Relaxed);
        }
    }

    /// Looks for idle keys, each shard at most once a second. Whether there were any.
    fn make_room(&self, home: usize, now: u64) -> bool {
        if now < self.searched_until.load(Ordering::Relaxed) {
            return false;
        }
        for offset in 0..SHARDS {
            let Some(shard) = self.shards.get((home + offset) % SHARDS) else { continue };
            let mut shard = shard.lock();
            if now < shard.next_search {
                continue;
            }
            shard.next_search = now.saturating_add(SEARCH_INTERVAL);
            let freed = shard.sweep(now);
            if freed > 0 {
                self.keys.fetch_sub(freed, Ordering::Relaxed);
                return true;
            }
        }
        self.searched_until.store(now.saturating_add(SEARCH_INTERVAL), Ordering::Relaxed);
        false
    }
}

impl Shard {
    /// Forgets the idle ones and says how many there were.
    fn sweep(&mut self, now: u64) -> usize {
        let before = self.meters.len();
        self.meters.retain(|_, meter| meter.idle_at() > now);
        (self.taken_in, self.held) = (0, self.meters.len());
        if self.meters.capacity() > 4 * self.held.max(FEW) {
            self.meters.shrink_to(2 * self.held);
        }
        before - self.held
    }
}

/// The keys are hashes already: their lower half is their hash.
#[derive(Debug, Default)]
struct Prehashed(u64);

impl Hasher for Prehashed {
    fn write(&mut self, bytes: &[u8]) {
        // Never called for `u128`, but right for any bytes.
        self.0 = bytes.iter().fold(self.0, |hash, byte| hash.rotate_left(8) ^ u64::from(*byte));
    }

    #[expect(clippy::cast_possible_truncation, reason = "the lower half is what is wanted")]
    fn write_u128(&mut self, digest: u128) {
        self.0 = digest as u64;
    }

    fn finish(&self) -> u64 {
        self.0
    }
}
