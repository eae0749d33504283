//! Connections to Redis: made and watched in the background, so that a request finds them ready or goes on without.

use std::collections::HashMap;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use futures::future::{Either, select};
use parking_lot::Mutex;
use portreeve_plugin::prelude::*;
use redis::aio::MultiplexedConnection;
use redis::cluster_async::ClusterConnection;
use redis::{ErrorKind, RedisError, RedisResult, Script, ScriptInvocation, ServerErrorKind, Value};
use tokio::sync::Notify;

use super::script::script;
use super::source::Source;

/// How long making a connection may take.
const CONNECT: Duration = Duration::from_secs(2);
/// How often a link that is up is looked at when nothing else tells.
const LOOK: Duration = Duration::from_secs(1);
/// Waits between attempts while it is down: the first, and the longest after it has doubled.
const WAITS: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(1));

/// One connection that carries many requests at once.
#[derive(Clone)]
pub(super) enum Connection {
    Single(MultiplexedConnection),
    Cluster(ClusterConnection),
}

/// The connections, while they are up.
pub(crate) struct Link {
    source: Source,
    count: u8,
    timeout: Duration,
    script: Script,
    ready: ArcSwapOption<Vec<Connection>>,
    next: AtomicUsize,
    /// Whether the first attempt is over: until then requests wait for it, within their deadline.
    is_settled: AtomicBool,
    settled: Notify,
    /// A request has met a failure.
    doubted: Notify,
    /// A request was told that this server is a replica now: that it answers pings makes it no master again.
    is_demoted: AtomicBool,
    /// Held by the step that looks after the connections; the others that use them wait for their turn.
    tending: tokio::sync::Mutex<()>,
    /// What tells each step's metric whether the store is there.
    gauges: Mutex<HashMap<Arc<str>, Gauge>>,
}

/// Why there is no answer.
#[derive(Debug)]
pub(crate) enum Failure {
    /// There is no connection.
    Down,
    /// There was no answer in time.
    Late,
    /// Redis or the way to it failed.
    Failed(RedisError),
}

impl Link {
    pub(crate) fn new(source: Source, count: u8, timeout: Duration) -> Self {
        Self {
            source,
            count: count.max(1),
            timeout,
            script: script(),
            ready: ArcSwapOption::empty(),
            next: AtomicUsize::new(0),
            is_settled: AtomicBool::new(false),
            settled: Notify::new(),
            doubted: Notify::new(),
            is_demoted: AtomicBool::new(false),
            tending: tokio::sync::Mutex::new(()),
            gauges: Mutex::default(),
        }
    }

    /// Tells this metric whether the store is there, from now on.
    pub(crate) fn tell(&self, step: &Arc<str>, up: Gauge) {
        up.set(i64::from(self.is_up()));
        self.gauges.lock().insert(step.clone(), up);
    }

    pub(crate) fn script(&self) -> &Script {
        &self.script
    }

    pub(crate) fn is_up(&self) -> bool {
        self.ready.load().is_some()
    }

    /// Sends one call of the script and waits for its answer, within the deadline. After a failure the link counts as down
    /// until the background has found it well: the requests that follow do not wait.
    ///
    /// Cancel safe: a call that was sent is carried out, whoever waits for it.
    pub(crate) async fn ask(&self, call: &ScriptInvocation<'_>, clock: &Clock) -> Result<Value, Failure> {
        self.in_time(|connection| connection.invoke(call), clock).await
    }

    /// Removes these keys, which are in one slot of a cluster. Waits and fails as [`Link::ask`].
    pub(crate) async fn forget(&self, keys: &[String], clock: &Clock) -> Result<(), Failure> {
        let mut call = redis::cmd("DEL");
        call.arg(keys);
        self.in_time(|connection| connection.command(&call), clock).await.map(drop)
    }

    async fn in_time<F: Future<Output = RedisResult<Value>>>(
        &self,
        call: impl FnOnce(Connection) -> F,
        clock: &Clock,
    ) -> Result<Value, Failure> {
        let answer = async {
            if !self.is_settled.load(Ordering::Acquire) {
                let settled = self.settled.notified();
                if !self.is_settled.load(Ordering::Acquire) {
                    settled.await;
                }
            }
            let ready = self.ready.load_full().ok_or(Failure::Down)?;
            // Not by key: a stalled connection then holds up some of everybody's requests, and is found at once.
            let turn = self.next.fetch_add(1, Ordering::Relaxed) % ready.len().max(1);
            let connection = ready.get(turn).cloned().ok_or(Failure::Down)?;
            call(connection).await.map_err(Failure::Failed)
        };
        let answer = match select(pin!(answer), pin!(clock.sleep(self.timeout))).await {
            Either::Left((answer, _)) => answer,
            Either::Right(_) => Err(Failure::Late),
        };
        if matches!(answer, Err(Failure::Late | Failure::Failed(_))) {
            if let Err(Failure::Failed(error)) = &answer
                && error.kind() == ErrorKind::Server(ServerErrorKind::ReadOnly)
            {
                self.is_demoted.store(true, Ordering::Release);
            }
            self.ready.store(None);
            self.doubted.notify_one();
        }
        answer
    }

