//! Active health checks: one prober for each way of checking and address, however many routes, pools or generations name it.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, OnceLock, Weak};
use std::time::Duration;

use arc_swap::ArcSwap;
use async_trait::async_trait;
use futures::FutureExt;
use http::uri::PathAndQuery;
use parking_lot::Mutex;
use pingora::{Error, ErrorType};
use pingora_load_balancing::health_check::{HealthCheck, TcpHealthCheck};
use pingora_load_balancing::{Backend, HealthRegistry};
use portreeve_balance::{Target, Thresholds};
use portreeve_config::{Health as HealthConfig, Probe};
use tokio::sync::Notify;
use tokio::task::AbortHandle;

use super::call::check;
use super::transport::Transport;

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
    /// How targets are spoken to, by the newest pool: its files may have changed.
    transport: Arc<ArcSwap<Transport>>,
}

/// The targets of a group by address. Held weakly: a target lives as long as a pool has it.
#[derive(Default)]
struct Targets {
    by_address: Mutex<HashMap<SocketAddr, Known>>,
    /// Wakes the prober: a new target is checked at once.
    added: Notify,
}

struct Known {
    target: Weak<Target>,
    /// What the file calls it, which is what its certificate is for.
    name: Option<Box<str>>,
}

impl Targets {
    fn get(&self, address: SocketAddr) -> Option<(Arc<Target>, Option<Box<str>>)> {
        let known = self.by_address.lock();
        let known = known.get(&address)?;
        Some((known.target.upgrade()?, known.name.clone()))
    }
}

impl HealthGroup {
    /// A group that will check like `health` says. Without a check, nothing ever changes.
    pub(super) fn new(health: Option<&HealthConfig>, transport: Arc<Transport>) -> Arc<Self> {
        // The address alone: a changed weight is the same target, and must not be checked twice.
        let registry = Arc::new(HealthRegistry::with_equivalence(|backend| {
            use std::hash::{DefaultHasher, Hash, Hasher};
            let mut hasher = DefaultHasher::new();
            backend.addr.hash(&mut hasher);
            hasher.finish()
        }));
        let targets = Arc::<Targets>::default();
        let transport = Arc::new(ArcSwap::new(transport));
        if let Some(health) = health {
            registry.set_health_check(Box::new(Checker::new(health, targets.clone(), transport.clone())));
        }
        let interval = health.map(|health| health.interval.get());
        Arc::new(Self { registry, targets, interval, prober: OnceLock::new(), transport })
    }

    /// Begins to check, unless it does already; from now on over `transport`.
    pub(super) fn start(&self, control: &tokio::runtime::Handle, transport: Arc<Transport>) {
        self.transport.store(transport);
        if let Some(interval) = self.interval {
            let probe = || control.spawn(probe(self.registry.clone(), self.targets.clone(), interval)).abort_handle();
            self.prober.get_or_init(probe);
        }
    }

    /// The target at `address`, with the state it has if anybody knows it already.
    pub(super) fn target(&self, address: SocketAddr, name: Option<Box<str>>) -> Arc<Target> {
        let mut targets = self.targets.by_address.lock();
        if let Some(known) = targets.get_mut(&address)
            && let Some(target) = known.target.upgrade()
        {
            known.name = name;
            return target;
        }
        let target = Arc::new(Target::new(address));
        targets.retain(|_, known| known.target.strong_count() > 0);
        targets.insert(address, Known { target: Arc::downgrade(&target), name });
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
    probe: Asking,
    timeout: Duration,
    thresholds: Thresholds,
    targets: Arc<Targets>,
    transport: Arc<ArcSwap<Transport>>,
}

/// What a check does.
enum Asking {
    /// Opens a connection: TCP alone, also where TLS is spoken.
    Connection(Box<TcpHealthCheck>),
    /// Asks for a path as requests would, and looks at the status.
    Path { path: PathAndQuery, wanted: Box<[u16]> },
}

impl Checker {
    fn new(health: &HealthConfig, targets: Arc<Targets>, transport: Arc<ArcSwap<Transport>>) -> Self {
        let thresholds = Thresholds { healthy_after: health.healthy_after, unhealthy_after: health.unhealthy_after };
        let timeout = health.timeout.get();
        let probe = match health.probe() {
            Probe::Tcp => {
                let mut check = TcpHealthCheck::new();
                check.peer_template.options.connection_timeout = Some(timeout);
                Asking::Connection(check)
            }
            Probe::Http(path) => Asking::Path {
                // The loader has checked that it begins with `/`; the engine, that it is a path.
                path: PathAndQuery::try_from(path).unwrap_or_else(|_| PathAndQuery::from_static("/")),
                wanted: health.expect.status.iter().map(|status| status.get()).collect(),
            },
        };
        Self { probe, timeout, thresholds, targets, transport }
    }

    async fn ask(&self, backend: &Backend, name: Option<&str>) -> pingora::Result<()> {
        let (path, wanted) = match &self.probe {
            Asking::Connection(check) => return check.check(backend).await,
            Asking::Path { path, wanted } => (path, wanted),
        };
        let Some(address) = backend.addr.as_inet() else {
            return Error::e_explain(ErrorType::InternalError, "not an internet address");
        };
        let transport = self.transport.load_full();
        let prepared = transport.prepare_check(*address, name, self.timeout);
        let status = check(&prepared, path.clone(), self.timeout).await?.as_u16();
        if wanted.contains(&status) {
            return Ok(());
        }
        Error::e_explain(ErrorType::CustomCode("status", status), "not the expected status")
    }
}

#[async_trait]
impl HealthCheck for Checker {
    async fn check(&self, backend: &Backend) -> pingora::Result<()> {
        let target = backend.addr.as_inet().and_then(|address| self.targets.get(*address));
        let name = target.as_ref().and_then(|(_, name)| name.as_deref());
        // Pingora's own timeouts are for each read; a target that drips bytes would hold the whole pass.
        let outcome = match tokio::time::timeout(self.timeout, self.ask(backend, name)).await {
            Ok(outcome) => outcome,
            Err(_) => Error::e_explain(ErrorType::ReadTimedout, "the health check took too long"),
        };
        if let Some((target, _)) = target
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
