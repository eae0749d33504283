//! Clients that ask without a pause, each for itself, and what became of their requests.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use tokio::task::JoinSet;

use crate::{Gateway, until};

/// So many ask at once.
pub const CLIENTS: usize = 8;

/// Load on a gateway, until it is ended.
#[derive(Debug)]
pub struct Load {
    clients: JoinSet<()>,
    stop: Arc<AtomicBool>,
    served: Arc<AtomicUsize>,
    failed: Arc<AtomicUsize>,
}

impl Load {
    /// Of GETs.
    pub fn on(gateway: &Arc<Gateway>) -> Self {
        Self::of(gateway, "GET")
    }

    /// Of requests of this method.
    pub fn of(gateway: &Arc<Gateway>, method: &'static str) -> Self {
        let mut load =
            Self { clients: JoinSet::new(), stop: Arc::default(), served: Arc::default(), failed: Arc::default() };
        for _ in 0..CLIENTS {
            let (gateway, stop) = (gateway.clone(), load.stop.clone());
            let (served, failed) = (load.served.clone(), load.failed.clone());
            load.clients.spawn(async move {
                while !stop.load(Ordering::Relaxed) {
                    let answer = gateway.ask(method, "/").send().await;
                    let ok = answer.is_ok_and(|answer| answer.status == 200);
                    if ok { &served } else { &failed }.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        load
    }

    /// Those that were not answered, or with another status than 200, so far.
    pub fn failed(&self) -> usize {
        self.failed.load(Ordering::Relaxed)
    }

    /// Until so many more have been served.
    ///
    /// # Panics
    /// When that takes too long.
    pub async fn serve(&self, more: usize) {
        let goal = self.served.load(Ordering::Relaxed) + more;
        until("load is served", async || (self.served.load(Ordering::Relaxed) >= goal).then_some(())).await;
    }

    /// No more is asked. How many failed in all.
    pub async fn end(mut self) -> usize {
        self.stop.store(true, Ordering::Relaxed);
        while self.clients.join_next().await.is_some() {}
        self.failed()
    }
}
