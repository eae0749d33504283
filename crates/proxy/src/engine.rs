//! The gateway as one thing: what outlives generations, the live generation, and the workers that serve it.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use parking_lot::Mutex;
use portreeve_config::units::LogTarget;
use portreeve_config::{Diagnostics, Loaded};
use portreeve_plugin::engine::Shared as SharedValues;
use portreeve_plugin::{Clock, Registry};
use tokio::runtime::Handle;

use crate::compile::{Purpose, compile};
use crate::listener::{BindError, Drained, Sockets, Workers};
use crate::observe::{AccessLog, Metrics};
use crate::phases::Phases;
use crate::snapshot::Snapshot;
use crate::upstream::{self, Fetcher, PoolStatus};

/// What outlives a generation.
#[derive(Debug)]
pub(crate) struct Shared {
    /// The runtime of everything that is not a request: health checks, resolving, plugins' tasks.
    pub(crate) control: Handle,
    pub(crate) upstreams: upstream::Registry,
    pub(crate) values: SharedValues,
    pub(crate) metrics: Metrics,
    pub(crate) fetcher: Fetcher,
    pub(crate) clock: Clock,
    log: Mutex<Option<(LogTarget, AccessLog)>>,
}

impl Shared {
    fn new(control: Handle) -> Result<Self, StartError> {
        Ok(Self {
            control,
            upstreams: upstream::Registry::default(),
            values: SharedValues::default(),
            metrics: Metrics::new().map_err(|error| StartError::Setup(error.to_string()))?,
            fetcher: Fetcher::default(),
            clock: Clock::system(),
            log: Mutex::new(None),
        })
    }

    /// The log that writes to `target`: the one there is, unless it writes elsewhere.
    pub(crate) fn access_log(&self, target: &LogTarget, purpose: Purpose) -> io::Result<AccessLog> {
        let dropped = self.metrics.log_dropped();
        if purpose == Purpose::Check {
            return Ok(AccessLog::off(dropped));
        }
        let mut log = self.log.lock();
        if let Some((known, log)) = &*log
            && known == target
        {
            return Ok(log.clone());
        }
        let opened = match target {
            LogTarget::Off => AccessLog::off(dropped),
            LogTarget::Stdout => AccessLog::stdout(dropped)?,
            LogTarget::File(path) => AccessLog::file(path, dropped)?,
        };
        *log = Some((target.clone(), opened.clone()));
        Ok(opened)
    }
}

/// Why a gateway did not start, or a configuration did not take effect. What was in effect before still is.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The file asks for something that cannot be.
    #[error("{0}")]
    Config(Diagnostics),
    /// An address cannot be listened on.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// The system gave no thread.
    #[error("cannot start a worker: {0}")]
    Worker(#[from] io::Error),
    /// Something the gateway needs of the machine is missing.
    #[error("{0}")]
    Setup(String),
}

/// A serving gateway.
#[derive(Debug)]
pub struct Engine {
    shared: Arc<Shared>,
    live: Arc<ArcSwap<Snapshot>>,
    registry: Registry,
    /// `None` once draining.
    serving: tokio::sync::Mutex<Serving>,
    ready: AtomicBool,
}

/// What only one reload at a time may touch.
#[derive(Debug)]
struct Serving {
    workers: Option<Workers>,
    open: Vec<Open>,
    next_number: usize,
}

/// A listener that is being accepted on.
#[derive(Debug, Clone)]
struct Open {
    number: usize,
    name: Arc<str>,
    /// As the file has it; port 0 stays 0.
    wanted: SocketAddr,
    /// As the system has it.
    address: SocketAddr,
}

impl Engine {
    /// Compiles the first generation, listens and serves. `control` runs everything that is not a request.
    ///
    /// # Errors
    /// See [`StartError`].
    pub async fn start(
        loaded: &Loaded,
        registry: Registry,
        workers: usize,
        control: Handle,
    ) -> Result<Self, StartError> {
        let shared = Arc::new(Shared::new(control)?);
        let mut serving = Serving { workers: None, open: Vec::new(), next_number: 0 };
        let change = serving.plan(loaded, workers.max(1))?;
        let snapshot =
            compile(loaded, &registry, &shared, 1, &change.numbers(), Purpose::Serve).map_err(StartError::Config)?;
        start_pools(&snapshot, &shared).await;
        let live = Arc::new(ArcSwap::from_pointee(snapshot));
        let started = Workers::start(workers, &Phases::new(live.clone()))?;
        serving.carry_out(change, &started);
        serving.workers = Some(started);
        shared.metrics.took_effect(1);
        Ok(Self { shared, live, registry, serving: tokio::sync::Mutex::new(serving), ready: AtomicBool::new(true) })
    }

    /// Compiles a configuration as if it were to serve, without running or opening anything.
    ///
    /// # Errors
    /// Every error in the file.
    pub fn check(loaded: &Loaded, registry: &Registry) -> Result<(), StartError> {
        // Never driven: what is spawned on it does not run.
        let idle = tokio::runtime::Builder::new_current_thread().build()?;
        let shared = Arc::new(Shared::new(idle.handle().clone())?);
        let numbers: Vec<usize> = (0..loaded.config.listeners.len()).collect();
        compile(loaded, registry, &shared, 1, &numbers, Purpose::Check).map(drop).map_err(StartError::Config)
    }

