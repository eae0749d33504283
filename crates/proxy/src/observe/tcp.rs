//! What is told of TCP connections: metrics by listener and upstream, and one line of the access log for each.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use portreeve_log::Object;
use prometheus::{Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, Opts, Registry};

use super::access_log::Entry;

const CONNECTIONS: &str = "portreeve_tcp_connections_total";
const RECEIVED: &str = "portreeve_tcp_received_bytes_total";
const SENT: &str = "portreeve_tcp_sent_bytes_total";
const DURATION: &str = "portreeve_tcp_connection_duration_seconds";

/// Upper bounds in seconds: from a single exchange to a connection that a pool of the client's keeps for hours.
const BUCKETS: [f64; 12] = [0.005, 0.025, 0.1, 0.5, 1.0, 5.0, 15.0, 60.0, 300.0, 1_800.0, 7_200.0, 43_200.0];
const WAY: [&str; 2] = ["listener", "upstream"];

/// The metrics of all TCP connections.
#[derive(Debug, Clone)]
pub(super) struct TcpVecs {
    connections: IntCounterVec,
    received: IntCounterVec,
    sent: IntCounterVec,
    duration: HistogramVec,
}

impl TcpVecs {
    /// Registers them.
    ///
    /// # Errors
    /// Never for the constants of this file; `prometheus` says otherwise.
    pub(super) fn new(registry: &Registry) -> prometheus::Result<Self> {
        let counters = |name, help, labels: &[&str]| IntCounterVec::new(Opts::new(name, help), labels);
        let by_outcome = ["listener", "upstream", "outcome"];
        let duration = HistogramOpts::new(DURATION, "From the handshakes of a TCP connection to its end.");
        let vecs = Self {
            connections: counters(CONNECTIONS, "TCP connections that have ended, by how.", &by_outcome)?,
            received: counters(RECEIVED, "Bytes of clients that targets were sent.", &WAY)?,
            sent: counters(SENT, "Bytes of targets that clients were sent.", &WAY)?,
            duration: HistogramVec::new(duration.buckets(BUCKETS.to_vec()), &WAY)?,
        };
        registry.register(Box::new(vecs.connections.clone()))?;
        registry.register(Box::new(vecs.received.clone()))?;
        registry.register(Box::new(vecs.sent.clone()))?;
        registry.register(Box::new(vecs.duration.clone()))?;
        Ok(vecs)
    }

    pub(super) fn way(&self, listener: &Arc<str>, upstream: &Arc<str>) -> TcpMetrics {
        let way = [&**listener, &**upstream];
        TcpMetrics {
            received: self.received.with_label_values(&way),
            sent: self.sent.with_label_values(&way),
            duration: self.duration.with_label_values(&way),
            ended: self.connections.clone(),
            listener: listener.clone(),
            upstream: upstream.clone(),
        }
    }
}

/// The metrics of the connections from one listener to one upstream.
#[derive(Debug)]
pub(crate) struct TcpMetrics {
    received: IntCounter,
    sent: IntCounter,
    duration: Histogram,
    ended: IntCounterVec,
    listener: Arc<str>,
    upstream: Arc<str>,
}

impl TcpMetrics {
    /// Counts bytes when they have been passed on: to the target, and to the client.
    pub(crate) fn passed(&self, to_target: u64, to_client: u64) {
        self.received.inc_by(to_target);
        self.sent.inc_by(to_client);
    }

    /// Counts a connection that has ended. `outcome` is a word of a closed set.
    pub(crate) fn ended(&self, outcome: &'static str, duration: Duration) {
        self.ended.with_label_values(&[&*self.listener, &*self.upstream, outcome]).inc();
        self.duration.observe(duration.as_secs_f64());
    }
}

/// One connection, in the access log.
#[derive(Debug)]
pub(crate) struct TcpLine<'l> {
    /// What targets are told in a PROXY protocol header of version 2, too.
    pub(crate) connection_id: &'l str,
    pub(crate) generation: u64,
    pub(crate) client_ip: IpAddr,
    pub(crate) listener: &'l str,
    pub(crate) sni: Option<&'l str>,
    pub(crate) upstream: Option<&'l str>,
    pub(crate) target: Option<SocketAddr>,
    pub(crate) attempts: u32,
    pub(crate) duration: Duration,
    pub(crate) bytes_in: u64,
    pub(crate) bytes_out: u64,
    /// How it ended: the `outcome` of the metric, or why it went nowhere.
    pub(crate) end: &'static str,
}

impl Entry for TcpLine<'_> {
    fn write(&self, line: &mut Object<'_>) {
        // Tells the line from those of requests.
        line.text("kind", "tcp")
            .text("connection_id", self.connection_id)
            .number("generation", self.generation)
            .ip("client_ip", self.client_ip)
            .text("listener", self.listener)
            .text_or_null("sni", self.sni)
            .text_or_null("upstream", self.upstream)
            .socket_or_null("target", self.target)
            .number("attempts", self.attempts)
            .milliseconds("duration_ms", self.duration)
            .number("bytes_in", self.bytes_in)
            .number("bytes_out", self.bytes_out)
            .text("end", self.end);
    }
}
