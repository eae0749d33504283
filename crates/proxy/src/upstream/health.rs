//! Active health checks: one prober for each way of checking and address, however many routes, pools or generations name it.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Weak};
use std::time::Duration;

use async_trait::async_trait;
use parking_lot::Mutex;
use pingora::http::RequestHeader;
use pingora::{Error, ErrorType};
use pingora_load_balancing::health_check::{HealthCheck, HttpHealthCheck, TcpHealthCheck};
use pingora_load_balancing::{Backend, HealthRegistry};
use portreeve_config::{Health as HealthConfig, Probe};
use tokio::task::AbortHandle;

use super::target::Target;

/// All targets that are checked in one way. Ends its prober when the last pool has let go of it.
pub(super) struct HealthGroup {
    /// Who is checked, and the thresholds: pingora-load-balancing's.
    pub(super) registry: Arc<HealthRegistry>,
    targets: Arc<Targets>,
    prober: Option<AbortHandle>,
}

/// The targets of a group by address. Held weakly: a target lives as long as a pool has it.
#[derive(Default)]
struct Targets(Mutex<HashMap<SocketAddr, Weak<Target>>>);

impl Targets {
    fn get(&self, address: SocketAddr) -> Option<Arc<Target>> {
        self.0.lock().get(&address).and_then(Weak::upgrade)
    }
}

impl HealthGroup {
    /// A group that checks like `health` says, from the runtime `control`. Without a check, nothing ever changes.
    pub(super) fn new(health: Option<&HealthConfig>, control: &tokio::runtime::Handle) -> Arc<Self> {
        // The address alone: a changed weight is the same target, and must not make it healthy again.
        let registry = Arc::new(HealthRegistry::with_equivalence(|backend| {
            use std::hash::{DefaultHasher, Hash, Hasher};
            let mut hasher = DefaultHasher::new();
            backend.addr.hash(&mut hasher);
            hasher.finish()
        }));
        let targets = Arc::<Targets>::default();
        let prober = health.map(|health| {
            registry.set_health_check(Box::new(Checker::new(health, targets.clone())));
            control.spawn(probe(registry.clone(), health.interval.get())).abort_handle()
        });
        Arc::new(Self { registry, targets, prober })
    }

    /// The target at `address`, with the state it has if anybody knows it already.
    pub(super) fn target(&self, address: SocketAddr) -> Arc<Target> {
        let mut targets = self.targets.0.lock();
        if let Some(target) = targets.get(&address).and_then(Weak::upgrade) {
            return target;
        }
        let target = Arc::new(Target::new(address));
        targets.retain(|_, target| target.strong_count() > 0);
        targets.insert(address, Arc::downgrade(&target));
        target
    }
}

impl Drop for HealthGroup {
    fn drop(&mut self) {
        if let Some(prober) = &self.prober {
            prober.abort();
        }
    }
}

/// Checks every target of the group in each interval; a tenth of it is random, so that a fleet of gateways does not check in step.
async fn probe(registry: Arc<HealthRegistry>, interval: Duration) {
    loop {
        registry.run_health_check(true).await;
        tokio::time::sleep(interval.mul_f64(0.95 + 0.1 * fastrand::f64())).await;
    }
}

/// One check with one deadline over all of it, telling our targets what came out.
struct Checker {
    check: Box<dyn HealthCheck + Send + Sync>,
    timeout: Duration,
    targets: Arc<Targets>,
}

impl Checker {
    fn new(health: &HealthConfig, targets: Arc<Targets>) -> Self {
        let (success, failure) = (health.healthy_after as usize, health.unhealthy_after as usize);
        let timeout = health.timeout.get();
        let check: Box<dyn HealthCheck + Send + Sync> = match health.probe() {
            Probe::Tcp => {
                let mut check = TcpHealthCheck::new();
                (check.consecutive_success, check.consecutive_failure) = (success, failure);
                check.peer_template.options.connection_timeout = Some(timeout);
                check
            }
            Probe::Http(path) => {
                let mut check = HttpHealthCheck::new("health-check", false);
                (check.consecutive_success, check.consecutive_failure) = (success, failure);
                check.peer_template.options.connection_timeout = Some(timeout);
                check.peer_template.options.read_timeout = Some(timeout);
                check.reuse_connection = false;
                // The loader has checked that it is a path.
                if let Ok(mut request) = RequestHeader::build("GET", path.as_bytes(), Some(2)) {
                    request.insert_header("host", "health-check").ok();
                    request.insert_header("user-agent", "portreeve-health-check").ok();
                    request.insert_header("connection", "close").ok();
                    check.req = request;
                }
                let wanted: Vec<u16> = health.expect.status.iter().map(|status| status.get()).collect();
                check.validator = Some(Box::new(move |answer| {
                    if wanted.contains(&answer.status.as_u16()) {
                        return Ok(());
                    }
                    Error::e_explain(ErrorType::CustomCode("status", answer.status.as_u16()), "not the expected status")
                }));
                Box::new(check)
            }
        };
        Self { check, timeout, targets }
    }
}

#[async_trait]
impl HealthCheck for Checker {
    async fn check(&self, target: &Backend) -> pingora::Result<()> {
        // Pingora's own timeouts are for each read; a target that drips bytes would hold the whole pass.
        match tokio::time::timeout(self.timeout, self.check.check(target)).await {
            Ok(outcome) => outcome,
            Err(_) => Error::e_explain(ErrorType::ReadTimedout, "the health check took too long"),
        }
    }

    async fn health_status_change(&self, backend: &Backend, healthy: bool) {
        if let Some(target) = backend.addr.as_inet().and_then(|address| self.targets.get(*address)) {
            target.set_healthy(healthy);
        }
    }

    fn backend_summary(&self, backend: &Backend) -> String {
        format!("target {}", backend.addr)
    }

    fn health_threshold(&self, success: bool) -> usize {
        self.check.health_threshold(success)
    }
}
