//! Upstream pools: who is in them, who is healthy, who is picked, and what an attempt may cost.
//!
//! Membership and probing are pingora-load-balancing's; health and picking are ours (docs/adr/0004, `crates/balance`). A pool whose
//! configuration did not change lives on through a reload; the state of a target lives on in [`TargetRegistry`].

mod announcement;
mod answer;
mod attempts;
mod budget;
mod call;
mod client_tls;
mod discovery;
mod gate;
mod health;
mod identity;
mod limits;
mod members;
mod policy;
mod pool;
mod retry;
mod sticky;
mod transport;

pub(crate) use announcement::announcement;
pub(crate) use answer::{BadAnswer, MAX_INTERIM, check_response};
pub(crate) use call::Fetcher;
pub(crate) use gate::{Crowd, Slot};
pub(crate) use limits::Priorities;
pub(crate) use pool::{Pool, is_failure};
pub use pool::{PoolStatus, TargetStatus};
pub(crate) use retry::{Cause as RetryCause, Failed, Override as RetryOverride, Terms as RetryTerms};
pub(crate) use sticky::Stay;
pub(crate) use transport::Transport;

use std::sync::{Arc, Weak};

use parking_lot::Mutex;
use portreeve_config::units::Address;
use portreeve_config::{
    Health as HealthConfig, Probe, Protocol, ProxyProtocol, Upstream as UpstreamConfig, UpstreamTls,
};

use discovery::Resolver;
use health::HealthGroup;
use sticky::ProcessKey;

/// What pools share, in one generation and from one to the next: the targets, grouped by how they are checked.
#[derive(Default)]
pub(crate) struct TargetRegistry {
    /// Few: a gateway has a handful of ways of checking, however many pools.
    groups: Mutex<Vec<(Checked, Weak<HealthGroup>)>>,
    resolver: Resolver,
    sticky_key: ProcessKey,
}

/// How targets are checked, as the file has it: what makes two pools tell each other of their targets' health.
#[derive(PartialEq)]
struct Checked {
    health: Option<HealthConfig>,
    /// How the check is spoken, if it is more than a connection. As written: a rotated certificate is the same way.
    spoken: Option<Spoken>,
}

#[derive(PartialEq)]
struct Spoken {
    protocol: Protocol,
    tls: Option<UpstreamTls>,
    proxy_protocol: Option<ProxyProtocol>,
    names: Vec<Address>,
}

impl Checked {
    fn new(config: &UpstreamConfig) -> Self {
        let asks = config.health.as_ref().is_some_and(|health| matches!(health.probe(), Probe::Http(_)));
        let spoken = asks.then(|| Spoken {
            protocol: config.protocol,
            tls: config.tls.clone(),
            proxy_protocol: config.proxy_protocol,
            names: transport::names(config),
        });
        Self { health: config.health.clone(), spoken }
    }
}

impl TargetRegistry {
    /// The living group that checks like the upstream says, or a new one.
    fn group(&self, config: &UpstreamConfig, transport: &Arc<Transport>) -> Arc<HealthGroup> {
        let wanted = Checked::new(config);
        let mut groups = self.groups.lock();
        let same = groups.iter().find(|(checked, _)| *checked == wanted);
        if let Some(group) = same.and_then(|(_, group)| group.upgrade()) {
            return group;
        }
        let group = HealthGroup::new(config.health.as_ref(), transport.clone());
        groups.retain(|(_, group)| group.strong_count() > 0);
        groups.push((wanted, Arc::downgrade(&group)));
        group
    }

    #[cfg(test)]
    fn with_resolver(resolver: Resolver) -> Self {
        Self { resolver, ..Self::default() }
    }
}

impl std::fmt::Debug for TargetRegistry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "TargetRegistry({} groups)", self.groups.lock().len())
    }
}
