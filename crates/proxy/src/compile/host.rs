//! The gateway as plugins see it while a configuration is compiled.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use futures::future::BoxFuture;
use portreeve_config::Doubts;
use portreeve_plugin::engine::{Engine, Metrics, Shared as SharedValues};
use portreeve_plugin::{Answer, CallError, Clock, DeclaredConsumer, Fetch, Task, Tier, Upstream};
use tokio::sync::watch;

use super::{Pools, Purpose};
use crate::engine::Shared;

/// Answers what instances ask while they are built, and while they live.
pub(super) struct LoadHost {
    upstreams: BTreeMap<Arc<str>, Upstream>,
    tiers: Vec<Tier>,
    consumers: Vec<DeclaredConsumer>,
    shared: Arc<Shared>,
    purpose: Purpose,
    /// What of the file is wrong.
    doubts: Doubts,
    /// Whether a plugin was told something that is in doubt: an error of its is not believed then.
    misled: AtomicBool,
    /// Whether the file has been accepted. Tasks wait for it; with a file that is refused they end unrun.
    accepted: watch::Sender<bool>,
}

impl LoadHost {
    pub(super) fn new(
        pools: &Pools,
        tiers: Vec<Tier>,
        consumers: Vec<DeclaredConsumer>,
        shared: Arc<Shared>,
        purpose: Purpose,
        doubts: Doubts,
    ) -> Self {
        // What a plugin says goes over connections that many clients share; the loader tells of those that the file names.
        let shared_by_clients = pools.values().filter(|pool| pool.transport().announces().is_none());
        let upstreams = shared_by_clients.map(|pool| (pool.name.clone(), Upstream::new(pool.clone()))).collect();
        let (accepted, misled) = (watch::Sender::new(false), AtomicBool::new(false));
        Self { upstreams, tiers, consumers, shared, purpose, doubts, misled, accepted }
    }

    /// Forgets that anybody was misled.
    pub(super) fn before_building(&self) {
        self.misled.store(false, Ordering::Relaxed);
    }

    /// Whether what was built since was told something that is in doubt.
    pub(super) fn has_misled(&self) -> bool {
        self.misled.load(Ordering::Relaxed)
    }

    fn tells(&self, is_sure: bool) {
        if !is_sure {
            self.misled.store(true, Ordering::Relaxed);
        }
    }

    /// The whole file is good: what was spawned begins.
    pub(super) fn accept(&self) {
        self.accepted.send_replace(true);
    }
}

impl Engine for LoadHost {
    fn upstream(&self, name: &str) -> Option<Upstream> {
        let found = self.upstreams.get(name).cloned();
        self.tells(found.is_some() || self.doubts.knows_all_of("upstreams"));
        found
    }

    fn upstream_names(&self) -> Vec<Arc<str>> {
        self.upstreams.keys().cloned().collect()
    }

    fn tiers(&self) -> &[Tier] {
        // A tier that is wrong has another in its place: that there is one, and its name, is true.
        self.tells(!self.tiers.is_empty() || self.doubts.knows_all_of("tiers"));
        &self.tiers
    }

    fn consumers(&self) -> &[DeclaredConsumer] {
        self.tells(self.doubts.knows_all_of("consumers"));
        &self.consumers
    }

    fn fetch(&self, fetch: Fetch) -> BoxFuture<'static, Result<Answer, CallError>> {
        self.shared.outside.fetch(fetch)
    }

    fn spawn(&self, task: BoxFuture<'static, ()>) -> Task {
        match self.purpose {
            Purpose::Serve => {
                let mut accepted = self.accepted.subscribe();
                let task = async move {
                    let accepted = accepted.wait_for(|accepted| *accepted).await.is_ok();
                    if accepted {
                        task.await;
                    }
                };
                Task::new(AbortOnDrop(self.shared.control.spawn(task).abort_handle()))
            }
            Purpose::Check => Task::new(()),
        }
    }

    fn shared(&self) -> &SharedValues {
        &self.shared.values
    }

    fn metrics(&self) -> &Metrics {
        self.shared.metrics.plugins()
    }

    fn clock(&self) -> &Clock {
        &self.shared.clock
    }
}

struct AbortOnDrop(tokio::task::AbortHandle);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}
