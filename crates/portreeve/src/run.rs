//! A running gateway: the engine, the admin port, the watcher. The command line and tests both start it here.

use std::net::{SocketAddr, TcpListener as StdListener};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use portreeve_config::Diagnostics;
use portreeve_plugin::Registry;
use portreeve_proxy::{Drained, Engine, StartError};
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::admin;
use crate::handover::Sockets;
use crate::read::{Fingerprint, Reading, read};
use crate::reload::{LOOK_EVERY, Reloader};

/// Why a gateway did not start.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The file is wrong: exit status 2.
    #[error("{0}")]
    Config(Diagnostics),
    /// The machine does not give what is needed: exit status 1.
    #[error("{0}")]
    Start(String),
}

/// How a gateway is to run.
#[derive(Debug, Clone)]
pub struct Options {
    /// The configuration file.
    pub path: PathBuf,
    /// Threads that accept and serve.
    pub workers: usize,
    /// Whether a changed file takes effect by itself.
    pub watch: bool,
}

/// A running gateway. Dropping it ends the admin port and the watcher; [`Running::stop`] also drains.
#[derive(Debug)]
pub struct Running {
    engine: Arc<Engine>,
    reloader: Arc<Reloader>,
    admin: Option<SocketAddr>,
    /// The socket of the admin port once more, for the process that takes over.
    admin_copy: Option<StdListener>,
    tasks: JoinSet<()>,
}

impl Running {
    /// Loads, listens, serves. Must be called on a tokio runtime, which then runs everything that is not a request.
    ///
    /// # Errors
    /// See [`RunError`].
    pub async fn start(registry: Registry, options: Options) -> Result<Self, RunError> {
        Self::take_over(registry, options, Sockets::default()).await
    }

    /// The same with the sockets of a process that is still serving.
    pub(crate) async fn take_over(registry: Registry, options: Options, sockets: Sockets) -> Result<Self, RunError> {
        let (path, plugins) = (options.path.clone(), registry.clone());
        // On a thread of its own: signals are heard meanwhile.
        let reading = tokio::task::spawn_blocking(move || read(&path, &plugins, &Fingerprint::default()));
        let Reading { outcome, fingerprint } = reading.await.map_err(|error| RunError::Start(error.to_string()))?;
        let loaded = Arc::new(outcome.map_err(|refused| RunError::Config(refused.errors))?);
        let Sockets { listeners, admin: admin_socket } = sockets;
        let engine =
            Engine::take_over(loaded.clone(), registry.clone(), options.workers, Handle::current(), listeners).await;
        let engine = Arc::new(engine.map_err(|error| match error {
            StartError::Config(errors) => RunError::Config(errors),
            other => RunError::Start(other.to_string()),
        })?);
        let admin = loaded.config.admin.as_ref().map(|admin| admin.bind.get());
        let reloader = Arc::new(Reloader::new(options.path, registry, engine.clone(), loaded, fingerprint));
        let mut tasks = JoinSet::new();
        let (admin, admin_copy) = match admin {
            None => (None, None),
            Some(bind) => {
                let serving = admin::serve(bind, admin_socket, engine.clone(), reloader.clone(), &mut tasks);
                let (address, copy) = serving.await.map_err(RunError::Start)?;
                (Some(address), copy)
            }
        };
        if options.watch {
            tasks.spawn(reloader.clone().watch(LOOK_EVERY));
        }
        Ok(Self { engine, reloader, admin, admin_copy, tasks })
    }

    /// Names and addresses of the listeners.
    pub fn addresses(&self) -> Vec<(Arc<str>, SocketAddr)> {
        self.engine.addresses().to_vec()
    }

    /// Address of the admin port, if there is one.
    pub fn admin(&self) -> Option<SocketAddr> {
        self.admin
    }

    /// Reads the file again and puts it into effect. Returns the number of the new generation.
    ///
    /// # Errors
    /// Why it was refused, as text for the operator; the configuration before stays in effect.
    pub async fn reload(&self, reason: &'static str) -> Result<u64, String> {
        self.reloader.reload(reason).await
    }

    /// Reloads whenever it is asked to, beside everything else, until the gateway is dropped. What asks while a reload waits for
    /// its turn already asks for nothing more.
    pub(crate) fn reload_when_asked(&mut self, reason: &'static str) -> mpsc::Sender<()> {
        let (ask, mut asked) = mpsc::channel(1);
        let reloader = self.reloader.clone();
        self.tasks.spawn(async move {
            while let Some(()) = asked.recv().await {
                // What became of it is in the log, the metric and the status page.
                reloader.reload(reason).await.ok();
            }
        });
        ask
    }

    /// Opens the file of the access log anew, for whoever has moved it away. Does not wait for it.
    pub fn reopen_access_log(&self) {
        self.engine.reopen_access_log();
    }

    /// What the next process needs to go on where this one is.
    ///
    /// # Errors
    /// When the system has no descriptors left.
    pub(crate) fn hand_over(&self) -> Result<Sockets, String> {
        let listeners = self.engine.hand_over().map_err(|error| error.to_string())?;
        let admin = self.admin_copy.as_ref().map(StdListener::try_clone).transpose();
        Ok(Sockets { listeners, admin: admin.map_err(|error| error.to_string())? })
    }

    /// Another process serves on the same sockets now: accepts no more, on the admin port neither, and drains for at most
    /// `limit`.
    pub(crate) async fn retire(mut self, limit: Duration) -> Drained {
        self.tasks.shutdown().await;
        self.engine.stop(Duration::ZERO, limit).await
    }

    /// Not ready at once, accepting for `grace` more, then draining for at most `limit`.
    pub async fn stop(&self, grace: Duration, limit: Duration) -> Drained {
        self.engine.stop(grace, limit).await
    }
}

impl Options {
    /// Serves the file at `path` with one worker for each core, watching it.
    pub fn new(path: &Path) -> Self {
        let workers = std::thread::available_parallelism().map_or(1, usize::from);
        Self { path: path.to_owned(), workers, watch: true }
    }
}
