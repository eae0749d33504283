//! Goes through all places of a router for ties, and through all rules for those that never match.

use std::{collections::BTreeSet, ops::ControlFlow};

use ahash::{AHashMap, AHashSet};
use http::Method;

use super::{
    Conflict, Witness,
    cover::{Rest, rest},
    fresh::Fresh,
    intersect::{Intersection, intersect_paths},
    overlap::{Pair, overlapping},
    search::{Finding, Goal, Place, Trial, search},
};
use crate::{
    Router, RuleId, ValueMatch,
    method::MethodSet,
    pattern::Shape,
    rule::Compiled,
    tree::{Entry, Tree, visit_place},
};

/// States of regular expressions that are looked at for all rules together, for each purpose. Arbitrary: about a second.
const MOST_STATES: usize = 100_000;
/// Pairs of equally specific rules that are compared for all rules together. Arbitrary: a
/// second, and a thousand routes with one path.
const MOST_PAIRS: usize = 500_000;

/// All conflicts, in the order of the rules at which they are reported.
pub(crate) fn find_all(router: &Router) -> Vec<Conflict> {
    let mut survey = Survey {
        router,
        fresh: Fresh::of(router),
        conflicts: Vec::new(),
        tied: AHashSet::new(),
        reached: AHashSet::new(),
        taken: AHashMap::new(),
        pathless: AHashSet::new(),
        states: MOST_STATES,
        value_states: [MOST_STATES; 2],
        pairs: MOST_PAIRS,
    };
    let mut hosts: Vec<_> = router.hosts.iter().collect();
    hosts.sort_by_key(|hosted| (hosted.name, hosted.wildcard));
    for hosted in &hosts {
        let host = survey.fresh.host(hosted);
        survey.tree(hosted.value, &host);
    }
    survey.finish()
}

struct Survey<'r> {
    router: &'r Router,
    fresh: Fresh,
    conflicts: Vec<Conflict>,
    /// Rules that tie: whether they are reachable is for later.
    tied: AHashSet<RuleId>,
    /// Rules that get a request, or of which that cannot be excluded.
    reached: AHashSet<RuleId>,
    /// By whom the requests of the others are taken, and the first of these requests.
    taken: AHashMap<RuleId, (BTreeSet<RuleId>, Witness)>,
    /// Rules that have an expression which no path fits.
    pathless: AHashSet<RuleId>,
    /// So many states of regular expressions over paths may still be looked at.
    states: usize,
    /// The same over values: for ties, and for whether rules are reached, of which there may be as many as rules.
    value_states: [usize; 2],
    /// So many pairs of rules may still be compared.
    pairs: usize,
}

