//! Errors dressed for people: place, path, message, source line, caret.

use std::fmt;

use crate::path::{ConfigPath, Place};
use crate::render::{self, Excerpt};
use crate::yaml::FileId;

/// One error in the configuration. `Display` prints it with its source line and a caret, without a final line break.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostic {
    pub(crate) place: Place,
    /// The file in the order in which files were read: the main one first.
    pub(crate) file: FileId,
    /// The path as the file itself counts, where `place.path` counts over all files.
    pub(crate) shown_path: String,
    pub(crate) message: String,
    pub(crate) excerpt: Excerpt,
    pub(crate) notes: Vec<String>,
}

impl Diagnostic {
    /// An error that no place in a file can be named for.
    #[must_use]
    pub fn without_place(file: &str, message: impl Into<String>) -> Self {
        Self {
            place: Place { file: file.into(), ..Place::default() },
            file: FileId::default(),
            shown_path: String::new(),
            message: message.into(),
            excerpt: Excerpt::default(),
            notes: Vec::new(),
        }
    }

    /// Adds a line that names a second place: `first defined here: gateway.yaml:12:5`.
    #[must_use]
    pub fn with_place(self, label: &str, place: &Place) -> Self {
        self.with_note(format!("{label}: {place}"))
    }

    /// Adds a line of text.
    #[must_use]
    pub fn with_note(mut self, note: impl Into<String>) -> Self {
        self.notes.push(note.into());
        self
    }

    /// What is wrong, without place and path.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.message
    }

    /// The path over all files, includes united.
    #[must_use]
    pub fn path(&self) -> &ConfigPath {
        &self.place.path
    }

    /// Where it is wrong. Line 0: no place can be named.
    #[must_use]
    pub fn place(&self) -> &Place {
        &self.place
    }

    /// The first line of the display: `gateway.yaml:31:15: routes[2].upstream: no upstream "user-v1"`.
    #[must_use]
    pub fn headline(&self) -> String {
        render::headline(self)
    }
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        render::diagnostic(self, f)
    }
}

/// So many diagnostics are told whole: more than anybody reads at once. (Arbitrary.)
const TOLD: usize = 100;

/// Every error of a configuration, by file and line; or every warning. The first 100 are there, the others are counted: a file
/// may be wrong in more places than there is memory for. `Display` prints them and the count.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Diagnostics {
    all: Vec<Diagnostic>,
    left_out: usize,
}

impl Diagnostics {
    /// Sorts `all` by file and line; what was said twice is kept once.
    #[must_use]
    pub fn new(mut all: Vec<Diagnostic>) -> Self {
        all.sort_by_key(|d| (d.file, d.place.line, d.place.column));
        // An aliased value is wrong once, however often it is used.
        all.dedup_by(|b, a| a.place.line != 0 && a.message == b.message && same_spot(a, b));
        let left_out = all.len().saturating_sub(TOLD);
        all.truncate(TOLD);
        Self { all, left_out }
    }

    /// These, and so many that nothing is said of.
    pub(crate) fn and_others(mut self, count: usize) -> Self {
        self.left_out += count;
        self
    }

    /// Adds one, unless 100 are there: then it is only counted, and not even made. In no order; [`Diagnostics::sorted`] must
    /// follow.
    pub fn add(&mut self, make: impl FnOnce() -> Diagnostic) {
        if self.all.len() < TOLD {
            self.all.push(make());
        } else {
            self.left_out += 1;
        }
    }

    /// These in their order, what was said twice kept once.
    #[must_use]
    pub fn sorted(self) -> Self {
        Self::new(self.all).and_others(self.left_out)
    }

    /// The first of them, the others counted: for places where a hundred would be too many.
    #[must_use]
    pub fn first(mut self, count: usize) -> Self {
        self.left_out += self.all.len().saturating_sub(count);
        self.all.truncate(count);
        self
    }

    /// These errors and those of a later stage over the same sources, in order.
    #[must_use]
    pub fn and(self, later: Self) -> Self {
        let mut all = self.all;
        all.extend(later.all);
        Self::new(all).and_others(self.left_out + later.left_out)
    }

    /// The first 100, in order.
    pub fn iter(&self) -> std::slice::Iter<'_, Diagnostic> {
        self.all.iter()
    }

    /// How many there are, those that are only counted among them.
    #[must_use]
    pub fn len(&self) -> usize {
        self.all.len() + self.left_out
    }

    /// Whether there is none; never so for what [`load`](crate::load) returns.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
    }
}

fn same_spot(a: &Diagnostic, b: &Diagnostic) -> bool {
    (&a.place.file, a.place.line, a.place.column) == (&b.place.file, b.place.line, b.place.column)
}

impl From<Diagnostic> for Diagnostics {
    fn from(diagnostic: Diagnostic) -> Self {
        Self { all: vec![diagnostic], left_out: 0 }
    }
}

impl<'a> IntoIterator for &'a Diagnostics {
    type Item = &'a Diagnostic;
    type IntoIter = std::slice::Iter<'a, Diagnostic>;

    fn into_iter(self) -> Self::IntoIter {
        self.all.iter()
    }
}

impl fmt::Display for Diagnostics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        render::diagnostics(&self.all, self.left_out, f)
    }
}

impl std::error::Error for Diagnostic {}

impl std::error::Error for Diagnostics {}
