//! What an instance may ask of the gateway while it is built.

use std::any::{Any, TypeId};
use std::collections::HashMap;
use std::fmt;
use std::future::Future;
use std::path::Path;
use std::sync::{Arc, Weak};

use futures::future::BoxFuture;
use parking_lot::Mutex;
use portreeve_units::{Secret, SecretSource};

use crate::client::{Answer, CallError, Upstream};
use crate::clock::Clock;
use crate::consumer::{DeclaredConsumer, Tier};
use crate::error::BuildError;
use crate::metrics::{Counter, Gauge, Histogram, Metrics};

/// What an instance may ask of the gateway while it is built. Clone it to keep it.
#[derive(Clone)]
pub struct Host {
    engine: Arc<dyn Engine>,
    plugin: &'static str,
    step: Arc<str>,
    place: Arc<str>,
    folder: Arc<Path>,
}

/// The gateway behind a [`Host`]. Implemented by the engine and by the test kit.
pub trait Engine: Send + Sync + 'static {
    /// The upstream of this name in the configuration being built.
    fn upstream(&self, name: &str) -> Option<Upstream>;
    /// Names of all upstreams, for did-you-mean.
    fn upstream_names(&self) -> Vec<Arc<str>>;
    /// The tiers of the configuration being built.
    fn tiers(&self) -> &[Tier];
    /// The consumers of the configuration being built.
    fn consumers(&self) -> &[DeclaredConsumer];
    /// GETs an outside URL.
    fn fetch(&self, fetch: Fetch) -> BoxFuture<'static, Result<Answer, CallError>>;
    /// Runs a background task, not before the configuration being built is accepted; dropping the handle ends it.
    fn spawn(&self, task: BoxFuture<'static, ()>) -> Task;
    /// Values that survive reloads.
    fn shared(&self) -> &Shared;
    /// Where numbers go.
    fn metrics(&self) -> &Metrics;
    /// The time.
    fn clock(&self) -> &Clock;
}

/// A GET of an outside URL: `http` or `https`, verified against the system's roots. A redirect is an answer like any other: it is
/// not followed, so that what is asked for over `https` is never fetched in another way.
#[derive(Debug, Clone)]
pub struct Fetch {
    /// Absolute URL, without name and password.
    pub url: String,
    /// Which addresses its name may have.
    pub addresses: Addresses,
    /// One deadline over everything.
    pub timeout: std::time::Duration,
    /// Longest answer accepted, in bytes.
    pub max_body: usize,
}

/// Which addresses the name in a URL may have. An address that stands in the URL itself was meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Addresses {
    /// Those of the internet and of private networks. This machine's (loopback) only behind a name that is of this network by
    /// its looks: `localhost`, one without a dot, or below `local`, `internal`, `lan`, `home.arpa` or `test`. Never link-local
    /// ones (RFC 3927, RFC 4291), behind which clouds have their metadata, nor those of nobody or of many.
    #[default]
    Network,
    /// Those of the internet alone.
    Public,
    /// Any.
    Any,
}

/// A background task. Dropping this ends it at its next `.await`.
#[must_use = "a dropped task ends at once"]
pub struct Task(#[expect(dead_code, reason = "kept only to be dropped")] Box<dyn Any + Send + Sync>);

impl Task {
    /// Keeps `guard` until the task is to end.
    pub fn new(guard: impl Any + Send + Sync) -> Self {
        Self(Box::new(guard))
    }
}

impl Host {
    /// A host for the step `step` of the plugin `plugin`, written at `place` in a file of `folder`.
    pub fn new(
        engine: Arc<dyn Engine>,
        plugin: &'static str,
        step: Arc<str>,
        place: Arc<str>,
        folder: Arc<Path>,
    ) -> Self {
        Self { engine, plugin, step, place, folder }
    }

    /// Name of the step: its own, or one made from its place (`api/rate-limit`). The same after a reload that did not move it.
    pub fn step(&self) -> &Arc<str> {
        &self.step
    }

    /// `file:line:column` of the step.
    pub fn place(&self) -> &Arc<str> {
        &self.place
    }

    /// The upstream called `name`.
    ///
    /// # Errors
    /// When there is none; `at` is the setting that named it.
    pub fn upstream(&self, name: &str, at: &str) -> Result<Upstream, BuildError> {
        self.engine.upstream(name).ok_or_else(|| {
            let names = self.engine.upstream_names();
            BuildError::at(at, unknown("upstream", name, names.iter().map(|name| &**name)))
        })
    }

    /// Reads a secret of the settings; a relative path counts from the folder of the file that holds the step.
    ///
    /// # Errors
    /// When the variable is not set, the file cannot be read, or the value is empty; `at` is the setting that named it.
    pub fn secret(&self, source: &SecretSource, at: &str) -> Result<Secret, BuildError> {
        source
            .secret(&|name| std::env::var(name).ok(), &self.folder)
            .map_err(|error| BuildError::at(at, error.to_string()))
    }

    /// The folder of the file that holds the step: relative paths in settings count from here.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The tiers of the file.
    pub fn tiers(&self) -> &[Tier] {
        self.engine.tiers()
    }

    /// The consumers of the file.
    pub fn consumers(&self) -> &[DeclaredConsumer] {
        self.engine.consumers()
    }

    /// GETs an outside URL: key sets, discovery documents. For load and background tasks, not for the request path.
    ///
    /// # Errors
    /// See [`CallError`].
    pub async fn fetch(&self, fetch: Fetch) -> Result<Answer, CallError> {
        self.engine.fetch(fetch).await
    }

    /// Runs a background task for as long as the returned handle lives, that is, usually as long as the instance.
    /// It begins when the whole file has been accepted: of a file that is refused, or only checked, nothing is run.
    pub fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) -> Task {
        self.engine.spawn(Box::pin(task))
    }

    /// A value that survives a reload: the one another generation of this plugin holds under `key`, or else a new one.
    /// It lives as long as somebody holds it. Put into `key` whatever makes an old value unfit.
    pub fn shared<T: Any + Send + Sync>(&self, key: &str, make: impl FnOnce() -> T) -> Arc<T> {
        self.engine.shared().get_or_make(format!("{}/{key}", self.plugin), make)
    }

    /// The time.
    pub fn clock(&self) -> Clock {
        self.engine.clock().clone()
    }

    /// A counter `portreeve_plugin_<plugin>_<name>` with the label `step`. `name` ends in `_total`.
    ///
    /// # Errors
    /// When the name is not a metric name, or is taken by another kind.
    pub fn counter(&self, name: &str, help: &str) -> Result<Counter, BuildError> {
        let name = self.metric_name(name);
        self.engine.metrics().counter(&name, help, &self.step).ok_or_else(|| bad_metric(&name))
    }

    /// A gauge `portreeve_plugin_<plugin>_<name>` with the label `step`.
    ///
    /// # Errors
    /// As [`Host::counter`].
    pub fn gauge(&self, name: &str, help: &str) -> Result<Gauge, BuildError> {
        let name = self.metric_name(name);
        self.engine.metrics().gauge(&name, help, &self.step).ok_or_else(|| bad_metric(&name))
    }

    /// A histogram `portreeve_plugin_<plugin>_<name>` with the label `step` and these upper bounds, ascending.
    ///
    /// # Errors
    /// As [`Host::counter`].
    pub fn histogram(&self, name: &str, help: &str, buckets: &[f64]) -> Result<Histogram, BuildError> {
        let name = self.metric_name(name);
        self.engine.metrics().histogram(&name, help, buckets, &self.step).ok_or_else(|| bad_metric(&name))
    }

    fn metric_name(&self, name: &str) -> String {
        format!("portreeve_plugin_{}_{name}", self.plugin.replace('-', "_"))
    }
}

