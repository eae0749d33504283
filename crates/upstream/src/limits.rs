//! How much of the traffic an upstream is asked to bear: its bounds, who goes first when it is full, and which of its targets
//! still has room.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Weak};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use arc_swap::ArcSwap;
use http::StatusCode;
use parking_lot::Mutex;
use pingora_load_balancing::Backend;
use pingora_load_balancing::selection::BackendIter;
use portreeve_balance::{Adaptive, Bounds, InFlight, Member, Outcome, Pass, Sample};
use portreeve_config::{AdaptiveLimit, UpstreamLimits};
use serde::Serialize;

use super::breaker::Breaker;
use super::connector::TargetConnector;
use super::gate::{Entry, Found, Gate, Slot};
use super::link::{Bound, Connections};
use super::pool::is_failure;
use super::selection::{Selection, Wants, state};
use crate::fault::Fault;
use crate::grpc;

/// A target and a request counted there.
pub(super) type Picked = (Arc<Member<TargetConnector>>, InFlight);

/// Which tier goes first: names of the file's tiers with a priority above 0.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Priorities(pub HashMap<Arc<str>, u8>);

impl Priorities {
    /// Of a consumer of this tier; 0 without one.
    pub fn of(&self, tier: Option<&str>) -> u8 {
        tier.and_then(|tier| self.0.get(tier)).copied().unwrap_or(0)
    }
}

/// The limits of one pool.
#[derive(Debug)]
pub(super) struct Limits {
    config: Option<UpstreamLimits>,
    is_near: bool,
    /// Handed on to the next pool of this name: what is in flight does not end with a generation.
    gate: Arc<Gate>,
    /// The bound that is found by how fast targets answer. Handed on as well.
    adaptive: Option<Arc<Adaptive>>,
    priorities: ArcSwap<Priorities>,
    /// Whether anybody is asked at all.
    breaker: Option<Breaker>,
    /// By target; handed on like the gate.
    connections: Arc<Mutex<HashMap<SocketAddr, Weak<Connections>>>>,
}

impl Limits {
    /// `is_near`: which targets serve depends on the client.
    pub(super) fn new(
        config: Option<&UpstreamLimits>,
        breaker: Option<Breaker>,
        is_near: bool,
        before: Option<&Self>,
    ) -> Self {
        let gate = before.map(|before| before.gate.clone()).unwrap_or_default();
        let adaptive = config.and_then(|config| config.adaptive.as_ref()).map(|adaptive| {
            let (bounds, before) = (bounds(adaptive), before.and_then(|before| before.adaptive.as_ref()));
            match before {
                // Requests of the generation before still teach it.
                Some(same) if same.bounds() == bounds => same.clone(),
                other => Arc::new(Adaptive::new(bounds, other.map(|other| &**other))),
            }
        });
        let connections = before.map(|before| before.connections.clone()).unwrap_or_default();
        let (config, priorities) = (config.cloned(), ArcSwap::default());
        Self { config, is_near, gate, adaptive, priorities, breaker, connections }
    }

    /// The circuit breaker, if there is one.
    pub(super) fn breaker(&self) -> Option<&Breaker> {
        self.breaker.as_ref()
    }

