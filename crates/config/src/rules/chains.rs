//! Chains that `use` chains: no cycle; and what a list of steps amounts to once every `use` is followed.

use std::collections::HashMap;

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

/// Reports each chain that uses itself, directly or through others, each circle once; and towers of chains.
///
/// Each chain is looked at once, however many use it, and none within another on the stack of this thread: tens of thousands
/// of chains may use each other.
pub(super) fn check_uses(root: &Node, report: &mut Report) {
    let mut search = Search { root, found: HashMap::new(), trail: Vec::new(), report };
    for chain in root.get("chains").map(Node::entries).unwrap_or_default() {
        search.from(&chain.key.text);
    }
}

/// What is known of a chain.
#[derive(Clone, Copy)]
enum Height {
    /// It is being looked at, as the so-manieth of the trail.
    Unknown(usize),
    /// So many chains stand on one another, from this one down.
    Of(usize),
    /// It uses itself, or one that does: that is reported.
    Endless,
}

/// A chain on the way from the first one down.
struct Visit<'a> {
    chain: &'a str,
    steps: &'a [Node],
    /// The step that is looked at next.
    next: usize,
    height: Height,
    /// The step that makes it as high as it is.
    highest: Option<(usize, Span)>,
}

struct Search<'a, 'r> {
    root: &'a Node,
    found: HashMap<&'a str, Height>,
    trail: Vec<Visit<'a>>,
    report: &'r mut Report,
}

impl<'a> Search<'a, '_> {
    fn from(&mut self, chain: &'a str) {
        self.enter(chain);
        while let Some(visit) = self.trail.last_mut() {
            let index = visit.next;
            let Some(step) = visit.steps.get(index) else {
                self.leave();
                continue;
            };
            visit.next += 1;
            let Some((node, next)) = step.get("use").and_then(|node| Some((node, node.str()?))) else {
                continue;
            };
            match self.found.get(next) {
                None => {
                    // It is looked at first, and this step again after it.
                    visit.next = index;
                    self.enter(next);
                }
                Some(Height::Of(below)) => {
                    if let Height::Of(height) = visit.height
                        && *below >= height
                    {
                        visit.height = Height::Of(below + 1);
                        visit.highest = Some((index, node.span));
                    }
                }
                Some(Height::Endless) => visit.height = Height::Endless,
                Some(Height::Unknown(from)) => {
                    visit.height = Height::Endless;
                    let (chain, from) = (visit.chain, *from);
                    self.circle(chain, index, node.span, from);
                }
            }
        }
    }

    fn enter(&mut self, chain: &'a str) {
        if self.found.contains_key(chain) {
            return;
        }
        self.found.insert(chain, Height::Unknown(self.trail.len()));
        let steps = self.root.get("chains").and_then(|chains| chains.get(chain));
        let steps = steps.map(Node::items).unwrap_or_default();
        self.trail.push(Visit { chain, steps, next: 0, height: Height::Of(1), highest: None });
    }

    fn leave(&mut self) {
        let Some(Visit { chain, height, highest, .. }) = self.trail.pop() else { return };
        self.found.insert(chain, height);
        // Those that use it are no news.
        if let (Height::Of(height), Some((index, span))) = (height, highest)
            && height == MAX_USE_DEPTH + 1
        {
            let path = ConfigPath::root().key("chains").key(chain).index(index).key("use");
            self.report.error(path, span, format!("chains use each other more than {MAX_USE_DEPTH} deep"));
        }
    }

    fn circle(&mut self, chain: &str, index: usize, span: Span, from: usize) {
        let path = ConfigPath::root().key("chains").key(chain).index(index).key("use");
        if self.report.errors.is_full() {
            return self.report.error(path, span, "");
        }
        let mut circle: Vec<&str> = self.trail.iter().skip(from).map(|visit| visit.chain).collect();
        circle.extend(circle.first().copied());
        let message = if circle.len() == 2 {
            format!("the chain {chain:?} uses itself")
        } else {
            format!("chains that use each other never end: {}", circle.join(" → "))
        };
        self.report.error(path, span, message);
    }
}
