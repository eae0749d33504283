//! The gateway as one thing: what outlives generations, the live generation, and the workers that serve it.

mod refusals;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use parking_lot::Mutex;
use portreeve_config::units::LogTarget;
use portreeve_config::{Config, Diagnostics, Loaded};
use portreeve_plugin::engine::Shared as SharedValues;
use portreeve_plugin::{Clock, Registry, Subject};
use portreeve_usage::Page;
use tokio::runtime::Handle;
use tokio::time::timeout;

use crate::acme::Acme;
use crate::compile::{Purpose, compile};
use crate::descriptors;
use crate::listener::{BindError, Copies, Drained, Inherited, Listening, Workers, watch_expiry};
use crate::observe::{AccessLog, Metrics, UsageKeeper};
use crate::request::phases::Phases;
use crate::snapshot::Snapshot;
use crate::snapshot::accounts::{self, StepAccount};
use crate::upstream::{OperateError, Operation, Outside, PoolStatus, TargetRegistry, TargetStatus};

/// What outlives a generation.
#[derive(Debug)]
pub(crate) struct Shared {
    /// The runtime of everything that is not a request: health checks, resolving, plugins' tasks.
    pub(crate) control: Handle,
    pub(crate) upstreams: TargetRegistry,
    pub(crate) values: SharedValues,
    pub(crate) metrics: Metrics,
    pub(crate) outside: Outside,
    pub(crate) clock: Clock,
    pub(crate) acme: Acme,
    pub(crate) usage: Arc<UsageKeeper>,
    log: Mutex<Option<(LogTarget, AccessLog)>>,
}

impl Shared {
    pub(crate) fn new(control: Handle) -> Result<Self, StartError> {
        let (metrics, clock) = (Metrics::new().map_err(|error| StartError::Setup(error.to_string()))?, Clock::system());
        Ok(Self {
            control,
            upstreams: TargetRegistry::default(),
            values: SharedValues::default(),
            usage: Arc::new(UsageKeeper::new(clock.clone(), metrics.usage_failures())),
            metrics,
            outside: Outside::default(),
            clock,
            acme: Acme::default(),
            log: Mutex::new(None),
        })
    }

    /// Counts from now on, with what was counted before this process.
    async fn begin_usage(&self, snapshot: &Snapshot) {
        self.usage.follow(snapshot.usage_settings.clone());
        let usage = self.usage.clone();
        if timeout(DISK, self.control.spawn_blocking(move || usage.turn())).await.is_err() {
            tracing::warn!("The disk of usage does not answer; counting in memory until it does.");
        }
        self.control.spawn(UsageKeeper::run(Arc::downgrade(&self.usage)));
    }

