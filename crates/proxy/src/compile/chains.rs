//! Chains: one plugin instance for each step that the file writes, shared by every route that comes to it through `use`.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use http::HeaderName;
use portreeve_config::units::Name;
use portreeve_config::{
    Action, Config, ConfigPath, FlatStep, Loaded, Mode as ConfigMode, OnError as ConfigOnError, Segment, Sources,
    Step as ConfigStep, Text,
};
use portreeve_plugin::engine::{Chain, MAX_STEPS, Mode, OnError, Step, Written};
use portreeve_plugin::template::{AtRequest, Phase};
use portreeve_plugin::{Expression, Host, Plugin, Registry, RequestFields};

use super::Errors;
use super::host::LoadHost;
use crate::http::strangers::Fields;

/// The loader refuses longer lists, with the place of the list.
const _: () = assert!(portreeve_config::MAX_STEPS == MAX_STEPS);

pub(super) struct Chains<'c> {
    config: &'c Config,
    sources: &'c Sources,
    registry: &'c Registry,
    host: Arc<LoadHost>,
    /// Instances by the place of their step; `None` where building failed and was reported.
    built: HashMap<ConfigPath, Option<Instance>>,
    /// Steps by where they stand and those `use` steps on the way there that change something, and chains by their steps: ten
    /// thousand routes that use the same chain share one.
    steps: HashMap<Vec<usize>, Option<Arc<Step>>>,
    /// It was told that there are too many.
    is_full: bool,
    made: HashMap<Vec<usize>, Arc<Chain>>,
    /// The first step of each name that a step has of its own, the numbers of those that have none, and the names of routes:
    /// for [`Chains::name`], which would look through the whole file for each step.
    named: HashMap<&'c Name, &'c ConfigPath>,
    numbers: HashMap<&'c ConfigPath, usize>,
    routes: HashSet<&'c Name>,
    /// The `when` of each step that has a good one, by where the step is in memory, compiled once for all ways to it.
    conditions: HashMap<usize, Expression>,
    /// What templates and expressions in the settings of steps name of a request, by the place of the step.
    mentioned: HashMap<ConfigPath, Vec<HeaderName>>,
    /// What steps do with fields of requests, by where they are in memory.
    touched: HashMap<usize, RequestFields>,
    /// What all chains together do with them.
    fields: Fields,
    /// Those that the chain of every listener sets or removes, whatever the request.
    settled: Option<HashSet<HeaderName>>,
}

#[derive(Clone)]
struct Instance {
    plugin_name: &'static str,
    name: Arc<str>,
    plugin: Arc<dyn Plugin>,
}

impl<'c> Chains<'c> {
    /// Checks every `when` of the file, also of steps that nobody comes to. `written` is what the texts of the file say.
    pub(super) fn new(
        loaded: &'c Loaded,
        written: &[Written],
        registry: &'c Registry,
        host: Arc<LoadHost>,
        errors: &mut Errors<'_>,
    ) -> Self {
        let (config, sources) = (&loaded.config, &loaded.sources);
        let mut named = HashMap::new();
        for step in config.steps() {
            if let Some(name) = &step.name {
                named.entry(name).or_insert(&step.at.path);
            }
        }
        Self {
            config,
            sources,
            registry,
            host,
            built: HashMap::new(),
            steps: HashMap::new(),
            is_full: false,
            made: HashMap::new(),
            named,
            numbers: numbers(config),
            routes: config.routes.iter().map(|route| &route.name).collect(),
            conditions: conditions(config, errors),
            mentioned: mentioned(&loaded.texts, written),
            touched: HashMap::new(),
            fields: Fields::default(),
            settled: None,
        }
    }

    /// What the steps of all chains do with fields of requests.
    pub(super) fn into_fields(self) -> Fields {
        self.fields
    }

