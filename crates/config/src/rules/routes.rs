//! Routes: each ends exactly once, and says `public: true` when strangers may call it.

use super::chains::{Reach, Reached, reach};
use crate::catalog::Catalog;
use crate::elsewhere::known_elsewhere;
use crate::path::ConfigPath;
use crate::report::Report;
use crate::sections::MAX_STEPS;
use crate::similar::list;
use crate::yaml::{Node, Span};

const ENDINGS: [&str; 3] = ["upstream", "respond", "redirect"];

/// What to say of a list of steps that is too long.
fn too_long() -> String {
    format!("more than {MAX_STEPS} steps once every use is followed")
}

pub(super) fn check(root: &Node, catalog: &Catalog, report: &mut Report) {
    let listeners = root.get("listeners").map(Node::items).unwrap_or_default();
    for (index, listener) in listeners.iter().enumerate() {
        if let Some(steps) = listener.entry("plugins")
            && reach(root, &steps.value, catalog).is_too_long()
        {
            let path = ConfigPath::root().key("listeners").index(index).key("plugins");
            report.error(path, steps.key.span, too_long());
        }
    }
    let routes = root.get("routes").map(Node::items).unwrap_or_default();
    for (index, route) in routes.iter().enumerate() {
        if route.entries().is_empty() {
            continue;
        }
        let path = ConfigPath::root().key("routes").index(index);
        let steps = route.get("plugins");
        let reached = steps.map(|steps| reach(root, steps, catalog)).unwrap_or_default();
        if reached.is_too_long() {
            let key = route.entry("plugins").map_or_else(|| label(route), |entry| entry.key.span);
            report.error(path.key("plugins"), key, too_long());
            continue;
        }
        check_endings(route, &reached, catalog, &path, report);
        check_public(route, &reached, catalog, &path, report);
    }
}

/// The place for what is wrong with a route as a whole: its name, or its beginning.
fn label(route: &Node) -> Span {
    let start = Span { end_line: route.span.line, end_column: route.span.column, ..route.span };
    route.get("name").map_or(start, |name| name.span)
}

fn check_endings(route: &Node, reach: &Reach<'_>, catalog: &Catalog, path: &ConfigPath, report: &mut Report) {
    let mut endings: Vec<(&str, Span)> = Vec::new();
    for step in &reach.plugins {
        let ends = catalog.plugins.get(step.plugin).is_some_and(|plugin| plugin.ends_chain);
        if ends && step.always {
            endings.push((step.plugin, step.span));
        }
    }
    for entry in route.entries() {
        if ENDINGS.contains(&&*entry.key.text) {
            endings.push((&entry.key.text, entry.key.span));
        }
    }
    match endings.as_slice() {
        [_] => {}
        [] => {
            // A misspelt ending is reported as an unknown key.
            let reads = !report.errors.is_full();
            let elsewhere = |key: &str| {
                let hint = known_elsewhere(&path.key(key));
                hint.is_some_and(|hint| ENDINGS.iter().any(|ending| hint.contains(&format!("here it is {ending}"))))
            };
            let slip = |key: &str| !reads || crate::similar::nearest(key, ENDINGS).is_some() || elsewhere(key);
            if reach.unsure || route.entries().iter().any(|entry| slip(&entry.key.text)) {
                return;
            }
            let plugins = catalog.plugins.iter().filter(|(_, plugin)| plugin.ends_chain);
            let plugins: Vec<String> = plugins.map(|(name, _)| name.clone()).collect();
            let or_plugin = if plugins.is_empty() {
                String::new()
            } else {
                format!(", or a step that answers ({})", plugins.join(", "))
            };
            let message = format!("this route ends nowhere; add upstream, respond or redirect{or_plugin}");
            report.error(path.clone(), label(route), message);
        }
        [first, rest @ ..] => {
            let names: Vec<String> = endings.iter().map(|(name, _)| (*name).to_owned()).collect();
            let message = format!("a route ends once, and this one ends in {}; keep one", list(&names, "and"));
            let last = rest.last().unwrap_or(first);
            report.error_with(path.clone(), last.1, message, vec![(format!("{} stands here", first.0), first.1)]);
        }
    }
}

fn check_public(route: &Node, reach: &Reach<'_>, catalog: &Catalog, path: &ConfigPath, report: &mut Report) {
    // A `public` of the wrong kind is reported as that.
    let says_public = route.get("public").is_some_and(|public| public.to_json() != serde_json::Value::Bool(false));
    let authenticates =
        |step: &&Reached<'_>| catalog.plugins.get(step.plugin).is_some_and(|plugin| plugin.authenticates);
    let mut authenticating = reach.plugins.iter().filter(authenticates);
    if says_public || authenticating.clone().any(|step| step.always) {
        return;
    }
    if let Some(sometimes) = authenticating.next() {
        let message = format!(
            "{} does not hold off every stranger here (when, mode: observe or on_error: skip); say public: true if strangers may call this route",
            sometimes.plugin
        );
        let others = vec![(format!("{} stands here", sometimes.plugin), sometimes.span)];
        return report.error_with(path.clone(), label(route), message, others);
    }
    // An unknown step may be a misspelt authenticating one.
    if reach.unsure {
        return;
    }
    let plugins = catalog.plugins.iter().filter(|(_, plugin)| plugin.authenticates);
    let plugins: Vec<String> = plugins.map(|(name, _)| name.clone()).collect();
    let add = if plugins.is_empty() { String::new() } else { format!("add one ({}) or ", plugins.join(", ")) };
    let message = format!("no step of this route authenticates the caller; {add}say public: true");
    report.error(path.clone(), label(route), message);
}
