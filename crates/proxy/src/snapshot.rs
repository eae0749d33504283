//! Everything compiled from one configuration: what a request pins at its first byte and sees until its log line.

use std::sync::Arc;

use portreeve_plugin::engine::Chain;
use portreeve_router::Router;

use crate::observe::{AccessLog, RouteMetrics};
use crate::route::Route;
use crate::upstream::{Pool, PoolStatus};

/// One generation.
#[derive(Debug)]
pub struct Snapshot {
    pub(crate) generation: u64,
    pub(crate) router: Router,
    /// By `RuleId` of the router.
    pub(crate) routes: Box<[Arc<Route>]>,
    /// By the number of the listener in the engine; `None` for listeners that this generation does not have.
    pub(crate) listeners: Box<[Option<Arc<Entrance>>]>,
    pub(crate) pools: Box<[Arc<Pool>]>,
    pub(crate) access_log: AccessLog,
    /// For requests that no route takes.
    pub(crate) unrouted: RouteMetrics,
}

/// What a generation says of one listener.
#[derive(Debug)]
pub(crate) struct Entrance {
    pub(crate) name: Arc<str>,
    /// Runs before routing.
    pub(crate) chain: Chain,
}

impl Snapshot {
    /// Its number, from 1.
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// The state of its upstreams now.
    pub fn pools(&self) -> Vec<PoolStatus> {
        self.pools.iter().map(|pool| pool.status()).collect()
    }
}
