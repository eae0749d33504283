//! Who is inside, and who waits: one gate for each key that has a request under way.

use std::collections::{HashMap, VecDeque};
use std::num::NonZeroU32;
use std::sync::Arc;

use futures::channel::oneshot;
use parking_lot::Mutex;

/// Enough that as many cores rarely meet. (Arbitrary beyond that.)
const SHARDS: usize = 64;

/// All gates. A key without a request has none, so that there are never more than requests.
#[derive(Debug)]
pub(crate) struct Gates(Box<[Mutex<HashMap<u128, Gate>>]>);

#[derive(Debug, Default)]
struct Gate {
    inside: u32,
    waiting: VecDeque<Waiter>,
}

#[derive(Debug)]
struct Waiter {
    limit: NonZeroU32,
    wake: oneshot::Sender<Place>,
}

/// A place inside, until it is dropped: then whoever waits longest gets it.
#[derive(Debug)]
pub(crate) struct Place {
    gates: Option<Arc<Gates>>,
    key: u128,
}

/// What becomes of somebody who wants in.
#[derive(Debug)]
pub(crate) enum Entry {
    Inside(Place),
    /// A place comes through here. Cancel safe: one that came and was not taken is given back.
    Waiting(oneshot::Receiver<Place>),
    /// All places are taken, and so is the queue.
    Refused,
}

impl Gates {
    pub(crate) fn new() -> Self {
        Self((0..SHARDS).map(|_| Mutex::default()).collect())
    }

    /// Lets somebody in if fewer than `limit` are, else into the queue if fewer than `queue` wait.
    pub(crate) fn enter(self: &Arc<Self>, key: u128, limit: NonZeroU32, queue: usize) -> Entry {
        let Some(shard) = self.shard(key) else { return Entry::Refused };
        let mut shard = shard.lock();
        let gate = shard.entry(key).or_default();
        if gate.inside < limit.get() {
            gate.inside += 1;
            return Entry::Inside(Place { gates: Some(self.clone()), key });
        }
        if gate.waiting.len() >= queue {
            // Whoever gave up waiting leaves the queue when somebody wants the place.
            gate.waiting.retain(|waiter| !waiter.wake.is_canceled());
            if gate.waiting.len() >= queue {
                return Entry::Refused;
            }
        }
        let (wake, woken) = oneshot::channel();
        gate.waiting.push_back(Waiter { limit, wake });
        Entry::Waiting(woken)
    }

    /// How many of this key are inside.
    pub(crate) fn inside_of(&self, key: u128) -> u32 {
        self.shard(key).and_then(|shard| Some(shard.lock().get(&key)?.inside)).unwrap_or(0)
    }

    /// How many are inside, over all keys.
    #[cfg(test)]
    pub(crate) fn inside(&self) -> u32 {
        self.0.iter().map(|shard| shard.lock().values().map(|gate| gate.inside).sum::<u32>()).sum()
    }

    /// How many keys there are.
    #[cfg(test)]
    pub(crate) fn keys(&self) -> usize {
        self.0.iter().map(|shard| shard.lock().len()).sum()
    }

    /// Takes one out, and lets in who waits longest.
    fn leave(self: &Arc<Self>, key: u128) {
        let Some(shard) = self.shard(key) else { return };
        let mut shard = shard.lock();
        let Some(gate) = shard.get_mut(&key) else { return };
        gate.inside = gate.inside.saturating_sub(1);
        while let Some(next) = gate.waiting.pop_front_if(|next| gate.inside < next.limit.get()) {
            let place = Place { gates: Some(self.clone()), key };
            match next.wake.send(place) {
                Ok(()) => gate.inside += 1,
                // Gone meanwhile: what comes back must not give back a place that it never had.
                Err(mut place) => place.gates = None,
            }
        }
        if gate.inside == 0 && gate.waiting.is_empty() {
            shard.remove(&key);
        }
    }

    fn shard(&self, key: u128) -> Option<&Mutex<HashMap<u128, Gate>>> {
        let [.., home] = key.to_le_bytes();
        self.0.get(usize::from(home) % SHARDS)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Some(gates) = self.gates.take() {
            gates.leave(self.key);
        }
    }
}