    /// The log that writes to `target`: the one there is, unless it writes elsewhere.
    pub(crate) fn access_log(&self, target: &LogTarget, purpose: Purpose) -> io::Result<AccessLog> {
        if purpose == Purpose::Check {
            return Ok(AccessLog::off());
        }
        let dropped = self.metrics.log_dropped();
        let mut log = self.log.lock();
        if let Some((known, log)) = &*log
            && known == target
        {
            return Ok(log.clone());
        }
        let opened = match target {
            LogTarget::Off => AccessLog::off(),
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
    /// Held by a reload from beginning to end: one at a time. Nothing else waits for it.
    listening: tokio::sync::Mutex<Listening>,
    /// `None` once draining.
    workers: Mutex<Option<Workers>>,
    /// The sockets of `listening` once more, for the process that takes over.
    copies: Arc<Copies>,
    /// What `listening` came to last, for those who only look.
    addresses: ArcSwap<Vec<(Arc<str>, SocketAddr)>>,
    connections: Arc<AtomicUsize>,
    ready: AtomicBool,
}

impl Engine {
    /// Compiles the first generation, listens and serves. `control` runs everything that is not a request.
    ///
    /// # Errors
    /// See [`StartError`].
    pub async fn start(
        loaded: Arc<Loaded>,
        registry: Registry,
        workers: usize,
        control: Handle,
    ) -> Result<Self, StartError> {
        Self::take_over(loaded, registry, workers, control, Vec::new()).await
    }

    /// Like [`Engine::start`], with the sockets of a process that is still serving: nobody who connects meanwhile is refused.
    ///
    /// # Errors
    /// See [`StartError`]; the other process then has its sockets still.
    pub async fn take_over(
        loaded: Arc<Loaded>,
        registry: Registry,
        workers: usize,
        control: Handle,
        inherited: Vec<Inherited>,
    ) -> Result<Self, StartError> {
        let shared = Arc::new(Shared::new(control)?);
        let mut listening = Listening::inheriting(inherited);
        let mut change = listening.plan(&loaded, workers.max(1))?;
        let config = loaded.clone();
        let snapshot = compiled(loaded, &registry, &shared, None, change.numbers()).await?;
        for closed in snapshot.closed() {
            closed.tell();
            change.leave_out(closed.number);
        }
        start_pools(&snapshot, &shared).await;
        let live = Arc::new(ArcSwap::from_pointee(snapshot));
        let workers = Workers::start(workers, &Phases::new(live.clone(), shared.metrics.clone()))?;
        descriptors::share_out(&most_connections(&config.config), workers.count());
        // Nothing is closed by the first configuration.
        drop(listening.carry_out(change, &workers));
        listening.let_go();
        shared.metrics.took_effect(1);
        shared.control.spawn(watch_expiry(Arc::downgrade(&live)));
        shared.begin_usage(&live.load()).await;
        shared.acme.follow(live.load().acme.clone());
        shared.control.spawn(shared.acme.run(shared.metrics.clone()));
        Ok(Self {
            shared,
            live,
            registry,
            addresses: ArcSwap::from_pointee(listening.addresses()),
            copies: listening.copies(),
            listening: tokio::sync::Mutex::new(listening),
            connections: workers.counter(),
            workers: Mutex::new(Some(workers)),
            ready: AtomicBool::new(true),
        })
    }

    /// Compiles a configuration as if it were to serve, without running or opening anything.
    ///
    /// # Errors
    /// Every error in the file. Without one, what is still worth a word.
    pub fn check(loaded: &Loaded, registry: &Registry) -> Result<Diagnostics, StartError> {
        // Never driven: what is spawned on it does not run.
        let idle = tokio::runtime::Builder::new_current_thread().build()?;
        let shared = Arc::new(Shared::new(idle.handle().clone())?);
        let numbers: Vec<usize> = (0..loaded.config.listeners.len()).collect();
        let outcome = compile(loaded, registry, &shared, None, &numbers, Purpose::Check);
        // Waits for nothing, so that this may be called on another runtime.
        idle.shutdown_background();
        outcome.map(|snapshot| snapshot.warnings).map_err(StartError::Config)
    }

    /// Puts another configuration into effect: compiles everything, listens where it must, swaps once. Returns the number
    /// of the new generation. The metric of refused reloads is the caller's to set: see [`Engine::reload_refused`].
    ///
    /// # Errors
    /// See [`StartError`]; nothing has changed then.
    pub async fn apply(&self, loaded: Arc<Loaded>) -> Result<u64, StartError> {
        let mut listening = self.listening.lock().await;
        let Some(count) = self.workers.lock().as_ref().map(Workers::count) else {
            return Err(StartError::Setup("the gateway is stopping".to_owned()));
        };
        let change = listening.plan(&loaded, count)?;
        let before = self.live.load_full();
        let snapshot = compiled(loaded.clone(), &self.registry, &self.shared, Some(before), change.numbers()).await?;
        start_pools(&snapshot, &self.shared).await;
        let generation = snapshot.generation;
        let plan = snapshot.acme.clone();
        let before = self.live.swap(Arc::new(snapshot));
        self.shared.upstreams.orders().settle(&loaded.config.upstreams);
        self.live.load().pools.iter().for_each(|pool| pool.apply_admin_overrides());
        descriptors::share_out(&most_connections(&loaded.config), count);
        // A generation may be large, and plugins may do anything when they are dropped.
        self.shared.control.spawn_blocking(move || drop(before));
        let closed = self.workers.lock().as_ref().map(|workers| listening.carry_out(change, workers));
        self.addresses.store(Arc::new(listening.addresses()));
        self.shared.acme.follow(plan);
        self.shared.usage.follow(self.live.load().usage_settings.clone());
        self.shared.metrics.took_effect(generation);
        // Whoever asks for the same address next must find it free.
        if let Some(closed) = closed
            && tokio::time::timeout(CLOSE, closed).await.is_err()
        {
            tracing::warn!("A worker is busy; a listener that was removed is closed when it can.");
        }
        Ok(generation)
    }

    /// The sockets of all listeners once more, for the process that takes over. Both then accept on them.
    ///
    /// # Errors
    /// When the system has no descriptors left.
    pub fn hand_over(&self) -> Result<Vec<Inherited>, StartError> {
        Ok(self.copies.hand_over()?)
    }

    /// Opens the file of the access log anew, for whoever has moved it away. Does not wait for it. What cannot be opened is told
    /// in the log, and the old file goes on.
    pub fn reopen_access_log(&self) {
        self.live.load().access_log.reopen();
    }

    /// Notes that a new file was refused, here or before it came here, so that the metric tells.
    pub fn reload_refused(&self) {
        self.shared.metrics.reload_refused();
    }

    /// The generation in effect.
    pub fn snapshot(&self) -> Arc<Snapshot> {
        self.live.load_full()
    }

    /// Names and addresses of the listeners, as the system has them. Never waits.
    pub fn addresses(&self) -> Arc<Vec<(Arc<str>, SocketAddr)>> {
        self.addresses.load_full()
    }

    /// Client connections open now. Never waits.
    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::Relaxed)
    }

    /// The state of the upstreams now.
    pub fn upstreams(&self) -> Vec<PoolStatus> {
        self.live.load().pools()
    }

