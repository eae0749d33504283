//! The engine's metrics. Labels come from the configuration alone; children are looked up at load, never per request.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use http::StatusCode;
use parking_lot::Mutex;
use prometheus::{
    Encoder, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry,
    TextEncoder, register_histogram_vec_with_registry, register_int_counter_vec_with_registry,
    register_int_counter_with_registry, register_int_gauge_vec_with_registry, register_int_gauge_with_registry,
};

use super::targets::TargetGauges;
use super::tcp::{TcpMetrics, TcpVecs};
use crate::fault::Fault;
use crate::snapshot::Snapshot;
use crate::upstream::{CircuitWord, RetryCause};

/// A metric and what it says.
type Named = (&'static str, &'static str);

const REQUESTS: Named =
    ("portreeve_requests_total", "Requests by route and class of the status sent (none: the client left first).");
const DURATION: Named =
    ("portreeve_request_duration_seconds", "From the complete request head to the last byte of the answer.");
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
const MIRRORED: Named =
    ("portreeve_mirrored_requests_total", "Copies of requests for another upstream, by what came of them.");
const DISCOVERIES: Named = (
    "portreeve_upstream_discoveries_total",
    "Answers of DNS and files of targets; after all but ok, the last targets are kept.",
);
const RELOAD_SUCCESS: Named =
    ("portreeve_config_last_reload_success", "1 if the last reload took effect, 0 if its file was refused.");
const GENERATION: Named = ("portreeve_config_generation", "Number of the configuration in effect.");
const CONNECTIONS: Named = ("portreeve_connections", "Client connections open now.");
const CONNECTIONS_REFUSED: Named =
    ("portreeve_connections_refused_total", "Connections that ended before a request: limits, PROXY protocol, TLS.");
const TLS_HANDSHAKES: Named = (
    "portreeve_tls_handshakes_total",
    "TLS handshakes that came to their end, by version and whether a session was resumed.",
);
const REQUESTS_REFUSED: Named = (
    "portreeve_requests_refused_total",
    "Requests refused before routing, since they are malformed, too large or too slow.",
);
const CERTIFICATE_EXPIRY: Named =
    ("portreeve_certificate_expiry_seconds", "When the certificate of a listener expires, in seconds since 1970.");
const LISTENER_UP: Named = (
    "portreeve_listener_up",
    "Whether a listener is open: 0 for one that has stayed closed since its TLS cannot work.",
);
const ACME_ORDERS: Named =
    ("portreeve_acme_orders_total", "Certificates that the gateway asked for by itself, by what came of it.");
const USAGE_FAILURES: Named =
    ("portreeve_usage_failures_total", "Turns in which usage could not be kept as it should be, by what failed.");
const LOG_DROPPED: Named =
    ("portreeve_access_log_dropped_total", "Access-log lines dropped because the writer was behind.");

/// Upper bounds in seconds: from an answer in memory to the longest usual timeout.
const BUCKETS: [f64; 14] = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 15.0];
const CLASSES: [&str; 6] = ["none", "1xx", "2xx", "3xx", "4xx", "5xx"];

/// All metrics of one gateway.
#[derive(Debug, Clone)]
pub(crate) struct Metrics {
    registry: Registry,
    requests: IntCounterVec,
    duration: HistogramVec,
    attempts: IntCounterVec,
    failures: IntCounterVec,
    retries: IntCounterVec,
    hedges: IntCounterVec,
    upstream_in_flight: IntGaugeVec,
    upstream_limit: IntGaugeVec,
    circuit_state: IntGaugeVec,
    circuit_openings: IntCounterVec,
    upstream_waiting: IntGaugeVec,
    mirrored: IntCounterVec,
    discoveries: IntCounterVec,
    targets: TargetGauges,
    reload_success: IntGauge,
    generation: IntGauge,
    connections: IntGauge,
    connections_refused: IntCounterVec,
    tls_handshakes: IntCounterVec,
    requests_refused: IntCounterVec,
    certificate_expiry: IntGaugeVec,
    listener_up: IntGaugeVec,
    acme_orders: IntCounterVec,
    usage_failures: IntCounterVec,
    log_dropped: IntCounter,
    tcp: TcpVecs,
    plugins: portreeve_plugin::engine::Metrics,
    scrape: Arc<Mutex<()>>,
}

