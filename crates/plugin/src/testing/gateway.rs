//! The gateway of stubs behind a [`Probe`](super::Probe): pools that answer from closures, a clock that stands still.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::future::BoxFuture;
use parking_lot::Mutex;
use tokio::runtime::Handle;
use tokio::sync::Notify;
use tokio::task::{AbortHandle, yield_now};

use crate::client::{Answer, Call, CallError, Pool, Upstream};
use crate::clock::Clock;
use crate::consumer::{DeclaredConsumer, Tier};
use crate::host::{Engine, Fetch, Shared, Task};
use crate::metrics::Metrics;

pub(super) type Answering = Arc<dyn Fn(Call) -> BoxFuture<'static, Result<Answer, CallError>> + Send + Sync>;
pub(super) type Fetching = Box<dyn Fn(&str) -> Result<Answer, CallError> + Send + Sync>;

/// How many times ready tasks get a turn before the kit holds that nothing more will happen. Chosen arbitrarily, far
/// above the handful of hand-overs between a plugin and its tasks.
const TURNS: usize = 64;

/// How far the clock moves at once while a slow stub is awaited: the precision with which timeouts race slow answers.
const TICK: Duration = Duration::from_millis(1);

/// Everything that a plugin may ask of a gateway, stubbed.
pub(super) struct Stubs {
    pub(super) upstreams: BTreeMap<Arc<str>, Arc<StubPool>>,
    pub(super) tiers: Vec<Tier>,
    pub(super) consumers: Vec<DeclaredConsumer>,
    pub(super) fetch: Option<Fetching>,
    pub(super) fetched: Mutex<Vec<String>>,
    pub(super) clock: Clock,
    pub(super) delays: Arc<Delays>,
    pub(super) shared: Shared,
    pub(super) registry: prometheus::Registry,
    pub(super) metrics: Metrics,
    pub(super) runtime: Handle,
}

/// An upstream that answers from a closure, within the limits a real pool enforces.
pub(super) struct StubPool {
    pub(super) name: Arc<str>,
    pub(super) latency: Duration,
    pub(super) answering: Answering,
    pub(super) calls: Mutex<Vec<Call>>,
    pub(super) clock: Clock,
    pub(super) delays: Arc<Delays>,
}

/// The moments at which slow stubs answer. While a request waits for one, the clock runs towards it.
#[derive(Default)]
pub(super) struct Delays {
    due: Mutex<Vec<Instant>>,
    added: Notify,
}

impl Stubs {
    /// Moves the clock for as long as slow stubs are awaited; never ends.
    pub(super) async fn pass_time(&self) -> Infallible {
        loop {
            self.delays.added.notified().await;
            loop {
                settle().await;
                let Some(due) = self.delays.due.lock().iter().min().copied() else { break };
                let left = due.saturating_duration_since(self.clock.now());
                self.clock.advance(left.min(TICK));
            }
        }
    }
}

/// Gives everything that is ready its turn.
pub(super) async fn settle() {
    for _ in 0..TURNS {
        yield_now().await;
    }
}

impl Engine for Stubs {
    fn upstream(&self, name: &str) -> Option<Upstream> {
        self.upstreams.get(name).map(|pool| Upstream::new(pool.clone()))
    }

    fn upstream_names(&self) -> Vec<Arc<str>> {
        self.upstreams.keys().cloned().collect()
    }

    fn tiers(&self) -> &[Tier] {
        &self.tiers
    }

    fn consumers(&self) -> &[DeclaredConsumer] {
        &self.consumers
    }

    fn fetch(&self, fetch: Fetch) -> BoxFuture<'static, Result<Answer, CallError>> {
        self.fetched.lock().push(fetch.url.clone());
        let answer = match &self.fetch {
            Some(stub) => stub(&fetch.url).and_then(|answer| within(fetch.max_body, answer)),
            None => Err(CallError::Failed(format!("nothing answers {}: the probe has no fetch stub", fetch.url))),
        };
        Box::pin(std::future::ready(answer))
    }

    fn spawn(&self, task: BoxFuture<'static, ()>) -> Task {
        Task::new(Guard(self.runtime.spawn(task).abort_handle()))
    }

    fn shared(&self) -> &Shared {
        &self.shared
    }

    fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    fn clock(&self) -> &Clock {
        &self.clock
    }
}

struct Guard(AbortHandle);

impl Drop for Guard {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Pool for StubPool {
    fn name(&self) -> &Arc<str> {
        &self.name
    }

    fn call(&self, call: Call) -> BoxFuture<'_, Result<Answer, CallError>> {
        self.calls.lock().push(call.clone());
        Box::pin(async move {
            let (timeout, max_body) = (call.timeout, call.max_body);
            if !self.latency.is_zero() {
                let wait = self.latency.min(timeout);
                let _due = self.delays.add(self.clock.now() + wait);
                self.clock.sleep(wait).await;
                if self.latency >= timeout {
                    return Err(CallError::TimedOut(timeout));
                }
            }
            let answered = (self.answering)(call);
            let answered = tokio::select! {
                biased;
                answered = answered => answered,
                () = self.clock.sleep(timeout) => Err(CallError::TimedOut(timeout)),
            };
            within(max_body, answered?)
        })
    }

    fn as_any(&self) -> &(dyn std::any::Any + Send + Sync) {
        self
    }
}

fn within(max_body: usize, answer: Answer) -> Result<Answer, CallError> {
    if answer.body.len() > max_body { Err(CallError::TooLarge(max_body)) } else { Ok(answer) }
}

impl Delays {
    fn add(&self, due: Instant) -> Due<'_> {
        self.due.lock().push(due);
        self.added.notify_one();
        Due { delays: self, due }
    }
}

/// One slow answer that is awaited; no longer once this is dropped.
struct Due<'d> {
    delays: &'d Delays,
    due: Instant,
}

impl Drop for Due<'_> {
    fn drop(&mut self) {
        let mut all = self.delays.due.lock();
        if let Some(place) = all.iter().position(|due| *due == self.due) {
            all.swap_remove(place);
        }
    }
}
