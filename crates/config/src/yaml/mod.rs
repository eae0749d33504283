//! YAML 1.2 into a tree that remembers where everything stood. docs/adr/0002-yaml-with-positions.md says why not serde.

mod env;
mod lines;
mod node;
mod parse;
mod scalar;
mod syntax;

pub(crate) use lines::Lines;
pub(crate) use node::{Entries, Entry, FileId, Key, Node, Scalar, ScalarKind, Span, Style, Value};
pub(crate) use parse::{Bounds, parse};