impl Metrics {
    /// Fresh metrics in a registry of their own.
    ///
    /// # Errors
    /// Never for the constants of this file; `prometheus` says otherwise.
    pub(crate) fn new() -> prometheus::Result<Self> {
        let registry = Registry::new();
        let counters = |(name, help): Named, labels: &[&str]| {
            register_int_counter_vec_with_registry!(Opts::new(name, help), labels, registry)
        };
        let gauges = |(name, help): Named, labels: &[&str]| {
            register_int_gauge_vec_with_registry!(Opts::new(name, help), labels, registry)
        };
        let gauge = |(name, help): Named| register_int_gauge_with_registry!(Opts::new(name, help), registry);
        let counter = |(name, help): Named| register_int_counter_with_registry!(Opts::new(name, help), registry);
        let histograms = |(name, help): Named, labels: &[&str]| {
            let options = HistogramOpts::new(name, help).buckets(BUCKETS.to_vec());
            register_histogram_vec_with_registry!(options, labels, registry)
        };
        Self::of_process(&registry)?;
        Ok(Self {
            requests: counters(REQUESTS, &["route", "status_class"])?,
            duration: histograms(DURATION, &["route"])?,
            attempts: counters(ATTEMPTS, &["upstream", "result"])?,
            failures: counters(FAILURES, &["upstream", "reason"])?,
            hedges: counters(HEDGES, &["upstream", "outcome"])?,
            retries: counters(RETRIES, &["upstream", "outcome"])?,
            upstream_in_flight: gauges(UPSTREAM_IN_FLIGHT, &["upstream"])?,
            upstream_limit: gauges(UPSTREAM_LIMIT, &["upstream"])?,
            circuit_state: gauges(CIRCUIT_STATE, &["upstream"])?,
            circuit_openings: counters(CIRCUIT_OPENINGS, &["upstream"])?,
            upstream_waiting: gauges(UPSTREAM_WAITING, &["upstream"])?,
            mirrored: counters(MIRRORED, &["route", "outcome"])?,
            discoveries: counters(DISCOVERIES, &["upstream", "result"])?,
            targets: TargetGauges::new(&registry)?,
            reload_success: gauge(RELOAD_SUCCESS)?,
            generation: gauge(GENERATION)?,
            connections: gauge(CONNECTIONS)?,
            connections_refused: counters(CONNECTIONS_REFUSED, &["listener", "reason"])?,
            tls_handshakes: counters(TLS_HANDSHAKES, &["listener", "version", "resumed"])?,
            requests_refused: counters(REQUESTS_REFUSED, &["listener", "reason"])?,
            certificate_expiry: gauges(CERTIFICATE_EXPIRY, &["listener", "certificate"])?,
            listener_up: gauges(LISTENER_UP, &["listener"])?,
            acme_orders: counters(ACME_ORDERS, &["certificate", "outcome"])?,
            usage_failures: counters(USAGE_FAILURES, &["stage"])?,
            log_dropped: counter(LOG_DROPPED)?,
            tcp: TcpVecs::new(&registry)?,
            plugins: portreeve_plugin::engine::Metrics::new(registry.clone()),
            registry,
            scrape: Arc::default(),
        })
    }

    /// Takes in what the operator's log counts for the whole process.
    fn of_process(registry: &Registry) -> prometheus::Result<()> {
        registry.register(Box::new(portreeve_log::dropped_lines()))?;
        registry.register(Box::new(portreeve_log::suppressed_lines()))
    }

    pub(crate) fn route(&self, route: Arc<str>) -> RouteMetrics {
        RouteMetrics {
            route,
            requests: self.requests.clone(),
            durations: self.duration.clone(),
            ended: OnceLock::new(),
        }
    }

