//! What is counted of upstreams and their targets. Labels come from the configuration alone; children are looked up at load or when
//! they first count, never per request.

use std::sync::{Arc, OnceLock};

use prometheus::{
    IntCounter, IntCounterVec, IntGaugeVec, Opts, Registry, register_int_counter_vec_with_registry,
    register_int_gauge_vec_with_registry,
};

use crate::fault::Fault;
use crate::target_gauges::TargetGauges;
use crate::{CircuitWord, PoolStatus, RetryCause};

/// A metric and what it says.
type Named = (&'static str, &'static str);

const ATTEMPTS: Named = ("portreeve_upstream_attempts_total", "Tries at targets by what came of them.");
const FAILURES: Named =
    ("portreeve_upstream_failures_total", "Attempts that failed, and requests that came to no attempt, by reason.");
const RETRIES: Named =
    ("portreeve_upstream_retries_total", "Retries that were made, and those that the budget did not allow.");
const CIRCUIT_STATE: Named = (
    "portreeve_upstream_circuit_state",
    "Whether the circuit of an upstream is closed (0), half open (1) or open (2), where it has a circuit breaker.",
);
const CIRCUIT_OPENINGS: Named =
    ("portreeve_upstream_circuit_openings_total", "How often the circuit of an upstream has opened.");
const UPSTREAM_LIMIT: Named =
    ("portreeve_upstream_limit_requests", "Requests that an upstream with limits may have in flight now.");
const HEDGES: Named = (
    "portreeve_upstream_hedges_total",
    "Second targets that were asked, by whether they were heard, and those that the budget did not allow.",
);
const UPSTREAM_IN_FLIGHT: Named =
    ("portreeve_upstream_in_flight_requests", "Requests that an upstream with limits has in flight now.");
const UPSTREAM_WAITING: Named =
    ("portreeve_upstream_waiting_requests", "Requests that wait for their turn at an upstream with limits now.");
const DISCOVERIES: Named = (
    "portreeve_upstream_discoveries_total",
    "Answers of DNS and files of targets; after all but ok, the last targets are kept.",
);

/// Those of all upstreams of a gateway.
#[derive(Debug, Clone)]
pub struct Metrics {
    attempts: IntCounterVec,
    failures: IntCounterVec,
    retries: IntCounterVec,
    hedges: IntCounterVec,
    in_flight: IntGaugeVec,
    limit: IntGaugeVec,
    waiting: IntGaugeVec,
    circuit_state: IntGaugeVec,
    circuit_openings: IntCounterVec,
    discoveries: IntCounterVec,
    targets: TargetGauges,
}

impl Metrics {
    /// Registers them.
    ///
    /// # Errors
    /// They are registered already. Otherwise never for the constants of this file; `prometheus` says otherwise.
    pub fn new(registry: &Registry) -> prometheus::Result<Self> {
        let counters = |(name, help): Named, labels: &[&str]| {
            register_int_counter_vec_with_registry!(Opts::new(name, help), labels, registry)
        };
        let gauges =
            |(name, help): Named| register_int_gauge_vec_with_registry!(Opts::new(name, help), &["upstream"], registry);
        Ok(Self {
            attempts: counters(ATTEMPTS, &["upstream", "result"])?,
            failures: counters(FAILURES, &["upstream", "reason"])?,
            retries: counters(RETRIES, &["upstream", "outcome"])?,
            hedges: counters(HEDGES, &["upstream", "outcome"])?,
            in_flight: gauges(UPSTREAM_IN_FLIGHT)?,
            limit: gauges(UPSTREAM_LIMIT)?,
            waiting: gauges(UPSTREAM_WAITING)?,
            circuit_state: gauges(CIRCUIT_STATE)?,
            circuit_openings: counters(CIRCUIT_OPENINGS, &["upstream"])?,
            discoveries: counters(DISCOVERIES, &["upstream", "result"])?,
            targets: TargetGauges::new(registry)?,
        })
    }

    /// Those of the upstream of this name.
    pub fn upstream(&self, upstream: &str) -> UpstreamMetrics {
        let result = |result| self.attempts.with_label_values(&[upstream, result]);
        let retries = |outcome| self.retries.with_label_values(&[upstream, outcome]);
        UpstreamMetrics {
            ok: result("ok"),
            failed: result("failed"),
            connect: result("connect_failed"),
            timed_out: result("timed_out"),
            unavailable: result("no_target"),
            retried: retries("made"),
            over_budget: retries("over_budget"),
            hedges: Hedges { upstream: upstream.into(), outcomes: self.hedges.clone() },
            reasons: Arc::new(Reasons {
                upstream: upstream.into(),
                failures: self.failures.clone(),
                counters: Default::default(),
            }),
            discoveries: Discoveries { upstream: upstream.into(), results: self.discoveries.clone() },
            openings: self.circuit_openings.clone(),
        }
    }

