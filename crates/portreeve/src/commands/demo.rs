//! `portreeve demo`: the sample services, and the gateway in front of them on the same start as `portreeve run`.

use std::process::ExitCode;
use std::time::Duration;

use portreeve_config::units::LogTarget;
use portreeve_plugin::Registry;
use tokio::signal::unix::{SignalKind, signal};

use super::{FAILED, File, WRONG, complain};
use crate::demo::{Aside, Places, Samples, guide};
use crate::load::load;
use crate::logging;
use crate::run::{Options, RunError, Running};

/// After Ctrl-C, requests in flight have this long.
const HURRY: Duration = Duration::from_secs(1);

pub(super) fn demo(registry: &Registry, file: &File) -> ExitCode {
    let _log = logging::start(registry);
    let control =
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).thread_name("control").enable_all().build();
    match control {
        Ok(control) => control.block_on(serve(registry, file)),
        Err(error) => complain(&format!("cannot start: {error}"), FAILED),
    }
}

async fn serve(registry: &Registry, file: &File) -> ExitCode {
    let signals = (signal(SignalKind::terminate()), signal(SignalKind::interrupt()));
    let (Ok(mut terminate), Ok(mut interrupt)) = signals else {
        return complain("cannot watch for signals", FAILED);
    };
    let loaded = match load(&file.config, registry) {
        Ok(loaded) => loaded,
        Err(errors) => return complain(&errors.to_string(), WRONG),
    };
    // Before the gateway, which fetches the issuer's keys as it starts.
    let samples = match Samples::start() {
        Ok(samples) => samples,
        Err(error) => return complain(&error, FAILED),
    };
    // Nothing that is logged may stand between the lines to paste, or below the last of them.
    let mut aside = match Aside::begin(&std::env::temp_dir()) {
        Ok(aside) => aside,
        Err(error) => return complain(&format!("cannot make files for the logs: {error}"), FAILED),
    };
    let running = match Running::start(registry.clone(), Options::new(&file.config)).await {
        Ok(running) => running,
        Err(error) => {
            drop(aside);
            return match error {
                RunError::Config(errors) => complain(&errors.to_string(), WRONG),
                RunError::Start(error) => {
                    let hint = "Free the address, or name another in the configuration.";
                    complain(&format!("{error}\n{hint}"), FAILED)
                }
            };
        }
    };
    let Some((_, gateway)) = running.addresses().into_iter().next() else {
        drop(aside);
        return complain("the configuration has no listener", WRONG);
    };
    let places = Places {
        file: file.config.display().to_string(),
        gateway,
        admin: running.admin(),
        access_log: match &loaded.config.access_log.to {
            LogTarget::Stdout => format!("file:{}", aside.out_file().display()),
            elsewhere => elsewhere.to_string(),
        },
        log: format!("file:{}", aside.err_file().display()),
    };
    match guide(&samples, &places) {
        // Nobody reads it any more: then nobody misses it.
        Ok(text) => aside.say(&text).unwrap_or_default(),
        Err(error) => {
            drop(aside);
            return complain(&error, FAILED);
        }
    }
    tokio::select! {
        Some(()) = terminate.recv() => {}
        Some(()) = interrupt.recv() => {}
    }
    running.stop(Duration::ZERO, HURRY).await;
    aside.end("\nThe demo has ended.\n").ok();
    ExitCode::SUCCESS
}