    pub(crate) fn upstream(&self, upstream: &str) -> UpstreamMetrics {
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

    pub(crate) fn mirror(&self, route: &str) -> MirrorMetrics {
        let outcome = |outcome| self.mirrored.with_label_values(&[route, outcome]);
        MirrorMetrics {
            sent: outcome("sent"),
            failed: outcome("failed"),
            behind: outcome("behind"),
            too_large: outcome("too_large"),
        }
    }

    /// Of the connections from a listener to an upstream.
    pub(crate) fn tcp(&self, listener: &Arc<str>, upstream: &Arc<str>) -> TcpMetrics {
        self.tcp.way(listener, upstream)
    }

    /// Counts a connection that was not served. `reason` is a word of a closed set.
    pub(crate) fn connection_refused(&self, listener: &str, reason: &'static str) {
        self.connections_refused.with_label_values(&[listener, reason]).inc();
    }

    /// Counts a handshake. `version` is a word of a closed set.
    pub(crate) fn tls_handshake(&self, listener: &str, version: &'static str, resumed: bool) {
        let resumed = if resumed { "true" } else { "false" };
        self.tls_handshakes.with_label_values(&[listener, version, resumed]).inc();
    }

    /// Counts a request that no hook has seen. `reason` is a word of a closed set.
    pub(crate) fn request_refused(&self, listener: &str, reason: &'static str) {
        self.requests_refused.with_label_values(&[listener, reason]).inc();
    }

    /// Counts an order for the certificate in this file. `outcome` is a word of a closed set.
    pub(crate) fn acme_order(&self, certificate: &str, outcome: &'static str) {
        self.acme_orders.with_label_values(&[certificate, outcome]).inc();
    }

    pub(crate) fn usage_failures(&self) -> IntCounterVec {
        self.usage_failures.clone()
    }

    pub(crate) fn log_dropped(&self) -> IntCounter {
        self.log_dropped.clone()
    }

    pub(crate) fn plugins(&self) -> &portreeve_plugin::engine::Metrics {
        &self.plugins
    }

    /// Says that this generation is in effect.
    pub(crate) fn took_effect(&self, generation: u64) {
        self.generation.set(i64::try_from(generation).unwrap_or(i64::MAX));
        self.reload_success.set(1);
    }

    /// Says that a reload was refused.
    pub(crate) fn reload_refused(&self) {
        self.reload_success.set(0);
    }

    /// The exposition in Prometheus text format 0.0.4.
    ///
    /// # Errors
    /// When a metric cannot be written, which the constants here exclude.
    pub(crate) fn exposition(&self, snapshot: &Snapshot, connections: usize) -> prometheus::Result<Vec<u8>> {
        self.connections.set(i64::try_from(connections).unwrap_or(i64::MAX));
        // Gauges are made anew from what is there now, for one scraper at a time.
        let _turn = self.scrape.lock();
        self.targets.reset();
        self.listener_up.reset();
        for entrance in snapshot.listeners.iter().flatten() {
            self.listener_up.with_label_values(&[&*entrance.name]).set(1);
        }
        for closed in snapshot.closed() {
            self.listener_up.with_label_values(&[&*closed.name]).set(0);
        }
        self.certificate_expiry.reset();
        for (listener, expiry) in snapshot.certificates() {
            self.certificate_expiry.with_label_values(&[&**listener, &*expiry.certificate]).set(expiry.at);
        }
        self.upstream_in_flight.reset();
        self.upstream_waiting.reset();
        self.upstream_limit.reset();
        self.circuit_state.reset();
        for pool in snapshot.pools() {
            if let Some(circuit) = &pool.circuit {
                let state = match circuit.state {
                    CircuitWord::Closed => 0,
                    CircuitWord::HalfOpen => 1,
                    CircuitWord::Open => 2,
                };
                self.circuit_state.with_label_values(&[&*pool.name]).set(state);
            }
            if let Some(limits) = &pool.limits {
                self.upstream_in_flight.with_label_values(&[&*pool.name]).set(i64::from(limits.in_flight));
                let waiting = i64::try_from(limits.waiting).unwrap_or(i64::MAX);
                self.upstream_waiting.with_label_values(&[&*pool.name]).set(waiting);
                self.upstream_limit.with_label_values(&[&*pool.name]).set(i64::from(limits.limit));
            }
            self.targets.tell(&pool);
        }
        let mut text = Vec::new();
        TextEncoder::new().encode(&self.registry.gather(), &mut text)?;
        Ok(text)
    }
}

/// The metrics of one route.
#[derive(Debug)]
pub(crate) struct RouteMetrics {
    route: Arc<str>,
    requests: IntCounterVec,
    durations: HistogramVec,
    /// Made when the first request ends: made at load, those of ten thousand routes would be most of what a route weighs,
    /// and most of `/metrics`.
    ended: OnceLock<Box<Ended>>,
}

#[derive(Debug)]
struct Ended {
    classes: [OnceLock<IntCounter>; 6],
    duration: prometheus::Histogram,
}

impl RouteMetrics {
    /// Counts one request, where it ends (`ProxyHttp::logging`): once, whatever became of it.
    pub(crate) fn ended(&self, status: Option<StatusCode>, duration: Duration) {
        let ended = self.ended.get_or_init(|| {
            let duration = self.durations.with_label_values(&[&*self.route]);
            Box::new(Ended { classes: Default::default(), duration })
        });
        let class = status.map_or(0, |status| usize::from(status.as_u16() / 100));
        if let (Some(counter), Some(name)) = (ended.classes.get(class), CLASSES.get(class)) {
            counter.get_or_init(|| self.requests.with_label_values(&[&*self.route, *name])).inc();
        }
        ended.duration.observe(duration.as_secs_f64());
    }
}

/// The metrics of one upstream.
#[derive(Debug, Clone)]
pub(crate) struct UpstreamMetrics {
    ok: IntCounter,
    failed: IntCounter,
    connect: IntCounter,
    timed_out: IntCounter,
    unavailable: IntCounter,
    retried: IntCounter,
    over_budget: IntCounter,
    hedges: Hedges,
    reasons: Arc<Reasons>,
    pub(crate) discoveries: Discoveries,
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
pub(crate) struct Discoveries {
    upstream: Arc<str>,
    results: IntCounterVec,
}

impl Discoveries {
    /// Targets were found.
    pub(crate) fn ok(&self) {
        self.count("ok");
    }

