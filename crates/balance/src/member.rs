//! A target as one pool has it, and a request that is being tried there.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use crate::{Group, Seat, Target};

/// One target of one pool: the shared state, its share, and what the pool has prepared for every attempt there.
#[derive(Debug)]
pub struct Member<P> {
    /// The state that all pools share.
    pub target: Arc<Target>,
    /// What this pool has learnt of it.
    pub seat: Arc<Seat>,
    /// Its share, relative to the other members'. 0 counts as 1: whoever is not to be picked is no member.
    pub weight: u32,
    /// When it is asked, in the order of groups.
    pub group: Group,
    /// What an attempt needs: for HTTP, the peer that each attempt clones.
    pub prepared: P,
}

impl<P> Member<P> {
    pub(crate) fn share(&self) -> u64 {
        u64::from(self.weight.max(1))
    }
}

/// One request in flight at a target, for as long as this lives: a cancelled or panicking request gives it back too.
#[derive(Debug)]
pub struct InFlight {
    target: Arc<Target>,
    pub(crate) seat: Arc<Seat>,
    pub(crate) begun: Instant,
}

impl InFlight {
    /// Counts one there from now on.
    #[must_use]
    pub fn new<P>(member: &Member<P>, now: Instant) -> Self {
        member.target.enter();
        Self::counted(member, now)
    }

    /// The target has it already.
    fn counted<P>(member: &Member<P>, now: Instant) -> Self {
        let (target, seat) = (member.target.clone(), member.seat.clone());
        seat.in_flight.fetch_add(1, Ordering::Relaxed);
        seat.load.fetch_add(1, Ordering::Relaxed);
        Self { target, seat, begun: now }
    }

    /// Counts one there if fewer than `most` are, of all pools; `None` when it is full. Exact, however many ask at once.
    #[must_use]
    pub fn within<P>(member: &Member<P>, now: Instant, most: u32) -> Option<Self> {
        member.target.enter_below(most).then(|| Self::counted(member, now))
    }

    /// Where it is.
    #[must_use]
    pub fn target(&self) -> &Target {
        &self.target
    }

    /// How long it has been tried.
    #[must_use]
    pub fn took(&self, now: Instant) -> std::time::Duration {
        now.saturating_duration_since(self.begun)
    }

    /// The request has been sent whole only now: what its body took is not the target's time.
    pub fn sent(&mut self, now: Instant) {
        self.begun = now;
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.target.leave();
        self.seat.in_flight.fetch_sub(1, Ordering::Relaxed);
        self.seat.load.fetch_sub(1, Ordering::Relaxed);
    }
}
