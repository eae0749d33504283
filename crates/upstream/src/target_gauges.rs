//! What metrics tell of each target: gauges that are made anew for each scrape from what is there then, since targets come and go
//! with discovery.

use prometheus::{GaugeVec, IntGaugeVec, Opts, Registry};

use crate::PoolStatus;

const AVAILABLE: [&str; 2] = [
    "portreeve_upstream_target_available",
    "1 while a target gets requests: healthy, and not taken out by an operator.",
];
const HEALTHY: [&str; 2] =
    ["portreeve_upstream_target_healthy", "1 while the checks of a target pass; 0 before the first has."];
const EJECTED: [&str; 2] =
    ["portreeve_upstream_target_ejected", "1 while a target is out because attempts at it failed."];
const EJECTIONS: [&str; 2] =
    ["portreeve_upstream_target_ejections", "How often a target was ejected lately; being well wears it off."];
const IN_FLIGHT: [&str; 2] = ["portreeve_upstream_target_in_flight_requests", "Requests being tried at a target now."];
const LATENCY: [&str; 2] =
    ["portreeve_upstream_target_latency_seconds", "The time to the first byte that is expected of a target."];
const CHANGED: [&str; 2] = [
    "portreeve_upstream_target_changed_timestamp_seconds",
    "When a target last began or ceased to get requests, in seconds since 1970.",
];

/// The gauges of all targets.
#[derive(Debug, Clone)]
pub(super) struct TargetGauges {
    available: IntGaugeVec,
    healthy: IntGaugeVec,
    ejected: IntGaugeVec,
    ejections: IntGaugeVec,
    in_flight: IntGaugeVec,
    latency: GaugeVec,
    changed: IntGaugeVec,
}

impl TargetGauges {
    /// Registers them.
    ///
    /// # Errors
    /// Never for the constants of this file; `prometheus` says otherwise.
    pub(super) fn new(registry: &Registry) -> prometheus::Result<Self> {
        let labels = ["upstream", "target"];
        let gauges = |[name, help]: [&str; 2]| {
            let gauges = IntGaugeVec::new(Opts::new(name, help), &labels)?;
            registry.register(Box::new(gauges.clone()))?;
            Ok::<_, prometheus::Error>(gauges)
        };
        let latency = GaugeVec::new(Opts::new(LATENCY[0], LATENCY[1]), &labels)?;
        registry.register(Box::new(latency.clone()))?;
        Ok(Self {
            available: gauges(AVAILABLE)?,
            healthy: gauges(HEALTHY)?,
            ejected: gauges(EJECTED)?,
            ejections: gauges(EJECTIONS)?,
            in_flight: gauges(IN_FLIGHT)?,
            latency,
            changed: gauges(CHANGED)?,
        })
    }

    /// Forgets everybody.
    pub(super) fn reset(&self) {
        let all = [&self.available, &self.healthy, &self.ejected, &self.ejections, &self.in_flight, &self.changed];
        for gauges in all {
            gauges.reset();
        }
        self.latency.reset();
    }

    /// Tells of the targets of one pool.
    pub(super) fn tell(&self, pool: &PoolStatus) {
        for target in &pool.targets {
            let address = target.address.to_string();
            let labels = [&*pool.name, &*address];
            let set = |gauges: &IntGaugeVec, value: i64| gauges.with_label_values(&labels).set(value);
            set(&self.available, i64::from(target.available));
            set(&self.healthy, i64::from(target.healthy));
            set(&self.ejected, i64::from(target.ejected));
            set(&self.ejections, i64::from(target.ejections));
            set(&self.in_flight, i64::from(target.in_flight));
            set(&self.changed, i64::try_from(target.since).unwrap_or(i64::MAX));
            // Of one that has not answered yet nothing is expected, not even 0.
            if let Some(latency) = target.latency_ms {
                self.latency.with_label_values(&labels).set(latency / 1e3);
            }
        }
    }
}
