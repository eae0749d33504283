//! One upstream: its members now, the policy for attempts, and the task that keeps the membership fresh.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use arc_swap::ArcSwap;
use pingora::upstreams::peer::HttpPeer;
use pingora_load_balancing::BackendView;
use portreeve_config::{Balance, Timeouts, Upstream as UpstreamConfig};
use portreeve_plugin::Template;
use portreeve_plugin::engine::View;
use serde::Serialize;
use tokio::runtime::Handle;
use tokio::task::AbortHandle;

use super::Registry;
use super::discovery::{Addresses, RESOLVE_EVERY};
use super::health::HealthGroup;
use super::picker::{Member, Picker};
use super::retry::{Cause, Retries};
use super::target::InFlight;
use crate::observe::UpstreamMetrics;

/// Longest wait for the first answers of the resolver when a generation begins. Later the pool starts empty and answers 503.
const FIRST_RESOLVE: Duration = Duration::from_secs(3);

/// One upstream of one generation. The state of its targets is shared with the generations before and after.
pub(crate) struct Pool {
    pub(crate) name: Arc<str>,
    /// What is hashed, if `balance: { hash: … }`.
    key: Option<Template>,
    by_client: bool,
    pub(crate) metrics: UpstreamMetrics,
    retries: Retries,
    members: Arc<Members>,
    refresher: OnceLock<AbortHandle>,
}

/// The part that the refreshing task shares.
struct Members {
    view: BackendView,
    addresses: Addresses,
    group: Arc<HealthGroup>,
    balance: Balance,
    timeouts: Timeouts,
    picker: ArcSwap<Picker>,
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
    pub(crate) fn new(
        name: Arc<str>,
        config: &UpstreamConfig,
        key: Option<Template>,
        registry: &Registry,
        metrics: UpstreamMetrics,
        control: &Handle,
    ) -> Self {
        let group = registry.group(config.health.as_ref(), control);
        let addresses = Addresses(config.targets.clone());
        let view = BackendView::new_with_health_registry(Box::new(addresses.clone()), group.registry.clone());
        let (balance, timeouts) = (config.balance.clone(), config.timeouts.clone());
        let picker = ArcSwap::from_pointee(Picker::new(Vec::new(), &balance));
        Self {
            name,
            key,
            by_client: config.balance == Balance::IpHash,
            metrics,
            retries: Retries::new(&config.retry),
            members: Arc::new(Members { view, addresses, group, balance, timeouts, picker }),
            refresher: OnceLock::new(),
        }
    }

    /// Finds the members, and goes on finding them if names are among them. Waits for the resolver only for a moment.
    pub(crate) async fn start(&self, control: &Handle) {
        if !self.members.addresses.has_names() {
            return self.members.refresh(&self.name).await;
        }
        let first = self.members.refresh(&self.name);
        if tokio::time::timeout(FIRST_RESOLVE, first).await.is_err() {
            tracing::warn!(upstream = %self.name, "The resolver is slow; the upstream starts without targets.");
        }
        let (members, name) = (self.members.clone(), self.name.clone());
        let refreshing = control.spawn(async move {
            loop {
                tokio::time::sleep(RESOLVE_EVERY.mul_f64(0.9 + 0.2 * fastrand::f64())).await;
                members.refresh(&name).await;
            }
        });
        if self.refresher.set(refreshing.abort_handle()).is_err() {
            refreshing.abort();
        }
    }

    /// Picks a healthy target that this request has not tried, and counts the request there for as long as the guard lives.
    pub(crate) fn pick(&self, key: u64, tried: &[usize]) -> Option<(usize, Arc<Member>, InFlight)> {
        let (place, member) = self.members.picker.load().pick(key, tried)?;
        let in_flight = InFlight::new(member.target.clone());
        Some((place, member, in_flight))
    }

    /// What a request is hashed by, where `balance` hashes; any number where it does not.
    pub(crate) fn hash_key(&self, view: &View<'_>) -> u64 {
        // Fixed seeds: every gateway of a fleet must send a key to the same target.
        let hasher = ahash::RandomState::with_seeds(5, 6, 7, 8);
        match &self.key {
            Some(template) => hasher.hash_one(template.render(view).as_deref().unwrap_or("")),
            None if self.by_client => hasher.hash_one(view.exchange.client_ip()),
            None => 0,
        }
    }

    /// Counts a request towards the retry budget.
    pub(crate) fn earn_retry(&self) {
        self.retries.earn();
    }

    /// Whether an attempt that failed so may be followed by another, after those at the targets `tried`. Without another
    /// target there is none, and the client is told of this failure.
    pub(crate) fn take_retry(&self, tried: &[usize], cause: Cause) -> bool {
        let made = u32::try_from(tried.len()).unwrap_or(u32::MAX);
        self.members.picker.load().has_other(tried) && self.retries.take(made, cause)
    }

    /// Whether such an answer is worth another attempt at all.
    pub(crate) fn retries_on(&self, cause: Cause) -> bool {
        self.retries.covers(cause)
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
        if let Some(refresher) = self.refresher.get() {
            refresher.abort();
        }
    }
}

impl Members {
    /// Asks discovery once. A failure keeps the last good members.
    async fn refresh(&self, upstream: &str) {
        let publish = |backends: Arc<std::collections::BTreeSet<pingora_load_balancing::Backend>>| {
            let known: HashMap<SocketAddr, Arc<Member>> =
                self.picker.load().members().iter().map(|member| (member.target.address, member.clone())).collect();
            let members = backends.iter().filter_map(|backend| {
                let address = *backend.addr.as_inet()?;
                let weight = u32::try_from(backend.weight).unwrap_or(u32::MAX);
                let same = known.get(&address).filter(|member| member.weight == weight);
                Some(same.cloned().unwrap_or_else(|| Arc::new(self.member(address, weight))))
            });
            self.picker.store(Arc::new(Picker::new(members.collect(), &self.balance)));
        };
        if let Err(error) = self.view.update(publish).await {
            tracing::warn!(upstream, %error, "The targets could not be resolved; the last ones are kept.");
        }
    }

    fn member(&self, address: SocketAddr, weight: u32) -> Member {
        Member { target: self.group.target(address), weight, peer: peer(address, &self.timeouts) }
    }
}

/// The peer of a target, prepared once and cloned for each attempt. Every timeout is finite: Pingora's defaults are none.
fn peer(address: SocketAddr, timeouts: &Timeouts) -> HttpPeer {
    // An address, never a name: `HttpPeer::new` would resolve a name here and panic if it could not.
    let mut peer = HttpPeer::new(address, false, String::new());
    let options = &mut peer.options;
    options.connection_timeout = Some(timeouts.connect.get());
    options.total_connection_timeout = Some(timeouts.connect.get());
    options.read_timeout = Some(timeouts.first_byte.get());
    options.write_timeout = Some(timeouts.write.get());
    options.idle_timeout = Some(timeouts.idle.get());
    peer
}

impl std::fmt::Debug for Pool {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Pool({})", self.name)
    }
}
