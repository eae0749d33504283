//! Chains: one plugin instance for each step that the file writes, shared by every route that comes to it through `use`.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use portreeve_config::units::Name;
use portreeve_config::{
    Action, Config, ConfigPath, FlatStep, Mode as ConfigMode, OnError as ConfigOnError, Segment, Sources,
    Step as ConfigStep,
};
use portreeve_plugin::engine::{Chain, MAX_STEPS, Mode, OnError, Step};
use portreeve_plugin::template::AtRequest;
use portreeve_plugin::{Expression, Host, Plugin, Registry};

use super::Errors;
use super::host::LoadHost;

/// The loader refuses longer lists, with the place of the list.
const _: () = assert!(portreeve_config::MAX_STEPS == MAX_STEPS);

pub(super) struct Chains<'c> {
    config: &'c Config,
    sources: &'c Sources,
    registry: &'c Registry,
    host: Arc<LoadHost>,
    /// Instances by the place of their step; `None` where building failed and was reported.
    built: HashMap<ConfigPath, Option<Instance>>,
    /// Steps by where they stand and the `use` steps on the way there, and chains by their steps: ten thousand routes that
    /// use the same chain share one.
    steps: HashMap<Vec<usize>, Option<Arc<Step>>>,
    made: HashMap<Vec<usize>, Arc<Chain>>,
    /// The first step of each name that a step has of its own, the numbers of those that have none, and the names of routes:
    /// for [`Chains::name`], which would look through the whole file for each step.
    named: HashMap<&'c Name, &'c ConfigPath>,
    numbers: HashMap<&'c ConfigPath, usize>,
    routes: HashSet<&'c Name>,
}

#[derive(Clone)]
struct Instance {
    plugin_name: &'static str,
    name: Arc<str>,
    plugin: Arc<dyn Plugin>,
}

impl<'c> Chains<'c> {
    pub(super) fn new(config: &'c Config, sources: &'c Sources, registry: &'c Registry, host: Arc<LoadHost>) -> Self {
        let mut named = HashMap::new();
        for step in config.steps() {
            if let Some(name) = &step.name {
                named.entry(name).or_insert(&step.at.path);
            }
        }
        let (built, steps, made) = (HashMap::new(), HashMap::new(), HashMap::new());
        let routes = config.routes.iter().map(|route| &route.name).collect();
        Self { config, sources, registry, host, built, steps, made, named, numbers: numbers(config), routes }
    }

    /// Compiles the steps of the route or listener at `owner`; an empty chain after an error, which is then reported.
    pub(super) fn compile(&mut self, steps: &[ConfigStep], owner: &ConfigPath, errors: &mut Errors<'_>) -> Arc<Chain> {
        let flat = self.config.flatten(steps);
        let steps: Vec<Arc<Step>> = flat.iter().filter_map(|step| self.shared_step(step, errors)).collect();
        let key = steps.iter().map(|step| Arc::as_ptr(step).addr()).collect();
        if let Some(known) = self.made.get(&key) {
            return known.clone();
        }
        let chain = Arc::new(Chain::new(steps).unwrap_or_else(|| {
            // The loader counts as well, so that this is a configuration that no loader made.
            errors.at(&owner.key("plugins"), format!("more than {MAX_STEPS} steps"));
            Chain::default()
        }));
        self.made.insert(key, chain.clone());
        chain
    }

    /// The step, made once for all lists that come to it on the same way. Addresses tell the ways apart: the configuration
    /// outlives this, and stays where it is.
    fn shared_step(&mut self, flat: &FlatStep<'_>, errors: &mut Errors<'_>) -> Option<Arc<Step>> {
        let way = flat.uses.iter().copied().chain([flat.step]);
        let key: Vec<usize> = way.map(|step| std::ptr::from_ref(step).addr()).collect();
        if let Some(known) = self.steps.get(&key) {
            return known.clone();
        }
        let step = self.step(flat, errors).map(Arc::new);
        self.steps.insert(key, step.clone());
        step
    }

    /// Checks every `when` of the file, also of steps that nobody comes to.
    pub(super) fn conditions(&self, errors: &mut Errors<'_>) {
        for step in self.config.steps() {
            if let Some(Err(error)) = step.when.as_deref().map(Expression::<AtRequest>::parse) {
                errors.within(&step.at.path.key("when"), error.offset(), error.message());
            }
        }
    }

