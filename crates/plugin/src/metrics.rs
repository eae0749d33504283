//! Numbers a plugin exports. Labels come from the configuration alone: each instance gets its own child, named after its step.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use parking_lot::Mutex;
use prometheus::{HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGaugeVec, Opts, Registry};

use crate::decision::Verdict;

/// Only grows.
#[derive(Debug, Clone)]
pub struct Counter(IntCounter);

/// Goes up and down.
#[derive(Debug, Clone)]
pub struct Gauge(prometheus::IntGauge);

/// Counts observations by size.
#[derive(Debug, Clone)]
pub struct Histogram(prometheus::Histogram);

impl Counter {
    /// Adds one.
    pub fn inc(&self) {
        self.0.inc();
    }

    /// Adds `n`.
    pub fn add(&self, n: u64) {
        self.0.inc_by(n);
    }

    /// Its value.
    pub fn get(&self) -> u64 {
        self.0.get()
    }
}

impl Gauge {
    /// Sets it.
    pub fn set(&self, value: i64) {
        self.0.set(value);
    }

    /// Its value.
    pub fn get(&self) -> i64 {
        self.0.get()
    }
}

impl Histogram {
    /// Counts one observation, in the base unit of the metric's name.
    pub fn observe(&self, value: f64) {
        self.0.observe(value);
    }
}

/// Registers families on first use and hands out the child of one step. A family survives reloads.
#[derive(Clone)]
pub struct Metrics {
    registry: Registry,
    families: Arc<Mutex<HashMap<String, Family>>>,
    decisions: Option<IntCounterVec>,
}

#[derive(Clone)]
enum Family {
    Counter(IntCounterVec),
    Gauge(IntGaugeVec),
    Histogram(HistogramVec),
}

const STEP: [&str; 1] = ["step"];

impl Metrics {
    /// Families are registered in `registry`.
    pub fn new(registry: Registry) -> Self {
        let help = "Decisions of plugins other than letting a request go on.";
        let opts = Opts::new("portreeve_plugin_decisions_total", help);
        let decisions = IntCounterVec::new(opts, &["plugin", "step", "decision"]).ok();
        let decisions = decisions.filter(|family| registry.register(Box::new(family.clone())).is_ok());
        Self { registry, families: Arc::default(), decisions }
    }

    pub(crate) fn counter(&self, name: &str, help: &str, step: &str) -> Option<Counter> {
        let family = || IntCounterVec::new(Opts::new(name, help), &STEP).map(Family::Counter);
        let Family::Counter(family) = self.family(name, family)? else { return None };
        family.get_metric_with_label_values(&[step]).ok().map(Counter)
    }

    pub(crate) fn gauge(&self, name: &str, help: &str, step: &str) -> Option<Gauge> {
        let family = || IntGaugeVec::new(Opts::new(name, help), &STEP).map(Family::Gauge);
        let Family::Gauge(family) = self.family(name, family)? else { return None };
        family.get_metric_with_label_values(&[step]).ok().map(Gauge)
    }

    pub(crate) fn histogram(&self, name: &str, help: &str, buckets: &[f64], step: &str) -> Option<Histogram> {
        let opts = HistogramOpts::new(name, help).buckets(buckets.to_vec());
        let Family::Histogram(family) = self.family(name, || HistogramVec::new(opts, &STEP).map(Family::Histogram))?
        else {
            return None;
        };
        family.get_metric_with_label_values(&[step]).ok().map(Histogram)
    }

    /// The decision counters of one step.
    pub(crate) fn decisions(&self, plugin: &str, step: &str) -> Option<DecisionCounters> {
        let family = self.decisions.as_ref()?;
        let child = |verdict: Verdict| family.get_metric_with_label_values(&[plugin, step, verdict.as_str()]).ok();
        let status = http::StatusCode::OK;
        Some(DecisionCounters {
            respond: child(Verdict::Respond(status))?,
            would_respond: child(Verdict::WouldRespond(status))?,
            failed: child(Verdict::Failed)?,
            skipped: child(Verdict::Skipped)?,
        })
    }

    fn family(&self, name: &str, make: impl FnOnce() -> prometheus::Result<Family>) -> Option<Family> {
        let mut families = self.families.lock();
        if let Some(family) = families.get(name) {
            return Some(family.clone());
        }
        let family = make().ok()?;
        let collector: Box<dyn prometheus::core::Collector> = match &family {
            Family::Counter(family) => Box::new(family.clone()),
            Family::Gauge(family) => Box::new(family.clone()),
            Family::Histogram(family) => Box::new(family.clone()),
        };
        self.registry.register(collector).ok()?;
        families.insert(name.to_owned(), family.clone());
        Some(family)
    }
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Metrics")
    }
}

/// `portreeve_plugin_decisions_total` of one step, looked up at load. Plain `continue` is not counted: it is what is left.
#[derive(Debug, Clone)]
pub(crate) struct DecisionCounters {
    respond: IntCounter,
    would_respond: IntCounter,
    failed: IntCounter,
    skipped: IntCounter,
}

impl DecisionCounters {
    pub(crate) fn count(&self, verdict: Verdict) {
        match verdict {
            Verdict::Respond(_) => self.respond.inc(),
            Verdict::WouldRespond(_) => self.would_respond.inc(),
            Verdict::Failed => self.failed.inc(),
            Verdict::Skipped => self.skipped.inc(),
            Verdict::Continue | Verdict::NotEntered | Verdict::Note => {}
        }
    }
}
