//! The router: rules compiled into one immutable table.

use std::ops::ControlFlow;

use crate::{
    Allow, Conflict, Found, Lookup, OpenMethods, Outcome, Params, Rule, RuleId, conflict,
    host::HostTable,
    method::{MethodSet, MethodTable},
    path::{Readings, as_read},
    pattern::Shape,
    rule::Compiled,
    tree::{Entry, Rank, Tree, visit_place},
};

#[cfg(test)]
pub(crate) mod tests;

/// Rules compiled into one immutable table. See the crate's documentation for what wins over what.
#[derive(Debug, Default)]
pub struct Router {
    pub(crate) rules: Vec<Compiled>,
    pub(crate) hosts: HostTable<Tree>,
    pub(crate) methods: MethodTable,
}

impl Router {
    /// Compiles rules. [`RuleId`] is a rule's place in the list; the order has no influence on what matches.
    ///
    /// Time and memory grow linearly with the rules, except for rules that share host *and* path *and* rank: those are
    /// compared pair by pair.
    ///
    /// # Errors
    /// All conflicts at once, in the order of the rules.
    pub fn compile(rules: Vec<Rule>) -> Result<Self, Vec<Conflict>> {
        let mut router = Self::default();
        let mut conflicts = Vec::new();
        for (index, rule) in rules.into_iter().enumerate() {
            let id = RuleId(index);
            let mut methods = MethodSet::default();
            for method in &rule.methods {
                match router.methods.add(method) {
                    Some(bit) => methods = methods.with(bit),
                    None => conflicts.push(Conflict::TooManyMethods { rule: id, method: method.clone() }),
                }
            }
            router.add(id, rule, methods);
        }
        router.rules.shrink_to_fit();
        for tree in router.hosts.values_mut() {
            tree.finish();
        }
        if conflicts.is_empty() {
            conflicts = conflict::find_all(&router);
        }
        if conflicts.is_empty() { Ok(router) } else { Err(conflicts) }
    }

    fn add(&mut self, id: RuleId, rule: Rule, methods: MethodSet) {
        let priority = rule.priority;
        let (rule, hosts) = Compiled::new(rule, methods);
        let mut hosts: Vec<_> = hosts.iter().map(Some).collect();
        if hosts.is_empty() {
            hosts.push(None);
        }
        hosts.sort();
        hosts.dedup();
        for host in hosts {
            let tree = self.hosts.entry(host);
            for (path, pattern) in rule.paths.iter().enumerate() {
                let entry = Entry {
                    rule: id,
                    path,
                    methods,
                    rank: Rank {
                        names_methods: !methods.is_empty(),
                        conditions: rule.conditions.len(),
                        has_guard: rule.guard.is_some(),
                        priority,
                    },
                    is_regex: matches!(pattern.shape, Shape::Regex(_)),
                };
                tree.insert(pattern, entry);
            }
        }
        self.rules.push(rule);
    }

    /// Finds the rule that takes a request.
    ///
    /// Allocates nothing, but for a regular expression over a percent-encoded query parameter, for scratch space when more
    /// threads than ever before run the same regular expression at once, and for a path with a `;`, `%3B` or `%2B`, which is
    /// looked up in each of its readings (see the crate's documentation).
    pub fn find<'r>(&'r self, request: &Lookup<'_>) -> Outcome<'r> {
        if u32::try_from(request.path.len()).is_err() {
            return Outcome::NotFound;
        }
        let Some(readings) = Readings::of(request.path) else { return self.look_up(request) };
        let mut found = match self.look_up(&Lookup { path: &readings.whole, ..*request }) {
            Outcome::Found(found) => found,
            other => return other,
        };
        if let Some(cut) = &readings.cut {
            let is_same = match self.look_up(&Lookup { path: cut, ..*request }) {
                Outcome::Found(of_cut) => of_cut.rule == found.rule,
                // Whoever writes `;` into a pattern knows that the service takes it for a part of the name.
                _ => as_read(found.pattern.as_str()).contains(';'),
            };
            if !is_same {
                return Outcome::Ambiguous;
            }
        }
        found.params = found.params.before_reading(request.path);
        Outcome::Found(found)
    }

    /// Finds the rule that takes a request with the path as it is.
    fn look_up<'r>(&'r self, request: &Lookup<'_>) -> Outcome<'r> {
        let asked = self.methods.get(request.method);
        let mut refused = Refused::default();
        let found = self.hosts.visit(request.host, |tree| {
            tree.walk(request.path, &mut |place| self.choose(place, asked, request, &mut refused))
        });
        match found {
            ControlFlow::Break(found) => Outcome::Found(found),
            ControlFlow::Continue(()) if refused.only_by_method() => {
                Outcome::MethodNotAllowed(Allow { table: &self.methods, set: refused.methods.with_implied() })
            }
            ControlFlow::Continue(()) => Outcome::NotFound,
        }
    }

    /// The first entry of a place that takes the request.
    fn choose<'r>(
        &'r self,
        place: &'r [Entry],
        asked: MethodSet,
        request: &Lookup<'_>,
        refused: &mut Refused,
    ) -> ControlFlow<Found<'r>> {
        visit_place(place, asked, |entry| {
            let Some((rule, pattern)) = self.entry(entry) else {
                return ControlFlow::Continue(());
            };
            if entry.is_regex && !pattern.fits(request.path) {
                return ControlFlow::Continue(());
            }
            refused.takes_method = true;
            if !rule.holds(request) {
                return ControlFlow::Continue(());
            }
            ControlFlow::Break(Found {
                rule: entry.rule,
                path_index: entry.path,
                pattern,
                params: Params::new(pattern, request.path),
            })
        })?;
        if !refused.takes_method {
            for entry in place {
                let fits = |entry| self.entry(entry).is_some_and(|(_, pattern)| pattern.fits(request.path));
                if !entry.is_regex || fits(entry) {
                    refused.methods = refused.methods.with(entry.methods);
                }
            }
        }
        ControlFlow::Continue(())
    }

    pub(crate) fn entry(&self, entry: &Entry) -> Option<(&Compiled, &crate::Pattern)> {
        let rule = self.rules.get(entry.rule.0)?;
        Some((rule, rule.paths.get(entry.path)?))
    }

    /// The methods that rules do not name, where a rule without methods takes them on the same host and path: for warnings
    /// about the rules that `is_wanted`. Takes up to about a second.
    pub fn elsewhere(&self, is_wanted: &dyn Fn(RuleId) -> bool) -> OpenMethods {
        conflict::find_elsewhere(self, is_wanted)
    }

    /// How many rules were compiled.
    pub fn len(&self) -> usize {
        self.rules.len()
    }

    /// There are no rules: every lookup finds nothing.
    pub fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }
}

/// What is known of rules that have the host and path of a request and did not take it.
#[derive(Default)]
struct Refused {
    /// The methods that they take.
    methods: MethodSet,
    /// One of them takes the method, so that it is not the method that is wrong.
    takes_method: bool,
}

impl Refused {
    fn only_by_method(&self) -> bool {
        !self.takes_method && !self.methods.is_empty()
    }
}
