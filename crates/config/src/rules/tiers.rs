//! Tiers: each says something, none builds on itself, and what belongs to one rate stands beside one rate.

use std::collections::HashMap;

use crate::path::ConfigPath;
use crate::report::Report;
use crate::units::Rate;
use crate::yaml::{Node, Span, Value};

/// What a tier must say one of.
const LIMITS: [&str; 3] = ["rate", "quota", "concurrency"];

pub(super) fn check(root: &Node, report: &mut Report) {
    let Some(tiers) = root.get("tiers") else { return };
    for tier in tiers.entries() {
        let path = ConfigPath::root().key("tiers").key(&tier.key.text);
        let line = line_of(tiers, &tier.value);
        let Some(line) = line else {
            let extends = tier.value.get("extends").map_or(tier.key.span, |node| node.span);
            report.error(
                path.key("extends"),
                extends,
                "these tiers build on each other in a circle; one must stand alone",
            );
            continue;
        };
        // What is wrong with the kind of a tier was told by its shape.
        let is_sound = line.iter().all(|tier| matches!(tier.value, Value::Map(_)));
        let is_known = line.last().is_none_or(|last| last.get("extends").is_none());
        if is_sound && is_known && !line.iter().any(|tier| LIMITS.iter().any(|key| tier.get(key).is_some())) {
            report.error(
                path.clone(),
                tier.key.span,
                "the tier limits nothing; give it a rate, a quota or concurrency",
            );
        }
        check_rate(&line, &tier.value, &path, report);
        check_quota(&tier.value, &path, report);
    }
}

/// The tier and those it builds on, as far as they are there; `None` when they go in a circle.
fn line_of<'n>(tiers: &'n Node, first: &'n Node) -> Option<Vec<&'n Node>> {
    let mut line = vec![first];
    let mut next = first;
    while let Some(base) = next.get("extends").and_then(Node::str).and_then(|name| tiers.get(name)) {
        if line.iter().any(|tier| std::ptr::eq(*tier, base)) {
            return None;
        }
        line.push(base);
        next = base;
    }
    Some(line)
}

fn check_rate(line: &[&Node], tier: &Node, path: &ConfigPath, report: &mut Report) {
    let rate = line.iter().find_map(|tier| tier.get("rate"));
    for key in ["burst", "smooth"] {
        let Some(shape) = tier.get(key) else { continue };
        match rate {
            None => report.error(path.key(key), shape.span, format!("{key} belongs to a rate, and this tier has none")),
            Some(rate) if rate.items().len() > 1 => {
                let message =
                    format!("{key} belongs to one rate, and this tier has several; keep one, or remove {key}");
                report.error(path.key(key), shape.span, message);
            }
            Some(_) => {}
        }
    }
    let is_smooth = tier.get("smooth").is_some_and(|smooth| smooth.to_json() == true);
    if let Some(burst) = tier.get("burst").filter(|_| is_smooth) {
        report.error(path.key("burst"), burst.span, "burst and smooth exclude each other; keep one");
    }
    let Some(own) = tier.get("rate") else { return };
    let mut first: HashMap<std::time::Duration, Span> = HashMap::new();
    for (index, node) in own.items().iter().enumerate() {
        let Some(rate) = node.str().and_then(|text| text.parse::<Rate>().ok()) else { continue };
        if let Some(other) = first.insert(rate.per, node.span) {
            let message = "two rates over the same span: only the lower one ever decides; keep it";
            let others = vec![("the other".into(), other)];
            report.error_with(path.key("rate").index(index), node.span, message, others);
        }
    }
}

fn check_quota(tier: &Node, path: &ConfigPath, report: &mut Report) {
    let Some(quota) = tier.get("quota") else { return };
    let path = path.key("quota");
    let one = quota.entry("window").map(|_| (path.clone(), quota));
    let many = quota.items().iter().enumerate().map(|(index, item)| (path.index(index), item));
    for (path, quota) in one.into_iter().chain(many) {
        if let (Some("rolling"), Some(zone)) = (quota.get("window").and_then(Node::str), quota.get("time_zone")) {
            report.error(path.key("time_zone"), zone.span, "a rolling window has no time zone; remove this key");
        }
    }
}
