//! One path for every reload: a changed file, SIGHUP and `POST /api/v1/reload` all come here. A bad file changes nothing.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use arc_swap::ArcSwap;
use parking_lot::Mutex;
use portreeve_config::{Config, Loaded};
use portreeve_plugin::Registry;
use portreeve_proxy::Engine;
use serde::Serialize;

use crate::load::load;

/// How often the files are looked at. Looking is a `stat` of each; it works on every file system and through the
/// symbolic links that Kubernetes swaps, which notifications do not.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Loads the file again and puts it into effect.
#[derive(Debug)]
pub(crate) struct Reloader {
    path: PathBuf,
    registry: Registry,
    engine: Arc<Engine>,
    loaded: ArcSwap<Loaded>,
    last: Mutex<LastReload>,
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
    pub(crate) fn new(path: PathBuf, registry: Registry, engine: Arc<Engine>, loaded: Loaded) -> Self {
        let last = LastReload { success: true, reason: "start", at: unix_seconds(), error: None };
        let loaded = ArcSwap::from_pointee(loaded);
        Self { path, registry, engine, loaded, last: Mutex::new(last), turn: tokio::sync::Mutex::default() }
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
    pub(crate) async fn reload(&self, reason: &'static str) -> Result<u64, String> {
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
        let (path, registry) = (self.path.clone(), self.registry.clone());
        let loading = tokio::task::spawn_blocking(move || load(&path, &registry));
        let loaded = loading.await.map_err(|error| error.to_string())?.map_err(|errors| errors.to_string())?;
        self.same_admin(&loaded.config)?;
        let generation = self.engine.apply(&loaded).await.map_err(|error| error.to_string())?;
        self.loaded.store(Arc::new(loaded));
        Ok(generation)
    }

    /// The admin port is opened once: a file that moves it is refused rather than half obeyed.
    fn same_admin(&self, new: &Config) -> Result<(), String> {
        let bind = |config: &Config| config.admin.as_ref().map(|admin| admin.bind);
        if bind(&self.loaded.load().config) == bind(new) {
            return Ok(());
        }
        Err("admin.bind: the admin port moves only with a restart".to_owned())
    }

    /// Reloads whenever a file of the configuration has changed and then stayed as it is for one look.
    pub(crate) async fn watch(self: Arc<Self>) {
        let mut in_effect = self.fingerprint();
        let mut seen = in_effect.clone();
        loop {
            tokio::time::sleep(LOOK_EVERY).await;
            let now = self.fingerprint();
            let settled = now == seen;
            if settled && now != in_effect {
                // Refused or not, this state of the files has been dealt with.
                self.reload("file").await.ok();
                in_effect = self.fingerprint();
                seen.clone_from(&in_effect);
            } else {
                seen = now;
            }
        }
    }

    /// What tells a changed file: size and time of change of each, through symbolic links.
    fn fingerprint(&self) -> Vec<Option<(u64, SystemTime)>> {
        let loaded = self.loaded.load();
        let main = std::iter::once(self.path.as_path());
        main.chain(loaded.sources.paths()).map(state).collect()
    }
}

fn state(path: &Path) -> Option<(u64, SystemTime)> {
    let file = std::fs::metadata(path).ok().filter(std::fs::Metadata::is_file)?;
    Some((file.len(), file.modified().ok()?))
}

fn unix_seconds() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs())
}
