//! One path for every reload: a changed file, SIGHUP and `POST /api/v1/reload` all come here. A bad file changes nothing.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use arc_swap::ArcSwap;
use parking_lot::Mutex;
use portreeve_config::{Config, Loaded};
use portreeve_plugin::Registry;
use portreeve_proxy::Engine;
use serde::Serialize;
use tokio::time::timeout;

use crate::changes::{Changes, tell_listeners};
use crate::read::{Fingerprint, Reading, belonging, read};

/// How often the files are looked at. Looking is a `stat` of each; it works on every file system and through the
/// symbolic links that Kubernetes swaps, which notifications do not.
pub(crate) const LOOK_EVERY: Duration = Duration::from_secs(1);

/// The longest that reading a file and all it names may take: far longer than ten thousand routes need. Beyond it, the file system
/// hangs, and so would every reload after this one.
const READ_LIMIT: Duration = Duration::from_mins(1);
/// The longest that it may take to compile a configuration, and to wait for the first checks of new targets.
const APPLY_LIMIT: Duration = Duration::from_mins(1);
/// Readings that may hang at once: each holds a thread until the file system answers.
const MAX_HUNG: usize = 4;

/// Loads the file again and puts it into effect.
#[derive(Debug)]
pub(crate) struct Reloader {
    path: PathBuf,
    registry: Registry,
    engine: Arc<Engine>,
    loaded: ArcSwap<Loaded>,
    last: Mutex<LastReload>,
    /// The files that are watched, in the state that was dealt with last, whatever came of it.
    dealt_with: Mutex<Fingerprint>,
    /// One reload at a time.
    turn: tokio::sync::Mutex<()>,
    /// Held by each reading, until it has come to its end.
    reading: Arc<()>,
    limits: Limits,
}

/// How long the parts of a reload may take.
#[derive(Debug, Clone, Copy)]
struct Limits {
    read: Duration,
    apply: Duration,
}

/// What became of the last reload.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct LastReload {
    pub(crate) success: bool,
    /// What asked for it.
    pub(crate) reason: &'static str,
    /// Seconds since 1970.
    pub(crate) at: u64,
    /// Why it was refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) error: Option<String>,
}

impl Reloader {
    /// `loaded` is in effect, and `fingerprint` is that of its reading.
    pub(crate) fn new(
        path: PathBuf,
        registry: Registry,
        engine: Arc<Engine>,
        loaded: Arc<Loaded>,
        fingerprint: Fingerprint,
    ) -> Self {
        let last = LastReload { success: true, reason: "start", at: unix_seconds(), error: None };
        Self {
            path,
            registry,
            engine,
            loaded: ArcSwap::from(loaded),
            last: Mutex::new(last),
            dealt_with: Mutex::new(fingerprint),
            turn: tokio::sync::Mutex::default(),
            reading: Arc::default(),
            limits: Limits { read: READ_LIMIT, apply: APPLY_LIMIT },
        }
    }

    /// The configuration in effect.
    pub(crate) fn loaded(&self) -> Arc<Loaded> {
        self.loaded.load_full()
    }

    /// The plugins of this binary.
    pub(crate) fn registry(&self) -> &Registry {
        &self.registry
    }

    pub(crate) fn last(&self) -> LastReload {
        self.last.lock().clone()
    }

    /// Reads, compiles everything, swaps once. Returns the number of the new generation.
    ///
    /// # Errors
    /// Why the file was refused, or what took too long; the old one is in effect.
    ///
    /// Dropping the future changes nothing: what was begun is brought to its end, whoever asked for it and hung up.
    pub(crate) async fn reload(self: &Arc<Self>, reason: &'static str) -> Result<u64, String> {
        let this = self.clone();
        let reloading = tokio::spawn(async move { this.in_turn(reason).await });
        reloading.await.unwrap_or_else(|error| Err(error.to_string()))
    }

    async fn in_turn(&self, reason: &'static str) -> Result<u64, String> {
        let _turn = self.turn.lock().await;
        let (old, listeners) = (self.loaded(), self.engine.addresses());
        let outcome = self.replace().await;
        let error = outcome.as_ref().err().cloned();
        match &outcome {
            Ok(generation) => {
                Changes::between(&old.config, &self.loaded().config).tell(*generation, reason);
                tell_listeners(&listeners, &self.engine.addresses());
            }
            Err(error) => {
                tracing::error!(reason, error, "The configuration was refused; the one before stays in effect.");
                self.engine.reload_refused();
            }
        }
        *self.last.lock() = LastReload { success: outcome.is_ok(), reason, at: unix_seconds(), error };
        outcome
    }