impl Survey<'_> {
    fn tree(&mut self, tree: &Tree, host: &str) {
        let mut places = tree.places();
        // For the same witness every time: the tree hashes with a random state.
        places.sort_by_key(|entries| entries.iter().map(|entry| (entry.rule, entry.path)).min());
        for entries in places {
            let place = Place { tree, host, entries };
            for level in entries.chunk_by(|a, b| a.rank == b.rank) {
                self.ties(place, level);
            }
            for entry in entries {
                self.reach(place, entry);
            }
        }
    }

    /// Reports each rule that ties with an earlier one, once.
    fn ties(&mut self, place: Place<'_>, level: &[Entry]) {
        for group in self.groups(level) {
            if group.iter().all(|entry| entry.is_regex) && group.len() > 2 {
                self.ties_of_expressions(place, &group);
                continue;
            }
            for (index, later) in group.iter().enumerate() {
                for earlier in group.iter().take(index) {
                    self.compare(place, earlier, later);
                }
            }
        }
    }

    fn ties_of_expressions(&mut self, place: Place<'_>, group: &[&Entry]) {
        let router = self.router;
        let expression = |entry: &&Entry| match router.entry(entry).map(|(_, pattern)| &pattern.shape) {
            Some(Shape::Regex(regex)) => regex.as_str(),
            _ => "",
        };
        let expressions: Vec<&str> = group.iter().map(expression).collect();
        for pair in overlapping(&expressions) {
            let (Pair::Close(earlier, later) | Pair::Untold(earlier, later)) = pair;
            let (Some(earlier), Some(later)) = (group.get(earlier), group.get(later)) else { continue };
            if matches!(pair, Pair::Untold(..)) {
                self.states = 0;
            }
            self.compare(place, earlier, later);
        }
    }

    /// Reports that the later rule ties with the earlier one, if it does and nothing was said of it so far.
    fn compare(&mut self, place: Place<'_>, earlier: &Entry, later: &Entry) {
        if earlier.rule == later.rule || self.tied.contains(&later.rule) {
            return;
        }
        let conflict = if self.pairs == 0 {
            let (a, b) = (earlier.rule.min(later.rule), earlier.rule.max(later.rule));
            Some(Conflict::Undecided { a, b })
        } else {
            self.pairs -= 1;
            self.tie(place, earlier, later)
        };
        if let Some(conflict) = conflict {
            self.tied.extend([earlier.rule, later.rule]);
            self.conflicts.push(conflict);
        }
    }

    /// Splits rules into groups that exclude each other, so that a thousand rules that differ in one header are not
    /// compared pair by pair.
    fn groups<'e>(&self, level: &'e [Entry]) -> Vec<Vec<&'e Entry>> {
        let first = level.first().and_then(|entry| self.router.rules.get(entry.rule.0));
        for condition in first.map_or(&[][..], |rule| &rule.conditions) {
            let exact = |entry: &Entry| {
                let rule = self.router.rules.get(entry.rule.0)?;
                rule.conditions.iter().find_map(|other| match &other.wanted {
                    ValueMatch::Exact(value) if other.source == condition.source => Some(value.as_str()),
                    _ => None,
                })
            };
            if level.iter().all(|entry| exact(entry).is_some()) {
                let mut groups: AHashMap<_, Vec<_>> = AHashMap::new();
                for entry in level {
                    groups.entry(exact(entry)).or_default().push(entry);
                }
                return groups.into_values().collect();
            }
        }
        vec![level.iter().collect()]
    }

    fn tie(&mut self, place: Place<'_>, a: &Entry, b: &Entry) -> Option<Conflict> {
        let rules = self.router;
        let (one, path) = rules.entry(a)?;
        let (two, other_path) = rules.entry(b)?;
        let methods = common_methods(rules, &self.fresh, one, two);
        if methods.is_empty() || guards_exclude(one, two) || conditions_exclude(one, two) {
            return None;
        }
        let (first, second) = (a.rule.min(b.rule), a.rule.max(b.rule));
        let undecided = Conflict::Undecided { a: first, b: second };
        let paths = match (&path.shape, &other_path.shape) {
            (Shape::Regex(one), Shape::Regex(two)) => {
                match intersect_paths(&[one.as_str(), two.as_str()], &mut self.states) {
                    Intersection::Empty => return None,
                    Intersection::TooLarge => return Some(undecided),
                    Intersection::Members(paths) => paths,
                }
            }
            _ => self.fresh.paths(path),
        };
        let trial = Trial { goal: Goal::Meet, paths: &paths, methods: &methods };
        let [for_ties, _] = &mut self.value_states;
        match search(rules, place, &[a.rule, b.rule], trial, for_ties) {
            Finding::Impossible | Finding::NoPath => None,
            Finding::Taken { is_proven: true, .. } if !a.is_regex => None,
            Finding::Undecided => Some(undecided),
            Finding::Free(witness) | Finding::Taken { witness, .. } => {
                Some(Conflict::Tie { a: first, b: second, witness })
            }
        }
    }

    /// Looks whether a rule gets any request by this path.
    fn reach(&mut self, place: Place<'_>, entry: &Entry) {
        let Some((rule, path)) = self.router.entry(entry) else {
            return;
        };
        // Of one that ties it is not asked.
        if self.reached.contains(&entry.rule) || self.tied.contains(&entry.rule) {
            return;
        }
        let methods = methods_of(self.router, &self.fresh, rule.methods);
        let methods: Vec<Method> = methods.into_iter().cloned().collect();
        let finding = match &path.shape {
            Shape::Regex(regex) => self.reach_expression(place, entry, regex.as_str(), &methods),
            Shape::Segments(_) => {
                let (paths, methods) = (self.fresh.paths(path), methods.iter().collect::<Vec<_>>());
                let trial = Trial { goal: Goal::Reach, paths: &paths, methods: &methods };
                let [_, for_reach] = &mut self.value_states;
                search(self.router, place, &[entry.rule], trial, for_reach)
            }
        };
        match finding {
            Finding::Taken { by, witness, is_proven: true } => {
                let known = self.taken.entry(entry.rule).or_insert_with(|| (BTreeSet::new(), witness));
                known.0.extend(by);
            }
            Finding::NoPath => {
                self.pathless.insert(entry.rule);
            }
            Finding::Impossible => {
                self.reached.insert(entry.rule);
                self.conflicts.push(Conflict::Impossible { rule: entry.rule });
            }
            Finding::Free(_) | Finding::Undecided | Finding::Taken { .. } => {
                self.reached.insert(entry.rule);
            }
        }
    }

    /// Looks whether a regular expression gets any request: whether those that are asked before it and take whatever has their
    /// path leave it one.
    fn reach_expression(&mut self, place: Place<'_>, entry: &Entry, expression: &str, methods: &[Method]) -> Finding {
        let mut by = BTreeSet::new();
        let mut taken = None;
        for method in methods {
            let mut covers: Vec<&Entry> = Vec::new();
            loop {
                let patterns = covers.iter().filter_map(|cover| self.router.entry(cover)).map(|(_, pattern)| pattern);
                let patterns: Vec<_> = patterns.collect();
                let path = match rest(expression, &patterns, &mut self.states) {
                    Rest::Nothing => break,
                    Rest::Path(path) if covers.len() < MOST_COVERS => path,
                    Rest::Path(_) | Rest::Untold => return Finding::Undecided,
                };
                let Some(cover) = taker(self.router, place, entry, &path, method) else { return Finding::Undecided };
                taken.get_or_insert_with(|| witness(method, place.host, &path));
                by.insert(cover.rule);
                covers.push(cover);
            }
        }
        match taken {
            Some(witness) => Finding::Taken { by, witness, is_proven: true },
            None => Finding::NoPath,
        }
    }

    fn finish(mut self) -> Vec<Conflict> {
        self.pathless.retain(|rule| !self.reached.contains(rule) && !self.taken.contains_key(rule));
        self.conflicts.extend(self.pathless.into_iter().map(|rule| Conflict::NoPath { rule }));
        for (rule, (by, witness)) in self.taken {
            if !self.reached.contains(&rule) && !self.tied.contains(&rule) {
                let by = by.into_iter().collect();
                self.conflicts.push(Conflict::Unreachable { rule, by, witness });
            }
        }
        self.conflicts.sort_by_key(Conflict::rule);
        self.conflicts
    }
}