    /// Makes the gauges anew from what is there now. One scraper at a time is to do so.
    pub fn tell(&self, pools: impl IntoIterator<Item = PoolStatus>) {
        self.targets.reset();
        self.in_flight.reset();
        self.waiting.reset();
        self.limit.reset();
        self.circuit_state.reset();
        for pool in pools {
            if let Some(circuit) = &pool.circuit {
                let state = match circuit.state {
                    CircuitWord::Closed => 0,
                    CircuitWord::HalfOpen => 1,
                    CircuitWord::Open => 2,
                };
                self.circuit_state.with_label_values(&[&*pool.name]).set(state);
            }
            if let Some(limits) = &pool.limits {
                self.in_flight.with_label_values(&[&*pool.name]).set(i64::from(limits.in_flight));
                let waiting = i64::try_from(limits.waiting).unwrap_or(i64::MAX);
                self.waiting.with_label_values(&[&*pool.name]).set(waiting);
                self.limit.with_label_values(&[&*pool.name]).set(i64::from(limits.limit));
            }
            self.targets.tell(&pool);
        }
    }
}

/// The metrics of one upstream.
#[derive(Debug, Clone)]
pub struct UpstreamMetrics {
    ok: IntCounter,
    failed: IntCounter,
    connect: IntCounter,
    timed_out: IntCounter,
    unavailable: IntCounter,
    retried: IntCounter,
    over_budget: IntCounter,
    hedges: Hedges,
    reasons: Arc<Reasons>,
    pub discoveries: Discoveries,
    openings: IntCounterVec,
}

/// What came of asking twice. Made when first counted: few upstreams are hedged.
#[derive(Debug, Clone)]
struct Hedges {
    upstream: Arc<str>,
    outcomes: IntCounterVec,
}

impl Hedges {
    fn count(&self, outcome: &str) {
        self.outcomes.with_label_values(&[&*self.upstream, outcome]).inc();
    }
}

/// What came of looking for the targets of one upstream. Made when first counted: most upstreams look for nobody.
#[derive(Debug, Clone)]
pub struct Discoveries {
    upstream: Arc<str>,
    results: IntCounterVec,
}

impl Discoveries {
    /// Targets were found.
    pub fn ok(&self) {
        self.count("ok");
    }

    /// There was an answer with nobody in it.
    pub fn empty(&self) {
        self.count("empty");
    }

    /// There was no answer, or none that could be used.
    pub fn failed(&self) {
        self.count("failed");
    }

    /// How often it came out so.
    #[cfg(test)]
    pub fn counted(&self, result: &str) -> u64 {
        self.results.with_label_values(&[&*self.upstream, result]).get()
    }

    fn count(&self, result: &str) {
        self.results.with_label_values(&[&*self.upstream, result]).inc();
    }
}

/// Failures by reason. A counter is made when it first counts: most upstreams never see most reasons.
#[derive(Debug)]
struct Reasons {
    upstream: Box<str>,
    failures: IntCounterVec,
    counters: [OnceLock<IntCounter>; Fault::COUNT],
}

impl UpstreamMetrics {
    /// An attempt brought an answer.
    pub fn answered(&self) {
        self.ok.inc();
    }

    /// An attempt failed, or there could be none: once, where it fails.
    pub fn failed(&self, fault: Fault) {
        match (fault, fault.retry_cause()) {
            (_, Some(RetryCause::Connect)) => self.connect.inc(),
            (Fault::Deadline, _) | (_, Some(RetryCause::Timeout)) => self.timed_out.inc(),
            (Fault::NoTarget, _) => self.unavailable.inc(),
            // No target was asked.
            (Fault::TargetsFull | Fault::QueueFull | Fault::QueueTimeout | Fault::Shed | Fault::CircuitOpen, _) => {}
            _ => self.failed.inc(),
        }
        self.blame(fault);
    }

    /// Counts a reason, of something that was no failed attempt: a target's own answer that says no.
    pub fn blame(&self, fault: Fault) {
        let Reasons { upstream, failures, counters } = &*self.reasons;
        if let Some(counter) = counters.get(fault as usize) {
            counter.get_or_init(|| failures.with_label_values(&[&**upstream, fault.as_str()])).inc();
        }
    }

    /// How often its circuit has opened. Made where there is one.
    pub fn circuit_openings(&self) -> IntCounter {
        self.openings.with_label_values(&[&*self.reasons.upstream])
    }

    /// A retry is made.
    pub fn retried(&self) {
        self.retried.inc();
    }

    /// A second target was asked, and was or was not the one that was heard.
    pub fn hedged(&self, won: bool) {
        self.hedges.count(if won { "won" } else { "lost" });
    }

    /// A second target would have been asked, had the budget allowed it.
    pub fn hedge_over_budget(&self) {
        self.hedges.count("over_budget");
    }

    /// A retry would have been made, had the budget allowed it.
    pub fn over_budget(&self) {
        self.over_budget.inc();
    }
}
