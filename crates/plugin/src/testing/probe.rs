//! One plugin in a chain of one step, behind a gateway of stubs.

use std::future::Future;
use std::marker::PhantomData;
use std::path::Path;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures::future::{Either, select};
use http::Method;
use serde_json::Value;
use tokio::runtime::Runtime;

use super::gateway::{Stubs, settle};
use super::request::Request;
use super::setup::{Around, Setup};
use crate::chain::{Chain, Step};
use crate::client::Call;
use crate::clock::Clock;
use crate::error::BuildError;
use crate::fields::RequestFields;
use crate::host::Host;
use crate::limits::{Account, NoAccount, Subject};
use crate::plugin::Build;
use crate::registry::Registration;

/// One instance of the plugin `P` in a chain of its own, run as production runs it. Its clock stands still.
pub struct Probe<P> {
    // Before the world: what the instance owns is dropped while the runtime is still there.
    pub(super) chain: Chain,
    pub(super) world: Arc<World>,
    around: Around,
    plugin: PhantomData<fn() -> P>,
}

/// What outlives an instance.
pub(super) struct World {
    pub(super) stubs: Arc<Stubs>,
    pub(super) folder: Arc<Path>,
    pub(super) runtime: Runtime,
}

impl<P: Build> Probe<P> {
    /// An instance with these settings and nothing around it.
    ///
    /// # Panics
    /// With the text of the [`BuildError`].
    #[track_caller]
    pub fn new(settings: Value) -> Self {
        Self::setup().build(settings)
    }

    /// As [`Probe::new`].
    ///
    /// # Errors
    /// What is wrong with the settings.
    pub fn try_new(settings: Value) -> Result<Self, BuildError> {
        Self::setup().try_build(settings)
    }

    /// Says first what stands around the plugin.
    pub fn setup() -> Setup<P> {
        Setup::new()
    }

    /// Another instance beside this one, as a reload makes it: same gateway, same clock, same shared values.
    ///
    /// # Errors
    /// What is wrong with the settings.
    pub fn reload(&self, settings: Value) -> Result<Self, BuildError> {
        Self::in_world(self.world.clone(), self.around.clone(), settings)
    }

    pub(super) fn in_world(world: Arc<World>, around: Around, settings: Value) -> Result<Self, BuildError> {
        let (name, place): (Arc<str>, Arc<str>) = (format!("probe/{}", P::NAME).into(), "gateway.yaml:1:1".into());
        let host = Host::new(world.stubs.clone(), P::NAME, name.clone(), place.clone(), world.folder.clone());
        let plugin = Registration::of::<P>().build(settings, &host)?;
        let mut step = Step::new(P::NAME, name, place, plugin)
            .when(around.when.clone())
            .mode(around.mode)
            .on_error(around.on_error)
            .counted(&world.stubs.metrics);
        if let Some(hooks) = around.hooks {
            step = step.with_hooks(hooks);
        }
        let Some(chain) = Chain::new(vec![Arc::new(step)]) else { unreachable!("one step fits into a chain") };
        Ok(Self { chain, world, around, plugin: PhantomData })
    }
}

impl<P> Probe<P> {
    /// A GET of this target, from 192.0.2.1 to the host `gateway.test`.
    #[track_caller]
    pub fn get(&self, target: &str) -> Request<'_> {
        self.request(Method::GET, target)
    }

    /// A request with this method. The target is a path, an absolute URI, or whatever else `http::Uri` accepts.
    #[track_caller]
    pub fn request(&self, method: Method, target: &str) -> Request<'_> {
        Request::new(&self.chain, &self.world, method, target)
    }

    /// How a subject stands, as its operator sees it.
    ///
    /// # Errors
    /// As [`Limits::account`](crate::Limits::account).
    ///
    /// # Panics
    /// When the plugin offers no accounts.
    #[track_caller]
    pub fn account(&self, subject: &Subject) -> Result<Account, NoAccount> {
        self.block_on(self.step().account(subject)).unwrap_or_else(|| panic!("the plugin offers no accounts"))
    }

    /// Gives a subject back what it has used.
    ///
    /// # Errors
    /// As [`Limits::reset`](crate::Limits::reset).
    ///
    /// # Panics
    /// When the plugin offers no accounts.
    #[track_caller]
    pub fn reset(&self, subject: &Subject) -> Result<(), NoAccount> {
        self.block_on(self.step().reset(subject)).unwrap_or_else(|| panic!("the plugin offers no accounts"))
    }

    fn step(&self) -> &Step {
        let [step] = self.chain.steps() else { unreachable!("a chain of one step") };
        step
    }

    /// Which fields of requests the plugin tells that it reads, sets and removes.
    pub fn request_fields(&self) -> RequestFields {
        self.step().request_fields()
    }

    /// Moves the clock, then lets background tasks see it.
    pub fn advance(&self, by: Duration) {
        self.clock().advance(by);
        self.run_background();
    }

    /// The clock the plugin has.
    pub fn clock(&self) -> Clock {
        self.world.stubs.clock.clone()
    }

    /// Lets background tasks run until they wait for something.
    pub fn run_background(&self) {
        self.world.runtime.block_on(settle());
    }

    /// Runs a future of the test's own on the probe's runtime.
    pub fn block_on<T>(&self, future: impl Future<Output = T>) -> T {
        self.world.wait(future)
    }

    /// The calls that this upstream received so far.
    #[track_caller]
    pub fn calls(&self, upstream: &str) -> Vec<Call> {
        match self.world.stubs.upstreams.get(upstream) {
            Some(pool) => pool.calls.lock().clone(),
            None => panic!("the probe has no upstream {upstream}"),
        }
    }

    /// The URLs fetched so far.
    pub fn fetched(&self) -> Vec<String> {
        self.world.stubs.fetched.lock().clone()
    }

    /// All metrics in the Prometheus text format.
    pub fn metrics(&self) -> String {
        let families = self.world.stubs.registry.gather();
        match prometheus::TextEncoder::new().encode_to_string(&families) {
            Ok(text) => text,
            Err(error) => panic!("metrics cannot be written: {error}"),
        }
    }

    /// The value of one metric, as it is named in [`Probe::metrics`] before its labels; 0 if it was never touched.
    pub fn metric(&self, name: &str) -> f64 {
        let text = self.metrics();
        let samples = text.lines().filter_map(|line| line.strip_prefix(name));
        let samples = samples.filter(|rest| rest.starts_with(['{', ' ']));
        samples.filter_map(|rest| rest.rsplit_once(' ')?.1.parse::<f64>().ok()).sum()
    }
}

impl World {
    /// Waits on the probe's runtime, while slow stubs move the clock.
    pub(super) fn wait<T>(&self, future: impl Future<Output = T>) -> T {
        self.runtime.block_on(async {
            match select(pin!(future), pin!(self.stubs.pass_time())).await {
                Either::Left((done, _)) => done,
                Either::Right((never, _)) => match never {},
            }
        })
    }
}

impl<P: Build> std::fmt::Debug for Probe<P> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Probe({})", P::NAME)
    }
}
