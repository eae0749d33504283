//! `${params.NAME}` in templates: an error where the route that comes there has no such parameter in any of its paths. One that
//! only some of its paths have is fine, and so is one with a default (`${params.id:-none}`).
//!
//! Templates are in a route itself, in the settings of its steps, and in the keys by which its upstreams hash. A step of a
//! listener runs before there is a route, and has no parameters at all.

use std::cell::RefCell;
use std::collections::{BTreeSet, HashMap};

use portreeve_config::{Balance, Config, ConfigPath, FlatStep, Loaded, Route, Segment, Step};
use portreeve_plugin::engine::{Written, read_template};
use portreeve_router::{Pattern, Rule};

use super::Errors;

/// What templates want that several routes may come to.
pub(super) struct Params<'t> {
    /// What the settings of steps want, by the place of the step.
    steps: HashMap<ConfigPath, Vec<Wanted<'t>>>,
    /// What the keys of upstreams want, by the name of the upstream.
    keys: HashMap<&'t str, Wanted<'t>>,
    /// The upstreams that the settings of steps name, by the place of the step.
    leads: HashMap<ConfigPath, Vec<&'t str>>,
}

struct Wanted<'t> {
    path: ConfigPath,
    text: &'t str,
    /// The names that nothing was told of so far: what many routes come to is wrong once.
    names: RefCell<Vec<Box<str>>>,
    /// What to write where there is no such parameter.
    missing: Missing,
}

#[derive(Clone, Copy)]
enum Missing {
    /// Any default.
    Default,
    /// An empty one: a request whose key is empty goes anywhere, and those with the same text would all go to one target.
    Anywhere,
}

/// Who comes to a template.
struct Visitor<'r> {
    /// `the path of route "users"`.
    who: String,
    /// The parameters that it has.
    known: BTreeSet<&'r str>,
}

impl<'t> Params<'t> {
    /// `written` is what the texts of the file say.
    pub(super) fn of(loaded: &'t Loaded, written: &[Written]) -> Self {
        let (mut steps, mut leads) = (HashMap::<_, Vec<_>>::new(), HashMap::<_, Vec<_>>::new());
        for (text, written) in loaded.texts.iter().zip(written).filter(|(_, written)| !written.params.is_empty()) {
            let Some(step) = step_of(&text.path) else { continue };
            let names = RefCell::new(written.params.clone());
            let wanted = Wanted { path: text.path.clone(), text: &text.text, names, missing: Missing::Default };
            steps.entry(step).or_default().push(wanted);
        }
        let keys = loaded.config.upstreams.into_iter().filter_map(|(name, upstream)| {
            let Balance::Hash(text) = &upstream.balance else { return None };
            let names = wanted_params(text);
            if names.is_empty() {
                return None;
            }
            let path = ConfigPath::from("upstreams").key(name.as_str()).key("balance").key("hash");
            let names = RefCell::new(names);
            Some((name.as_str(), Wanted { path, text, names, missing: Missing::Anywhere }))
        });
        let keys: HashMap<_, _> = keys.collect();
        for reference in loaded.upstreams_of_plugins.iter().filter(|reference| keys.contains_key(&*reference.name)) {
            if let Some(step) = step_of(&reference.path) {
                leads.entry(step).or_default().push(&*reference.name);
            }
        }
        Self { steps, keys, leads }
    }

    /// Checks what the steps, the ends and the upstreams of a route want against the paths it has.
    pub(super) fn check(&self, config: &Config, index: usize, rule: &Rule, errors: &mut Errors<'_>) {
        let Some(route) = config.routes.get(index) else { return };
        let who = format!("the path of route \"{}\"", route.name);
        let visitor = Visitor { who, known: rule.paths.iter().flat_map(Pattern::names).collect() };
        for (path, text) in templates_of(route, index) {
            let names = RefCell::new(wanted_params(text));
            Wanted { path, text, names, missing: Missing::Default }.check(&visitor, errors);
        }
        self.check_steps(config, &route.plugins, &visitor, errors);
        // A condition may see to it that only requests with such a parameter go there.
        let shares = route.upstream.iter().flat_map(|shares| &**shares).filter(|share| share.when.is_none());
        let copied = route.mirror.iter().map(|mirror| &mirror.upstream);
        for upstream in shares.map(|share| &share.name).chain(copied) {
            self.check_key(upstream.as_str(), &visitor, errors);
        }
    }

