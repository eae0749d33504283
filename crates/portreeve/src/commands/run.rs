//! `portreeve run`: the production start.

use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use portreeve_config::units;
use portreeve_plugin::Registry;
use portreeve_proxy::Drained;
use tokio::signal::unix::{SignalKind, signal};

use super::{FAILED, File, WRONG, complain};
use crate::logging;
use crate::run::{Options, RunError, Running};

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
    logging::start();
    // Its one thread runs what is not a request: health checks, reloads, the admin port.
    let control =
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).thread_name("control").enable_all().build();
    match control {
        Ok(control) => {
            let status = control.block_on(serve(registry, arguments));
            // What a plugin blocks for longer ends with the process.
            control.shutdown_timeout(END);
            status
        }
        Err(error) => complain(&format!("cannot start: {error}"), FAILED),
    }
}

async fn serve(registry: &Registry, arguments: &Arguments) -> ExitCode {
    let mut options = Options::new(&arguments.file.config);
    options.watch = !arguments.no_watch;
    options.workers = arguments.workers.map_or(options.workers, usize::from);
    // Before anything else, so that no signal finds the process without an answer.
    let signals = (signal(SignalKind::hangup()), signal(SignalKind::terminate()), signal(SignalKind::interrupt()));
    let (Ok(mut hangup), Ok(mut terminate), Ok(mut interrupt)) = signals else {
        return complain("cannot watch for signals", FAILED);
    };
    let running = match Running::start(registry.clone(), options).await {
        Ok(running) => running,
        Err(RunError::Config(errors)) => return complain(&errors.to_string(), WRONG),
        Err(RunError::Start(error)) => return complain(&error, FAILED),
    };
    for (name, address) in running.addresses() {
        tracing::info!(listener = &*name, %address, "Listening.");
    }
    if let Some(address) = running.admin() {
        tracing::info!(%address, "The admin port is open.");
    }
    let (grace, limit) = loop {
        tokio::select! {
            Some(()) = hangup.recv() => {
                // What became of it is in the log, the metric and the status page.
                running.reload("signal").await.ok();
            }
            Some(()) = terminate.recv() => break (arguments.grace, arguments.drain),
            Some(()) = interrupt.recv() => break (Duration::ZERO, HURRY),
        }
    };
    tracing::info!(?grace, ?limit, "Stopping.");
    tokio::select! {
        drained = running.stop(grace, limit) => match drained {
            Drained::Clean => tracing::info!("Stopped; every connection had ended."),
            Drained::Cut(connections) => tracing::warn!(connections, "Stopped; connections were cut."),
        },
        Some(()) = interrupt.recv() => tracing::warn!("Stopped at once, as asked."),
    }
    ExitCode::SUCCESS
}
