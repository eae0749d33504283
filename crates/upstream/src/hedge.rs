//! Hedging: when a target is slow to begin its answer, another is asked the same, and whoever answers first is heard.
//!
//! Who is asked and whether there is budget for it is decided here; the two connections race in `link/race.rs`.

use std::sync::Arc;
use std::time::{Duration, Instant};

use portreeve_balance::{InFlight, Member, Tried};
use portreeve_config::Hedge as HedgeConfig;

use super::budget::Budget;
use super::connector::TargetConnector;
use super::limits::{AttemptOutcome, Limits};
use super::members::Members;
use super::selection::Wants;
use crate::fault::Fault;
use crate::metrics::UpstreamMetrics;

/// The hedging of one pool and what is left of its budget.
pub(crate) struct Hedges {
    pub(super) after: Duration,
    budget: Budget,
    members: Arc<Members>,
    limits: Arc<Limits>,
    metrics: UpstreamMetrics,
}

impl Hedges {
    pub(super) fn new(
        config: &HedgeConfig,
        members: &Arc<Members>,
        limits: &Arc<Limits>,
        metrics: &UpstreamMetrics,
    ) -> Self {
        Self {
            after: config.after.get(),
            budget: Budget::new(config.budget.fraction(), Instant::now()),
            members: members.clone(),
            limits: limits.clone(),
            metrics: metrics.clone(),
        }
    }

    /// Counts a request: it earns its share of a hedge.
    pub(super) fn earn(&self) {
        self.budget.earn();
    }
}

impl std::fmt::Debug for Hedges {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Hedges(after {:?})", self.after)
    }
}

/// What one attempt may do when its target is slow: once.
#[derive(Debug)]
pub struct Hedge {
    hedges: Arc<Hedges>,
    wants: Wants,
    /// Those that are not to be asked, the target of the attempt among them.
    tried: Tried,
    pub(super) begun: Instant,
}

impl Hedge {
    pub(super) fn new(hedges: &Arc<Hedges>, wants: &Wants, tried: Tried, begun: Instant) -> Self {
        // Where the client was before is the target of the attempt, or one that was out or full.
        Self { hedges: hedges.clone(), wants: Wants { stay: None, ..*wants }, tried, begun }
    }

    /// When the other target is asked.
    pub(super) fn due(&self) -> Instant {
        self.begun + self.hedges.after
    }

    /// Somebody else to ask, if somebody has room and the budget allows it. The request is counted there.
    pub(super) fn second(&self) -> Option<Second> {
        let now = Instant::now();
        let pass = self.hedges.limits.pass(now).ok()?;
        let selection = self.hedges.members.selection.load();
        let (member, in_flight) = self.hedges.limits.pick(&selection, now, &self.wants, &self.tried)?;
        // Last, so that nothing is paid for nobody.
        if !self.hedges.budget.take(now) {
            self.hedges.metrics.hedge_over_budget();
            return None;
        }
        Some(Second { hedges: self.hedges.clone(), member, in_flight: Some(in_flight.by(pass)) })
    }
}

/// Somebody who is asked beside the target of an attempt. One who is neither heard nor told to have failed was overtaken.
#[derive(Debug)]
pub(crate) struct Second {
    hedges: Arc<Hedges>,
    member: Arc<Member<TargetConnector>>,
    in_flight: Option<InFlight>,
}

impl Second {
    pub(super) fn prepared(&self) -> &TargetConnector {
        &self.member.prepared
    }

    pub(super) fn address(&self) -> std::net::SocketAddr {
        self.member.target.address
    }

    /// It is the one that is heard: the request is in flight there alone.
    pub(super) fn win(mut self) -> Option<InFlight> {
        self.hedges.metrics.hedged(true);
        self.in_flight.take()
    }

    /// The other one was heard first: this one took longer than that, and is no worse for it.
    pub(super) fn lose(mut self) {
        self.tell(AttemptOutcome::Overtaken);
    }

    /// It failed by itself.
    pub(super) fn fail(mut self, fault: Fault) {
        self.hedges.metrics.failed(fault);
        self.tell(AttemptOutcome::by_fault(fault));
    }

    fn tell(&mut self, told: AttemptOutcome) {
        if let Some(in_flight) = self.in_flight.take() {
            self.hedges.metrics.hedged(false);
            self.hedges.limits.learn(&in_flight, told, Instant::now());
            self.hedges.members.report(&in_flight, told.outcome());
        }
    }
}

impl Drop for Second {
    /// Nobody came to be heard: the client left, or the time of the attempt was over.
    fn drop(&mut self) {
        if self.in_flight.is_some() {
            self.hedges.metrics.hedged(false);
        }
    }
}
