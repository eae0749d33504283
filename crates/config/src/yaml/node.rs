//! The tree: values with their spans, maps in the order of the file.

use std::collections::HashMap;
use std::ops::Deref;
use std::sync::Arc;

use serde_json::{Map, Number};

/// Which file of a configuration; an index into its sources.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub(crate) struct FileId(pub(crate) u16);

/// A stretch of a file. Lines and columns count from 1, columns in characters; the end is exclusive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub(crate) struct Span {
    pub(crate) file: FileId,
    pub(crate) line: u32,
    pub(crate) column: u32,
    pub(crate) end_line: u32,
    pub(crate) end_column: u32,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Node {
    pub(crate) span: Span,
    pub(crate) value: Value,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Value {
    Scalar(Scalar),
    Seq(Vec<Node>),
    Map(Entries),
}

/// The entries of a map in the order of the file, each found by its key at once however many there are.
#[derive(Debug, Clone, Default)]
pub(crate) struct Entries {
    list: Vec<Entry>,
    /// The position of each key; none for a map so small that looking through it is faster.
    #[expect(
        clippy::box_collection,
        reason = "every value of a file would be as much larger as a map is than a pointer"
    )]
    index: Option<Box<HashMap<Arc<str>, usize>>>,
}

/// Maps of more entries than this have an index. (Arbitrary: about where hashing begins to pay.)
const INDEXED: usize = 16;

impl Entries {
    /// Adds an entry; of a key that is there already, the first one stands.
    pub(crate) fn push(&mut self, entry: Entry) {
        let position = self.list.len();
        if position >= INDEXED {
            let index = self.index.get_or_insert_with(|| {
                let known = self.list.iter().enumerate();
                Box::new(known.map(|(position, entry)| (Arc::clone(&entry.key.text), position)).collect())
            });
            index.entry(Arc::clone(&entry.key.text)).or_insert(position);
        }
        self.list.push(entry);
    }

    pub(crate) fn get(&self, key: &str) -> Option<&Entry> {
        match &self.index {
            None => self.list.iter().find(|entry| &*entry.key.text == key),
            Some(index) => self.list.get(*index.get(key)?),
        }
    }

    pub(crate) fn get_mut(&mut self, key: &str) -> Option<&mut Entry> {
        match &self.index {
            None => self.list.iter_mut().find(|entry| &*entry.key.text == key),
            Some(index) => self.list.get_mut(*index.get(key)?),
        }
    }

    /// Gives back the room that growing left.
    pub(crate) fn shrink_to_fit(&mut self) {
        self.list.shrink_to_fit();
        self.index.iter_mut().for_each(|index| index.shrink_to_fit());
    }
}

impl Deref for Entries {
    type Target = [Entry];

    fn deref(&self) -> &[Entry] {
        &self.list
    }
}

impl PartialEq for Entries {
    fn eq(&self, other: &Self) -> bool {
        self.list == other.list
    }
}

impl IntoIterator for Entries {
    type Item = Entry;
    type IntoIter = std::vec::IntoIter<Entry>;

    fn into_iter(self) -> Self::IntoIter {
        self.list.into_iter()
    }
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Entry {
    pub(crate) key: Key,
    pub(crate) value: Node,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Key {
    pub(crate) text: Arc<str>,
    pub(crate) span: Span,
}

/// A scalar: its text after `${env.…}` substitution and what the text means.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Scalar {
    pub(crate) kind: ScalarKind,
    pub(crate) text: Arc<str>,
    /// The text as written, when a substitution changed it.
    pub(crate) written: Option<Arc<str>>,
    pub(crate) style: Style,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) enum ScalarKind {
    Null,
    Bool(bool),
    Number(Number),
    Str,
    /// Its `${env.…}` has no value, which is already reported: nothing more is to be said of it.
    Unknown,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Style {
    Plain,
    Quoted,
    /// `|` or `>`.
    Block,
}

impl Node {
    /// The value under a key, if this is a map that has it.
    pub(crate) fn get(&self, key: &str) -> Option<&Self> {
        self.entry(key).map(|entry| &entry.value)
    }

    pub(crate) fn entry(&self, key: &str) -> Option<&Entry> {
        match &self.value {
            Value::Map(entries) => entries.get(key),
            _ => None,
        }
    }

    /// The entries of a map; none for anything else.
    pub(crate) fn entries(&self) -> &[Entry] {
        match &self.value {
            Value::Map(entries) => entries,
            _ => &[],
        }
    }

    /// The items of a list; none for anything else.
    pub(crate) fn items(&self) -> &[Self] {
        match &self.value {
            Value::Seq(items) => items,
            _ => &[],
        }
    }

    /// The text of a string scalar.
    pub(crate) fn str(&self) -> Option<&str> {
        match &self.value {
            Value::Scalar(Scalar { kind: ScalarKind::Str, text, .. }) => Some(text),
            _ => None,
        }
    }

    pub(crate) fn is_null(&self) -> bool {
        matches!(&self.value, Value::Scalar(Scalar { kind: ScalarKind::Null, .. }))
    }

    pub(crate) fn is_unknown(&self) -> bool {
        matches!(&self.value, Value::Scalar(Scalar { kind: ScalarKind::Unknown, .. }))
    }

    /// The value without its positions.
    pub(crate) fn to_json(&self) -> serde_json::Value {
        match &self.value {
            Value::Scalar(scalar) => scalar.to_json(),
            Value::Seq(items) => items.iter().map(Self::to_json).collect(),
            Value::Map(entries) => {
                let entries = entries.iter().map(|e| (e.key.text.to_string(), e.value.to_json()));
                serde_json::Value::Object(entries.collect::<Map<_, _>>())
            }
        }
    }
}

/// By so many first characters a text is known that a message quotes in part.
const BEGINNING: usize = 16;

impl Scalar {
    /// Takes what came from the environment out of a message: it may be a secret.
    pub(crate) fn conceal(&self, message: String) -> String {
        if self.written.is_none() || self.text.is_empty() {
            return message;
        }
        let escaped = format!("{:?}", self.text);
        let mut message = message.replace(&escaped, "\"***\"").replace(&*self.text, "***");
        // A long text may be quoted in part: then nothing from there on is shown.
        let beginning: String = self.text.chars().take(BEGINNING).collect();
        for quoted in [beginning.escape_debug().to_string(), beginning] {
            if self.text.chars().nth(BEGINNING).is_some()
                && let Some(at) = message.find(&quoted)
            {
                message.truncate(at);
                message.push_str("***…");
            }
        }
        message
    }

    pub(crate) fn to_json(&self) -> serde_json::Value {
        match &self.kind {
            ScalarKind::Null | ScalarKind::Unknown => serde_json::Value::Null,
            ScalarKind::Bool(value) => (*value).into(),
            ScalarKind::Number(value) => value.clone().into(),
            ScalarKind::Str => (*self.text).into(),
        }
    }
}