    /// Makes connections, looks after them, and makes them anew, for as long as it is polled.
    pub(crate) async fn tend(self: Arc<Self>, clock: Clock) {
        let _turn = self.tending.lock().await;
        let mut wait = WAITS.0;
        loop {
            let connected = within(CONNECT, &clock, self.connect()).await;
            if let Some(Ok(connections)) = connected {
                tracing::info!(connections = connections.len(), "The store of limits is there.");
                wait = WAITS.0;
                self.put(Some(connections.clone()));
                self.watch(&connections, &clock).await;
                self.put(None);
                tracing::warn!("The store of limits does not answer.");
            } else {
                // One line for the first failure, not one for each attempt.
                if wait == WAITS.0 {
                    let error = connected
                        .and_then(Result::err)
                        .map_or_else(|| "too slow".to_owned(), |error| error.to_string());
                    tracing::warn!(error, "The store of limits cannot be reached.");
                }
                self.put(None);
            }
            clock.sleep(wait).await;
            wait = (2 * wait).min(WAITS.1);
        }
    }

    fn put(&self, connections: Option<Vec<Connection>>) {
        let is_up = i64::from(connections.is_some());
        self.gauges.lock().values().for_each(|gauge| gauge.set(is_up));
        self.ready.store(connections.map(Arc::new));
        self.is_settled.store(true, Ordering::Release);
        self.settled.notify_waiters();
    }

    /// Returns when one of the connections does not answer in time, or a request had to wait too long. What was put is
    /// taken away by whoever met the failure.
    async fn watch(&self, connections: &[Connection], clock: &Clock) {
        loop {
            let doubted =
                matches!(select(pin!(self.doubted.notified()), pin!(clock.sleep(LOOK))).await, Either::Left(_));
            if self.is_demoted.swap(false, Ordering::AcqRel) {
                return;
            }
            for connection in connections {
                if !matches!(within(self.timeout, clock, connection.clone().ping()).await, Some(Ok(()))) {
                    return;
                }
            }
            if doubted {
                // A hiccup: it answers again.
                self.ready.store(Some(Arc::new(connections.to_vec())));
            }
        }
    }

    async fn connect(&self) -> RedisResult<Vec<Connection>> {
        let mut connections = Vec::with_capacity(usize::from(self.count));
        for _ in 0..self.count {
            let connection = self.source.connect().await?;
            connection.clone().load(&self.script).await?;
            connections.push(connection);
        }
        Ok(connections)
    }
}

impl Connection {
    async fn invoke(mut self, call: &ScriptInvocation<'_>) -> RedisResult<Value> {
        match &mut self {
            Self::Single(connection) => call.invoke_async(connection).await,
            Self::Cluster(connection) => call.invoke_async(connection).await,
        }
    }

    async fn command(mut self, call: &redis::Cmd) -> RedisResult<Value> {
        match &mut self {
            Self::Single(connection) => call.query_async(connection).await,
            Self::Cluster(connection) => call.query_async(connection).await,
        }
    }

    async fn load(mut self, script: &Script) -> RedisResult<()> {
        match &mut self {
            Self::Single(connection) => script.load_async(connection).await.map(drop),
            // Each node loads it when it is first asked.
            Self::Cluster(_) => Ok(()),
        }
    }

    async fn ping(mut self) -> RedisResult<()> {
        let ping = redis::cmd("PING");
        match &mut self {
            Self::Single(connection) => ping.query_async(connection).await,
            Self::Cluster(connection) => ping.query_async(connection).await,
        }
    }
}

async fn within<T>(span: Duration, clock: &Clock, future: impl Future<Output = T>) -> Option<T> {
    match select(pin!(future), pin!(clock.sleep(span))).await {
        Either::Left((done, _)) => Some(done),
        Either::Right(_) => None,
    }
}

impl std::fmt::Debug for Link {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Link({})", if self.is_up() { "up" } else { "down" })
    }
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Down => f.write_str("the store is down"),
            Self::Late => f.write_str("the store did not answer in time"),
            Self::Failed(error) => error.fmt(f),
        }
    }
}

#[cfg(test)]
#[path = "link_tests.rs"]
pub(super) mod tests;
