//! Segments, hosts and methods that no rule names. A request made of them matches as few rules as possible: what takes
//! it takes every request of the same shape.

use ahash::AHashSet;
use http::Method;

use crate::{
    Pattern, Router,
    host::Hosted,
    pattern::{Segment, Shape},
    tree::Tree,
};

/// What no rule of a router names.
#[derive(Debug)]
pub(super) struct Fresh {
    segment: String,
    label: String,
    method: Option<Method>,
    /// Segments of the deepest path of all rules.
    depth: usize,
}

impl Fresh {
    pub(super) fn of(router: &Router) -> Self {
        let trees = || router.hosts.iter().map(|hosted| hosted.value);
        let literals: AHashSet<&str> = trees().flat_map(Tree::literals).collect();
        let hosts = router.hosts.iter();
        let labels: AHashSet<&str> = hosts.filter_map(|host| host.name).flat_map(|name| name.split('.')).collect();
        Self {
            segment: unused("", |name| !literals.contains(name)),
            label: unused("host", |name| !labels.contains(name)),
            method: ["X-ANY", "X-OTHER", "X-FURTHER"].into_iter().find_map(|name| {
                let method = Method::from_bytes(name.as_bytes()).ok()?;
                router.methods.get(&method).is_empty().then_some(method)
            }),
            depth: trees().map(Tree::depth).max().unwrap_or(0),
        }
    }

    /// A host that no more specific pattern matches.
    pub(super) fn host(&self, hosted: &Hosted<'_, Tree>) -> String {
        match hosted.name {
            None => self.label.clone(),
            Some(name) if hosted.wildcard => format!("{}.{name}", self.label),
            Some(name) => name.to_owned(),
        }
    }

    /// A method that no rule names.
    pub(super) fn method(&self) -> Option<&Method> {
        self.method.as_ref()
    }

    /// Paths of each shape that a pattern matches, the most readable first. None for a regular expression.
    pub(super) fn paths(&self, pattern: &Pattern) -> Vec<String> {
        let Shape::Segments(pattern) = &pattern.shape else {
            return Vec::new();
        };
        let mut start = String::new();
        for segment in &pattern.fixed {
            start.push('/');
            start.push_str(match segment {
                Segment::Literal(literal) => literal,
                Segment::Param | Segment::Any => &self.segment,
            });
        }
        if !pattern.tail {
            return vec![start];
        }
        let mut paths = Vec::new();
        let mut path = start.clone();
        // One segment beyond the deepest path: from there on only tails match, and they match all that is longer.
        for _ in pattern.fixed.len()..=self.depth + 1 {
            path = format!("{path}/{}", self.segment);
            paths.push(path.clone());
        }
        let with_slash: Vec<_> = paths.iter().map(|path| format!("{path}/")).collect();
        paths.push(format!("{start}/"));
        if !start.is_empty() {
            paths.push(start);
        }
        paths.extend(with_slash);
        paths
    }
}

/// The first of `stem1`, `stem2`, … that passes. The names to avoid are finitely many, so there is one.
fn unused(stem: &str, passes: impl Fn(&str) -> bool) -> String {
    let mut numbers = (1_usize..).map(|number| format!("{stem}{number}"));
    numbers.by_ref().find(|name| passes(name)).unwrap_or_default()
}
