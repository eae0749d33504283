//! Where a value stands: its path through the configuration and its place in a file.

use std::fmt;
use std::sync::Arc;

/// One step of a [`ConfigPath`].
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Segment {
    /// A key of a map.
    Key(Arc<str>),
    /// A position in a list, from 0.
    Index(usize),
}

/// A path through the whole configuration, includes united: `routes[2].plugins[0].jwt.keys[0].pem`.
///
/// Parsing the text form never fails: what is not an index is a key.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct ConfigPath(Vec<Segment>);

impl ConfigPath {
    /// The path of the whole file.
    #[must_use]
    pub const fn root() -> Self {
        Self(Vec::new())
    }

    /// This path, one key deeper.
    #[must_use]
    pub fn key(&self, key: &str) -> Self {
        let mut path = self.clone();
        path.0.push(Segment::Key(key.into()));
        path
    }

    /// This path, one list position deeper.
    #[must_use]
    pub fn index(&self, index: usize) -> Self {
        let mut path = self.clone();
        path.0.push(Segment::Index(index));
        path
    }

    /// This path, deeper by a path in text form, such as what `serde_path_to_error` prints.
    #[must_use]
    pub fn join(&self, relative: &str) -> Self {
        let mut path = self.clone();
        path.0.extend(parse(relative));
        path
    }

    /// The steps from the root.
    #[must_use]
    pub fn segments(&self) -> &[Segment] {
        &self.0
    }

    /// The first `count` steps of this path.
    #[must_use]
    pub fn cut(&self, count: usize) -> Self {
        Self(self.0.iter().take(count).cloned().collect())
    }

    pub(crate) fn push(&mut self, segment: Segment) {
        self.0.push(segment);
    }

    pub(crate) fn pop(&mut self) {
        self.0.pop();
    }

    /// Replaces the position in a top-level list, as when a list is joined from several files.
    pub(crate) fn with_top_index(&self, index: usize) -> Self {
        let mut path = self.clone();
        if let Some(segment @ Segment::Index(_)) = path.0.get_mut(1) {
            *segment = Segment::Index(index);
        }
        path
    }
}

impl From<&str> for ConfigPath {
    fn from(text: &str) -> Self {
        Self(parse(text))
    }
}

impl fmt::Display for ConfigPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, segment) in self.0.iter().enumerate() {
            match segment {
                Segment::Index(index) => write!(f, "[{index}]")?,
                Segment::Key(key) if key.is_empty() || key.contains(['.', '[', ']', '"', ' ']) => {
                    write!(f, "[{key:?}]")?;
                }
                Segment::Key(key) => {
                    let dot = if position == 0 { "" } else { "." };
                    write!(f, "{dot}{key}")?;
                }
            }
        }
        Ok(())
    }
}

/// Reads `a[0].b`, `a["x.y"].b` and, as `serde_path_to_error` writes it, `.` for the root.
fn parse(text: &str) -> Vec<Segment> {
    let mut segments = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        if let Some(after) = rest.strip_prefix('.') {
            rest = after;
        } else if let Some((quoted, after)) = quoted_key(rest) {
            segments.push(Segment::Key(quoted.into()));
            rest = after;
        } else if let Some((index, after)) = list_index(rest) {
            segments.push(Segment::Index(index));
            rest = after;
        } else {
            // The first character always belongs to the key, so that the loop makes progress on odd input.
            let end =
                rest.char_indices().skip(1).find(|(_, c)| matches!(c, '.' | '[')).map_or(rest.len(), |(at, _)| at);
            let (key, after) = rest.split_at_checked(end).unwrap_or((rest, ""));
            segments.push(Segment::Key(key.into()));
            rest = after;
        }
    }
    segments
}

fn list_index(text: &str) -> Option<(usize, &str)> {
    let (index, after) = text.strip_prefix('[')?.split_once(']')?;
    Some((index.parse().ok()?, after))
}

fn quoted_key(text: &str) -> Option<(&str, &str)> {
    text.strip_prefix("[\"")?.split_once("\"]")
}

/// Where something stands, for people: its path, its file, and line and column in it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Place {
    /// The path through the whole configuration.
    pub path: ConfigPath,
    /// The file as it was named: `gateway.yaml`.
    pub file: Arc<str>,
    /// The line, from 1.
    pub line: u32,
    /// The column in characters, from 1.
    pub column: u32,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.file, self.line, self.column)
    }
}
