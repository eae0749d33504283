//! One upstream: its members now, the policy for attempts, and the task that keeps the membership fresh.

use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use pingora::upstreams::peer::HttpPeer;
use portreeve_balance::hash::{mix, stable};
use portreeve_balance::{InFlight, Member};
use portreeve_config::{Balance, Resolver as ResolverSettings, Upstream as UpstreamConfig};
use portreeve_plugin::Template;
use portreeve_plugin::engine::View;
use tokio::runtime::Handle;
use tokio::sync::Notify;
use tokio::task::AbortHandle;

use super::discovery::{Followed, TargetSources, follow};
use super::members::Members;
use super::retry::{Cause, Retries};
use super::transport::Transport;
use super::{Fault, TargetRegistry, health};
use crate::observe::UpstreamMetrics;

/// Longest wait for the first answers of discoveries when a pool begins. What comes later is taken when it comes.
const FIRST_RESOLVE: Duration = Duration::from_secs(3);

/// One upstream, for as many generations as leave its configuration as it is.
pub(crate) struct Pool {
    pub(crate) name: Arc<str>,
    config: UpstreamConfig,
    /// What is hashed, if `balance: { hash: … }`.
    key: Option<Template>,
    pub(crate) metrics: UpstreamMetrics,
    retries: Retries,
    pub(super) members: Arc<Members>,
    /// Set when the pool starts: what ends with it, if its targets must be asked for again and again.
    refresher: OnceLock<Option<AbortHandle>>,
}

impl Pool {
    /// What is wrong with a configuration beyond what the loader could see.
    pub(crate) fn faults(config: &UpstreamConfig) -> Vec<Fault> {
        config.health.as_ref().map(health::wrong).unwrap_or_default()
    }

    /// A pool at rest: nobody is found or checked before it starts.
    pub(crate) fn new(
        name: Arc<str>,
        config: &UpstreamConfig,
        transport: Arc<Transport>,
        key: Option<Template>,
        registry: &TargetRegistry,
        metrics: UpstreamMetrics,
        sources: TargetSources,
    ) -> Self {
        let members = Members::new(name.clone(), config, transport, registry, sources);
        Self {
            name,
            config: config.clone(),
            key,
            metrics,
            retries: Retries::new(&config.retry),
            members: Arc::new(members),
            refresher: OnceLock::new(),
        }
    }

    /// Where its targets come from: what they told last serves until they tell something else, in another pool as well.
    pub(crate) fn sources(&self) -> &TargetSources {
        &self.members.sources
    }

    /// Whether this is the pool that `config` asks for, its files are as they were, and names are asked of the same.
    pub(crate) fn is_of(&self, config: &UpstreamConfig, transport: &Transport, resolver: &ResolverSettings) -> bool {
        let sources = &self.members.sources;
        self.config == *config
            && self.members.transport.is_like(transport)
            && (!sources.are_asked() || sources.resolver().is_of(resolver))
    }

    /// Takes orders into account that came while it was made.
    pub(crate) fn heed_orders(&self) {
        self.members.heed_orders();
    }

    /// How its targets are spoken to.
    pub(crate) fn transport(&self) -> &Transport {
        &self.members.transport
    }

    /// Begins to check the members, and to find them where they are to be found. Waits, for a bounded time each, for the first
    /// answers and for the first checks: whoever is put to work next has targets that are known to be well, if there are any. A
    /// target that is found or well only later joins then. A pool that has started already goes on as it is.
    pub(crate) async fn start(&self, control: &Handle) {
        let first = Arc::new(Notify::new());
        let mut is_first = false;
        self.refresher.get_or_init(|| {
            is_first = true;
            self.members.begin(control);
            let (members, name, first) = (self.members.clone(), self.name.clone(), first.clone());
            let counts = self.metrics.discoveries.clone();
            let following = async move {
                let sources = &members.sources;
                let followed = Followed { upstream: &name, sources, counts: &counts, first: &first };
                follow(followed, |left| Box::pin(members.update(left))).await;
            };
            self.members.sources.are_asked().then(|| control.spawn(following).abort_handle())
        });
        if !is_first {
            return;
        }
        if !self.members.sources.are_known() {
            let answered = tokio::time::timeout(FIRST_RESOLVE, first.notified());
            if answered.await.is_err() {
                tracing::warn!(upstream = %self.name, "The resolver is slow; the upstream starts without some targets.");
            }
        }
        self.members.first_round().await;
    }

    /// Picks a healthy target that this request has not tried, and counts the request there for as long as the guard lives.
    pub(crate) fn pick(&self, key: u64, tried: &[SocketAddr]) -> Option<(Arc<Member<HttpPeer>>, InFlight)> {
        let member = self.members.picker.load().pick(key, tried)?.clone();
        let in_flight = InFlight::new(member.target.clone());
        Some((member, in_flight))
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

    /// Whether an attempt that failed so, the `made`-th, may be followed by another, after those at the targets `tried`.
    /// Without another target there is none, and the client is told of this failure.
    pub(crate) fn take_retry(&self, made: u32, tried: &[SocketAddr], cause: Cause) -> bool {
        self.members.picker.load().has_another(tried) && self.retries.take(made, cause)
    }

    /// Whether such an answer is worth another attempt at all.
    pub(crate) fn retries_on(&self, cause: Cause) -> bool {
        self.retries.covers(cause)
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
