//! `portreeve run`: the production start.

use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::thread;
use std::time::Duration;

use clap::Args;
use portreeve_config::units;
use portreeve_log::Diagnostics;
use portreeve_plugin::Registry;
use portreeve_proxy::Drained;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{mpsc, oneshot};

use super::{FAILED, File, WRONG};
use crate::handover::{self, Sockets, Waiting};
use crate::run::{Options, RunError, Running};
use crate::{descriptors, logging};

/// How to serve.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    file: File,
    /// Threads that accept and serve; one for each core by default.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    workers: Option<u16>,
    /// After SIGTERM, not ready but still accepting for so long, so that load balancers can turn away first.
    #[arg(long, value_name = "DURATION", default_value = "5s", value_parser = duration)]
    grace: Duration,
    /// The longest that requests in flight may take to end after that.
    #[arg(long, value_name = "DURATION", default_value = "30s", value_parser = duration)]
    drain: Duration,
    /// Takes the listeners over from the gateway that runs with the same configuration file: no connection is refused, and
    /// that gateway drains and ends as soon as this one serves. If this one does not start, nothing changes.
    #[arg(long)]
    upgrade: bool,
    /// The Unix socket over which that is done. By default in `XDG_RUNTIME_DIR`, /run or the folder for temporary files.
    #[arg(long, value_name = "SOCKET")]
    handover: Option<PathBuf>,
    /// Does not reload when the file changes; SIGHUP and the admin port still do.
    #[arg(long)]
    no_watch: bool,
}

/// When all is over, background work has this long to notice.
const END: Duration = Duration::from_secs(1);
/// A duration of the command line: here, unlike in the file, none at all has a meaning.
fn duration(text: &str) -> Result<Duration, String> {
    if text == "0s" {
        return Ok(Duration::ZERO);
    }
    text.parse().map(units::Duration::get).map_err(|error: units::UnitError| error.to_string())
}

/// After SIGINT, requests in flight have this long.
const HURRY: Duration = Duration::from_secs(2);

pub(super) fn run(registry: &Registry, arguments: &Arguments) -> ExitCode {
    let log = logging::start(registry);
    descriptors::take_all();
    // Its one thread runs what is not a request: health checks, reloads, the admin port.
    let control =
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).thread_name("control").enable_all().build();
    match control {
        Ok(control) => {
            let status = control.block_on(serve(registry, arguments, &log));
            // What a plugin blocks for longer ends with the process.
            control.shutdown_timeout(END);
            status
        }
        Err(error) => failed(&error.to_string()),
    }
}

/// Tells why the gateway does not run.
fn failed(error: &str) -> ExitCode {
    tracing::error!(error, "The gateway cannot start.");
    ExitCode::from(FAILED)
}

