//! From a path to a configuration, with the plugins of this binary.

use std::path::Path;

use portreeve_config::{Catalog, Diagnostics, Loaded, PluginInfo};
use portreeve_plugin::Registry;

/// The plugins of a registry as the loader wants them: as data.
pub(crate) fn catalog(registry: &Registry) -> Catalog {
    let plugins = registry.iter().map(|plugin| {
        let info = PluginInfo {
            schema: plugin.schema.clone(),
            authenticates: plugin.authenticates,
            ends_chain: plugin.ends_chain,
            summary: plugin.summary().to_owned(),
        };
        (plugin.name.to_owned(), info)
    });
    Catalog { plugins: plugins.collect() }
}

/// Loads a file with the environment of this process.
///
/// # Errors
/// Every error in the file.
pub(crate) fn load(path: &Path, registry: &Registry) -> Result<Loaded, Diagnostics> {
    portreeve_config::load(path, &catalog(registry), &|name| std::env::var(name).ok())
}
