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

use crate::read::{Fingerprint, Reading, belonging, read};

/// How often the files are looked at. Looking is a `stat` of each; it works on every file system and through the
/// symbolic links that Kubernetes swaps, which notifications do not.
pub(crate) const LOOK_EVERY: Duration = Duration::from_secs(1);

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
    /// Why the file was refused; the old one is in effect.
    ///
    /// Dropping the future changes nothing: what was begun is brought to its end, whoever asked for it and hung up.
    pub(crate) async fn reload(self: &Arc<Self>, reason: &'static str) -> Result<u64, String> {
        let this = self.clone();
        let reloading = tokio::spawn(async move { this.in_turn(reason).await });
        reloading.await.unwrap_or_else(|error| Err(error.to_string()))
    }

    async fn in_turn(&self, reason: &'static str) -> Result<u64, String> {
        let _turn = self.turn.lock().await;
        let outcome = self.replace().await;
        let error = outcome.as_ref().err().cloned();
        match &outcome {
            Ok(generation) => tracing::info!(generation, reason, "The configuration took effect."),
            Err(error) => {
                tracing::error!(reason, error, "The configuration was refused; the one before stays in effect.");
                self.engine.reload_refused();
            }
        }
        *self.last.lock() = LastReload { success: outcome.is_ok(), reason, at: unix_seconds(), error };
        outcome
    }

    async fn replace(&self) -> Result<u64, String> {
        let (path, registry, watched) = (self.path.clone(), self.registry.clone(), self.dealt_with.lock().clone());
        let reading = tokio::task::spawn_blocking(move || read(&path, &registry, &watched));
        let Reading { outcome, fingerprint } = reading.await.map_err(|error| error.to_string())?;
        // The files of the configuration in effect stay watched until another takes its place.
        *self.dealt_with.lock() = fingerprint;
        let loaded = Arc::new(outcome.map_err(|errors| errors.to_string())?);
        self.same_admin(&loaded.config)?;
        self.same_usage(&loaded.config)?;
        let generation = self.engine.apply(loaded.clone()).await.map_err(|error| error.to_string())?;
        self.watch_only(&loaded);
        self.loaded.store(loaded);
        Ok(generation)
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
                // Refused or not, this state of the files is dealt with then.
                self.reload("file").await.ok();
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