async fn serve(registry: &Registry, arguments: &Arguments, log: &Diagnostics) -> ExitCode {
    let mut options = Options::new(&arguments.file.config);
    options.watch = !arguments.no_watch;
    options.workers = arguments.workers.map_or(options.workers, usize::from);
    // Before anything else, so that no signal finds the process without an answer.
    let signals = (signal(SignalKind::hangup()), signal(SignalKind::terminate()), signal(SignalKind::interrupt()));
    let (Ok(mut hangup), Ok(mut terminate), Ok(mut interrupt)) = signals else {
        return failed("signals cannot be watched for");
    };
    let place = arguments.handover.clone().unwrap_or_else(|| handover::place(&arguments.file.config));
    let (sockets, before) = match arguments.upgrade.then(|| handover::ask(&place)) {
        None => (Sockets::default(), None),
        Some(Ok((sockets, before))) => (sockets, Some(before)),
        Some(Err(error)) => {
            let why = format!(
                "no running gateway to take over from at {}: {error}; start the first one without --upgrade",
                place.display()
            );
            return failed(&why);
        }
    };
    let starting = tokio::select! {
        starting = Running::take_over(registry.clone(), options, sockets) => starting,
        Some(()) = terminate.recv() => return stopped_at_once(),
        Some(()) = interrupt.recv() => return stopped_at_once(),
    };
    let mut running = match starting {
        Ok(running) => running,
        Err(RunError::Config(errors)) => {
            // For people, with places and carets; no line of a log.
            log.print(&errors.to_string());
            return ExitCode::from(WRONG);
        }
        Err(RunError::Start(error)) => return failed(&error),
    };
    for (name, address) in running.addresses() {
        tracing::info!(listener = &*name, %address, "Listening.");
    }
    if let Some(address) = running.admin() {
        tracing::info!(%address, "The admin port is open.");
    }
    let reload = running.reload_when_asked("signal");
    let mut asked = wait_for_the_next(&place);
    if let Some(before) = before
        && let Err(error) = before.retire()
    {
        tracing::warn!(%error, "The gateway before this one does not hear that it may go.");
    }
    let (grace, limit) = loop {
        tokio::select! {
            Some(()) = hangup.recv() => {
                running.reopen_access_log();
                // Beside this loop, which hears other signals meanwhile. One that waits for its turn reads what is there then.
                reload.try_send(()).ok();
            }
            Some(asked) = asked.recv() => match asked {
                Asked::Sockets(answer) => drop(answer.send(running.hand_over())),
                Asked::Retire => {
                    tracing::info!(limit = ?arguments.drain, "Another process serves now; draining.");
                    let drained = running.retire(arguments.drain);
                    tokio::select! {
                        drained = drained => told(drained),
                        Some(()) = interrupt.recv() => return stopped_at_once(),
                    }
                    return ExitCode::SUCCESS;
                }
            },
            Some(()) = terminate.recv() => break (arguments.grace, arguments.drain),
            Some(()) = interrupt.recv() => break (Duration::ZERO, HURRY),
        }
    };
    Waiting::close(&place);
    tracing::info!(?grace, ?limit, "Stopping.");
    tokio::select! {
        drained = running.stop(grace, limit) => told(drained),
        Some(()) = interrupt.recv() => return stopped_at_once(),
    }
    ExitCode::SUCCESS
}

fn stopped_at_once() -> ExitCode {
    tracing::warn!("Stopped at once, as asked.");
    ExitCode::SUCCESS
}

fn told(drained: Drained) {
    match drained {
        Drained::Clean => tracing::info!("Stopped; every connection had ended."),
        Drained::Cut(connections) => tracing::warn!(connections, "Stopped; connections were cut."),
    }
}

/// What the process after this one wants.
enum Asked {
    /// The sockets.
    Sockets(oneshot::Sender<Result<Sockets, String>>),
    /// It serves now.
    Retire,
}

/// Waits for the process after this one, on a thread of its own: what is said there blocks.
fn wait_for_the_next(place: &Path) -> mpsc::Receiver<Asked> {
    let (asks, asked) = mpsc::channel(1);
    let waiting = match Waiting::at(place) {
        Ok(waiting) => waiting,
        Err(error) => {
            tracing::warn!(%error, socket = %place.display(), "No other process will be able to take over: --upgrade needs this socket.");
            return asked;
        }
    };
    let wait = move || loop {
        let sockets = || {
            let (answer, answered) = oneshot::channel();
            asks.blocking_send(Asked::Sockets(answer)).map_err(io::Error::other)?;
            answered.blocking_recv().map_err(io::Error::other)?.map_err(io::Error::other)
        };
        match waiting.hand_over(sockets) {
            Ok(()) => return drop(asks.blocking_send(Asked::Retire)),
            Err(error) => tracing::warn!(%error, "Another process wanted to take over and did not."),
        }
        if asks.is_closed() {
            return;
        }
    };
    if let Err(error) = thread::Builder::new().name("handover".into()).spawn(wait) {
        tracing::warn!(%error, "No other process will be able to take over.");
    }
    asked
}
