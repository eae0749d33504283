//! How much of the traffic an upstream is asked to bear: its bounds, who goes first when it is full, and which of its targets
//! still has room.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Weak};
use std::time::Instant;

use arc_swap::ArcSwap;
use parking_lot::Mutex;
use portreeve_balance::{InFlight, Member, Order, Picker, Tried};
use portreeve_config::UpstreamLimits;

use super::gate::{Crowd, Entry, Found, Gate, Slot};
use super::link::{Bound, Connections};
use super::prepared::Prepared;
use super::sticky::Stay;
use crate::fault::Fault;

/// A target and a request counted there.
pub(super) type Picked = (Arc<Member<Prepared>>, InFlight);

/// What a request asks of whoever is picked for it.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Wants {
    /// What is hashed where `balance` hashes; any number where it does not.
    pub(crate) key: u64,
    /// Where the client was before, if the upstream is sticky.
    pub(crate) stay: Option<Stay>,
    /// In what order the zones are asked, if that depends on the client and it is known where that is.
    pub(crate) order: Option<Order>,
}

/// So many full targets are asked the algorithm to pick past; then the first with room is taken.
const PASSED_OVER: usize = 8;

/// Which tier goes first: names of the file's tiers with a priority above 0. Few.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct Priorities(pub(crate) Box<[(Arc<str>, u8)]>);

impl Priorities {
    /// Of a consumer of this tier; 0 without one.
    pub(crate) fn of(&self, tier: Option<&str>) -> u8 {
        let known = tier.and_then(|tier| self.0.iter().find(|(name, _)| **name == *tier));
        known.map_or(0, |(_, priority)| *priority)
    }
}

/// The limits of one pool.
#[derive(Debug)]
pub(super) struct Limits {
    config: Option<UpstreamLimits>,
    /// Handed on to the next pool of this name: what is in flight does not end with a generation.
    gate: Arc<Gate>,
    priorities: ArcSwap<Priorities>,
    /// By target; handed on like the gate.
    connections: Arc<Mutex<HashMap<SocketAddr, Weak<Connections>>>>,
}

impl Limits {
    pub(super) fn new(config: Option<&UpstreamLimits>, before: Option<&Self>) -> Self {
        let gate = before.map(|before| before.gate.clone()).unwrap_or_default();
        let connections = before.map(|before| before.connections.clone()).unwrap_or_default();
        Self { config: config.cloned(), gate, priorities: ArcSwap::default(), connections }
    }

    /// The bound on the connections to this target, if there is one.
    pub(super) fn bound(&self, target: SocketAddr) -> Option<Bound> {
        let most = self.config.as_ref()?.connections_per_target?;
        let mut known = self.connections.lock();
        known.retain(|_, connections| connections.strong_count() > 0);
        let connections = known.get(&target).and_then(Weak::upgrade).unwrap_or_default();
        known.insert(target, Arc::downgrade(&connections));
        Some(Bound { connections, most })
    }

    /// How many requests a target may have in flight: in HTTP/1.1 each has a connection.
    fn each(limits: &UpstreamLimits) -> Option<u32> {
        limits.requests_per_target.into_iter().chain(limits.connections_per_target).min()
    }

    /// Learns which tiers go first.
    pub(super) fn rank(&self, priorities: &Arc<Priorities>) {
        self.priorities.store(priorities.clone());
    }

    /// Lets a request in, or waits for its turn, at most until `until`. `None`: nothing is limited.
    ///
    /// # Errors
    /// When it has no turn. Cancel safe.
    pub(super) async fn admit(
        &self,
        picker: &Picker<Prepared>,
        tier: Option<&str>,
        until: Instant,
    ) -> Result<Option<Slot>, Fault> {
        let Some(limits) = &self.config else { return Ok(None) };
        let capacity = match (limits.requests, Self::each(limits)) {
            (Some(requests), None) => requests,
            (requests, Some(each)) => {
                let available = picker.members().iter().filter(|member| member.target.is_available()).count();
                let available = u32::try_from(available).unwrap_or(u32::MAX);
                if available == 0 {
                    return Err(Fault::NoTarget);
                }
                requests.unwrap_or(u32::MAX).min(each.saturating_mul(available))
            }
            (None, None) => return Ok(None),
        };
        let queue = usize::try_from(limits.queue).unwrap_or(usize::MAX);
        let priority = self.priorities.load().of(tier);
        match self.gate.enter(Entry { priority, capacity, queue })? {
            Found::Slot(slot) => Ok(Some(slot)),
            Found::Queue(waiting) => {
                let patience = Instant::now() + limits.queue_timeout.get();
                let turn = waiting.turn(patience.min(until)).await;
                // Whose own time was shorter than the queue's.
                turn.map(Some).map_err(|fault| {
                    let late = fault == Fault::QueueTimeout && until <= patience;
                    if late { Fault::Deadline } else { fault }
                })
            }
        }
    }

    /// Counts a request at this target, if it has room.
    pub(super) fn take(&self, member: &Arc<Member<Prepared>>, now: Instant) -> Option<Picked> {
        let in_flight = match self.config.as_ref().and_then(Self::each) {
            Some(each) => InFlight::within(member, now, each)?,
            None => InFlight::new(member, now),
        };
        Some((member.clone(), in_flight))
    }

    /// Picks a target with room that was not tried, and counts a request there.
    pub(super) fn pick(
        &self,
        picker: &Picker<Prepared>,
        now: Instant,
        wants: &Wants,
        tried: &[SocketAddr],
    ) -> Option<Picked> {
        let mut passed_over: Option<Tried> = None;
        for _ in 0..PASSED_OVER {
            let out = passed_over.as_deref().unwrap_or(tried);
            let member = picker.pick_near(now, wants.key, out, wants.order.as_ref())?;
            if let Some(picked) = self.take(member, now) {
                return Some(picked);
            }
            passed_over.get_or_insert_with(|| tried.into()).push(member.target.address);
        }
        let untried = picker.members().iter().enumerate().filter(|(_, member)| !tried.contains(&member.target.address));
        untried.into_iter().find_map(|(place, _)| self.take(picker.return_to(place, now, tried)?, now))
    }

    /// How many are in flight and wait; `None` where nothing is limited and nothing counted.
    pub(super) fn crowd(&self) -> Option<Crowd> {
        self.config.as_ref().map(|_| self.gate.crowd())
    }
}
