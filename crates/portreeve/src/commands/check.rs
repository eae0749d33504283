//! `portreeve check`: everything that `run` would refuse, without running.

use std::process::ExitCode;

use portreeve_plugin::Registry;
use portreeve_proxy::Engine;

use super::{File, WRONG, complain, note, print};
use crate::load::load;

pub(super) fn check(registry: &Registry, file: &File) -> ExitCode {
    let loaded = match load(&file.config, registry) {
        Ok(loaded) => loaded,
        Err(refused) => return complain(&refused.to_string(), WRONG),
    };
    match Engine::check(&loaded, registry) {
        Ok(warnings) => {
            for warning in &warnings {
                note(&format!("warning: {warning}"));
            }
            let routes = count(loaded.config.routes.len(), "route");
            let upstreams = count(loaded.config.upstreams.len(), "upstream");
            print(&format!("{} is fine: {routes}, {upstreams}\n", file.config.display()))
        }
        Err(error) => complain(&error.to_string(), WRONG),
    }
}

fn count(number: usize, thing: &str) -> String {
    if number == 1 { format!("1 {thing}") } else { format!("{number} {thing}s") }
}
