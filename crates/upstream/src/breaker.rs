//! The circuit breaker of an upstream: its settings, what it says in log and metrics, and what the admin port tells of it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use portreeve_balance::{Circuit, CircuitChange, CircuitPolicy, CircuitState, InFlight, Outcome, Pass};
use portreeve_config::CircuitBreaker;
use prometheus::IntCounter;
use serde::Serialize;

use super::limits::AttemptOutcome;
use crate::metrics::UpstreamMetrics;

/// The circuit breaker of one pool.
#[derive(Debug)]
pub(super) struct Breaker {
    policy: CircuitPolicy,
    /// Handed on to the next pool of this name.
    circuit: Arc<Circuit>,
    upstream: Arc<str>,
    openings: IntCounter,
}

impl Breaker {
    /// `before`: that of this name in the generation before, which may be open.
    pub(super) fn new(
        config: &CircuitBreaker,
        upstream: Arc<str>,
        metrics: &UpstreamMetrics,
        before: Option<&Self>,
    ) -> Self {
        let policy = CircuitPolicy {
            failures: config.failures.fraction(),
            minimum: config.minimum,
            window: config.window.get(),
            open_for: config.open_for.get(),
            probes: config.probes,
        };
        let circuit = before.map_or_else(Circuit::new, |before| before.circuit.clone());
        Self { policy, circuit, upstream, openings: metrics.circuit_openings() }
    }

    /// Lets an attempt through, unless nobody is to be asked.
    pub(super) fn pass(&self, now: Instant) -> Option<Pass> {
        self.circuit.pass(&self.policy, now).ok()
    }

    /// How long nobody is asked, if that is so; zero where that is not known.
    pub(super) fn refuses(&self, now: Instant) -> Option<Duration> {
        self.circuit.refuses(&self.policy, now)
    }

    /// Learns from what came of an attempt.
    pub(super) fn learn(&self, attempt: &InFlight, told: AttemptOutcome, now: Instant) {
        let failed = match told.outcome() {
            Outcome::Answered => false,
            Outcome::Failed => true,
            // Another one was heard, and says more.
            Outcome::Overtaken => return,
        };
        let Some(pass) = attempt.pass() else { return };
        let upstream = &self.upstream;
        match self.circuit.report(&self.policy, pass, failed, now) {
            None => {}
            Some(CircuitChange::Opened { attempts, failures }) => {
                self.openings.inc();
                let seconds = self.policy.open_for.as_secs_f64();
                let cause = if attempts == 0 { "a probe failed" } else { "too many attempts failed" };
                tracing::warn!(%upstream, cause, attempts, failures, seconds, "The circuit of an upstream opened.");
            }
            Some(CircuitChange::Closed) => tracing::info!(%upstream, "The circuit of an upstream closed."),
        }
    }

    /// How it stands.
    pub(super) fn status(&self, now: Instant) -> CircuitStatus {
        let (attempts, failures) = self.circuit.counts(&self.policy, now);
        let (state, retry_after_ms) = match self.circuit.state(now) {
            CircuitState::Closed => (CircuitWord::Closed, None),
            CircuitState::HalfOpen => (CircuitWord::HalfOpen, None),
            CircuitState::Open(left) => (CircuitWord::Open, Some(u64::try_from(left.as_millis()).unwrap_or(u64::MAX))),
        };
        CircuitStatus { state, retry_after_ms, attempts, failures, openings: self.openings.get() }
    }
}

/// What the admin port tells of a circuit breaker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct CircuitStatus {
    /// Whether the upstream is asked.
    pub state: CircuitWord,
    /// While it is open: for how many milliseconds more.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry_after_ms: Option<u64>,
    /// Attempts that ended within the window.
    pub attempts: u32,
    /// How many of them failed.
    pub failures: u32,
    /// How often it has opened.
    pub openings: u64,
}

/// Whether an upstream is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum CircuitWord {
    /// It is.
    Closed,
    /// A few attempts show whether it may be.
    HalfOpen,
    /// It is not.
    Open,
}
