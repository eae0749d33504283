//! Who is in a pool now: from what its targets are known to stand for to a picker over prepared peers.

use std::collections::{BTreeSet, HashMap};
use std::net::SocketAddr;
use std::sync::Arc;

use arc_swap::ArcSwap;
use futures::{FutureExt, StreamExt};
use parking_lot::Mutex;
use pingora::upstreams::peer::HttpPeer;
use pingora_load_balancing::{Backend, BackendView};
use portreeve_balance::{Group, Ledger, Member, Picker, Policy};
use portreeve_config::Upstream as UpstreamConfig;
use tokio::runtime::Handle;

use super::TargetRegistry;
use super::discovery::{Addresses, Answer};
use super::health::HealthGroup;
use super::policy::{group, policy};
use super::sticky::Sticky;
use super::transport::Transport;

/// The members of one pool, shared with the task that keeps them fresh.
pub(super) struct Members {
    pub(super) addresses: Addresses,
    pub(super) picker: ArcSwap<Picker<HttpPeer>>,
    /// Tells the health group whom to check.
    view: Mutex<BackendView>,
    group: Arc<HealthGroup>,
    /// What is known of the members' addresses, from one generation to the next.
    ledger: Arc<Ledger>,
    policy: Policy,
    /// The zone that the gateway is in, if that makes a difference.
    zone: Option<Box<str>>,
    upstream: Arc<str>,
    pub(super) sticky: Option<Sticky>,
    pub(super) transport: Arc<Transport>,
}

impl Members {
    /// Nobody yet. The names will stand for what they stood for in `before`, until they are asked for.
    pub(super) fn new(
        upstream: Arc<str>,
        config: &UpstreamConfig,
        transport: Arc<Transport>,
        registry: &TargetRegistry,
        before: Option<&Self>,
    ) -> Self {
        let group = registry.group(config, &transport);
        let addresses = Addresses::new(&config.targets, registry.resolver.clone(), before.map(|it| &it.addresses));
        let ledger = before.map_or_else(Ledger::new, |before| before.ledger.clone());
        let policy = policy(config);
        let view = BackendView::new_with_health_registry(Box::new(addresses.clone()), group.registry.clone());
        Self {
            addresses,
            picker: ArcSwap::from_pointee(Picker::new(&ledger, Vec::new(), policy.clone())),
            view: Mutex::new(view),
            group,
            ledger,
            policy,
            zone: config.failover.zone.as_deref().map(Box::from),
            upstream,
            sticky: config.sticky.as_ref().map(|sticky| Sticky::new(sticky, &registry.sticky_key)),
            transport,
        }
    }

    /// Whoever is known can be picked from now on, and is checked.
    pub(super) fn begin(&self, control: &Handle) {
        self.group.start(control, self.transport.clone());
        self.publish();
    }

    /// Asks for every name once. Each answer counts as soon as it comes; without one, the last good one stays.
    pub(super) async fn refresh(&self, upstream: &str) {
        let mut answers = self.addresses.ask();
        while let Some(Answer { name, addresses }) = answers.next().await {
            match addresses {
                Ok(addresses) => {
                    self.addresses.learn(name, addresses);
                    self.publish();
                }
                Err(error) => {
                    tracing::warn!(upstream, %name, error, "The name was not resolved; its last addresses are kept.");
                }
            }
        }
    }

    /// Puts into the picker whoever is known now, if that is somebody else than before.
    fn publish(&self) {
        let publish = |backends: Arc<BTreeSet<Backend>>| {
            let known: HashMap<SocketAddr, Arc<Member<HttpPeer>>> =
                self.picker.load().members().iter().map(|member| (member.target.address, member.clone())).collect();
            let members = backends.iter().filter_map(|backend| {
                let address = *backend.addr.as_inet()?;
                let weight = u32::try_from(backend.weight).unwrap_or(u32::MAX);
                let same = known
                    .get(&address)
                    .filter(|member| member.weight == weight && member.group == self.group_of(address));
                Some(same.cloned().unwrap_or_else(|| Arc::new(self.member(address, weight))))
            });
            let picker = Picker::new(&self.ledger, members.collect(), self.policy.clone());
            if let Some(sticky) = &self.sticky {
                sticky.publish(&self.upstream, picker.members().iter().map(|member| member.target.address));
            }
            self.picker.store(Arc::new(picker));
        };
        // Our discovery knows without waiting, so the update is over when it has been polled once; updates of one view must
        // not overlap, which the lock sees to.
        let updated = self.view.lock().update(publish).now_or_never();
        debug_assert!(matches!(updated, Some(Ok(()))), "discovery waited or failed");
    }

    fn group_of(&self, address: SocketAddr) -> Group {
        group(self.addresses.target_of(address), self.zone.as_deref())
    }

    fn member(&self, address: SocketAddr, weight: u32) -> Member<HttpPeer> {
        let name = self.addresses.name_of(address);
        let peer = self.transport.peer(address, name.as_deref());
        let (target, seat) = (self.group.target(address, name), self.ledger.seat(address));
        Member { target, seat, weight, group: self.group_of(address), prepared: peer }
    }
}