    /// Compiles the steps of the route or listener at `owner`; an empty chain after an error, which is then reported.
    pub(super) fn compile(&mut self, steps: &[ConfigStep], owner: &ConfigPath, errors: &mut Errors<'_>) -> Arc<Chain> {
        let flat = self.config.flatten(steps);
        let steps: Vec<Arc<Step>> = flat.iter().filter_map(|step| self.shared_step(step, errors)).collect();
        let is_for_http =
            |index: usize| self.config.listeners.get(index).is_some_and(|listener| listener.tcp.is_none());
        let is_entrance = match owner.segments() {
            [Segment::Key(section), Segment::Index(index)] => &**section == "listeners" && is_for_http(*index),
            _ => false,
        };
        if is_entrance {
            self.settle(&steps);
        }
        let key = steps.iter().map(|step| Arc::as_ptr(step).addr()).collect();
        if let Some(known) = self.made.get(&key) {
            return known.clone();
        }
        self.note_fields(&steps, is_entrance);
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
        let way = flat.uses.iter().copied().filter(|step| changes_its_chain(step)).chain([flat.step]);
        let key: Vec<usize> = way.map(|step| std::ptr::from_ref(step).addr()).collect();
        if let Some(known) = self.steps.get(&key) {
            return known.clone();
        }
        if self.steps.len() >= MOST_STEPS {
            if !std::mem::replace(&mut self.is_full, true) {
                let at = flat.uses.first().copied().unwrap_or(flat.step);
                let message = format!(
                    "with this one there are more than {MOST_STEPS} steps, each counted for every `use` that has a `when`, \
                     `mode` or `on_error` of its own; write these in the chain, or in fewer chains that are used"
                );
                errors.at(&at.at.path, message);
            }
            return None;
        }
        let step = self.step(flat, errors).map(Arc::new);
        if let Some(step) = &step {
            let mentioned = self.mentioned.get(&flat.step.at.path).into_iter().flatten().cloned();
            self.touched.insert(Arc::as_ptr(step).addr(), step.request_fields().reads(mentioned));
        }
        self.steps.insert(key, step.clone());
        step
    }

    /// Notes what the steps of a chain do with fields of requests. What they read after one of them has set it is not the
    /// client's word; nor what every listener has set before.
    fn note_fields(&mut self, steps: &[Arc<Step>], is_entrance: bool) {
        let mut settled: HashSet<&HeaderName> = HashSet::new();
        if !is_entrance {
            settled.extend(self.settled.iter().flatten());
        }
        for step in steps {
            let Some(touched) = self.touched.get(&Arc::as_ptr(step).addr()) else { continue };
            for name in touched.read().iter().filter(|name| !settled.contains(name)) {
                self.fields.read(name);
            }
            touched.set().iter().for_each(|name| self.fields.set(name));
            touched.removed().iter().for_each(|name| self.fields.removed(name));
            if step.is_certain() {
                settled.extend(touched.set().iter().chain(touched.removed()));
            }
        }
    }

    /// Remembers what the chain of a listener sets or removes, beside those of the others.
    fn settle(&mut self, steps: &[Arc<Step>]) {
        let certain = steps.iter().filter(|step| step.is_certain());
        let touched = certain.filter_map(|step| self.touched.get(&Arc::as_ptr(step).addr()));
        let here: HashSet<_> = touched.flat_map(|touched| touched.set().iter().chain(touched.removed())).collect();
        let everywhere = match &self.settled {
            None => here.into_iter().cloned().collect(),
            Some(before) => before.iter().filter(|name| here.contains(name)).cloned().collect(),
        };
        self.settled = Some(everywhere);
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
        let conditions = around.clone().filter_map(|step| self.conditions.get(&std::ptr::from_ref(step).addr()));
        let conditions: Vec<_> = conditions.cloned().collect();
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

/// Steps that the chains of all routes may have together. Arbitrary: some 100 MiB.
const MOST_STEPS: usize = 100_000;

/// Whether something stands beside `use` that holds for the steps of its chain.
fn changes_its_chain(step: &ConfigStep) -> bool {
    step.when.is_some() || step.mode != ConfigMode::default() || step.on_error != ConfigOnError::default()
}

/// The conditions of steps, those that are good.
fn conditions(config: &Config, errors: &mut Errors<'_>) -> HashMap<usize, Expression> {
    let steps = config.steps().filter_map(|step| Some((step, step.when.as_deref()?)));
    let compiled = steps.filter_map(|(step, when)| {
        let condition = errors.expression(&step.at.path.key("when"), when, AtRequest::ROOTS)?;
        Some((std::ptr::from_ref(step).addr(), condition))
    });
    compiled.collect()
}

/// What the texts of steps name of a request, by the place of the step: `chains.NAME[i]`, `routes[i].plugins[j]` and
/// `listeners[i].plugins[j]`.
fn mentioned(texts: &[Text], written: &[Written]) -> HashMap<ConfigPath, Vec<HeaderName>> {
    let mut mentioned: HashMap<ConfigPath, Vec<HeaderName>> = HashMap::new();
    for (Text { path, .. }, Written { headers, .. }) in texts.iter().zip(written) {
        if headers.is_empty() {
            continue;
        }
        let is_chain = matches!(path.segments(), [Segment::Key(section), ..] if &**section == "chains");
        let step = path.segments().iter().take(if is_chain { 3 } else { 4 });
        let step = step.fold(ConfigPath::default(), |path, segment| match segment {
            Segment::Key(key) => path.key(key),
            Segment::Index(index) => path.index(*index),
        });
        mentioned.entry(step).or_default().extend(headers.iter().cloned());
    }
    mentioned
}
