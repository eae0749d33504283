//! One upstream: its members now, the policy for attempts, and the task that keeps the membership fresh.

use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use portreeve_balance::hash::{mix, stable};
use portreeve_config::{Balance, Upstream as UpstreamConfig};
use portreeve_plugin::Template;
use portreeve_plugin::engine::View;
use serde::Serialize;
use tokio::runtime::Handle;
use tokio::sync::Notify;
use tokio::task::AbortHandle;

use super::TargetRegistry;
use super::discovery::RESOLVE_EVERY;
use super::gate::{Crowd, Slot};
use super::limits::{Limits, Picked, Priorities};
use super::members::Members;
use super::retry::{Failed, NoRetry, Override, Retries, Terms};
use super::transport::Transport;
use crate::fault::Fault;
use crate::observe::UpstreamMetrics;

/// Longest wait for the first answers of the resolver when a pool begins. What comes later is taken when it comes.
const FIRST_RESOLVE: Duration = Duration::from_secs(3);

/// One upstream, for as many generations as leave its configuration as it is.
pub(crate) struct Pool {
    pub(crate) name: Arc<str>,
    config: UpstreamConfig,
    /// What is hashed, if `balance: { hash: … }`.
    key: Option<Template>,
    pub(crate) metrics: UpstreamMetrics,
    retries: Retries,
    limits: Limits,
    members: Arc<Members>,
    /// Set when the pool starts: what ends with it, if its names must be asked for again and again.
    refresher: OnceLock<Option<AbortHandle>>,
}

/// What the admin port tells of a pool.
#[derive(Debug, Serialize)]
pub struct PoolStatus {
    /// Name of the upstream.
    pub name: Arc<str>,
    /// Its targets now.
    pub targets: Vec<TargetStatus>,
}

/// What the admin port tells of a target.
#[derive(Debug, Serialize)]
pub struct TargetStatus {
    /// Its address.
    pub address: SocketAddr,
    /// Its share.
    pub weight: u32,
    /// Whether its checks pass; true where there are none.
    pub healthy: bool,
    /// Requests being tried there now.
    pub in_flight: u32,
    /// When its health last changed, in seconds since 1970.
    pub since: u64,
}

impl Pool {
    /// A pool at rest: nobody is resolved or checked before it starts. `before` is the pool of this name in the generation
    /// before: what its names stood for serves until they are resolved again.
    pub(crate) fn new(
        name: Arc<str>,
        config: &UpstreamConfig,
        transport: Arc<Transport>,
        key: Option<Template>,
        registry: &TargetRegistry,
        metrics: UpstreamMetrics,
        before: Option<&Self>,
    ) -> Self {
        let members = Members::new(config, transport, registry, before.map(|before| &*before.members));
        Self {
            name,
            config: config.clone(),
            key,
            metrics,
            retries: Retries::new(&config.retry),
            limits: Limits::new(config.limits.as_ref(), before.map(|before| &before.limits)),
            members: Arc::new(members),
            refresher: OnceLock::new(),
        }
    }

    /// Whether this is the pool that `config` asks for, and its files are as they were.
    pub(crate) fn is_of(&self, config: &UpstreamConfig, transport: &Transport) -> bool {
        self.config == *config && self.members.transport.is_like(transport)
    }

    /// How its targets are spoken to.
    pub(crate) fn transport(&self) -> &Transport {
        &self.members.transport
    }

    /// Begins to check the members, and to find them if names are among them. Waits for the resolver only for a moment; a
    /// name that is not answered by then joins when it is. A pool that has started already goes on as it is.
    pub(crate) async fn start(&self, control: &Handle) {
        let first = Arc::new(Notify::new());
        let mut is_first = false;
        self.refresher.get_or_init(|| {
            is_first = true;
            self.members.begin(control);
            let (members, name, first) = (self.members.clone(), self.name.clone(), first.clone());
            let refreshing = async move {
                loop {
                    members.refresh(&name).await;
                    first.notify_one();
                    tokio::time::sleep(RESOLVE_EVERY.mul_f64(0.9 + 0.2 * fastrand::f64())).await;
                }
            };
            self.members.addresses.has_names().then(|| control.spawn(refreshing).abort_handle())
        });
        if is_first && !self.members.addresses.are_known() {
            let answered = tokio::time::timeout(FIRST_RESOLVE, first.notified());
            if answered.await.is_err() {
                tracing::warn!(upstream = %self.name, "The resolver is slow; the upstream starts without some targets.");
            }
        }
    }