    /// Builds the steps of chains that nobody uses, once, to see what is wrong with them.
    pub(super) fn unused(&mut self, errors: &mut Errors<'_>) {
        let config = self.config;
        for step in config.chains.into_iter().flat_map(|(_, steps)| steps) {
            if let Action::Plugin { plugin, settings } = &step.action {
                self.instance(&FlatStep { step, plugin, settings, uses: Vec::new() }, errors);
            }
        }
    }

    fn step(&mut self, flat: &FlatStep<'_>, errors: &mut Errors<'_>) -> Option<Step> {
        // The conditions of the `use` steps on the way here hold for this step as well.
        let around = flat.uses.iter().copied().chain([flat.step]);
        let conditions = around.clone().filter_map(|step| Expression::parse(step.when.as_deref()?).ok());
        let conditions: Vec<_> = conditions.collect();
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
        // What is wrong with a text in its settings was told there.
        if !errors.doubts.is_sound(&path.key(flat.plugin)) {
            return None;
        }
        let name = self.name(flat);
        self.host.before_building();
        let place = flat.step.at.to_string().into();
        let folder = self.sources.folder(path).into();
        let host = Host::new(self.host.clone(), registration.name, name.clone(), place, folder);
        match registration.build(flat.settings.clone(), &host) {
            Ok(plugin) => Some(Instance { plugin_name: registration.name, name, plugin }),
            Err(_) if self.host.has_misled() => None,
            Err(error) => {
                errors.at(&path.key(flat.plugin).join(&error.at), error.message);
                None
            }
        }
    }

    /// The step's own name, or `<chain or route>/<plugin>`, with a number from the second step of that plugin on. Steps of
    /// other plugins and of other lists do not count, so that what is written elsewhere leaves the name as it is. A name of
    /// its own that a step of an earlier list has already is told apart by the list: what steps keep under their names (counts
    /// of a limit, say) is shared where the file says `share`, and not by accident.
    fn name(&self, flat: &FlatStep<'_>) -> Arc<str> {
        let path = &flat.step.at.path;
        let owner = self.owner(path);
        if let Some(name) = &flat.step.name {
            let is_first = self.named.get(name).is_none_or(|first| *first == path);
            return if is_first { name.shared() } else { format!("{owner}:{name}").into() };
        }
        let name = format!("{owner}/{}", flat.plugin);
        match self.numbers.get(path) {
            None | Some(0) => name.into(),
            Some(earlier) => format!("{name}#{}", earlier + 1).into(),
        }
    }

    /// What a list of steps is called. Where a chain, a route and a listener share a name, the chain has it.
    fn owner(&self, path: &ConfigPath) -> String {
        let config = self.config;
        let is_chain = |name: &Name| config.chains.get(name.as_str()).is_some();
        match path.segments() {
            [Segment::Key(section), Segment::Key(name), ..] if &**section == "chains" => name.to_string(),
            [Segment::Key(section), Segment::Index(index), ..] if &**section == "routes" => {
                let Some(route) = config.routes.get(*index) else { return path.to_string() };
                format!("{}{}", if is_chain(&route.name) { "route:" } else { "" }, route.name)
            }
            [Segment::Key(_), Segment::Index(index), ..] => {
                let Some(listener) = config.listeners.get(*index) else { return path.to_string() };
                let name = &listener.name;
                let is_taken = is_chain(name) || self.routes.contains(name);
                format!("{}{name}", if is_taken { "listener:" } else { "" })
            }
            _ => path.to_string(),
        }
    }
}

/// Of each step without a name of its own, how many such steps of the same plugin stand before it in its list.
fn numbers(config: &Config) -> HashMap<&ConfigPath, usize> {
    let listeners = config.listeners.iter().map(|listener| &listener.plugins);
    let chains = config.chains.into_iter().map(|(_, steps)| steps);
    let lists = listeners.chain(chains).chain(config.routes.iter().map(|route| &route.plugins));
    let mut numbers = HashMap::new();
    for list in lists {
        let mut before: HashMap<&str, usize> = HashMap::new();
        for step in list {
            if let (None, Action::Plugin { plugin, .. }) = (&step.name, &step.action) {
                let count = before.entry(plugin).or_default();
                // Most are the first of their plugin: they need no number.
                if *count > 0 {
                    numbers.insert(&step.at.path, *count);
                }
                *count += 1;
            }
        }
    }
    numbers
}
