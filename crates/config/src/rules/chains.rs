//! Chains that `use` chains: no cycle; and what a list of steps amounts to once every `use` is followed.

use std::collections::HashSet;

use crate::catalog::Catalog;
use crate::path::ConfigPath;
use crate::report::Report;
use crate::sections::{BESIDE, MAX_STEPS, MAX_USE_DEPTH};
use crate::yaml::{Node, Span};

/// A plugin in a list of steps, every `use` followed.
pub(super) struct Reached<'a> {
    pub(super) plugin: &'a str,
    /// Where its name stands.
    pub(super) span: Span,
    /// Whether it acts on every request: no `when`, not observed only, not skipped when it fails.
    pub(super) always: bool,
}

/// What a list of steps amounts to.
#[derive(Default)]
pub(super) struct Reach<'a> {
    /// The plugins in the order they run.
    pub(super) plugins: Vec<Reached<'a>>,
    /// Whether there is a step that nobody knows: what is missing may be that one.
    pub(super) unsure: bool,
    /// Steps that were passed, `use` among them.
    steps: usize,
}

impl Reach<'_> {
    /// Whether the list is longer than any request should have to pass. What lies behind the limit was not looked at.
    pub(super) fn is_too_long(&self) -> bool {
        self.plugins.len() > MAX_STEPS || self.steps > MAX_LOOKED_AT
    }
}

/// Chains that use chains twice each grow beyond any bound within a few lines, even if no plugin is in them.
const MAX_LOOKED_AT: usize = 1000;

/// Follows every `use` in a list of steps.
pub(super) fn reach<'a>(root: &'a Node, steps: &'a Node, catalog: &'a Catalog) -> Reach<'a> {
    let mut walk = Walk { root, catalog, entered: Vec::new(), reach: Reach::default() };
    walk.list(steps, true);
    walk.reach
}

struct Walk<'a> {
    root: &'a Node,
    catalog: &'a Catalog,
    /// The chains the walk is in, so that a cycle ends it; cycles are reported elsewhere.
    entered: Vec<&'a str>,
    reach: Reach<'a>,
}

impl<'a> Walk<'a> {
    fn list(&mut self, steps: &'a Node, always: bool) {
        for step in steps.items() {
            self.reach.steps += 1;
            if self.reach.is_too_long() {
                return;
            }
            match step.str() {
                Some(plugin) => self.plugin(plugin, step.span, always),
                None => self.map(step, always),
            }
        }
    }

    fn map(&mut self, step: &'a Node, always: bool) {
        let conditional = step.get("when").is_some()
            || step.get("mode").and_then(Node::str) == Some("observe")
            || step.get("on_error").and_then(Node::str) == Some("skip");
        let always = always && !conditional;
        for entry in step.entries() {
            match &*entry.key.text {
                "use" => self.chain(&entry.value, always),
                key if BESIDE.contains(&key) => {}
                plugin => self.plugin(plugin, entry.key.span, always),
            }
        }
    }

    fn plugin(&mut self, plugin: &'a str, span: Span, always: bool) {
        if self.catalog.plugins.contains_key(plugin) {
            self.reach.plugins.push(Reached { plugin, span, always });
        } else {
            self.reach.unsure = true;
        }
    }

    fn chain(&mut self, name: &'a Node, always: bool) {
        let steps = name.str().and_then(|chain| Some((chain, self.root.get("chains")?.get(chain)?)));
        let Some((chain, steps)) = steps else {
            self.reach.unsure = true;
            return;
        };
        if !self.entered.contains(&chain) && self.entered.len() < MAX_USE_DEPTH {
            self.entered.push(chain);
            self.list(steps, always);
            self.entered.pop();
        }
    }
}

/// Reports each chain that uses itself, directly or through others; each cycle once.
pub(super) fn check_cycles(root: &Node, report: &mut Report) {
    let chains = root.get("chains").map(Node::entries).unwrap_or_default();
    let mut done = HashSet::new();
    for chain in chains {
        let mut search = Search { root, done: &mut done, trail: Vec::new(), report };
        search.visit(&chain.key.text);
    }
}

struct Search<'a, 'r> {
    root: &'a Node,
    /// Chains from which no unreported cycle can be reached.
    done: &'r mut HashSet<&'a str>,
    trail: Vec<&'a str>,
    report: &'r mut Report,
}

impl<'a> Search<'a, '_> {
    fn visit(&mut self, chain: &'a str) {
        if !self.done.insert(chain) {
            return;
        }
        self.trail.push(chain);
        let steps = self.root.get("chains").and_then(|chains| chains.get(chain));
        for (index, step) in steps.map(Node::items).unwrap_or_default().iter().enumerate() {
            let Some(next_node) = step.get("use") else {
                continue;
            };
            let Some(next) = next_node.str() else {
                continue;
            };
            if let Some(from) = self.trail.iter().position(|name| *name == next) {
                let mut circle: Vec<&str> = self.trail.iter().skip(from).copied().collect();
                circle.push(next);
                let path = ConfigPath::root().key("chains").key(chain).index(index).key("use");
                let message = if circle.len() == 2 {
                    format!("the chain {chain:?} uses itself")
                } else {
                    format!("chains that use each other never end: {}", circle.join(" → "))
                };
                self.report.error(path, next_node.span, message);
            } else if self.trail.len() >= MAX_USE_DEPTH {
                let path = ConfigPath::root().key("chains").key(chain).index(index).key("use");
                self.report.error(
                    path,
                    next_node.span,
                    format!("chains use each other more than {MAX_USE_DEPTH} deep"),
                );
            } else {
                self.visit(next);
            }
        }
        self.trail.pop();
    }
}
