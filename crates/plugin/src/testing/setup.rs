//! What stands around the plugin under test: tiers, consumers, upstreams, the time, and what the file says beside the step.

use std::collections::BTreeMap;
use std::future::Future;
use std::marker::PhantomData;
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use portreeve_units::{Quota, Secret, SecretSource};
use serde_json::Value;

use super::gateway::{Answering, Delays, Fetching, StubPool, Stubs};
use super::probe::{Probe, World};
use crate::chain::{Mode, OnError};
use crate::client::{Answer, Call, CallError};
use crate::clock::Clock;
use crate::consumer::{Allowance, Consumer, DeclaredConsumer, Tier};
use crate::error::BuildError;
use crate::host::Shared;
use crate::metrics::Metrics;
use crate::plugin::{Build, Hooks};

/// Where the frozen clock starts unless told otherwise: 2026-01-01T00:00:00Z, 20,454 days after 1970.
const START: Duration = Duration::from_hours(20_454 * 24);

/// Builds a [`Probe`]. Made by [`Probe::setup`].
#[must_use]
pub struct Setup<P> {
    upstreams: Vec<(Arc<str>, Duration, Answering)>,
    tiers: Vec<Tier>,
    consumers: Vec<DeclaredConsumer>,
    fetch: Option<Fetching>,
    at: SystemTime,
    folder: PathBuf,
    pub(super) around: Around,
    plugin: PhantomData<fn() -> P>,
}

/// What the file says beside the step.
#[derive(Clone, Default)]
pub(super) struct Around {
    pub(super) when: Option<crate::Expression>,
    pub(super) mode: Mode,
    pub(super) on_error: OnError,
    /// Instead of those the plugin names.
    pub(super) hooks: Option<Hooks>,
}

impl<P: Build> Setup<P> {
    pub(super) fn new() -> Self {
        Self {
            upstreams: Vec::new(),
            tiers: Vec::new(),
            consumers: Vec::new(),
            fetch: None,
            at: SystemTime::UNIX_EPOCH + START,
            folder: PathBuf::from("."),
            around: Around::default(),
            plugin: PhantomData,
        }
    }

    /// Declares a tier; `rate` as in the file (`100/min`).
    pub fn tier(self, name: &str, rate: &str) -> Self {
        self.declare_tier(Tier {
            name: name.into(),
            allowance: Allowance { rates: vec![written("rate", rate)], ..Allowance::default() },
            concurrency: None,
            cost: NonZeroU32::MIN,
        })
    }

    /// Declares a tier with a quota as well; both as in the file (`100/min`, `1000/day`).
    pub fn tier_with_quota(self, name: &str, rate: &str, quota: &str) -> Self {
        let quota = Quota::calendar(written("quota", quota));
        let rates = vec![written("rate", rate)];
        self.declare_tier(Tier {
            name: name.into(),
            allowance: Allowance { rates, quotas: vec![quota], ..Allowance::default() },
            concurrency: None,
            cost: NonZeroU32::MIN,
        })
    }

    /// Declares a tier with whatever it has.
    pub fn declare_tier(mut self, tier: Tier) -> Self {
        self.tiers.push(tier);
        self
    }

    /// Declares a consumer with its keys in the clear.
    pub fn consumer(self, id: &str, tier: Option<&str>, keys: &[&str]) -> Self {
        let consumer = Consumer { tier: tier.map(Arc::from), ..Consumer::new(id) };
        self.declare(consumer, keys)
    }

    /// Declares a consumer with groups or whatever else it has. Its keys are from `env:KEY_0` and so on.
    pub fn declare(mut self, consumer: Consumer, keys: &[&str]) -> Self {
        let secret = |(index, key): (usize, &&str)| Secret::new(SecretSource::Env(format!("KEY_{index}")), *key);
        let keys = keys.iter().enumerate().map(secret).collect();
        self.consumers.push(DeclaredConsumer { consumer: Arc::new(consumer), keys });
        self
    }

    /// Declares an upstream that answers calls at once. The deadline and the size limit of each call are enforced as by
    /// a real pool. See [`answer`](super::answer).
    pub fn upstream(
        self,
        name: &str,
        stub: impl Fn(Call) -> Result<Answer, CallError> + Send + Sync + 'static,
    ) -> Self {
        self.upstream_slow(name, Duration::ZERO, stub)
    }

