//! Upstream pools: who is in them, who is healthy, who is picked, and what an attempt may cost.
//!
//! Membership, discovery and health checking are pingora-load-balancing's; the picking is ours (docs/adr/0004).
//! State lives in [`Registry`], keyed by what a target *is*, so that it survives reloads.

mod call;
mod discovery;
mod health;
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

use std::collections::HashMap;
use std::sync::{Arc, Weak};

use parking_lot::Mutex;
use portreeve_config::Health as HealthConfig;

use health::HealthGroup;

/// What outlives a generation: one health group for each way of checking, shared by every pool that checks so.
#[derive(Default)]
pub(crate) struct Registry(Mutex<HashMap<String, Weak<HealthGroup>>>);

impl Registry {
    /// The living group that checks like `health` says, or a new one.
    fn group(&self, health: Option<&HealthConfig>, control: &tokio::runtime::Handle) -> Arc<HealthGroup> {
        // Everything that makes two checks different is in the configuration, so its text is the key.
        let key = format!("{health:?}");
        let mut groups = self.0.lock();
        if let Some(group) = groups.get(&key).and_then(Weak::upgrade) {
            return group;
        }
        let group = HealthGroup::new(health, control);
        groups.retain(|_, group| group.strong_count() > 0);
        groups.insert(key, Arc::downgrade(&group));
        group
    }
}

impl std::fmt::Debug for Registry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Registry({} groups)", self.0.lock().len())
    }
}
