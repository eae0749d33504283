//! The accounts of all keys: sharded, bounded, forgetting only what is idle.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::time::{Duration, Instant, SystemTime};

use portreeve_plugin::{Clock, Seeds};

use crate::account::{Account, Decision, Standings};
use crate::meter::{Limit, Moment, nanos};
use crate::sync::{AtomicU64, AtomicUsize, Mutex, Ordering, SHARDS};

/// How often a full table is searched for idle keys: a flood of new keys must not buy a search with each.
const SEARCH_INTERVAL: u64 = 1_000_000_000;

/// A shard is swept when it has taken in this many keys, or as many as it held, so that a key pays for its own removal.
const FEW: usize = 128;

/// What every key has used.
#[derive(Debug)]
pub(crate) struct Table {
    shards: Box<[Mutex<Shard>]>,
    /// What keys are hashed with.
    pub(crate) seeds: Seeds,
    /// Over all shards; entries are added only after a place was claimed here.
    keys: AtomicUsize,
    /// A full table is not searched again before this time.
    searched_until: AtomicU64,
    epoch: Instant,
}

#[derive(Debug, Default)]
struct Shard {
    accounts: HashMap<u128, Account, BuildHasherDefault<Prehashed>>,
    taken_in: usize,
    held: usize,
    next_search: u64,
}

impl Table {
    pub(crate) fn new(clock: &Clock) -> Self {
        Self {
            shards: (0..SHARDS).map(|_| Mutex::new(Shard::default())).collect(),
            seeds: Seeds::default(),
            keys: AtomicUsize::new(0),
            searched_until: AtomicU64::new(0),
            epoch: clock.now(),
        }
    }

    /// The time on this table's clock.
    pub(crate) fn moment(&self, limits: &[Limit], clock: &Clock) -> Moment {
        let wall = if limits.iter().any(|limit| matches!(limit, Limit::Calendar(_))) {
            nanos(clock.wall().duration_since(SystemTime::UNIX_EPOCH).unwrap_or(Duration::ZERO))
        } else {
            0
        };
        Moment { mono: nanos(clock.now().saturating_duration_since(self.epoch)), wall }
    }

    /// Decides about one request. A key that is known allocates nothing unless its log grows. `None` when the key is new
    /// and there is no room to remember it.
    pub(crate) fn decide(
        &self,
        limits: &[Limit],
        key: u128,
        cost: u64,
        now: Moment,
        max_keys: usize,
    ) -> Option<Decision> {
        self.with(key, now.mono, max_keys, |account| account.decide(limits, cost, now))
    }

    /// Decides without taking anything. `None` as for [`Table::decide`].
    pub(crate) fn look(
        &self,
        limits: &[Limit],
        key: u128,
        cost: u64,
        now: Moment,
        max_keys: usize,
    ) -> Option<Decision> {
        self.with(key, now.mono, max_keys, |account| account.look(limits, cost, now))
    }

    /// Takes in a request that the store has admitted, as of when it came, unless there is no room by now. `None` as for
    /// [`Table::decide`].
    pub(crate) fn settle(
        &self,
        limits: &[Limit],
        key: u128,
        cost: u64,
        (came, now): (Moment, Moment),
        max_keys: usize,
    ) -> Option<Decision> {
        self.with(key, now.mono, max_keys, |account| account.settle(limits, cost, came, now))
    }

    /// Charges a key whether it has room or not. `None` as for [`Table::decide`].
    pub(crate) fn take(
        &self,
        limits: &[Limit],
        key: u128,
        cost: u64,
        now: Moment,
        max_keys: usize,
    ) -> Option<Standings> {
        self.with(key, now.mono, max_keys, |account| account.take(limits, cost, now))
    }

    /// How a key stands, without remembering it if it is not known.
    pub(crate) fn peek(&self, limits: &[Limit], key: u128, now: Moment) -> Standings {
        let shard = self.home(key).map(Mutex::lock);
        let known = shard.and_then(|mut shard| Some(shard.accounts.get_mut(&key)?.look(limits, 0, now)));
        known.unwrap_or_else(|| Account::default().look(limits, 0, now)).standings
    }

    /// Forgets what a key has used.
    pub(crate) fn forget(&self, key: u128) {
        let gone = self.home(key).and_then(|shard| shard.lock().accounts.remove(&key));
        if gone.is_some() {
            self.keys.fetch_sub(1, Ordering::Relaxed);
        }
    }

    fn home(&self, key: u128) -> Option<&Mutex<Shard>> {
        self.shards.get(place_of(key))
    }

    /// Finds the account of a key, or makes one if there is room.
    fn with<T>(&self, key: u128, now: u64, max_keys: usize, act: impl FnOnce(&mut Account) -> T) -> Option<T> {
        let home = place_of(key);
        loop {
            let mut shard = self.shards.get(home)?.lock();
            if let Some(account) = shard.accounts.get_mut(&key) {
                return Some(act(account));
            }
            if self.claim(max_keys) {
                self.sweep_if_due(&mut shard, now);
                shard.taken_in += 1;
                return Some(act(shard.accounts.entry(key).or_default()));
            }
            drop(shard);
            if !self.make_room(home, now) {
                return None;
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

/// The shard of a key: from its upper half, since the maps go by the lower.
fn place_of(key: u128) -> usize {
    let [.., home] = key.to_le_bytes();
    usize::from(home) % SHARDS
}

impl Shard {
    /// Forgets the idle ones and says how many there were.
    fn sweep(&mut self, now: u64) -> usize {
        let before = self.accounts.len();
        self.accounts.retain(|_, account| account.idle_at() > now);
        (self.taken_in, self.held) = (0, self.accounts.len());
        if self.accounts.capacity() > 4 * self.held.max(FEW) {
            self.accounts.shrink_to(2 * self.held);
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