    /// Declares an upstream that answers after `latency`. While a request waits for it the frozen clock moves by itself,
    /// a millisecond at a time, so that deadlines pass as they would. `Duration::MAX` never answers: calls time out.
    pub fn upstream_slow(
        mut self,
        name: &str,
        latency: Duration,
        stub: impl Fn(Call) -> Result<Answer, CallError> + Send + Sync + 'static,
    ) -> Self {
        let stub: Answering = Arc::new(move |call| Box::pin(std::future::ready(stub(call))));
        self.upstreams.push((name.into(), latency, stub));
        self
    }

    /// Declares an upstream that answers from a future, for instance one that a channel of the test completes.
    pub fn upstream_async<F>(mut self, name: &str, stub: impl Fn(Call) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Result<Answer, CallError>> + Send + 'static,
    {
        let stub: Answering = Arc::new(move |call| Box::pin(stub(call)));
        self.upstreams.push((name.into(), Duration::ZERO, stub));
        self
    }

    /// Answers [`Host::fetch`](crate::Host::fetch); given the URL. Without this every fetch fails.
    pub fn fetch(mut self, stub: impl Fn(&str) -> Result<Answer, CallError> + Send + Sync + 'static) -> Self {
        self.fetch = Some(Box::new(stub));
        self
    }

    /// Starts the frozen clock here instead of at 2026-01-01T00:00:00Z.
    pub fn at(mut self, wall: SystemTime) -> Self {
        self.at = wall;
        self
    }

    /// Relative paths in settings count from this folder instead of the current one.
    pub fn folder(mut self, folder: impl Into<PathBuf>) -> Self {
        self.folder = folder.into();
        self
    }

    /// The step's `when`.
    pub fn when(mut self, expression: &str) -> Self {
        let parsed = crate::Expression::parse(expression);
        self.around.when = Some(parsed.unwrap_or_else(|error| panic!("when: {expression}: {error}")));
        self
    }

    /// The step's `mode`.
    pub fn mode(mut self, mode: Mode) -> Self {
        self.around.mode = mode;
        self
    }

    /// The step's `on_error`.
    pub fn on_error(mut self, on_error: OnError) -> Self {
        self.around.on_error = on_error;
        self
    }

    /// Builds the plugin from these settings, or panics with the text of the error.
    #[track_caller]
    pub fn build(self, settings: Value) -> Probe<P> {
        match self.try_build(settings) {
            Ok(probe) => probe,
            Err(error) => panic!("{} could not be built: {error}", P::NAME),
        }
    }

    /// Builds the plugin from these settings, through the same door as the gateway.
    ///
    /// # Errors
    /// What is wrong with the settings.
    pub fn try_build(self, settings: Value) -> Result<Probe<P>, BuildError> {
        let around = self.around.clone();
        Probe::in_world(Arc::new(self.world()), around, settings)
    }

    pub(super) fn world(self) -> World {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.unwrap_or_else(|error| panic!("no runtime for the probe: {error}"));
        let (clock, delays) = (Clock::frozen(self.at), Arc::new(Delays::default()));
        let pool = |(name, latency, answering): (Arc<str>, Duration, Answering)| {
            let (clock, delays) = (clock.clone(), delays.clone());
            let pool = StubPool { name: name.clone(), latency, answering, calls: Vec::new().into(), clock, delays };
            (name, Arc::new(pool))
        };
        let registry = prometheus::Registry::new();
        let stubs = Stubs {
            upstreams: self.upstreams.into_iter().map(pool).collect::<BTreeMap<_, _>>(),
            tiers: self.tiers,
            consumers: self.consumers,
            fetch: self.fetch,
            fetched: Vec::new().into(),
            shared: Shared::default(),
            metrics: Metrics::new(registry.clone()),
            runtime: runtime.handle().clone(),
            registry,
            clock,
            delays,
        };
        World { stubs: Arc::new(stubs), folder: self.folder.into(), runtime }
    }
}

/// A unit as the file writes it.
fn written<T: std::str::FromStr<Err = portreeve_units::UnitError>>(what: &str, text: &str) -> T {
    text.parse().unwrap_or_else(|error| panic!("{what}: {error}"))
}

impl<P: Build> std::fmt::Debug for Setup<P> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Setup({})", P::NAME)
    }
}
