//! Upstream pools: who is in them, who is healthy, who is picked, and what an attempt may cost.
//!
//! Membership and probing are pingora-load-balancing's; health and picking are ours (docs/adr/0004). A pool whose
//! configuration did not change lives on through a reload; the state of a target lives on in [`TargetRegistry`].

mod call;
mod discovery;
mod hash;
mod health;
mod members;
mod picker;
mod pool;
mod retry;
mod target;

pub(crate) use call::Fetcher;
pub(crate) use picker::Tried;
pub(crate) use pool::Pool;
pub use pool::{PoolStatus, TargetStatus};
pub(crate) use retry::Cause as RetryCause;
pub(crate) use target::InFlight;

use std::sync::{Arc, Weak};

use parking_lot::Mutex;
use portreeve_config::Health as HealthConfig;

use discovery::Resolver;
use health::HealthGroup;

/// What pools share, in one generation and from one to the next: the targets, grouped by how they are checked.
#[derive(Default)]
pub(crate) struct TargetRegistry {
    /// Few: a gateway has a handful of ways of checking, however many pools.
    groups: Mutex<Vec<(Option<HealthConfig>, Weak<HealthGroup>)>>,
    resolver: Resolver,
}

impl TargetRegistry {
    /// The living group that checks like `health` says, or a new one.
    fn group(&self, health: Option<&HealthConfig>) -> Arc<HealthGroup> {
        let mut groups = self.groups.lock();
        let same = groups.iter().find(|(checked, _)| checked.as_ref() == health);
        if let Some(group) = same.and_then(|(_, group)| group.upgrade()) {
            return group;
        }
        let group = HealthGroup::new(health);
        groups.retain(|(_, group)| group.strong_count() > 0);
        groups.push((health.cloned(), Arc::downgrade(&group)));
        group
    }

    #[cfg(test)]
    fn with_resolver(resolver: Resolver) -> Self {
        Self { groups: Mutex::default(), resolver }
    }
}

impl std::fmt::Debug for TargetRegistry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "TargetRegistry({} groups)", self.groups.lock().len())
    }
}
