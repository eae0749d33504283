//! What a lookup considers, and why it passes over what it passes over: for explanations, not for the request path.

use std::ops::ControlFlow;

use crate::{
    Lookup, Pattern, Router, RuleId,
    condition::Source,
    method::MethodSet,
    path::as_read,
    rule::Compiled,
    tree::{Entry, visit_place},
};

/// A rule whose host and path fit a request.
#[derive(Debug, Clone, Copy)]
pub struct Considered<'r> {
    /// The rule.
    pub rule: RuleId,
    /// Which of its paths; 0 for a rule without paths.
    pub path_index: usize,
    /// That path.
    pub pattern: &'r Pattern,
    /// Why the rule does not take the request; nothing if it would.
    pub miss: Option<Miss<'r>>,
}

/// The first thing about a rule that does not hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Miss<'r> {
    /// It names other methods.
    Method,
    /// The condition on this header field.
    Header(&'r str),
    /// The condition on this query parameter.
    Query(&'r str),
    /// The condition on this cookie.
    Cookie(&'r str),
    /// The guard.
    Guard,
}

impl Router {
    /// All rules whose host and path fit, in the order in which [`Router::find`] asks them; those with other methods
    /// stand behind their equals. The first without a miss is the one that `find` finds. Allocates.
    pub fn consider<'r>(&'r self, request: &Lookup<'_>) -> Vec<Considered<'r>> {
        let asked = self.methods.get(request.method);
        let path = as_read(request.path);
        let request = &Lookup { path: &path, ..*request };
        let mut all = Vec::new();
        let visited: ControlFlow<()> = self.hosts.visit(request.host, |tree| {
            tree.walk(request.path, &mut |place| {
                self.consider_place(place, asked, request, &mut all);
                ControlFlow::Continue(())
            })
        });
        match visited {
            ControlFlow::Continue(()) | ControlFlow::Break(()) => all,
        }
    }

    fn consider_place<'r>(
        &'r self,
        place: &'r [Entry],
        asked: MethodSet,
        request: &Lookup<'_>,
        all: &mut Vec<Considered<'r>>,
    ) {
        let mut add = |entry: &Entry, by_method: Option<Miss<'r>>| {
            if let Some((rule, pattern)) = self.entry(entry)
                && (!entry.is_regex || pattern.fits(request.path))
            {
                let miss = by_method.or_else(|| miss(rule, request));
                all.push(Considered { rule: entry.rule, path_index: entry.path, pattern, miss });
            }
        };
        let visited: ControlFlow<()> = visit_place(place, asked, |entry| {
            add(entry, None);
            ControlFlow::Continue(())
        });
        if visited.is_continue() {
            let others = place.iter().filter(|entry| entry.methods.rank(asked).is_none());
            others.for_each(|entry| add(entry, Some(Miss::Method)));
        }
    }
}

fn miss<'r>(rule: &'r Compiled, request: &Lookup<'_>) -> Option<Miss<'r>> {
    let failed = rule.conditions.iter().find(|condition| !condition.holds(request));
    match failed.map(|condition| &condition.source) {
        Some(Source::Header(name)) => Some(Miss::Header(name.as_str())),
        Some(Source::Query(name)) => Some(Miss::Query(name)),
        Some(Source::Cookie(name)) => Some(Miss::Cookie(name)),
        None if rule.holds(request) => None,
        None => Some(Miss::Guard),
    }
}
