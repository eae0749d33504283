//! A target as one pool has it, and a request that is being tried there.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use crate::{Group, Pass, Seat, Target};

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
    /// The right to it, where the pool has a circuit breaker.
    pass: Option<Pass>,
}

impl InFlight {
    /// Counts one there from now on.
    #[must_use]
    pub fn new<P>(member: &Member<P>, now: Instant) -> Self {
        member.target.enter();
        member.seat.in_flight.fetch_add(1, Ordering::Relaxed);
        Self::counted(member, now)
    }

    /// Target and seat have it already.
    fn counted<P>(member: &Member<P>, now: Instant) -> Self {
        let (target, seat) = (member.target.clone(), member.seat.clone());
        seat.load.fetch_add(1, Ordering::Relaxed);
        Self { target, seat, begun: now, pass: None }
    }

    /// Counts one there if fewer than `most` are; `None` when it is full. Exact, however many ask at once. Those of all pools
    /// count that have the target with the same checks, and those of this pool under whatever checks it had it before.
    #[must_use]
    pub fn within<P>(member: &Member<P>, now: Instant, most: u32) -> Option<Self> {
        if !member.target.enter_below(most) {
            return None;
        }
        let room = |in_flight| (in_flight < most).then(|| in_flight + 1);
        if member.seat.in_flight.fetch_update(Ordering::Relaxed, Ordering::Relaxed, room).is_err() {
            member.target.leave();
            return None;
        }
        Some(Self::counted(member, now))
    }

    /// By this right, which ends with it.
    #[must_use]
    pub fn by(mut self, pass: Option<Pass>) -> Self {
        self.pass = pass;
        self
    }

    /// The right to it, where the pool has a circuit breaker.
    #[must_use]
    pub fn pass(&self) -> Option<&Pass> {
        self.pass.as_ref()
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Ledger;

    fn member(target: &Arc<Target>, ledger: &Ledger) -> Member<()> {
        let seat = ledger.seat(target.address);
        Member { target: target.clone(), seat, weight: 1, group: Group::default(), prepared: () }
    }

    #[test]
    fn a_bound_holds_through_other_checks_of_the_same_pool_and_for_other_pools() {
        let (now, address) = (Instant::now(), ([127, 0, 0, 1], 80).into());
        let (before, after) = (Arc::new(Target::new(address)), Arc::new(Target::new(address)));
        let (ours, others) = (Ledger::new(), Ledger::new());
        let two =
            [InFlight::within(&member(&before, &ours), now, 2), InFlight::within(&member(&before, &ours), now, 2)];
        assert!(two.iter().all(Option::is_some));
        // The same address, checked in another way since: the requests from before are still there.
        assert!(InFlight::within(&member(&after, &ours), now, 2).is_none());
        assert_eq!((after.in_flight(), ours.in_flight()), (0, 2));
        assert!(InFlight::within(&member(&before, &others), now, 2).is_none());
        assert_eq!(others.in_flight(), 0);
        drop(two);
        assert!(InFlight::within(&member(&after, &ours), now, 2).is_some());
        assert_eq!((before.in_flight(), after.in_flight(), ours.in_flight()), (0, 0, 0));
    }
}