/// So many patterns together are looked at as takers of all that an expression matches. Arbitrary.
const MOST_COVERS: usize = 32;

/// Who is asked before `own` and takes every request with this path and method.
fn taker<'r>(router: &'r Router, place: Place<'r>, own: &Entry, path: &str, method: &Method) -> Option<&'r Entry> {
    let asked = router.methods.get(method);
    let own_rank = (own.methods.rank(asked), own.rank);
    let walked = place.tree.walk(path, &mut |entries| {
        let is_own_place = std::ptr::eq(entries, place.entries);
        visit_place(entries, asked, |entry| {
            if is_own_place && (entry.methods.rank(asked), entry.rank) == own_rank {
                return ControlFlow::Break(None);
            }
            let takes = router.entry(entry).is_some_and(|(rule, pattern)| {
                let is_open = rule.conditions.is_empty() && rule.guard.is_none() && entry.rule != own.rule;
                is_open && (!entry.is_regex || pattern.matches(path))
            });
            if takes { ControlFlow::Break(Some(entry)) } else { ControlFlow::Continue(()) }
        })
    });
    match walked {
        ControlFlow::Break(taker) => taker,
        ControlFlow::Continue(()) => None,
    }
}

fn witness(method: &Method, host: &str, path: &str) -> Witness {
    let (method, host, path) = (method.clone(), host.to_owned(), path.to_owned());
    Witness { method, host, path, headers: Vec::new(), query: Vec::new(), cookies: Vec::new() }
}

/// The methods for which two rules of the same rank are equally specific.
fn common_methods<'a>(router: &'a Router, fresh: &'a Fresh, one: &Compiled, two: &Compiled) -> Vec<&'a Method> {
    let level = |method: &&Method| {
        let asked = router.methods.get(method);
        let rank = one.methods.rank(asked);
        rank.is_some() && rank == two.methods.rank(asked)
    };
    methods_of(router, fresh, one.methods).into_iter().filter(level).collect()
}

/// The methods that stand for all that a rule takes.
fn methods_of<'a>(router: &'a Router, fresh: &'a Fresh, methods: MethodSet) -> Vec<&'a Method> {
    let table = &router.methods;
    if methods.is_empty() {
        table.all().chain(fresh.method()).collect()
    } else {
        table.methods(methods.with_implied()).collect()
    }
}

fn guards_exclude(one: &Compiled, two: &Compiled) -> bool {
    match (&one.guard, &two.guard) {
        (Some(one), Some(two)) => one.excludes(two.as_ref()) || two.excludes(one.as_ref()),
        _ => false,
    }
}

/// A quick look, for the common case of rules that differ in the value of one header. The search is exact.
fn conditions_exclude(one: &Compiled, two: &Compiled) -> bool {
    one.conditions.iter().any(|one| {
        two.conditions.iter().any(|two| {
            one.source == two.source
                && match (&one.wanted, &two.wanted) {
                    (ValueMatch::Exact(one), ValueMatch::Exact(two)) => one != two,
                    (ValueMatch::Absent, two) => *two != ValueMatch::Absent,
                    (one, ValueMatch::Absent) => *one != ValueMatch::Absent,
                    _ => false,
                }
        })
    })
}
