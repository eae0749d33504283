//! The last step: the tree, known to be sound, becomes types; steps and routes learn where they stand; secrets are read.

use super::Env;
use crate::diagnostic::Diagnostics;
use crate::path::ConfigPath;
use crate::sections::{Config, Step};
use crate::sources::Sources;
use crate::yaml::Node;

pub(super) fn convert(root: &Node, sources: &Sources, env: Env<'_>) -> Result<Config, Diagnostics> {
    let json = root.to_json();
    // The shape is already checked; what is left are limits that no schema states.
    let mut config: Config = serde_path_to_error::deserialize(json).map_err(|error| {
        let path = ConfigPath::root().join(&error.path().to_string());
        Diagnostics::from(sources.diagnostic(&path, error.inner().to_string()))
    })?;
    place_steps(&mut config, sources);
    read_secrets(&mut config, sources, env)?;
    Ok(config)
}

fn place_steps(config: &mut Config, sources: &Sources) {
    let top = ConfigPath::root();
    for (index, listener) in config.listeners.iter_mut().enumerate() {
        place_list(&mut listener.plugins, &top.key("listeners").index(index).key("plugins"), sources);
    }
    for (name, steps) in config.chains.values_mut() {
        place_list(steps, &top.key("chains").key(name.as_str()), sources);
    }
    for (index, route) in config.routes.iter_mut().enumerate() {
        let path = top.key("routes").index(index);
        place_list(&mut route.plugins, &path.key("plugins"), sources);
        route.at = sources.place(&path).unwrap_or_default();
    }
}

fn place_list(steps: &mut [Step], path: &ConfigPath, sources: &Sources) {
    for (index, step) in steps.iter_mut().enumerate() {
        step.at = sources.place(&path.index(index)).unwrap_or_default();
    }
}

fn read_secrets(config: &mut Config, sources: &Sources, env: Env<'_>) -> Result<(), Diagnostics> {
    let mut errors = Vec::new();
    let mut keys: Vec<(ConfigPath, String)> = Vec::new();
    for (path, secret) in config.secrets_mut() {
        let path = ConfigPath::from(path.as_str());
        match secret.source().read(env, sources.folder(&path)) {
            Ok(value) => {
                let first = keys.iter().find(|(_, known)| *known == value).map(|(first, _)| first);
                if let Some(place) = first.and_then(|first| sources.place(first)) {
                    let message = "this key has the same value as another; whose request would it be?";
                    errors.push(sources.diagnostic(&path, message).with_place("the other", &place));
                }
                if path.to_string().starts_with("consumers") {
                    keys.push((path, value.clone()));
                }
                secret.set(value);
            }
            Err(error) => errors.push(sources.diagnostic(&path, error.to_string())),
        }
    }
    if errors.is_empty() { Ok(()) } else { Err(Diagnostics::new(errors)) }
}
