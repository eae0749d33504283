//! What pools share, in one generation and from one to the next, by what a thing *is*: targets by how they are checked and their
//! address, the resolver by its settings, an operator's orders by upstream and address.

use std::sync::{Arc, Weak};

use parking_lot::Mutex;
use portreeve_config::units::Address;
use portreeve_config::{
    Health as HealthConfig, Probe, Protocol, ProxyProtocol, Resolver as ResolverSettings, Upstream as UpstreamConfig,
    UpstreamTls,
};

use super::discovery::Resolver;
use super::health::{HealthGroup, Probing};
use super::near::Databases;
use super::orders::Orders;
use super::sticky::ProcessKey;
use super::transport::{self, Transport};

/// What outlives pools. Everything in it is held weakly, or forgotten when nothing names it any more.
#[derive(Default)]
pub struct TargetRegistry {
    /// Few: a gateway has a handful of ways of checking, however many pools.
    groups: Mutex<Vec<(Checked, Weak<HealthGroup>)>>,
    probing: Probing,
    resolver: Mutex<Option<Resolver>>,
    orders: Arc<Orders>,
    sticky_key: ProcessKey,
    databases: Databases,
}

/// How targets are checked, as the file has it: what makes two pools tell each other of their targets' health.
#[derive(PartialEq)]
struct Checked {
    health: Option<HealthConfig>,
    /// What a check says before anything else.
    announced: Option<ProxyProtocol>,
    /// How the check is spoken, if it is more than a connection. As written: a rotated certificate is the same way.
    spoken: Option<Spoken>,
}

#[derive(PartialEq)]
struct Spoken {
    protocol: Protocol,
    tls: Option<UpstreamTls>,
    names: Vec<Address>,
}

impl Checked {
    fn new(config: &UpstreamConfig) -> Self {
        let asks = config.health.as_ref().is_some_and(|health| health.probe() != Probe::Tcp);
        let spoken = asks.then(|| Spoken {
            protocol: config.protocol,
            tls: config.tls.clone(),
            names: transport::names(config),
        });
        let announced = config.proxy_protocol.filter(|_| config.health.is_some());
        Self { health: config.checks(), announced, spoken }
    }
}

impl TargetRegistry {
    /// The living group that checks like the upstream says, or a new one.
    pub(super) fn group(&self, config: &UpstreamConfig, transport: &Arc<Transport>) -> Arc<HealthGroup> {
        let wanted = Checked::new(config);
        let mut groups = self.groups.lock();
        let same = groups.iter().find(|(checked, _)| *checked == wanted);
        if let Some(group) = same.and_then(|(_, group)| group.upgrade()) {
            return group;
        }
        let group = HealthGroup::new(wanted.health.as_ref(), transport.clone(), &self.probing);
        groups.retain(|(_, group)| group.strong_count() > 0);
        groups.push((wanted, Arc::downgrade(&group)));
        group
    }

    /// The resolver of these settings: the one there is, unless they have changed.
    pub fn resolver(&self, settings: &ResolverSettings) -> Resolver {
        let mut resolver = self.resolver.lock();
        match &*resolver {
            Some(known) if known.is_of(settings) => known.clone(),
            _ => resolver.insert(Resolver::new(settings)).clone(),
        }
    }

    /// What stickiness signs with where the file names no key.
    pub(super) fn sticky_key(&self) -> &ProcessKey {
        &self.sticky_key
    }

    /// Where clients are.
    pub fn databases(&self) -> &Databases {
        &self.databases
    }

    /// What operators have ordered.
    pub fn orders(&self) -> &Arc<Orders> {
        &self.orders
    }

    /// Targets that are watched now, over all groups that live.
    #[cfg(test)]
    pub fn watched_now(&self) -> usize {
        let groups: Vec<_> = self.groups.lock().iter().filter_map(|(_, group)| group.upgrade()).collect();
        groups.iter().map(|group| group.watched_now()).sum()
    }
}

impl std::fmt::Debug for TargetRegistry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "TargetRegistry({} groups)", self.groups.lock().len())
    }
}
