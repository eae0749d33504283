//! `${params.NAME}` in templates: an error where the route that comes there has no such parameter in any of its paths. One that
//! only some of its paths have is fine, and so is one with a default (`${params.id:-none}`).

use std::cell::RefCell;
use std::collections::{BTreeSet, HashMap, HashSet};

use portreeve_config::{Config, ConfigPath, FlatStep, Language, Segment, Text};
use portreeve_plugin::engine::wanted_params;
use portreeve_router::{Pattern, Rule};

use super::Errors;

/// What the settings of each step want.
pub(super) struct Params<'t> {
    /// By the place of the step.
    wanted: HashMap<ConfigPath, Vec<Wanted<'t>>>,
    /// What was told: a chain that many routes use is wrong once.
    told: RefCell<HashSet<(&'t ConfigPath, String)>>,
}

struct Wanted<'t> {
    text: &'t Text,
    names: Vec<String>,
}

impl<'t> Params<'t> {
    pub(super) fn of(texts: &'t [Text]) -> Self {
        let mut wanted: HashMap<ConfigPath, Vec<Wanted<'t>>> = HashMap::new();
        for text in texts.iter().filter(|text| text.language == Language::Template) {
            let names = wanted_params(&text.moment, &text.text);
            if let Some(step) = step_of(&text.path).filter(|_| !names.is_empty()) {
                wanted.entry(step).or_default().push(Wanted { text, names });
            }
        }
        Self { wanted, told: RefCell::default() }
    }

    /// Checks what the steps and the end of a route want against the paths it has.
    pub(super) fn check(&self, config: &Config, index: usize, rule: &Rule, errors: &mut Errors<'_>) {
        let Some(route) = config.routes.get(index) else { return };
        let known: BTreeSet<&str> = rule.paths.iter().flat_map(Pattern::names).collect();
        let at = ConfigPath::from("routes").index(index);
        if let Some(redirect) = &route.redirect {
            let wanted = wanted_params("request", &redirect.to);
            tell(&wanted, &known, route.name.as_str(), &at.key("redirect").key("to"), &redirect.to, errors);
        }
        if let Some(respond) = &route.respond {
            let wanted = wanted_params("request", &respond.body);
            tell(&wanted, &known, route.name.as_str(), &at.key("respond").key("body"), &respond.body, errors);
            for (name, value) in &respond.headers {
                let at = at.key("respond").key("headers").key(name.as_str());
                tell(&wanted_params("request", value), &known, route.name.as_str(), &at, value, errors);
            }
        }
        if let Some(by) = &route.split_by {
            tell(&wanted_params("request", by), &known, route.name.as_str(), &at.key("split_by"), by, errors);
        }
        if self.wanted.is_empty() {
            return;
        }
        for step in config.flatten(&route.plugins) {
            // A condition may see to it that the step runs only where there is such a parameter.
            if is_conditional(&step) {
                continue;
            }
            for Wanted { text, names } in self.wanted.get(&step.step.at.path).into_iter().flatten() {
                let news = names.iter().filter(|name| !known.contains(name.as_str()));
                let mut told = self.told.borrow_mut();
                let news: Vec<String> =
                    news.filter(|name| told.insert((&text.path, (*name).clone()))).cloned().collect();
                tell(&news, &known, route.name.as_str(), &text.path, &text.text, errors);
            }
        }
    }
}

fn is_conditional(step: &FlatStep<'_>) -> bool {
    step.uses.iter().copied().chain([step.step]).any(|step| step.when.is_some())
}

/// The step that a text stands in: `routes[0].plugins[1]`, `chains.api[2]`.
fn step_of(path: &ConfigPath) -> Option<ConfigPath> {
    let index = path.segments().iter().skip(2).position(|segment| matches!(segment, Segment::Index(_)))?;
    Some(path.cut(index + 3))
}

fn tell(wanted: &[String], known: &BTreeSet<&str>, route: &str, at: &ConfigPath, text: &str, errors: &mut Errors<'_>) {
    for name in wanted.iter().filter(|name| !known.contains(name.as_str())) {
        let has = match known.iter().copied().collect::<Vec<_>>().as_slice() {
            [] => "has no parameters".to_owned(),
            [only] => format!("has {only}"),
            [some @ .., last] => format!("has {} and {last}", some.join(", ")),
        };
        let message = format!(
            "the path of route \"{route}\" has no parameter {name:?}: it {has}; \
             where it may be missing, write a default: ${{params.{name}:-…}}"
        );
        let offset = text.find(&format!("params.{name}")).unwrap_or(0);
        errors.within(at, offset, message);
    }
}
