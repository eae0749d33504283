//! `portreeve schema`: what an editor needs to complete and check the file, and the reference page made from it.

use std::process::ExitCode;

use clap::Args;
use portreeve_plugin::Registry;

use super::{FAILED, complain, print};
use crate::load::catalog;

/// How to print the schema.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// As a Markdown page for people instead of JSON Schema.
    #[arg(long)]
    markdown: bool,
}

pub(super) fn schema(registry: &Registry, arguments: &Arguments) -> ExitCode {
    let catalog = catalog(registry);
    if arguments.markdown {
        return print(&portreeve_config::reference_markdown(&catalog));
    }
    match serde_json::to_string_pretty(&portreeve_config::schema(&catalog)) {
        Ok(text) => print(&format!("{text}\n")),
        Err(error) => complain(&error.to_string(), FAILED),
    }
}
