//! What a lookup asks and what it answers.

use std::any::Any;

use http::{HeaderMap, Method};

use crate::{Params, Pattern, method::Allow, rule::RuleId};

/// The parts of a request that routing looks at.
#[derive(Clone, Copy)]
pub struct Lookup<'a> {
    /// The method of the request.
    pub method: &'a Method,
    /// The host asked for, in any case, without port; empty if the request names none.
    pub host: &'a str,
    /// The path, after [`path::normalise`](crate::path::normalise).
    pub path: &'a str,
    /// The query without its `?`, as it came; empty if there is none.
    pub query: &'a str,
    /// The header fields.
    pub headers: &'a HeaderMap,
    /// What guards may look at besides: the caller and its guards agree on the type. The router does not touch it.
    pub facts: Option<&'a (dyn Any + Send + Sync)>,
}

impl std::fmt::Debug for Lookup<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Neither query nor headers: they carry secrets.
        write!(f, "Lookup({} {}{})", self.method, self.host, self.path)
    }
}

/// What a lookup found.
#[derive(Debug, Clone, Copy)]
pub enum Outcome<'r> {
    /// The most specific rule that takes the request.
    Found(Found<'r>),
    /// Rules have this host and path, but none has the method: answer 405 with this `Allow`.
    MethodNotAllowed(Allow<'r>),
    /// The path has parameters (`/a;b=c`), and servers that cut them would read a path that another rule takes, or none:
    /// answer 400.
    Ambiguous,
    /// No rule takes the request: answer 404.
    NotFound,
}

/// The rule that takes a request.
#[derive(Debug, Clone, Copy)]
pub struct Found<'r> {
    /// The rule: its place in what was compiled.
    pub rule: RuleId,
    /// Which of the rule's paths matched; 0 for a rule without paths.
    pub path_index: usize,
    /// That path.
    pub pattern: &'r Pattern,
    /// The path's parameters in this request: ranges into the path as it was given.
    pub params: Params<'r>,
}
