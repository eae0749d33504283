//! `portreeve check`: everything that `run` would refuse, without running.

use std::process::ExitCode;

use portreeve_plugin::Registry;
use portreeve_proxy::Engine;

use super::{File, WRONG, complain, print};
use crate::load::load;

pub(super) fn check(registry: &Registry, file: &File) -> ExitCode {
    let loaded = match load(&file.config, registry) {
        Ok(loaded) => loaded,
        Err(errors) => return complain(&errors.to_string(), WRONG),
    };
    match Engine::check(&loaded, registry) {
        Ok(()) => {
            let (routes, upstreams) = (loaded.config.routes.len(), loaded.config.upstreams.len());
            print(&format!("{} is fine: {routes} routes, {upstreams} upstreams\n", file.config.display()))
        }
        Err(error) => complain(&error.to_string(), WRONG),
    }
}