    /// Does what an operator orders of one target of one upstream, and returns how the target is then. The order outlives
    /// reloads until the file changes that target. `by` is who ordered it, for the log and the status.
    ///
    /// # Errors
    /// When there is no such upstream or target; the error names those there are.
    pub fn operate(
        &self,
        upstream: &str,
        target: &str,
        operation: Operation,
        by: &str,
    ) -> Result<TargetStatus, OperateError> {
        let live = self.live.load_full();
        let Some(pool) = live.pools.iter().find(|pool| &*pool.name == upstream) else {
            let mut known: Vec<_> = live.pools.iter().map(|pool| pool.name.clone()).collect();
            known.sort();
            return Err(OperateError::NoUpstream { name: upstream.to_owned(), known });
        };
        pool.operate(target, operation, by)
    }

    /// What consumers have used, as these parameters ask; `None` if the disk that it is saved on does not answer. Waits for
    /// that, shortly: not for threads that others wait for.
    ///
    /// # Errors
    /// What is wrong with which parameter.
    pub fn usage(&self, parameters: &[(String, String)]) -> Result<Option<Page>, String> {
        self.shared.usage.page(parameters)
    }

    /// How a subject stands with every step of the generation in effect that limits somebody, or with the one called `step`.
    pub async fn accounts(&self, subject: &Subject, step: Option<&str>) -> Vec<StepAccount> {
        accounts::look(&self.live.load_full(), subject, step).await
    }

    /// Gives a subject back what it has used with them.
    pub async fn reset_accounts(&self, subject: &Subject, step: Option<&str>) -> Vec<StepAccount<()>> {
        accounts::reset(&self.live.load_full(), subject, step).await
    }

    /// All metrics in Prometheus text format.
    ///
    /// # Errors
    /// When a metric cannot be written, which does not happen with the metrics there are.
    pub fn metrics(&self) -> Result<Vec<u8>, StartError> {
        let text = self.shared.metrics.exposition(&self.live.load(), self.connections());
        text.map_err(|error| StartError::Setup(error.to_string()))
    }

    /// Whether a load balancer in front should send requests here.
    pub fn is_ready(&self) -> bool {
        self.ready.load(Ordering::Relaxed)
    }

    /// Stops in an orderly way: not ready at once, but accepting for `grace` more, so that whoever watches can turn away
    /// first; then requests in flight end within `limit`, and what is left is cut. A worker that a plugin holds up is left
    /// behind shortly after `limit`; its thread ends with the process.
    pub async fn stop(&self, grace: Duration, limit: Duration) -> Drained {
        self.ready.store(false, Ordering::Relaxed);
        self.shared.acme.follow(None);
        tokio::time::sleep(grace).await;
        let workers = self.workers.lock().take();
        let Some(workers) = workers else { return Drained::Clean };
        self.copies.close();
        let drained = workers.drain(limit).await;
        let log = self.live.load().access_log.clone();
        let usage = self.shared.usage.clone();
        let control = &self.shared.control;
        control.spawn_blocking(move || log.flush(FLUSH)).await.ok();
        if timeout(DISK, control.spawn_blocking(move || usage.finish())).await.is_err() {
            tracing::error!("The disk of usage does not answer; what was counted since the last save is lost.");
        }
        drained
    }
}

/// Longest wait for the workers to close a listener.
const CLOSE: Duration = Duration::from_secs(1);
/// Longest wait for the last lines of the access log.
const FLUSH: Duration = Duration::from_secs(1);
/// Longest wait for the disk that usage is saved on, at the beginning and at the end: a disk may hang. (Arbitrary.)
const DISK: Duration = Duration::from_secs(5);

/// How many connections each listener lets in at most.
fn most_connections(config: &Config) -> Vec<usize> {
    let most = |listener: &portreeve_config::Listener| usize::try_from(listener.limits.connections);
    config.listeners.iter().map(|listener| most(listener).unwrap_or(usize::MAX)).collect()
}

/// Compiles away from the threads that others wait for: ten thousand routes take their time, and so may a plugin.
async fn compiled(
    loaded: Arc<Loaded>,
    registry: &Registry,
    shared: &Arc<Shared>,
    before: Option<Arc<Snapshot>>,
    listeners: Vec<usize>,
) -> Result<Snapshot, StartError> {
    let (registry, shared) = (registry.clone(), shared.clone());
    let control = shared.control.clone();
    let compiling = control.spawn_blocking(move || {
        compile(&loaded, &registry, &shared, before.as_deref(), &listeners, Purpose::Serve).map_err(StartError::Config)
    });
    let stopped = |error| StartError::Setup(format!("the configuration could not be compiled: {error}"));
    compiling.await.map_err(stopped)?
}

async fn start_pools(snapshot: &Snapshot, shared: &Shared) {
    for pool in &snapshot.pools {
        pool.rank(&snapshot.priorities);
    }
    futures::future::join_all(snapshot.pools.iter().map(|pool| pool.start(&shared.control))).await;
}

#[cfg(test)]
mod tests;