    /// There was an answer with nobody in it.
    pub(crate) fn empty(&self) {
        self.count("empty");
    }

    /// There was no answer, or none that could be used.
    pub(crate) fn failed(&self) {
        self.count("failed");
    }

    /// How often it came out so.
    #[cfg(test)]
    pub(crate) fn counted(&self, result: &str) -> u64 {
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
    pub(crate) fn answered(&self) {
        self.ok.inc();
    }

    /// An attempt failed, or there could be none: once, where it fails.
    pub(crate) fn failed(&self, fault: Fault) {
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
    pub(crate) fn blame(&self, fault: Fault) {
        let Reasons { upstream, failures, counters } = &*self.reasons;
        if let Some(counter) = counters.get(fault as usize) {
            counter.get_or_init(|| failures.with_label_values(&[&**upstream, fault.as_str()])).inc();
        }
    }

    /// How often its circuit has opened. Made where there is one.
    pub(crate) fn circuit_openings(&self) -> IntCounter {
        self.openings.with_label_values(&[&*self.reasons.upstream])
    }

    /// A retry is made.
    pub(crate) fn retried(&self) {
        self.retried.inc();
    }

    /// A second target was asked, and was or was not the one that was heard.
    pub(crate) fn hedged(&self, won: bool) {
        self.hedges.count(if won { "won" } else { "lost" });
    }

    /// A second target would have been asked, had the budget allowed it.
    pub(crate) fn hedge_over_budget(&self) {
        self.hedges.count("over_budget");
    }

    /// A retry would have been made, had the budget allowed it.
    pub(crate) fn over_budget(&self) {
        self.over_budget.inc();
    }
}

/// The metrics of one route's mirror.
#[derive(Debug, Clone)]
pub(crate) struct MirrorMetrics {
    /// Answered by the other upstream, with whatever.
    pub(crate) sent: IntCounter,
    /// Not answered.
    pub(crate) failed: IntCounter,
    /// Not sent, since as many as may be were on their way.
    pub(crate) behind: IntCounter,
    /// Not sent, since the body was longer than the mirror takes.
    pub(crate) too_large: IntCounter,
}
