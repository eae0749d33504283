//! The paths of one host as a tree of segments. A lookup walks it in the order of specificity, so that the first rule
//! whose further conditions hold is the right one, and costs the same with ten routes and with ten thousand.

use std::ops::ControlFlow;

use crate::{
    RuleId,
    method::{MethodRank, MethodSet},
    pattern::{Pattern, Segment, Shape},
};

mod literals;
#[cfg(test)]
mod tests;

use literals::Literals;

/// One path of one rule, where its pattern ends in the tree.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Entry {
    pub(crate) rule: RuleId,
    pub(crate) path: usize,
    pub(crate) methods: MethodSet,
    pub(crate) rank: Rank,
    /// The path is a regular expression and has yet to match.
    pub(crate) is_regex: bool,
}

/// What makes a rule more specific than another one with the same host and path. Least specific first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Rank {
    pub(crate) names_methods: bool,
    pub(crate) conditions: usize,
    pub(crate) has_guard: bool,
    /// Between rules that are equal in all else: the higher first.
    pub(crate) priority: i64,
}

/// The paths of one host pattern.
#[derive(Debug, Default)]
pub(crate) struct Tree {
    root: Node,
}

/// All paths that share their first segments. Each list of entries is one *place*: its rules are equal in host and
/// path, and stand most specific first.
#[derive(Debug, Default)]
struct Node {
    literals: Literals,
    param: Option<Box<Node>>,
    any: Option<Box<Node>>,
    /// Regular expressions whose matches all start with the segments down to here.
    regexes: Vec<Entry>,
    /// Paths that end here.
    end: Vec<Entry>,
    /// Paths that have `**` here.
    tail: Vec<Entry>,
}

impl Tree {
    /// Adds a path. [`Tree::finish`] must follow before the first walk.
    pub(crate) fn insert(&mut self, pattern: &Pattern, entry: Entry) {
        let mut node = &mut self.root;
        match &pattern.shape {
            Shape::Regex(regex) => {
                for literal in &regex.prefix {
                    node = node.literals.child(literal);
                }
                node.regexes.push(entry);
            }
            Shape::Segments(pattern) => {
                for segment in &pattern.fixed {
                    node = match segment {
                        Segment::Literal(literal) => node.literals.child(literal),
                        Segment::Param => node.param.get_or_insert_default(),
                        Segment::Any => node.any.get_or_insert_default(),
                    };
                }
                let place = if pattern.tail { &mut node.tail } else { &mut node.end };
                place.push(entry);
            }
        }
    }

    /// Brings every place into its order.
    pub(crate) fn finish(&mut self) {
        self.root.finish();
    }

    /// Visits the places that fit the path, most specific first. Regular expressions still have to be run.
    ///
    /// A node is entered at most once, because only one sequence of segments leads to it. So a walk enters no more
    /// nodes than fit the path, at most 3ⁿ for its first n segments (literal, parameter, `*`), and goes no deeper than
    /// [`MAX_SEGMENTS`](crate::MAX_SEGMENTS), whatever the request.
    pub(crate) fn walk<'t, B>(
        &'t self,
        path: &str,
        visit: &mut impl FnMut(&'t [Entry]) -> ControlFlow<B>,
    ) -> ControlFlow<B> {
        match path.strip_prefix('/') {
            Some(relative) => self.root.enter(Some(relative), visit),
            None => ControlFlow::Continue(()),
        }
    }

    /// All places, in no order.
    pub(crate) fn places(&self) -> Vec<&[Entry]> {
        let mut places: Vec<&[Entry]> = Vec::new();
        let mut nodes = vec![&self.root];
        while let Some(node) = nodes.pop() {
            let filled = [&node.regexes, &node.end, &node.tail].into_iter().filter(|place| !place.is_empty());
            places.extend(filled.map(Vec::as_slice));
            nodes.extend(node.literals.iter().map(|(_, child)| child));
            nodes.extend([&node.param, &node.any].into_iter().flatten().map(AsRef::as_ref));
        }
        places
    }

    /// All literal segments, with repetitions.
    pub(crate) fn literals(&self) -> Vec<&str> {
        let mut literals = Vec::new();
        let mut nodes = vec![&self.root];
        while let Some(node) = nodes.pop() {
            literals.extend(node.literals.iter().map(|(literal, _)| literal));
            nodes.extend(node.literals.iter().map(|(_, child)| child));
            nodes.extend([&node.param, &node.any].into_iter().flatten().map(AsRef::as_ref));
        }
        literals
    }

    /// How many segments the longest path has.
    pub(crate) fn depth(&self) -> usize {
        let mut deepest = 0;
        let mut nodes = vec![(&self.root, 0)];
        while let Some((node, depth)) = nodes.pop() {
            deepest = deepest.max(depth);
            let single = [&node.param, &node.any].into_iter().flatten().map(AsRef::as_ref);
            let literals = node.literals.iter().map(|(_, child)| child);
            nodes.extend(literals.chain(single).map(|child| (child, depth + 1)));
        }
        deepest
    }
}

impl Node {
    /// `rest` is what follows the slash after this node's segment, if there is a slash.
    fn enter<'t, B>(
        &'t self,
        rest: Option<&str>,
        visit: &mut impl FnMut(&'t [Entry]) -> ControlFlow<B>,
    ) -> ControlFlow<B> {
        #[cfg(test)]
        tests::ENTERED.set(tests::ENTERED.get() + 1);
        if let Some(rest) = rest {
            let (segment, rest) = match rest.split_once('/') {
                Some((segment, rest)) => (segment, Some(rest)),
                None => (rest, None),
            };
            if let Some(child) = self.literals.get(segment) {
                child.enter(rest, visit)?;
            }
            if !self.regexes.is_empty() {
                visit(&self.regexes)?;
            }
            if !segment.is_empty() {
                for child in [&self.param, &self.any].into_iter().flatten() {
                    child.enter(rest, visit)?;
                }
            }
        } else if !self.end.is_empty() {
            visit(&self.end)?;
        }
        if self.tail.is_empty() { ControlFlow::Continue(()) } else { visit(&self.tail) }
    }

    fn finish(&mut self) {
        for place in [&mut self.regexes, &mut self.end, &mut self.tail] {
            // Equal ranks are disjoint (or refused as a tie): their order is of no consequence, only fixed.
            place.sort_by_key(|entry| (std::cmp::Reverse(entry.rank), entry.rule, entry.path));
            place.shrink_to_fit();
        }
        for child in [&mut self.param, &mut self.any].into_iter().flatten() {
            child.finish();
        }
        self.literals.nodes_mut().for_each(Node::finish);
    }
}

/// Visits the entries of a place that take the method, most specific first: rules that name it, then for HEAD those
/// that name GET, then those for any method.
pub(crate) fn visit_place<'t, B>(
    place: &'t [Entry],
    asked: MethodSet,
    mut visit: impl FnMut(&'t Entry) -> ControlFlow<B>,
) -> ControlFlow<B> {
    if asked != MethodSet::HEAD {
        let takes = |entry: &&Entry| entry.methods.rank(asked).is_some();
        return place.iter().filter(takes).try_for_each(visit);
    }
    for rank in [MethodRank::Named, MethodRank::HeadOfGet, MethodRank::Any] {
        let takes = |entry: &&Entry| entry.methods.rank(asked) == Some(rank);
        place.iter().filter(takes).try_for_each(&mut visit)?;
    }
    ControlFlow::Continue(())
}