    /// Learns which tiers go first where it is full.
    pub(crate) fn rank(&self, priorities: &Arc<Priorities>) {
        self.limits.rank(priorities);
    }

    /// Lets a request of this tier in, or waits for its turn, at most until `until`. `None`: nothing is limited.
    ///
    /// # Errors
    /// When it has no turn. Cancel safe.
    pub(crate) async fn admit(&self, tier: Option<&str>, until: Instant) -> Result<Option<Slot>, Fault> {
        let picker = self.members.picker.load_full();
        self.limits.admit(&picker, tier, until).await
    }

    /// Picks a healthy target with room that this request has not tried, and counts the request there for as long as the
    /// guard lives.
    pub(crate) fn pick(&self, key: u64, tried: &[SocketAddr]) -> Option<Picked> {
        self.limits.pick(&self.members.picker.load(), key, tried)
    }

    /// Why nobody was picked.
    pub(crate) fn why_nobody(&self, tried: &[SocketAddr]) -> Fault {
        if self.members.picker.load().has_another(tried) { Fault::TargetsFull } else { Fault::NoTarget }
    }

    /// The longest that one attempt may wait for the head of an answer, if the file says so.
    pub(crate) fn per_try(&self) -> Option<Duration> {
        self.config.timeouts.per_try.map(portreeve_config::units::Duration::get)
    }

    /// Whether requests may have to wait for their turn.
    pub(crate) fn is_limited(&self) -> bool {
        self.config.limits.is_some()
    }

    /// How many are in flight and wait; `None` where nothing is limited.
    pub(crate) fn crowd(&self) -> Option<Crowd> {
        self.limits.crowd()
    }

    /// What a request is hashed by, where `balance` hashes; any number where it does not. A request without the key goes
    /// anywhere: all of them to one target would drown it.
    pub(crate) fn hash_key(&self, view: &View<'_>) -> u64 {
        match (&self.config.balance, &self.key) {
            (_, Some(template)) => {
                let text = template.render(view).filter(|text| !text.is_empty());
                text.map_or_else(|| fastrand::u64(..), |text| mix(stable(text.bytes())))
            }
            (Balance::IpHash, None) => mix(match view.exchange.client_ip() {
                IpAddr::V4(ip) => stable(ip.octets()),
                IpAddr::V6(ip) => stable(ip.octets()),
            }),
            _ => 0,
        }
    }

    /// Counts a request towards the retry budget.
    pub(crate) fn earn_retry(&self) {
        self.retries.earn();
    }

    /// The retry policy, but for what a route says instead.
    pub(crate) fn terms<'t>(&'t self, of_route: Option<&'t Override>) -> Terms<'t> {
        self.retries.terms(of_route)
    }

    /// Whether an attempt that failed so may be followed by another, after those at the targets `tried`, and after what pause.
    /// Without another target there is none, and the client is told of this failure.
    pub(crate) fn take_retry(
        &self,
        terms: Terms<'_>,
        failed: Failed<'_>,
        tried: &[SocketAddr],
        until: Instant,
    ) -> Option<Duration> {
        if !self.members.picker.load().has_another(tried) {
            return None;
        }
        match terms.take(failed, Instant::now(), until) {
            Ok(pause) => {
                self.metrics.retried();
                Some(pause)
            }
            Err(NoRetry::Budget) => {
                self.metrics.over_budget();
                None
            }
            Err(NoRetry::Policy) => None,
        }
    }

    pub(crate) fn status(&self) -> PoolStatus {
        let picker = self.members.picker.load();
        let targets = picker.members().iter().map(|member| TargetStatus {
            address: member.target.address,
            weight: member.weight,
            healthy: member.target.is_healthy(),
            in_flight: member.target.in_flight(),
            since: member.target.since(),
        });
        PoolStatus { name: self.name.clone(), targets: targets.collect() }
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        if let Some(Some(refresher)) = self.refresher.get() {
            refresher.abort();
        }
    }
}

impl std::fmt::Debug for Pool {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Pool({})", self.name)
    }
}

#[cfg(test)]
#[path = "pool_tests.rs"]
mod tests;