fn bad_metric(name: &str) -> BuildError {
    BuildError::new(format!("{name} cannot be a metric: not a valid name, or taken by another kind"))
}

/// `no upstream "user-v1"; did you mean "users-v1"?`
pub(crate) fn unknown<'n>(what: &str, name: &str, known: impl Iterator<Item = &'n str>) -> String {
    // Names of the file are quoted as they may stand there, not set as words of a language of ours.
    let guess = crate::template::did_you_mean(name, known).replace('`', "\"");
    format!("no {what} \"{name}\"{guess}")
}

/// Values that outlive a reload as long as some generation uses them.
#[derive(Default)]
pub struct Shared(Mutex<Values>);

impl Shared {
    /// The living value of this type under `key`, or a new one. `make` may ask for shared values itself. If two make one at
    /// the same time, both get the first, and the other is dropped unused.
    pub fn get_or_make<T: Any + Send + Sync>(&self, key: String, make: impl FnOnce() -> T) -> Arc<T> {
        let key = (TypeId::of::<T>(), key);
        if let Some(living) = living(&self.0.lock(), &key) {
            return living;
        }
        // Not under the lock: what a plugin does here may take long, panic, or come back here.
        let made = Arc::new(make());
        let mut values = self.0.lock();
        if let Some(living) = living(&values, &key) {
            return living;
        }
        values.retain(|_, value| value.strong_count() > 0);
        let erased: Arc<dyn Any + Send + Sync> = made.clone();
        values.insert(key, Arc::downgrade(&erased));
        drop(values);
        made
    }
}

type Values = HashMap<(TypeId, String), Weak<dyn Any + Send + Sync>>;

fn living<T: Any + Send + Sync>(values: &Values, key: &(TypeId, String)) -> Option<Arc<T>> {
    values.get(key)?.upgrade()?.downcast().ok()
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Shared({})", self.0.lock().len())
    }
}

impl fmt::Debug for Task {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Task")
    }
}

impl fmt::Debug for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Host({} at {})", self.step, self.place)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shared_value_lives_as_long_as_somebody_holds_it() {
        let shared = Shared::default();
        let first = shared.get_or_make("k".into(), || 1_u32);
        assert_eq!(*shared.get_or_make("k".into(), || 2_u32), 1);
        drop(first);
        assert_eq!(*shared.get_or_make("k".into(), || 3_u32), 3);
    }

    #[test]
    fn a_shared_value_may_be_made_of_shared_values() {
        let shared = Shared::default();
        let outer = shared.get_or_make("outer".into(), || {
            let inner = shared.get_or_make("inner".into(), || 1_u32);
            (inner.clone(), shared.get_or_make("inner".into(), || 2_u32))
        });
        assert!(Arc::ptr_eq(&outer.0, &outer.1));
    }

    #[test]
    fn the_first_of_two_values_made_at_the_same_time_is_everybodys() {
        let shared = Shared::default();
        let mut first = None;
        let second = shared.get_or_make("k".into(), || {
            first = Some(shared.get_or_make("k".into(), || 1_u32));
            2_u32
        });
        assert!(Arc::ptr_eq(&second, &first.unwrap()));
        assert_eq!(*second, 1);
    }

    #[test]
    fn an_unknown_name_is_answered_with_the_nearest() {
        assert_eq!(
            unknown("upstream", "user-v1", ["orders", "users-v1"].into_iter()),
            "no upstream \"user-v1\"; did you mean \"users-v1\"?"
        );
        assert_eq!(unknown("upstream", "x", ["orders"].into_iter()), "no upstream \"x\"");
    }
}
