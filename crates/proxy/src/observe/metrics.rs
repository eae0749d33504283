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

use super::tcp::{TcpMetrics, TcpVecs};
use crate::snapshot::Snapshot;
use portreeve_upstream::metrics::UpstreamMetrics;

/// A metric and what it says.
type Named = (&'static str, &'static str);

const REQUESTS: Named =
    ("portreeve_requests_total", "Requests by route and class of the status sent (none: the client left first).");
const DURATION: Named =
    ("portreeve_request_duration_seconds", "From the complete request head to the last byte of the answer.");
const MIRRORED: Named =
    ("portreeve_mirrored_requests_total", "Copies of requests for another upstream, by what came of them.");
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
    mirrored: IntCounterVec,
    upstreams: portreeve_upstream::metrics::Metrics,
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
            mirrored: counters(MIRRORED, &["route", "outcome"])?,
            upstreams: portreeve_upstream::metrics::Metrics::new(&registry)?,
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
        self.upstreams.upstream(upstream)
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
        self.upstreams.tell(snapshot.pools());
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
