//! What one pool knows of the addresses it sends to, kept while members, pickers and generations come and go.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::changes::Changes;
use crate::latency::Latency;
use crate::outlier::Passive;
use crate::time::{NEVER, length, nanos};

/// The memory of one pool. A pool of the next generation takes it over from the one of its name.
#[derive(Debug, Default)]
pub struct Ledger {
    seats: Mutex<HashMap<SocketAddr, Weak<Seat>>>,
    /// Requests of this pool that are in flight, at all of its members.
    load: Arc<AtomicU32>,
    pub(crate) changes: Arc<Changes>,
    /// Held while it is decided whether one more may be ejected.
    pub(crate) judging: Mutex<()>,
}

/// What one pool has learnt of one address.
#[derive(Debug)]
pub struct Seat {
    /// Requests of this pool that are in flight there.
    pub(crate) in_flight: AtomicU32,
    pub(crate) load: Arc<AtomicU32>,
    pub(crate) latency: Latency,
    pub(crate) passive: Passive,
    /// When it came or came back.
    since: AtomicU64,
    was_available: AtomicBool,
}

impl Ledger {
    /// An empty one.
    #[must_use]
    pub fn new() -> Arc<Self> {
        Arc::default()
    }

    /// The seat of `address`: with all that is known of it, as long as a member or an attempt has it.
    #[must_use]
    pub fn seat(&self, address: SocketAddr) -> Arc<Seat> {
        let mut seats = self.seats.lock();
        if let Some(seat) = seats.get(&address).and_then(Weak::upgrade) {
            return seat;
        }
        let seat = Arc::new(Seat {
            in_flight: AtomicU32::new(0),
            load: self.load.clone(),
            latency: Latency::default(),
            passive: Passive::default(),
            since: AtomicU64::new(NEVER),
            was_available: AtomicBool::new(false),
        });
        seats.retain(|_, seat| seat.strong_count() > 0);
        seats.insert(address, Arc::downgrade(&seat));
        seat
    }

    /// Requests of this pool in flight.
    #[must_use]
    pub fn in_flight(&self) -> u32 {
        self.load.load(Ordering::Relaxed)
    }
}

impl Seat {
    /// Requests of this pool that are in flight there, through all its generations.
    #[must_use]
    pub fn in_flight(&self) -> u32 {
        self.in_flight.load(Ordering::Relaxed)
    }

    /// Whether the pool has ejected it for now.
    #[must_use]
    pub fn is_ejected(&self, now: Instant) -> bool {
        self.passive.is_ejected(nanos(now))
    }

    /// How long ago it was ejected, or came back from that; `None` if it never was.
    #[must_use]
    pub fn turned(&self, now: Instant) -> Option<Duration> {
        let nanos = nanos(now);
        self.passive.turned(nanos).map(|turned| Duration::from_nanos(nanos.saturating_sub(turned)))
    }

    /// How often it was ejected since it has last been well for long; what the next ejection is longer by.
    #[must_use]
    pub fn ejections(&self) -> u32 {
        self.passive.ejections()
    }

    /// The time to the first byte that is expected of it; `None` before an attempt has ended.
    #[must_use]
    pub fn latency(&self, now: Instant) -> Option<Duration> {
        self.latency.at(nanos(now)).map(|micros| Duration::from_secs_f32(micros / 1e6))
    }

    /// Takes note of whether it is available; it begins to rise when it has become so.
    pub(crate) fn mark(&self, available: bool, nanos: u64) {
        let before = self.was_available.swap(available, Ordering::Relaxed);
        if available && !before {
            self.since.store(nanos, Ordering::Relaxed);
        }
    }

    /// What part of its weight counts, 0.1 to 1, so long after it came.
    pub(crate) fn rise(&self, over: Duration, nanos: u64) -> f32 {
        let up = nanos.saturating_sub(self.since.load(Ordering::Relaxed));
        let over = length(over).max(1);
        if up >= over {
            return 1.0;
        }
        #[expect(clippy::cast_precision_loss, reason = "a share needs no more than 24 bits")]
        let share = up as f32 / over as f32;
        share.max(LEAST)
    }
}

/// What of its weight a member has at once: without requests it would never get warm (Envoy's default).
const LEAST: f32 = 0.1;