    /// Checks what the steps of listeners want, where nothing is known of a path.
    pub(super) fn check_listeners(&self, config: &Config, errors: &mut Errors<'_>) {
        for listener in &config.listeners {
            let who = format!("listener \"{}\" runs this before a route is found, and", listener.name);
            self.check_steps(config, &listener.plugins, &Visitor { who, known: BTreeSet::new() }, errors);
        }
    }

    fn check_steps(&self, config: &Config, steps: &[Step], visitor: &Visitor<'_>, errors: &mut Errors<'_>) {
        if self.steps.is_empty() && self.leads.is_empty() {
            return;
        }
        // A condition may see to it that the step runs only where there is such a parameter.
        for step in config.flatten(steps).iter().filter(|step| !is_conditional(step)) {
            let at = &step.step.at.path;
            for wanted in self.steps.get(at).into_iter().flatten() {
                wanted.check(visitor, errors);
            }
            for upstream in self.leads.get(at).into_iter().flatten() {
                self.check_key(upstream, visitor, errors);
            }
        }
    }

    fn check_key(&self, upstream: &str, visitor: &Visitor<'_>, errors: &mut Errors<'_>) {
        if let Some(wanted) = self.keys.get(upstream) {
            wanted.check(visitor, errors);
        }
    }
}

impl Wanted<'_> {
    fn check(&self, visitor: &Visitor<'_>, errors: &mut Errors<'_>) {
        self.names.borrow_mut().retain(|name| {
            let is_known = visitor.known.contains(&**name);
            if !is_known {
                self.tell(name, visitor, errors);
            }
            is_known
        });
    }

    fn tell(&self, name: &str, visitor: &Visitor<'_>, errors: &mut Errors<'_>) {
        let has = match visitor.known.iter().copied().collect::<Vec<_>>().as_slice() {
            [] => "has no parameters".to_owned(),
            [only] => format!("has {only}"),
            [some @ .., last] => format!("has {} and {last}", some.join(", ")),
        };
        let hint = match self.missing {
            Missing::Default => format!("write a default: ${{params.{name}:-…}}"),
            Missing::Anywhere => format!("write ${{params.{name}:-}}, and such requests go to any target"),
        };
        let message = format!("{} has no parameter {name:?}: it {has}; where it may be missing, {hint}", visitor.who);
        let offset = self.text.find(&format!("params.{name}")).unwrap_or(0);
        errors.within(&self.path, offset, message);
    }
}

/// The templates of a route's own keys.
fn templates_of(route: &Route, index: usize) -> Vec<(ConfigPath, &str)> {
    let at = ConfigPath::from("routes").index(index);
    let mut templates = Vec::new();
    if let Some(redirect) = &route.redirect {
        templates.push((at.key("redirect").key("to"), &*redirect.to));
    }
    if let Some(respond) = &route.respond {
        let at = at.key("respond");
        templates.push((at.key("body"), &*respond.body));
        let headers = respond.headers.into_iter();
        templates.extend(headers.map(|(name, value)| (at.key("headers").key(name.as_str()), value.as_str())));
    }
    if let Some(by) = &route.split_by {
        templates.push((at.key("split_by"), by.as_str()));
    }
    templates
}

/// The path parameters that a template of the engine's own keys wants; none of one that is wrong, of which that is told.
fn wanted_params(text: &str) -> Vec<Box<str>> {
    if !text.contains("params") {
        return Vec::new();
    }
    read_template("request", text).map(|written| written.params).unwrap_or_default()
}

fn is_conditional(step: &FlatStep<'_>) -> bool {
    step.uses.iter().copied().chain([step.step]).any(|step| step.when.is_some())
}

/// The step that a text stands in: `routes[0].plugins[1]`, `chains.api[2]`.
fn step_of(path: &ConfigPath) -> Option<ConfigPath> {
    let index = path.segments().iter().skip(2).position(|segment| matches!(segment, Segment::Index(_)))?;
    Some(path.cut(index + 3))
}
