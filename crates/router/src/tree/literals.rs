//! The children of a node by literal segment.

use ahash::AHashMap;

use super::Node;

/// Most nodes have none or one child: the first is compared, only the others are hashed. Nodes are boxed, since a table is
/// half empty after it has grown.
#[derive(Debug, Default)]
pub(super) struct Literals {
    first: Option<(Box<str>, Box<Node>)>,
    others: Option<Box<Others>>,
}

type Others = AHashMap<Box<str>, Box<Node>>;

impl Literals {
    pub(super) fn get(&self, segment: &str) -> Option<&Node> {
        let (literal, node) = self.first.as_ref()?;
        if **literal == *segment { Some(node) } else { self.others.as_ref()?.get(segment).map(AsRef::as_ref) }
    }

    /// The child of a literal, made if it is new.
    pub(super) fn child(&mut self, literal: &str) -> &mut Node {
        match &self.first {
            Some((known, _)) if **known != *literal => {
                self.others.get_or_insert_default().entry(Box::from(literal)).or_default()
            }
            _ => &mut self.first.get_or_insert_with(|| (Box::from(literal), Box::default())).1,
        }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, &Node)> {
        let first = self.first.iter().map(|(literal, node)| (literal.as_ref(), node.as_ref()));
        let others = self.others.iter().flat_map(|others| others.iter());
        let others = others.map(|(literal, node)| (literal.as_ref(), node.as_ref()));
        first.chain(others)
    }

    pub(super) fn nodes_mut(&mut self) -> impl Iterator<Item = &mut Node> {
        let first = self.first.iter_mut().map(|(_, node)| node.as_mut());
        let others = self.others.iter_mut().flat_map(|others| others.values_mut());
        first.chain(others.map(AsMut::as_mut))
    }
}
