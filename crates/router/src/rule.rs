//! A rule: everything that must hold for a route to take a request.

use std::{any::Any, fmt};

use http::{HeaderName, Method};

use crate::{
    HostPattern, Pattern, ValueMatch,
    condition::{Condition, Source},
    lookup::Lookup,
    method::MethodSet,
};

/// A rule's place in the list it was compiled from, counted from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RuleId(pub usize);

/// When a route takes a request: one of the hosts **and** one of the paths **and** one of the methods **and** all
/// conditions **and** the guard. An empty list of hosts, paths or methods takes any.
#[derive(Debug, Default)]
pub struct Rule {
    /// Hosts; empty takes any, also a request without host.
    pub hosts: Vec<HostPattern>,
    /// Paths; empty takes any and ranks like `/**`.
    pub paths: Vec<Pattern>,
    /// Methods; empty takes any. GET takes HEAD too, but behind a rule that names HEAD.
    pub methods: Vec<Method>,
    /// Conditions on header fields.
    pub headers: Vec<(HeaderName, ValueMatch)>,
    /// Conditions on query parameters.
    pub query: Vec<(String, ValueMatch)>,
    /// Conditions on cookies.
    pub cookies: Vec<(String, ValueMatch)>,
    /// A condition that the router does not understand.
    pub guard: Option<Box<dyn Guard>>,
    /// Decides between rules that tie, and between no others: the higher first.
    pub priority: i64,
}

/// A condition of a higher floor, such as a compiled `if:` expression. Runs on the request path, last of all
/// conditions: it must not block, and should not allocate.
pub trait Guard: Any + Send + Sync + fmt::Debug {
    /// Whether the rule may take the request.
    fn admits(&self, request: &Lookup<'_>) -> bool;

    /// Whether no request passes both guards. Two rules that are alike but for their guards tie unless one guard says
    /// so of the other; `false` is always right. (`(other as &dyn Any).downcast_ref()` gives the guard's own type.)
    fn excludes(&self, other: &dyn Guard) -> bool {
        let _ = other;
        false
    }
}

/// A rule as the router keeps it.
#[derive(Debug)]
pub(crate) struct Compiled {
    pub(crate) paths: Box<[Pattern]>,
    /// Empty: any.
    pub(crate) methods: MethodSet,
    pub(crate) conditions: Box<[Condition]>,
    pub(crate) guard: Option<Box<dyn Guard>>,
}

impl Compiled {
    /// Takes the rule apart; its hosts go into the table of hosts.
    pub(crate) fn new(rule: Rule, methods: MethodSet) -> (Self, Vec<HostPattern>) {
        let headers = rule.headers.into_iter().map(|(name, wanted)| Condition { source: Source::Header(name), wanted });
        let query = rule
            .query
            .into_iter()
            .map(|(name, wanted)| Condition { source: Source::Query(name.into_boxed_str()), wanted });
        let cookies = rule
            .cookies
            .into_iter()
            .map(|(name, wanted)| Condition { source: Source::Cookie(name.into_boxed_str()), wanted });
        let compiled = Self {
            conditions: headers.chain(query).chain(cookies).collect(),
            methods,
            guard: rule.guard,
            paths: if rule.paths.is_empty() { Box::new([Pattern::any()]) } else { rule.paths.into_boxed_slice() },
        };
        (compiled, rule.hosts)
    }

    /// Some conditions are regular expressions.
    pub(crate) fn has_expressions(&self) -> bool {
        self.conditions.iter().any(|condition| matches!(condition.wanted, ValueMatch::Regex(_)))
    }

    /// Conditions and guard. Host, path and method have been looked at already.
    pub(crate) fn holds(&self, request: &Lookup<'_>) -> bool {
        self.conditions.iter().all(|condition| condition.holds(request))
            && self.guard.as_ref().is_none_or(|guard| guard.admits(request))
    }
}
