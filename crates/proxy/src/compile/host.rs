//! The gateway as plugins see it while a configuration is compiled.

use std::sync::Arc;

use futures::future::BoxFuture;
use portreeve_plugin::engine::{Engine, Metrics, Shared as SharedValues};
use portreeve_plugin::{Answer, CallError, Clock, DeclaredConsumer, Fetch, Task, Tier, Upstream};
use tokio::sync::watch;

use super::{Pools, Purpose};
use crate::engine::Shared;

/// Answers what instances ask while they are built, and while they live.
pub(super) struct LoadHost {
    upstreams: Vec<Upstream>,
    tiers: Vec<Tier>,
    consumers: Vec<DeclaredConsumer>,
    shared: Arc<Shared>,
    purpose: Purpose,
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
    ) -> Self {
        let upstreams = pools.values().map(|pool| Upstream::new(pool.clone())).collect();
        Self { upstreams, tiers, consumers, shared, purpose, accepted: watch::Sender::new(false) }
    }

    /// The whole file is good: what was spawned begins.
    pub(super) fn accept(&self) {
        self.accepted.send_replace(true);
    }
}

impl Engine for LoadHost {
    fn upstream(&self, name: &str) -> Option<Upstream> {
        self.upstreams.iter().find(|upstream| &**upstream.name() == name).cloned()
    }

    fn upstream_names(&self) -> Vec<Arc<str>> {
        self.upstreams.iter().map(|upstream| upstream.name().clone()).collect()
    }

    fn tiers(&self) -> &[Tier] {
        &self.tiers
    }

    fn consumers(&self) -> &[DeclaredConsumer] {
        &self.consumers
    }

    fn fetch(&self, fetch: Fetch) -> BoxFuture<'static, Result<Answer, CallError>> {
        self.shared.fetcher.fetch(fetch)
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
