//! From a path to a configuration, with the plugins of this binary.

use std::path::Path;

use portreeve_config::{Catalog, Loaded, PluginInfo, Refused};
use portreeve_plugin::Registry;
use portreeve_proxy::{Engine, StartError};

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

/// Loads a file with the environment of this process. What is sound of a file with errors is compiled as well, so that
/// all that can be told of it is told at once.
///
/// # Errors
/// Every error in the file.
pub(crate) fn load(path: &Path, registry: &Registry) -> Result<Loaded, Box<Refused>> {
    let loaded = portreeve_config::examine(path, &catalog(registry), &|name| std::env::var(name).ok());
    loaded.map_err(|mut refused| {
        let later = refused.rest.as_deref().map(|rest| Engine::check(rest, registry));
        if let Some(Err(StartError::Config(more))) = later {
            refused.errors = refused.errors.and(more);
        }
        refused
    })
}

#[cfg(test)]
mod tests;
