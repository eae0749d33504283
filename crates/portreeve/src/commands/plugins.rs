//! `portreeve plugins`: the plugins of this binary.

use std::fmt::Write;
use std::process::ExitCode;

use portreeve_plugin::Registry;

use super::print;

pub(super) fn plugins(registry: &Registry) -> ExitCode {
    let width = registry.iter().map(|plugin| plugin.name.len()).max().unwrap_or(0);
    let text = registry.iter().fold(String::new(), |mut text, plugin| {
        let summary = plugin.summary().lines().collect::<Vec<_>>().join(" ");
        // Writing to a String does not fail.
        writeln!(text, "{:width$}  {summary}", plugin.name).ok();
        text
    });
    print(&text)
}