    /// Puts another configuration into effect: compiles everything, listens where it must, swaps once. Returns the number
    /// of the new generation.
    ///
    /// # Errors
    /// See [`StartError`]; nothing has changed then.
    pub async fn apply(&self, loaded: &Loaded) -> Result<u64, StartError> {
        let mut serving = self.serving.lock().await;
        let outcome = self.replace(&mut serving, loaded).await;
        if outcome.is_err() {
            self.shared.metrics.reload_refused();
        }
        outcome
    }

    async fn replace(&self, serving: &mut Serving, loaded: &Loaded) -> Result<u64, StartError> {
        let Some(count) = serving.workers.as_ref().map(Workers::count) else {
            return Err(StartError::Setup("the gateway is stopping".to_owned()));
        };
        let change = serving.plan(loaded, count)?;
        let generation = self.live.load().generation + 1;
        let snapshot = compile(loaded, &self.registry, &self.shared, generation, &change.numbers(), Purpose::Serve)
            .map_err(StartError::Config)?;
        start_pools(&snapshot, &self.shared).await;
        self.live.store(Arc::new(snapshot));
        if let Some(workers) = serving.workers.take() {
            serving.carry_out(change, &workers);
            serving.workers = Some(workers);
        }
        self.shared.metrics.took_effect(generation);
        Ok(generation)
    }

    /// Notes that a new file could not even be read as a configuration, so that the metric tells.
    pub fn reload_refused(&self) {
        self.shared.metrics.reload_refused();
    }

    /// The generation in effect.
    pub fn snapshot(&self) -> Arc<Snapshot> {
        self.live.load_full()
    }

    /// Names and addresses of the listeners, as the system has them.
    pub async fn addresses(&self) -> Vec<(Arc<str>, SocketAddr)> {
        self.serving.lock().await.open.iter().map(|open| (open.name.clone(), open.address)).collect()
    }

    /// Client connections open now.
    pub async fn connections(&self) -> usize {
        self.serving.lock().await.workers.as_ref().map_or(0, Workers::connections)
    }

    /// The state of the upstreams now.
    pub fn upstreams(&self) -> Vec<PoolStatus> {
        self.live.load().pools()
    }

    /// All metrics in Prometheus text format.
    ///
    /// # Errors
    /// When a metric cannot be written, which does not happen with the metrics there are.
    pub async fn metrics(&self) -> Result<Vec<u8>, StartError> {
        let connections = self.connections().await;
        self.shared
            .metrics
            .exposition(&self.upstreams(), connections)
            .map_err(|error| StartError::Setup(error.to_string()))
    }

    /// Whether a load balancer in front should send requests here.
    pub fn is_ready(&self) -> bool {
        self.ready.load(Ordering::Relaxed)
    }

    /// Stops in an orderly way: not ready at once, but accepting for `grace` more, so that whoever watches can turn away
    /// first; then requests in flight end within `limit`, and what is left is cut.
    pub async fn stop(&self, grace: Duration, limit: Duration) -> Drained {
        self.ready.store(false, Ordering::Relaxed);
        tokio::time::sleep(grace).await;
        let workers = self.serving.lock().await.workers.take();
        match workers {
            Some(workers) => workers.drain(limit).await,
            None => Drained::Clean,
        }
    }
}

async fn start_pools(snapshot: &Snapshot, shared: &Shared) {
    futures::future::join_all(snapshot.pools.iter().map(|pool| pool.start(&shared.control))).await;
}

/// What a configuration changes about the listeners. Sockets are bound already: after this nothing can fail.
struct Change {
    after: Vec<Open>,
    bound: Vec<(usize, Sockets)>,
}

impl Change {
    fn numbers(&self) -> Vec<usize> {
        self.after.iter().map(|open| open.number).collect()
    }
}

impl Serving {
    /// Binds what is new. A listener that keeps its address keeps its sockets and its number.
    fn plan(&mut self, loaded: &Loaded, workers: usize) -> Result<Change, BindError> {
        let mut change = Change { after: Vec::new(), bound: Vec::new() };
        for listener in &loaded.config.listeners {
            let (name, wanted) = (listener.name.shared(), listener.bind.get());
            let same = self.open.iter().find(|open| open.wanted == wanted && (wanted.port() != 0 || open.name == name));
            if let Some(open) = same {
                change.after.push(Open { name, ..open.clone() });
                continue;
            }
            let sockets = Sockets::bind(wanted, workers)?;
            let open = Open { number: self.next_number, name, wanted, address: sockets.address() };
            self.next_number += 1;
            change.bound.push((open.number, sockets));
            change.after.push(open);
        }
        Ok(change)
    }

    fn carry_out(&mut self, change: Change, workers: &Workers) {
        for (number, sockets) in change.bound {
            workers.open(number, sockets);
        }
        for gone in self.open.iter().filter(|open| !change.after.iter().any(|after| after.number == open.number)) {
            workers.close(gone.number);
        }
        self.open = change.after;
    }
}
