//! The plugins a binary knows: name, settings schema and constructor of each. Filled by visible lines of code, never by a linker.

use std::collections::BTreeMap;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use serde_json::Value;

use crate::chain::fence;
use crate::error::BuildError;
use crate::host::Host;
use crate::plugin::{Build, Hooks, Plugin};

/// The plugins a binary knows, by name.
#[derive(Debug, Clone, Default)]
pub struct Registry(BTreeMap<&'static str, Registration>);

/// One plugin as the registry knows it: data and two functions, no trait object.
#[derive(Clone)]
pub struct Registration {
    /// Its name in `gateway.yaml`.
    pub name: &'static str,
    /// Whether a request that passed it is authenticated.
    pub authenticates: bool,
    /// Whether a route may end in it.
    pub ends_chain: bool,
    /// The crate it comes from, as `tracing` names it.
    pub module: &'static str,
    /// JSON Schema (2020-12) of its settings.
    pub schema: Value,
    build: Constructor,
}

type Constructor = fn(Value, &Host) -> Result<Arc<dyn Plugin>, BuildError>;

impl Registry {
    /// Knows nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a plugin. A later one of the same name takes the place of the earlier, so that a gateway can replace a built-in.
    #[must_use]
    pub fn with<P: Build>(mut self) -> Self {
        self.0.insert(P::NAME, Registration::of::<P>());
        self
    }

    /// The plugin called `name`.
    pub fn get(&self, name: &str) -> Option<&Registration> {
        self.0.get(name)
    }

    /// All of them, by name.
    pub fn iter(&self) -> impl Iterator<Item = &Registration> {
        self.0.values()
    }
}

impl Registration {
    /// The registration of `P`.
    pub fn of<P: Build>() -> Self {
        let mut generator = schemars::generate::SchemaSettings::draft2020_12().into_generator();
        Self {
            name: P::NAME,
            authenticates: P::AUTHENTICATES,
            ends_chain: P::ENDS_CHAIN,
            module: std::any::type_name::<P>().split("::").next().unwrap_or_default(),
            schema: generator.root_schema_for::<P::Config>().to_value(),
            build: build::<P>,
        }
    }

    /// The first paragraph of the settings' documentation.
    pub fn summary(&self) -> &str {
        let text = self.schema.get("description").and_then(Value::as_str).unwrap_or("");
        text.split("\n\n").next().unwrap_or("")
    }

    /// Makes an instance from its settings.
    ///
    /// # Errors
    /// With the path of the setting at fault. A constructor that panics has failed like any other.
    pub fn build(&self, config: Value, host: &Host) -> Result<Arc<dyn Plugin>, BuildError> {
        // What the constructor had made is dropped while unwinding, and nothing of it is used again.
        let built = catch_unwind(AssertUnwindSafe(|| (self.build)(config, host)));
        built.unwrap_or_else(|panic| Err(BuildError::new(format!("the plugin panicked: {}", fence::message(&*panic)))))
    }
}

fn build<P: Build>(config: Value, host: &Host) -> Result<Arc<dyn Plugin>, BuildError> {
    // A step written as a bare name has no settings: the same as an empty map.
    let config = if config.is_null() { Value::Object(serde_json::Map::new()) } else { config };
    let config = serde_path_to_error::deserialize(config).map_err(|error| {
        let at = error.path().to_string();
        BuildError::at(if at == "." { String::new() } else { at }, error.into_inner().to_string())
    })?;
    Ok(Arc::new(P::build(config, host)?))
}

impl fmt::Debug for Registration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Registration({})", self.name)
    }
}

/// The hooks an instance takes part in, by method name.
pub fn hook_names(plugin: &dyn Plugin) -> Vec<&'static str> {
    let hooks: Hooks = plugin.hooks();
    hooks.names().collect()
}

#[cfg(test)]
mod tests;
