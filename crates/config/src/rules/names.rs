//! Names: every reference has its definition, no name is given twice.

use std::collections::HashMap;

use indexmap::IndexSet;

use crate::path::ConfigPath;
use crate::report::Report;
use crate::shape::Reference;
use crate::similar::{list, nearest};
use crate::yaml::{Node, Span};

/// More names than this are not listed in a message.
const LISTED: usize = 8;
/// Only in so many findings a hint is looked for: as many as are shown.
const HINTED: usize = 100;

/// Reports references to upstreams, tiers and chains that are not there.
pub(crate) fn check_references(root: &Node, references: &[Reference], report: &mut Report) {
    let mut known: HashMap<&str, IndexSet<&str>> = HashMap::new();
    for reference in references {
        let kind = reference.kind.as_str();
        let names = known.entry(kind).or_insert_with(|| names_of(root, kind));
        if names.contains(reference.name.as_str()) {
            continue;
        }
        let name = &reference.name;
        // Looking through thousands of names takes its time: only for those that are shown.
        let hint = if report.errors.count() > HINTED {
            String::from("it is not defined")
        } else if let Some(meant) = nearest(name, names.iter().copied()) {
            format!("did you mean {meant:?}?")
        } else if names.is_empty() {
            format!("none is defined under {kind}s")
        } else if names.len() <= LISTED {
            let names: Vec<String> = names.iter().map(ToString::to_string).collect();
            format!("defined: {}", list(&names, "and"))
        } else {
            format!("{} others are defined", names.len())
        };
        let message = format!("no {kind} {name:?}; {hint}");
        report.error(reference.path.clone(), reference.span, message);
    }
}

fn names_of<'a>(root: &'a Node, kind: &str) -> IndexSet<&'a str> {
    let section = match kind {
        "upstream" => "upstreams",
        "tier" => "tiers",
        "chain" => "chains",
        _ => return IndexSet::new(),
    };
    let entries = root.get(section).map(Node::entries).unwrap_or_default();
    entries.iter().map(|entry| &*entry.key.text).collect()
}

/// Reports names given twice in lists. Maps cannot hold one twice.
pub(super) fn check_unique(root: &Node, report: &mut Report) {
    for (section, one) in [("listeners", "listener"), ("routes", "route"), ("consumers", "consumer")] {
        let mut first: HashMap<&str, Span> = HashMap::new();
        let items = root.get(section).map(Node::items).unwrap_or_default();
        for (index, item) in items.iter().enumerate() {
            let Some(name) = item.get("name") else {
                continue;
            };
            let Some(text) = name.str() else {
                continue;
            };
            if let Some(first) = first.get(text) {
                let path = ConfigPath::root().key(section).index(index).key("name");
                let message = format!("a second {one} {text:?}");
                report.error_with(path, name.span, message, vec![("first defined here".into(), *first)]);
            } else {
                first.insert(text, name.span);
            }
        }
    }
}

/// Reports a step with the name of another in the same list: their numbers would be mixed up.
pub(super) fn check_step_names(root: &Node, report: &mut Report) {
    let top = ConfigPath::root();
    for section in ["listeners", "routes"] {
        for (index, item) in root.get(section).map(Node::items).unwrap_or_default().iter().enumerate() {
            if let Some(steps) = item.get("plugins") {
                check_names_of(steps, &top.key(section).index(index).key("plugins"), report);
            }
        }
    }
    for chain in root.get("chains").map(Node::entries).unwrap_or_default() {
        check_names_of(&chain.value, &top.key("chains").key(&chain.key.text), report);
    }
}

fn check_names_of(steps: &Node, path: &ConfigPath, report: &mut Report) {
    let mut first: HashMap<&str, Span> = HashMap::new();
    for (index, step) in steps.items().iter().enumerate() {
        let Some((name, text)) = step.get("name").and_then(|name| Some((name, name.str()?))) else {
            continue;
        };
        if let Some(first) = first.get(text) {
            let message = format!("a second step {text:?} in this list; give it a name of its own");
            let others = vec![("first defined here".into(), *first)];
            report.error_with(path.index(index).key("name"), name.span, message, others);
        } else {
            first.insert(text, name.span);
        }
    }
}
