//! `portreeve check`: everything that `run` would refuse, without running; and what is no reason to refuse but worth a word.

use std::process::ExitCode;

use clap::Args;
use portreeve_config::Diagnostics;
use portreeve_plugin::Registry;
use portreeve_proxy::Engine;

use super::{File, WRONG, complain, note, print};
use crate::load::load;

/// How to check.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    file: File,
    /// Takes warnings for errors: exit status 2 if there is one.
    #[arg(long)]
    strict: bool,
}

pub(super) fn check(registry: &Registry, arguments: &Arguments) -> ExitCode {
    let Arguments { file, strict } = arguments;
    let loaded = match load(&file.config, registry) {
        Ok(loaded) => loaded,
        Err(refused) => return complain(&refused.to_string(), WRONG),
    };
    match Engine::check(&loaded, registry) {
        Ok(warnings) => {
            tell(&warnings);
            let warned = count(warnings.len(), "warning");
            if *strict && !warnings.is_empty() {
                return complain(
                    &format!("{warned} in {}, and --strict takes them for errors", file.config.display()),
                    WRONG,
                );
            }
            let routes = count(loaded.config.routes.len(), "route");
            let upstreams = count(loaded.config.upstreams.len(), "upstream");
            let warned = if warnings.is_empty() { String::new() } else { format!(", {warned}") };
            print(&format!("{} is fine: {routes}, {upstreams}{warned}\n", file.config.display()))
        }
        Err(error) => complain(&error.to_string(), WRONG),
    }
}

fn tell(warnings: &Diagnostics) {
    for warning in warnings {
        note(&format!("warning: {warning}"));
    }
    let left_out = warnings.len() - warnings.iter().count();
    if left_out > 0 {
        note(&format!("… and {}", count(left_out, "more warning")));
    }
}

fn count(number: usize, thing: &str) -> String {
    if number == 1 { format!("1 {thing}") } else { format!("{number} {thing}s") }
}
