//! Active health checks: one prober for each way of checking and address, however many routes, pools or generations name it.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, OnceLock, Weak};
use std::time::Duration;

use async_trait::async_trait;
use futures::FutureExt;
use parking_lot::Mutex;
use pingora::http::RequestHeader;
use pingora::{Error, ErrorType};
use pingora_load_balancing::health_check::{HealthCheck, HttpHealthCheck, TcpHealthCheck};
use pingora_load_balancing::{Backend, HealthRegistry};
use portreeve_config::{Health as HealthConfig, Probe};
use tokio::sync::Notify;
use tokio::task::AbortHandle;

use super::target::{Target, Thresholds};

/// After a target came, its companions have this long to come too before all are checked.
const BUNCH: Duration = Duration::from_millis(20);

/// All targets that are checked in one way. Ends its prober when the last pool has let go of it.
pub(super) struct HealthGroup {
    /// Who is checked: pingora-load-balancing's. Whether they are healthy is the targets' own to say.
    pub(super) registry: Arc<HealthRegistry>,
    targets: Arc<Targets>,
    /// `None` where nothing is checked.
    interval: Option<Duration>,
    prober: OnceLock<AbortHandle>,
}

/// The targets of a group by address. Held weakly: a target lives as long as a pool has it.
#[derive(Default)]
struct Targets {
    by_address: Mutex<HashMap<SocketAddr, Weak<Target>>>,
    /// Wakes the prober: a new target is checked at once.
    added: Notify,
}

impl Targets {
    fn get(&self, address: SocketAddr) -> Option<Arc<Target>> {
        self.by_address.lock().get(&address).and_then(Weak::upgrade)
    }
}

impl HealthGroup {
    /// A group that will check like `health` says. Without a check, nothing ever changes.
    pub(super) fn new(health: Option<&HealthConfig>) -> Arc<Self> {
        // The address alone: a changed weight is the same target, and must not be checked twice.
        let registry = Arc::new(HealthRegistry::with_equivalence(|backend| {
            use std::hash::{DefaultHasher, Hash, Hasher};
            let mut hasher = DefaultHasher::new();
            backend.addr.hash(&mut hasher);
            hasher.finish()
        }));
        let targets = Arc::<Targets>::default();
        if let Some(health) = health {
            registry.set_health_check(Box::new(Checker::new(health, targets.clone())));
        }
        let interval = health.map(|health| health.interval.get());
        Arc::new(Self { registry, targets, interval, prober: OnceLock::new() })
    }

    /// Begins to check, unless it does already.
    pub(super) fn start(&self, control: &tokio::runtime::Handle) {
        if let Some(interval) = self.interval {
            let probe = || control.spawn(probe(self.registry.clone(), self.targets.clone(), interval)).abort_handle();
            self.prober.get_or_init(probe);
        }
    }

    /// The target at `address`, with the state it has if anybody knows it already.
    pub(super) fn target(&self, address: SocketAddr) -> Arc<Target> {
        let mut targets = self.targets.by_address.lock();
        if let Some(target) = targets.get(&address).and_then(Weak::upgrade) {
            return target;
        }
        let target = Arc::new(Target::new(address));
        targets.retain(|_, target| target.strong_count() > 0);
        targets.insert(address, Arc::downgrade(&target));
        self.targets.added.notify_one();
        target
    }
}

impl Drop for HealthGroup {
    fn drop(&mut self) {
        if let Some(prober) = self.prober.get() {
            prober.abort();
        }
    }
}

/// Checks every target of the group in each interval, a tenth of which is random, so that a fleet of gateways does not check
/// in step; and at once when a target has come.
async fn probe(registry: Arc<HealthRegistry>, targets: Arc<Targets>, interval: Duration) {
    loop {
        let rest = interval.mul_f64(0.95 + 0.1 * fastrand::f64());
        if tokio::time::timeout(rest, targets.added.notified()).await.is_ok() {
            tokio::time::sleep(BUNCH).await;
            // Those that came meanwhile are in this pass.
            targets.added.notified().now_or_never();
        }
        registry.run_health_check(true).await;
    }
}

/// One check with one deadline over all of it, telling the target what came out.
struct Checker {
    check: Box<dyn HealthCheck + Send + Sync>,
    timeout: Duration,
    thresholds: Thresholds,
    targets: Arc<Targets>,
}

impl Checker {
    fn new(health: &HealthConfig, targets: Arc<Targets>) -> Self {
        let thresholds = Thresholds { healthy_after: health.healthy_after, unhealthy_after: health.unhealthy_after };
        let timeout = health.timeout.get();
        let check: Box<dyn HealthCheck + Send + Sync> = match health.probe() {
            Probe::Tcp => {
                let mut check = TcpHealthCheck::new();
                check.peer_template.options.connection_timeout = Some(timeout);
                check
            }
            Probe::Http(path) => {
                let mut check = HttpHealthCheck::new("health-check", false);
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
        Self { check, timeout, thresholds, targets }
    }
}

#[async_trait]
impl HealthCheck for Checker {
    async fn check(&self, backend: &Backend) -> pingora::Result<()> {
        // Pingora's own timeouts are for each read; a target that drips bytes would hold the whole pass.
        let outcome = match tokio::time::timeout(self.timeout, self.check.check(backend)).await {
            Ok(outcome) => outcome,
            Err(_) => Error::e_explain(ErrorType::ReadTimedout, "the health check took too long"),
        };
        let target = backend.addr.as_inet().and_then(|address| self.targets.get(*address));
        if let Some(target) = target
            && target.observe(outcome.is_ok(), self.thresholds)
        {
            let address = target.address;
            match &outcome {
                Ok(()) => tracing::info!(%address, "The target passes its checks again."),
                Err(error) => {
                    tracing::warn!(%address, %error, "The target fails its checks and gets no more requests.");
                }
            }
        }
        outcome
    }

    /// Never: pingora-load-balancing keeps a health of its own by address, which nobody asks here. Were it to count, it could
    /// say something else than the target when one goes and comes back between two checks.
    fn health_threshold(&self, _: bool) -> usize {
        usize::MAX
    }
}

#[cfg(test)]
#[path = "health_tests.rs"]
mod tests;
