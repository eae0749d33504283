//! The children of a node by literal segment.

use ahash::AHashMap;

use super::Node;

/// Most nodes have none or one child: the first is compared, only the others are hashed.
#[derive(Debug, Default)]
pub(super) struct Literals {
    first: Option<(Box<str>, Box<Node>)>,
    others: AHashMap<Box<str>, Node>,
}

impl Literals {
    pub(super) fn get(&self, segment: &str) -> Option<&Node> {
        let (literal, node) = self.first.as_ref()?;
        if **literal == *segment {
            Some(node)
        } else if self.others.is_empty() {
            None
        } else {
            self.others.get(segment)
        }
    }

    /// The child of a literal, made if it is new.
    pub(super) fn child(&mut self, literal: &str) -> &mut Node {
        match &self.first {
            Some((known, _)) if **known != *literal => self.others.entry(Box::from(literal)).or_default(),
            _ => &mut self.first.get_or_insert_with(|| (Box::from(literal), Box::default())).1,
        }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, &Node)> {
        let first = self.first.iter().map(|(literal, node)| (literal.as_ref(), node.as_ref()));
        let others = self.others.iter().map(|(literal, node)| (literal.as_ref(), node));
        first.chain(others)
    }

    pub(super) fn nodes_mut(&mut self) -> impl Iterator<Item = &mut Node> {
        let first = self.first.iter_mut().map(|(_, node)| node.as_mut());
        first.chain(self.others.values_mut())
    }
}
