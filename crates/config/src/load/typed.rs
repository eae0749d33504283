//! The last step: the tree becomes types; steps and routes learn where they stand; secrets are read.

use std::collections::HashMap;

use serde_json::Value as Json;

use super::{Env, salvage};
use crate::diagnostic::Diagnostics;
use crate::doubt::Doubts;
use crate::path::{ConfigPath, Segment};
use crate::sections::{Config, Step};
use crate::shape::Reference;
use crate::sources::Sources;

/// A type tells one error at a time: so often the rest is tried again without what it refused.
const MOST_ROUNDS: usize = 100;
/// As many values may be tried in all rounds together. (Arbitrary: about a second.)
const MOST_VALUES: usize = 1_000_000;

/// The types, or what is sound of them when there are `errors`; `None` when nothing can be read. What is found here is
/// added to `errors`.
pub(super) fn convert(
    sources: &Sources,
    values: usize,
    references: &[Reference],
    doubts: &mut Doubts,
    errors: &mut Diagnostics,
    env: Env<'_>,
) -> Option<Config> {
    let root = sources.root.as_ref()?;
    let mut json = if errors.is_empty() { root.to_json() } else { salvage::salvage(root, doubts, references) };
    let mut config = None;
    for _ in 0..MOST_ROUNDS.min(1 + MOST_VALUES / values.max(1)) {
        match read(json) {
            Ok(read) => {
                config = Some(read);
                break;
            }
            // The shape is already checked; what is left are limits that no schema states.
            Err((path, message)) => {
                let is_known = doubts.is_wrong_itself(&path);
                errors.add(|| sources.diagnostic(&path, message));
                if is_known {
                    break;
                }
                doubts.insert(path);
                json = salvage::salvage(root, doubts, references);
            }
        }
    }
    let mut config = config?;
    place_steps(&mut config, sources);
    read_secrets(&mut config, sources, doubts, errors, env);
    Some(config)
}

fn read(json: Json) -> Result<Config, (ConfigPath, String)> {
    serde_path_to_error::deserialize(json)
        .map_err(|error| (ConfigPath::root().join(&error.path().to_string()), error.inner().to_string()))
}

fn place_steps(config: &mut Config, sources: &Sources) {
    let top = ConfigPath::root();
    // Kept for as long as the configuration is: without the room that growing left.
    config.routes.shrink_to_fit();
    for (index, listener) in config.listeners.iter_mut().enumerate() {
        place_list(&mut listener.plugins, &top.key("listeners").index(index).key("plugins"), sources);
    }
    for (name, steps) in config.chains.values_mut() {
        place_list(steps, &top.key("chains").key(name.as_str()), sources);
    }
    let routes = top.key("routes");
    for (index, route) in config.routes.iter_mut().enumerate() {
        let path = routes.index(index);
        place_list(&mut route.plugins, &path.key("plugins"), sources);
        route.at = sources.place(&path).unwrap_or_default();
    }
}

fn place_list(steps: &mut [Step], path: &ConfigPath, sources: &Sources) {
    for (index, step) in steps.iter_mut().enumerate() {
        step.at = sources.place(&path.index(index)).unwrap_or_default();
    }
}

fn read_secrets(config: &mut Config, sources: &Sources, doubts: &mut Doubts, errors: &mut Diagnostics, env: Env<'_>) {
    let mut keys: HashMap<String, ConfigPath> = HashMap::new();
    for (path, secret) in config.secrets_mut() {
        let path = ConfigPath::from(path.as_str());
        match secret.source().read(env, sources.folder(&path)) {
            Ok(value) => {
                if let Some(place) = keys.get(&value).and_then(|first| sources.place(first)) {
                    let message = "this key has the same value as another; whose request would it be?";
                    errors.add(|| sources.diagnostic(&path, message).with_place("the other", &place));
                    doubts.insert(path.clone());
                }
                if matches!(path.segments().first(), Some(Segment::Key(section)) if **section == *"consumers") {
                    keys.entry(value.clone()).or_insert(path);
                }
                secret.set(value);
            }
            Err(error) => {
                errors.add(|| sources.diagnostic(&path, error.to_string()));
                doubts.insert(path);
            }
        }
    }
}
