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
    // Nothing that is logged may stand between the lines to paste, or below the last of them.
    let mut aside = match Aside::begin(&std::env::temp_dir()) {
        Ok(aside) => aside,
        Err(error) => return complain(&format!("cannot make files for the logs: {error}"), FAILED),
    };
    let _log = logging::start(registry);
    let control =
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).thread_name("control").enable_all().build();
    let served = match control {
        Ok(control) => control.block_on(serve(registry, file, &mut aside)),
        Err(error) => Err((format!("cannot start: {error}"), FAILED)),
    };
    match served {
        Ok(()) => {
            // Whoever reads no longer needs not be told.
            aside.end("\nThe demo has ended.\n").ok();
            ExitCode::SUCCESS
        }
        Err((complaint, status)) => {
            drop(aside);
            complain(&complaint, status)
        }
    }
}

/// Until a signal ends it.
///
/// # Errors
/// What to tell the user, and the exit status.
async fn serve(registry: &Registry, file: &File, aside: &mut Aside) -> Result<(), (String, u8)> {
    let signals = (signal(SignalKind::terminate()), signal(SignalKind::interrupt()));
    let (Ok(mut terminate), Ok(mut interrupt)) = signals else {
        return Err(("cannot watch for signals".to_owned(), FAILED));
    };
    let loaded = load(&file.config, registry).map_err(|errors| (errors.to_string(), WRONG))?;
    // Before the gateway, which fetches the issuer's keys as it starts.
    let samples = Samples::start().map_err(|error| (error, FAILED))?;
    let running = Running::start(registry.clone(), Options::new(&file.config)).await.map_err(|error| match error {
        RunError::Config(errors) => (errors.to_string(), WRONG),
        RunError::Start(error) => (format!("{error}\nFree the address, or name another in the configuration."), FAILED),
    })?;
    let Some((_, gateway)) = running.addresses().into_iter().next() else {
        return Err(("the configuration has no listener".to_owned(), WRONG));
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
    let text = guide(&samples, &places).map_err(|error| (error, FAILED))?;
    // Nobody reads it any more: then nobody misses it.
    aside.say(&text).ok();
    tokio::select! {
        Some(()) = terminate.recv() => {}
        Some(()) = interrupt.recv() => {}
    }
    running.stop(Duration::ZERO, HURRY).await;
    Ok(())
}