    async fn replace(&self) -> Result<u64, String> {
        let Reading { outcome, fingerprint } = self.read().await?;
        // The files of the configuration in effect stay watched until another takes its place.
        *self.dealt_with.lock() = fingerprint;
        let loaded = Arc::new(outcome.map_err(|errors| errors.to_string())?);
        self.same_admin(&loaded.config)?;
        self.same_usage(&loaded.config)?;
        let generation = self.apply(loaded.clone()).await?;
        self.watch_only(&loaded);
        self.loaded.store(loaded);
        Ok(generation)
    }

    /// Reads away from the threads that others wait for. What takes too long is left to its thread.
    async fn read(&self) -> Result<Reading, String> {
        let hung = Arc::strong_count(&self.reading) - 1;
        if hung >= MAX_HUNG {
            return Err(format!("{hung} reloads before this one still wait for their files: the file system hangs"));
        }
        let (path, registry, watched) = (self.path.clone(), self.registry.clone(), self.dealt_with.lock().clone());
        let held = self.reading.clone();
        let reading = tokio::task::spawn_blocking(move || {
            let reading = read(&path, &registry, &watched);
            drop(held);
            reading
        });
        let limit = self.limits.read;
        match timeout(limit, reading).await {
            Ok(reading) => reading.map_err(|error| error.to_string()),
            Err(_) => Err(format!("the files could not be read within {limit:?}: the file system hangs")),
        }
    }

    /// Puts a configuration into effect, or gives up: before anything has changed.
    async fn apply(&self, loaded: Arc<Loaded>) -> Result<u64, String> {
        let (before, limit) = (self.engine.snapshot().generation(), self.limits.apply);
        match timeout(limit, self.engine.apply(loaded)).await {
            Ok(applied) => applied.map_err(|error| error.to_string()),
            Err(_) => match self.engine.snapshot().generation() {
                now if now != before => Ok(now),
                _ => Err(format!("the configuration could not be put into effect within {limit:?}")),
            },
        }
    }

    /// Forgets the files that the configuration in effect has no part of.
    fn watch_only(&self, loaded: &Loaded) {
        let mut watched = self.dealt_with.lock();
        let files = std::iter::once(self.path.as_path()).chain(belonging(&loaded.sources));
        *watched = std::mem::take(&mut *watched).only(files);
    }

    /// The admin port is opened once: a file that moves it is refused rather than half obeyed.
    fn same_admin(&self, new: &Config) -> Result<(), String> {
        let bind = |config: &Config| config.admin.as_ref().map(|admin| admin.bind);
        if bind(&self.loaded.load().config) == bind(new) {
            return Ok(());
        }
        Err("admin.bind: the admin port moves only with a restart".to_owned())
    }

    /// What was counted belongs to one folder: a file that moves it is refused, since what is there already could only be
    /// lost or counted twice.
    fn same_usage(&self, new: &Config) -> Result<(), String> {
        if self.loaded.load().config.usage.path == new.usage.path {
            return Ok(());
        }
        Err("usage.path: the folder of usage changes only with a restart".to_owned())
    }

    /// Reloads whenever a file of the configuration has changed and then stayed as it is from one look to the next, `every`
    /// so often.
    pub(crate) async fn watch(self: Arc<Self>, every: Duration) {
        let mut seen = None;
        loop {
            tokio::time::sleep(every).await;
            let before = self.dealt_with.lock().clone();
            let looking = tokio::task::spawn_blocking(move || (before.again(), before));
            let Ok((now, before)) = looking.await else { continue };
            let settled = seen.as_ref() == Some(&now);
            if settled && now != before {
                // Refused or not, this state of the files is dealt with then; also where they could not be read in time.
                self.reload("file").await.ok();
                let mut dealt_with = self.dealt_with.lock();
                if *dealt_with == before {
                    *dealt_with = now.clone();
                }
            }
            seen = Some(now);
        }
    }
}

fn unix_seconds() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

#[cfg(test)]
mod tests;
