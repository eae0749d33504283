//! Goes through all places of a router for ties, and through all rules for those that never match.

use std::collections::BTreeSet;

use ahash::{AHashMap, AHashSet};
use http::Method;

use super::{
    Conflict, Witness,
    fresh::Fresh,
    intersect::{Intersection, intersect_paths},
    search::{Finding, Goal, Place, Trial, search},
};
use crate::{
    Router, RuleId, ValueMatch,
    method::MethodSet,
    pattern::Shape,
    rule::Compiled,
    tree::{Entry, Tree},
};

/// All conflicts, in the order of the rules at which they are reported.
pub(crate) fn find_all(router: &Router) -> Vec<Conflict> {
    let mut survey = Survey {
        router,
        fresh: Fresh::of(router),
        conflicts: Vec::new(),
        tied: AHashSet::new(),
        reached: AHashSet::new(),
        taken: AHashMap::new(),
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
            for (index, later) in group.iter().enumerate() {
                for earlier in group.iter().take(index) {
                    if earlier.rule == later.rule || self.tied.contains(&later.rule) {
                        continue;
                    }
                    if let Some(conflict) = self.tie(place, earlier, later) {
                        self.tied.extend([earlier.rule, later.rule]);
                        self.conflicts.push(conflict);
                    }
                }
            }
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

    fn tie(&self, place: Place<'_>, a: &Entry, b: &Entry) -> Option<Conflict> {
        let rules = self.router;
        let (one, path) = rules.entry(a)?;
        let (two, other_path) = rules.entry(b)?;
        let methods = self.common_methods(one, two);
        if methods.is_empty() || guards_exclude(one, two) || conditions_exclude(one, two) {
            return None;
        }
        let (first, second) = (a.rule.min(b.rule), a.rule.max(b.rule));
        let undecided = Conflict::Undecided { a: first, b: second };
        let paths = match (&path.shape, &other_path.shape) {
            (Shape::Regex(one), Shape::Regex(two)) => match intersect_paths(&[one.as_str(), two.as_str()]) {
                Intersection::Empty => return None,
                Intersection::TooLarge => return Some(undecided),
                Intersection::Members(paths) => paths,
            },
            _ => self.fresh.paths(path),
        };
        let trial = Trial { goal: Goal::Meet, paths: &paths, methods: &methods };
        match search(rules, place, &[a.rule, b.rule], trial) {
            Finding::Impossible => None,
            Finding::Taken { is_proven: true, .. } if !a.is_regex => None,
            Finding::Undecided => Some(undecided),
            Finding::Free(witness) | Finding::Taken { witness, .. } => {
                Some(Conflict::Tie { a: first, b: second, witness })
            }
        }
    }

    /// The methods for which two rules of the same rank are equally specific.
    fn common_methods(&self, one: &Compiled, two: &Compiled) -> Vec<&Method> {
        let level = |method: &&Method| {
            let asked = self.router.methods.get(method);
            let rank = one.methods.rank(asked);
            rank.is_some() && rank == two.methods.rank(asked)
        };
        self.methods_of(one.methods).into_iter().filter(level).collect()
    }

    /// The methods that stand for all that a rule takes.
    fn methods_of(&self, methods: MethodSet) -> Vec<&Method> {
        let table = &self.router.methods;
        if methods.is_empty() {
            table.all().chain(self.fresh.method()).collect()
        } else {
            table.methods(methods.with_implied()).collect()
        }
    }

    /// Looks whether a rule gets any request by this path.
    fn reach(&mut self, place: Place<'_>, entry: &Entry) {
        let Some((rule, path)) = self.router.entry(entry) else {
            return;
        };
        if self.reached.contains(&entry.rule) {
            return;
        }
        let paths = self.fresh.paths(path);
        let methods = self.methods_of(rule.methods);
        let trial = Trial { goal: Goal::Reach, paths: &paths, methods: &methods };
        let finding =
            if entry.is_regex { Finding::Undecided } else { search(self.router, place, &[entry.rule], trial) };
        match finding {
            Finding::Taken { by, witness, is_proven: true } => {
                let known = self.taken.entry(entry.rule).or_insert_with(|| (BTreeSet::new(), witness));
                known.0.extend(by);
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

    fn finish(mut self) -> Vec<Conflict> {
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
