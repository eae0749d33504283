//! Active health checks: one prober for each way of checking and address, however many routes, pools or generations name it.
//!
//! What a check is, the trait [`HealthCheck`] of `pingora-load-balancing` says; when it is made and who believes it, is said here.
//! A target lives here as long as anybody watches it: [`Watched`] ends its prober and leaves the group when it is dropped.

mod grpc;
mod http;
mod probe;
mod watched;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, OnceLock, Weak};
use std::time::Duration;

use arc_swap::ArcSwap;
use parking_lot::Mutex;
use pingora_load_balancing::health_check::HealthCheck;
use portreeve_balance::Thresholds;
use portreeve_config::Health as HealthConfig;
use tokio::runtime::Handle;
use tokio::sync::Semaphore;
use tokio::time::Instant;

use super::transport::Transport;
pub(super) use probe::wrong;
use probe::{Prober, told, too_slow};
pub use watched::LastCheck;
pub(super) use watched::Watched;

/// Checks under way at once, over all pools: thousands of targets must not open thousands of connections in one moment. The wait
/// for a turn is no part of a check's time.
const MAX_AT_ONCE: usize = 256;

/// What the checks of all groups share.
pub(super) struct Probing {
    turns: Arc<Semaphore>,
}

impl Default for Probing {
    fn default() -> Self {
        Self { turns: Arc::new(Semaphore::new(MAX_AT_ONCE)) }
    }
}

/// All targets that are checked in one way.
pub(super) struct HealthGroup {
    watched: Arc<ByAddress>,
    /// `None` where nothing is checked.
    checks: Option<Arc<Checks>>,
    control: OnceLock<Handle>,
    transport: Arc<ArcSwap<Transport>>,
}

/// Those who are watched. Held weakly: a target is watched as long as a pool has it.
type ByAddress = Mutex<HashMap<SocketAddr, Weak<Watched>>>;

/// How the targets of a group are checked.
struct Checks {
    check: Box<dyn HealthCheck + Send + Sync>,
    interval: Duration,
    timeout: Duration,
    /// The most that an interval is longer or shorter, as a share of it.
    jitter: f64,
    turns: Arc<Semaphore>,
}

impl HealthGroup {
    /// A group that will check like `health` says. Without a check, nothing ever changes.
    pub(super) fn new(health: Option<&HealthConfig>, transport: Arc<Transport>, probing: &Probing) -> Arc<Self> {
        let transport = Arc::new(ArcSwap::new(transport));
        let checks = health.and_then(|health| {
            let prober = Prober::new(health, transport.clone())?;
            Some(Checks::new(health, Box::new(prober), probing.turns.clone()))
        });
        Self::with(checks, transport)
    }

    fn with(checks: Option<Checks>, transport: Arc<ArcSwap<Transport>>) -> Arc<Self> {
        let checks = checks.map(Arc::new);
        Arc::new(Self { watched: Arc::default(), checks, control: OnceLock::new(), transport })
    }

    /// Checks whoever is watched from now on, over `transport`.
    pub(super) fn start(&self, control: &Handle, transport: Arc<Transport>) {
        self.transport.store(transport);
        self.control.get_or_init(|| control.clone());
    }

    /// The target of `upstream` at `address`, with the state it has if anybody watches it already. Else it is checked at once, and gets no
    /// request before that has gone well.
    pub(super) fn watch(&self, upstream: &Arc<str>, address: SocketAddr, name: Option<Arc<str>>) -> Arc<Watched> {
        let mut all = self.watched.lock();
        if let Some(known) = all.get(&address).and_then(Weak::upgrade) {
            known.is_called(name);
            known.is_of(upstream);
            return known;
        }
        let watched = Arc::new(Watched::new(address, name, self.checks.is_some(), Arc::downgrade(&self.watched)));
        watched.is_of(upstream);
        all.insert(address, Arc::downgrade(&watched));
        if let (Some(checks), Some(control)) = (&self.checks, self.control.get()) {
            let probing = probe(Arc::downgrade(&watched), checks.clone());
            watched.is_probed_by(control.spawn(probing).abort_handle());
        }
        watched
    }

    /// The longest that the first checks of new targets are waited for; `None` where nothing is checked.
    pub(super) fn first_round(&self) -> Option<Duration> {
        self.checks.as_ref().map(|checks| (checks.timeout + MARGIN).min(MAX_FIRST_ROUND))
    }

    #[cfg(test)]
    pub(super) fn watched_now(&self) -> usize {
        self.watched.lock().len()
    }
}

/// For a check to be begun and noted, beyond its own time.
const MARGIN: Duration = Duration::from_millis(250);
/// The longest wait for first checks, whatever their timeout.
const MAX_FIRST_ROUND: Duration = Duration::from_secs(10);

impl Checks {
    fn new(health: &HealthConfig, check: Box<dyn HealthCheck + Send + Sync>, turns: Arc<Semaphore>) -> Self {
        Self {
            check,
            interval: health.interval.get(),
            timeout: health.timeout.get(),
            jitter: health.jitter.fraction(),
            turns,
        }
    }

    fn thresholds(&self) -> Thresholds {
        let in_a_row = |passed| u32::try_from(self.check.health_threshold(passed)).unwrap_or(u32::MAX);
        Thresholds { healthy_after: in_a_row(true), unhealthy_after: in_a_row(false) }
    }

    /// From the beginning of one check to that of the next.
    fn pause(&self) -> Duration {
        self.interval.mul_f64(1.0 + self.jitter * (2.0 * fastrand::f64() - 1.0))
    }
}

/// Checks a target at once, and then in each interval, for as long as it is watched. The second check comes after a random part
/// of an interval, so that targets that came together are not checked together for ever.
async fn probe(watched: Weak<Watched>, checks: Arc<Checks>) {
    let mut share_of_first = fastrand::f64();
    loop {
        // Closed never; without a turn nobody would be checked.
        let turn = checks.turns.acquire().await;
        let begun = Instant::now();
        let Some(backend) = watched.upgrade().map(|watched| watched.backend()) else { return };
        // One deadline over all of it: a target that drips bytes would be in time for each read.
        let outcome = match tokio::time::timeout(checks.timeout, checks.check.check(&backend)).await {
            Ok(outcome) => outcome.map_err(|error| told(&error, checks.timeout)),
            Err(_) => Err(too_slow(checks.timeout)),
        };
        drop(turn);
        let Some(still) = watched.upgrade() else { return };
        still.take_in(outcome, begun.elapsed(), checks.thresholds());
        drop(still);
        tokio::time::sleep_until(begun + checks.pause().mul_f64(share_of_first)).await;
        share_of_first = 1.0;
    }
}

#[cfg(test)]
mod tests;
