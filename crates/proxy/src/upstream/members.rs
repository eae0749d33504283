//! Who is in a pool now: from what its targets are known to stand for to a picker over prepared peers.

use std::collections::{BTreeSet, HashMap};
use std::net::SocketAddr;
use std::sync::Arc;

use arc_swap::ArcSwap;
use futures::{FutureExt, StreamExt};
use parking_lot::Mutex;
use pingora_load_balancing::{Backend, BackendView};
use portreeve_balance::{Algorithm, Member, Picker};
use portreeve_config::{Balance, Upstream as UpstreamConfig};
use tokio::runtime::Handle;

use super::TargetRegistry;
use super::discovery::{Addresses, Answer};
use super::health::HealthGroup;
use super::prepared::Prepared;
use super::transport::Transport;

/// The members of one pool, shared with the task that keeps them fresh.
pub(super) struct Members {
    pub(super) addresses: Addresses,
    pub(super) picker: ArcSwap<Picker<Prepared>>,
    /// Tells the health group whom to check.
    view: Mutex<BackendView>,
    group: Arc<HealthGroup>,
    algorithm: Algorithm,
    pub(super) transport: Arc<Transport>,
}

impl Members {
    /// Nobody yet. The names will stand for what they stood for in `before`, until they are asked for.
    pub(super) fn new(
        config: &UpstreamConfig,
        transport: Arc<Transport>,
        registry: &TargetRegistry,
        before: Option<&Self>,
    ) -> Self {
        let group = registry.group(config, &transport);
        let addresses = Addresses::new(&config.targets, registry.resolver.clone(), before.map(|it| &it.addresses));
        let view = BackendView::new_with_health_registry(Box::new(addresses.clone()), group.registry.clone());
        Self {
            addresses,
            picker: ArcSwap::from_pointee(Picker::new(Vec::new(), algorithm(&config.balance))),
            view: Mutex::new(view),
            group,
            algorithm: algorithm(&config.balance),
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
            let known: HashMap<SocketAddr, Arc<Member<Prepared>>> =
                self.picker.load().members().iter().map(|member| (member.target.address, member.clone())).collect();
            let members = backends.iter().filter_map(|backend| {
                let address = *backend.addr.as_inet()?;
                let weight = u32::try_from(backend.weight).unwrap_or(u32::MAX);
                let same = known.get(&address).filter(|member| member.weight == weight);
                Some(same.cloned().unwrap_or_else(|| Arc::new(self.member(address, weight))))
            });
            self.picker.store(Arc::new(Picker::new(members.collect(), self.algorithm)));
        };
        // Our discovery knows without waiting, so the update is over when it has been polled once; updates of one view must
        // not overlap, which the lock sees to.
        let updated = self.view.lock().update(publish).now_or_never();
        debug_assert!(matches!(updated, Some(Ok(()))), "discovery waited or failed");
    }

    fn member(&self, address: SocketAddr, weight: u32) -> Member<Prepared> {
        let name = self.addresses.name_of(address);
        let prepared = self.transport.prepare(address, name.as_deref());
        Member { target: self.group.target(address, name), weight, prepared }
    }
}

fn algorithm(balance: &Balance) -> Algorithm {
    match balance {
        Balance::RoundRobin => Algorithm::RoundRobin,
        Balance::LeastConnections => Algorithm::LeastConnections,
        Balance::RandomTwo => Algorithm::RandomTwo,
        Balance::IpHash | Balance::Hash(_) => Algorithm::Hash,
    }
}
