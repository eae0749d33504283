//! Tiers: each says something, none builds on itself or on a tower, and what belongs to one rate stands beside one rate.

use std::collections::HashMap;

use crate::path::ConfigPath;
use crate::report::Report;
use crate::sections::MAX_LINE;
use crate::units::Rate;
use crate::yaml::{Node, Span, Value};

/// What a tier must say one of.
const LIMITS: [&str; 3] = ["rate", "quota", "concurrency"];

pub(super) fn check(root: &Node, report: &mut Report) {
    let mut tiers = Tiers::of(root);
    for entry in root.get("tiers").map(Node::entries).unwrap_or_default() {
        let tier = &entry.value;
        let path = ConfigPath::root().key("tiers").key(&entry.key.text);
        let extends = tier.get("extends").map_or(entry.key.span, |node| node.span);
        match tiers.depth(&entry.key.text) {
            Depth::Endless => {
                let message = "these tiers build on each other in a circle; one must stand alone";
                report.error(path.key("extends"), extends, message);
                continue;
            }
            // Those that build on it are no news.
            Depth::Of(depth) if depth > MAX_LINE => {
                if depth == MAX_LINE + 1 {
                    let message = format!("tiers build on each other more than {MAX_LINE} deep");
                    report.error(path.key("extends"), extends, message);
                }
                continue;
            }
            Depth::Of(_) => {}
        }
        let line = tiers.line(tier);
        // What is wrong with the kind of a tier was told by its shape.
        let is_sound = line.iter().all(|tier| matches!(tier.value, Value::Map(_)));
        let is_known = line.last().is_none_or(|last| last.get("extends").is_none());
        if is_sound && is_known && !line.iter().any(|tier| LIMITS.iter().any(|key| tier.get(key).is_some())) {
            report.error(
                path.clone(),
                entry.key.span,
                "the tier limits nothing; give it a rate, a quota or concurrency",
            );
        }
        check_rate(&line, tier, &path, report);
        check_quota(tier, &path, report);
    }
}

/// All tiers by name: thousands of them may build on one another.
struct Tiers<'n> {
    nodes: HashMap<&'n str, &'n Node>,
    depths: HashMap<&'n str, Depth>,
}

/// How many tiers stand on one another, from this one down.
#[derive(Clone, Copy)]
enum Depth {
    Of(usize),
    /// They go in a circle.
    Endless,
}

impl<'n> Tiers<'n> {
    fn of(root: &'n Node) -> Self {
        let entries = root.get("tiers").map(Node::entries).unwrap_or_default();
        let nodes = entries.iter().map(|entry| (&*entry.key.text, &entry.value)).collect();
        Self { nodes, depths: HashMap::new() }
    }

    /// The name and the node of the tier that this one builds on, if it is there.
    fn base(&self, tier: &Node) -> Option<(&'n str, &'n Node)> {
        let name = tier.get("extends").and_then(Node::str)?;
        self.nodes.get_key_value(name).map(|(name, node)| (*name, *node))
    }

    fn depth(&mut self, name: &'n str) -> Depth {
        // Those on the way down of which nothing is known yet. While they are looked at they are endless: who comes back to
        // them goes in a circle.
        let (mut way, mut next) = (Vec::new(), self.nodes.get_key_value(name).map(|(name, node)| (*name, *node)));
        let mut depth = Depth::Of(0);
        while let Some((name, tier)) = next {
            if let Some(known) = self.depths.get(name) {
                depth = *known;
                break;
            }
            self.depths.insert(name, Depth::Endless);
            way.push(name);
            next = self.base(tier);
        }
        for name in way.into_iter().rev() {
            if let Depth::Of(below) = depth {
                depth = Depth::Of(below + 1);
            }
            self.depths.insert(name, depth);
        }
        depth
    }

    /// The tier and those it builds on, as far as they are there. Not for a circle.
    fn line(&self, tier: &'n Node) -> Vec<&'n Node> {
        std::iter::successors(Some(tier), |tier| self.base(tier).map(|(_, base)| base)).take(MAX_LINE).collect()
    }
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
