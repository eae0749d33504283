//! Chains: one plugin instance for each step that the file writes, shared by every route that comes to it through `use`.

use std::collections::HashMap;
use std::sync::Arc;

use portreeve_config::{
    Config, ConfigPath, FlatStep, Mode as ConfigMode, OnError as ConfigOnError, Segment, Sources, Step as ConfigStep,
};
use portreeve_plugin::engine::{Chain, MAX_STEPS, Mode, OnError, Step};
use portreeve_plugin::{Expression, Host, Plugin, Registry};

use super::Errors;
use super::host::LoadHost;

pub(super) struct Chains<'c> {
    config: &'c Config,
    sources: &'c Sources,
    registry: &'c Registry,
    host: Arc<LoadHost>,
    /// Instances by the place of their step; `None` where building failed and was reported.
    built: HashMap<ConfigPath, Option<Instance>>,
    /// How often a step name has been given.
    names: HashMap<String, usize>,
}

#[derive(Clone)]
struct Instance {
    plugin_name: &'static str,
    name: Arc<str>,
    plugin: Arc<dyn Plugin>,
}

impl<'c> Chains<'c> {
    pub(super) fn new(config: &'c Config, sources: &'c Sources, registry: &'c Registry, host: Arc<LoadHost>) -> Self {
        Self { config, sources, registry, host, built: HashMap::new(), names: HashMap::new() }
    }

    /// Compiles the steps of the route or listener at `owner`; an empty chain after an error, which is then reported.
    pub(super) fn compile(&mut self, steps: &[ConfigStep], owner: &ConfigPath, errors: &mut Errors<'_>) -> Chain {
        let flat = self.config.flatten(steps);
        let count = flat.len();
        let steps = flat.iter().filter_map(|step| self.step(step, errors)).map(Arc::new).collect();
        Chain::new(steps).unwrap_or_else(|| {
            let path = owner.key("plugins");
            errors.at(&path, format!("{count} steps; a chain has at most {MAX_STEPS}"));
            Chain::default()
        })
    }

    fn step(&mut self, flat: &FlatStep<'_>, errors: &mut Errors<'_>) -> Option<Step> {
        // The conditions of the `use` steps on the way here hold for this step as well.
        let around = flat.uses.iter().copied().chain([flat.step]);
        let conditions: Vec<_> = around.clone().filter_map(|step| condition(step, errors)).collect();
        let observes = around.clone().any(|step| step.mode == ConfigMode::Observe);
        let skips = around.clone().any(|step| step.on_error == ConfigOnError::Skip);
        let instance = self.instance(flat, errors)?;
        let place = flat.step.at.to_string().into();
        let step = Step::new(instance.plugin_name, instance.name, place, instance.plugin)
            .when(conditions)
            .mode(if observes { Mode::Observe } else { Mode::Enforce })
            .on_error(if skips { OnError::Skip } else { OnError::Fail });
        Some(step.counted(portreeve_plugin::engine::Engine::metrics(&*self.host)))
    }

    fn instance(&mut self, flat: &FlatStep<'_>, errors: &mut Errors<'_>) -> Option<Instance> {
        let path = &flat.step.at.path;
        if let Some(built) = self.built.get(path) {
            return built.clone();
        }
        let built = self.build(flat, errors);
        self.built.insert(path.clone(), built.clone());
        built
    }

    fn build(&mut self, flat: &FlatStep<'_>, errors: &mut Errors<'_>) -> Option<Instance> {
        let path = &flat.step.at.path;
        let Some(registration) = self.registry.get(flat.plugin) else {
            errors.at(path, format!("no plugin \"{}\" in this binary", flat.plugin));
            return None;
        };
        let name = self.name(flat);
        let place = flat.step.at.to_string().into();
        let folder = self.sources.folder(path).into();
        let host = Host::new(self.host.clone(), registration.name, name.clone(), place, folder);
        match registration.build(flat.settings.clone(), &host) {
            Ok(plugin) => Some(Instance { plugin_name: registration.name, name, plugin }),
            Err(error) => {
                errors.at(&path.key(flat.plugin).join(&error.at), error.message);
                None
            }
        }
    }

    /// The step's own name, or `<chain or route>/<plugin>`, with a number from the second such step on.
    fn name(&mut self, flat: &FlatStep<'_>) -> Arc<str> {
        if let Some(name) = &flat.step.name {
            return name.shared();
        }
        let base = format!("{}/{}", self.owner(&flat.step.at.path), flat.plugin);
        let given = self.names.entry(base.clone()).or_default();
        *given += 1;
        if *given == 1 { base.into() } else { format!("{base}#{given}").into() }
    }

    fn owner(&self, path: &ConfigPath) -> String {
        match path.segments() {
            [Segment::Key(section), Segment::Key(name), ..] if &**section == "chains" => name.to_string(),
            [Segment::Key(section), Segment::Index(index), ..] => {
                let route = (&**section == "routes").then(|| self.config.routes.get(*index)).flatten();
                let listener = (&**section == "listeners").then(|| self.config.listeners.get(*index)).flatten();
                let name = route.map(|route| &route.name).or(listener.map(|listener| &listener.name));
                name.map_or_else(|| section.to_string(), ToString::to_string)
            }
            _ => path.to_string(),
        }
    }
}

/// The compiled `when` of a step.
fn condition(step: &ConfigStep, errors: &mut Errors<'_>) -> Option<Expression> {
    let text = step.when.as_deref()?;
    match Expression::parse(text) {
        Ok(expression) => Some(expression),
        Err(error) => {
            errors.within(&step.at.path.key("when"), error.offset(), error.message());
            None
        }
    }
}