    /// The right to one attempt, where there is a circuit breaker.
    ///
    /// # Errors
    /// [`Fault::CircuitOpen`]: nobody is to be asked.
    pub(super) fn pass(&self, now: Instant) -> Result<Option<Pass>, Fault> {
        let Some(breaker) = &self.breaker else { return Ok(None) };
        breaker.pass(now).map(Some).ok_or(Fault::CircuitOpen)
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
        selection: &Selection<TargetConnector>,
        tier: Option<&str>,
        until: Instant,
    ) -> Result<Option<Slot>, Fault> {
        // Nobody waits for a turn that would be none.
        if self.breaker.as_ref().is_some_and(|breaker| breaker.refuses(Instant::now()).is_some()) {
            return Err(Fault::CircuitOpen);
        }
        let Some(limits) = &self.config else { return Ok(None) };
        let capacity = self.capacity(limits, selection);
        if capacity == 0 {
            return Err(Fault::NoTarget);
        }
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

    /// As many may be in flight at the targets there are; 0 when there are none, as far as it depends on them.
    fn capacity(&self, limits: &UpstreamLimits, selection: &Selection<TargetConnector>) -> u32 {
        let adaptive = self.adaptive.as_ref().map(|adaptive| adaptive.limit());
        let in_all = adaptive.or(limits.requests).unwrap_or(u32::MAX);
        let Some(each) = Self::each(limits) else { return in_all };
        let now = Instant::now();
        let serving = if self.is_near { selection.serving_somebody(now) } else { selection.serving(now) };
        let serving = u32::try_from(serving).unwrap_or(u32::MAX);
        in_all.min(each.saturating_mul(serving))
    }

    /// Learns from an attempt how much the upstream can bear.
    pub(super) fn learn(&self, attempt: &InFlight, told: AttemptOutcome, now: Instant) {
        if let Some(breaker) = &self.breaker {
            breaker.learn(attempt, told, now);
        }
        let Some(adaptive) = &self.adaptive else { return };
        let sample = match told {
            AttemptOutcome::Answered => Sample::Answered(attempt.took(now)),
            AttemptOutcome::Strained => Sample::Dropped,
            // It fails fast or slowly for reasons of its own.
            AttemptOutcome::Failed | AttemptOutcome::Overtaken => return,
        };
        let on_the_wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        adaptive.observe(on_the_wall, self.gate.crowd().in_flight, sample);
    }

    /// Counts a request at this target, if it has room.
    fn take(&self, target: &Backend, now: Instant) -> Option<Picked> {
        let member: &Arc<Member<TargetConnector>> = state(target)?;
        let in_flight = match self.config.as_ref().and_then(Self::each) {
            Some(each) => InFlight::within(member, now, each)?,
            None => InFlight::new(member, now),
        };
        Some((member.clone(), in_flight))
    }

    /// Picks a target with room that was not tried, and counts a request there.
    pub(super) fn pick(
        &self,
        selection: &Arc<Selection<TargetConnector>>,
        now: Instant,
        wants: &Wants,
        tried: &[SocketAddr],
    ) -> Option<Picked> {
        let mut candidates = selection.candidates(now, wants, tried);
        while let Some(target) = candidates.next() {
            if let Some(picked) = self.take(target, now) {
                return Some(picked);
            }
        }
        None
    }

    /// How full it is; `None` where nothing is limited and nothing counted.
    pub(super) fn status(&self, selection: &Selection<TargetConnector>) -> Option<LimitStatus> {
        let limits = self.config.as_ref()?;
        let (crowd, found) = (self.gate.crowd(), self.adaptive.as_ref().map(|adaptive| adaptive.found()));
        let unhindered = found.and_then(|found| found.unhindered);
        Some(LimitStatus {
            limit: self.capacity(limits, selection),
            in_flight: crowd.in_flight,
            waiting: crowd.waiting,
            min_rtt_ms: unhindered.map(|latency| (latency.as_secs_f64() * 1e6).round() / 1e3),
            probing: found.map(|found| found.is_looking),
        })
    }
}

/// What the admin port tells of the limits of a pool.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct LimitStatus {
    /// As many requests may be in flight now.
    pub limit: u32,
    /// So many are.
    pub in_flight: u32,
    /// So many wait for their turn.
    pub waiting: usize,
    /// With `adaptive`: what an answer takes to begin where no queue is before the targets, in milliseconds; none before the
    /// first answers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min_rtt_ms: Option<f64>,
    /// With `adaptive`: whether the limit is halved for a moment to see that.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub probing: Option<bool>,
}

/// What came of an attempt, for all who learn from it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AttemptOutcome {
    /// The target has begun to answer.
    Answered,
    /// It failed.
    Failed,
    /// It failed as those do that have too much: no answer in time, or one that says so.
    Strained,
    /// Another target was asked the same and has answered earlier.
    Overtaken,
}

impl AttemptOutcome {
    /// By the head of an answer: its status, and that of gRPC if it stands there already.
    pub fn by_answer(status: StatusCode, of_grpc: Option<u16>) -> Self {
        if of_grpc == Some(grpc::UNAVAILABLE) { Self::Strained } else { Self::by_status(status) }
    }

    /// By the status of an answer.
    pub fn by_status(status: StatusCode) -> Self {
        match status {
            StatusCode::SERVICE_UNAVAILABLE => Self::Strained,
            status if is_failure(status) => Self::Failed,
            _ => Self::Answered,
        }
    }

    /// By what went wrong.
    pub fn by_fault(fault: Fault) -> Self {
        match fault {
            Fault::AnswerTimeout | Fault::PerTryTimeout | Fault::Deadline => Self::Strained,
            _ => Self::Failed,
        }
    }

    /// As far as it says something of the target alone.
    pub(super) fn outcome(self) -> Outcome {
        match self {
            Self::Answered => Outcome::Answered,
            Self::Failed | Self::Strained => Outcome::Failed,
            Self::Overtaken => Outcome::Overtaken,
        }
    }
}

fn bounds(adaptive: &AdaptiveLimit) -> Bounds {
    Bounds { min: adaptive.min, max: adaptive.max, tolerance: adaptive.tolerance.fraction() }
}

#[cfg(test)]
#[path = "limits_tests.rs"]
mod tests;
