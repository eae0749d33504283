//! Where requests go that have the path of a rule and a method that it does not name. No conflict: but whoever thinks of a
//! path as protected may not know of it.

use http::{HeaderMap, Method};

use super::{
    fresh::Fresh,
    intersect::{Intersection, intersect_paths},
};
use crate::{Lookup, Outcome, Pattern, Router, RuleId, pattern::Shape};

/// What services commonly have handlers for. OPTIONS is asked by browsers, and TRACE is for nobody.
const METHODS: [Method; 6] = [Method::GET, Method::HEAD, Method::POST, Method::PUT, Method::PATCH, Method::DELETE];

/// States of regular expressions that are looked at for all rules together. Arbitrary: about a second.
const MOST_STATES: usize = 100_000;

/// Methods that rules do not name and that others take.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OpenMethods {
    /// In the order of the rules.
    pub found: Vec<Elsewhere>,
    /// Rules of which it cannot be told: their regular expressions are too large, or there are too many.
    pub untold: Vec<RuleId>,
}

/// A method that a rule does not name, and the rule that takes it on a path of the first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Elsewhere {
    /// The rule that names other methods.
    pub rule: RuleId,
    /// The method.
    pub method: Method,
    /// A path of the rule.
    pub path: String,
    /// Who takes it there: a rule that names no methods at all, and so did not mean this one.
    pub taken_by: RuleId,
}

/// All of the rules that `is_wanted`, for plain requests without headers and query.
pub(crate) fn find(router: &Router, is_wanted: &dyn Fn(RuleId) -> bool) -> OpenMethods {
    let (fresh, headers) = (Fresh::of(router), HeaderMap::new());
    let mut found: Vec<Elsewhere> = Vec::new();
    let mut untold: Vec<RuleId> = Vec::new();
    let mut states = MOST_STATES;
    for hosted in router.hosts.iter() {
        let host = fresh.host(&hosted);
        let entries = hosted.value.places().into_iter().flatten();
        for entry in entries.filter(|entry| !entry.methods.is_empty() && is_wanted(entry.rule)) {
            let Some((_, pattern)) = router.entry(entry) else { continue };
            let Some(paths) = paths(pattern, &fresh, &mut states) else {
                untold.push(entry.rule);
                continue;
            };
            for method in METHODS {
                if entry.methods.rank(router.methods.get(&method)).is_some() {
                    continue;
                }
                let taken = paths.iter().find_map(|path| {
                    let request =
                        Lookup { method: &method, host: &host, path, query: "", headers: &headers, facts: None };
                    let Outcome::Found(other) = router.find(&request) else { return None };
                    let is_open = router.rules.get(other.rule.0).is_some_and(|rule| rule.methods.is_empty());
                    is_open.then_some((path, other.rule))
                });
                if let Some((path, taken_by)) = taken {
                    found.push(Elsewhere { rule: entry.rule, method, path: path.clone(), taken_by });
                }
            }
        }
    }
    // Each once, whichever of its paths and hosts showed it; the order of the trees is no order.
    found.sort_by(|a, b| (a.rule, a.taken_by, &a.path).cmp(&(b.rule, b.taken_by, &b.path)));
    let mut seen: Vec<Elsewhere> = Vec::new();
    for one in found {
        let mut of_rule = seen.iter().rev().take_while(|known| known.rule == one.rule);
        if !of_rule.any(|known| known.taken_by == one.taken_by && known.method == one.method) {
            seen.push(one);
        }
    }
    untold.sort_unstable();
    untold.dedup();
    OpenMethods { found: seen, untold }
}

/// Paths that stand for all that a pattern matches: one of segments that nobody names, or the shortest of a regular
/// expression, since a more specific rule may take the first of them. `None` where they cannot be told.
fn paths(pattern: &Pattern, fresh: &Fresh, states: &mut usize) -> Option<Vec<String>> {
    let Shape::Regex(regex) = &pattern.shape else {
        return Some(fresh.paths(pattern).into_iter().take(1).collect());
    };
    match intersect_paths(&[regex.as_str()], states) {
        Intersection::Members(paths) => Some(paths),
        Intersection::Empty => Some(Vec::new()),
        Intersection::TooLarge => None,
    }
}
