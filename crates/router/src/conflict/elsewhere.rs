//! Where requests go that have the path of a rule and a method that it does not name. No conflict: but whoever thinks of a
//! path as protected may not know of it.

use http::{HeaderMap, Method};

use super::fresh::Fresh;
use crate::{Lookup, Outcome, Router, RuleId};

/// What services commonly have handlers for. OPTIONS is asked by browsers, and TRACE is for nobody.
const METHODS: [Method; 6] = [Method::GET, Method::HEAD, Method::POST, Method::PUT, Method::PATCH, Method::DELETE];

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

/// All of them, in the order of the rules, for plain requests without headers and query. Rules whose path is a regular
/// expression are left out.
pub(crate) fn find(router: &Router) -> Vec<Elsewhere> {
    let (fresh, headers) = (Fresh::of(router), HeaderMap::new());
    let mut found: Vec<Elsewhere> = Vec::new();
    for hosted in router.hosts.iter() {
        let host = fresh.host(&hosted);
        for entry in hosted.value.places().into_iter().flatten().filter(|entry| !entry.methods.is_empty()) {
            let Some((_, pattern)) = router.entry(entry) else { continue };
            let Some(path) = fresh.paths(pattern).into_iter().next() else { continue };
            for method in METHODS {
                if entry.methods.rank(router.methods.get(&method)).is_some() {
                    continue;
                }
                let request =
                    Lookup { method: &method, host: &host, path: &path, query: "", headers: &headers, facts: None };
                if let Outcome::Found(other) = router.find(&request)
                    && router.rules.get(other.rule.0).is_some_and(|rule| rule.methods.is_empty())
                {
                    let taken_by = other.rule;
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
    seen
}
