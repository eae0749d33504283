//! The files a configuration was read from, and where in them each value stands.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::diagnostic::{Diagnostic, Diagnostics};
use crate::path::{ConfigPath, Place, Segment};
use crate::redact::Known;
use crate::render::Excerpt;
use crate::report::{Finding, Findings};
use crate::units::url;
use crate::yaml::{FileId, Lines, Node, Scalar, Span, Style, Value};

/// One file that was read.
#[derive(Debug, Clone)]
pub(crate) struct File {
    /// As diagnostics name it.
    pub(crate) name: Arc<str>,
    pub(crate) path: PathBuf,
    pub(crate) lines: Lines,
}

/// The source texts of a configuration. Makes [`Diagnostic`]s for paths, so that what is found wrong after loading
/// (a template that does not compile, routes in conflict) is shown like any other error.
#[derive(Debug, Clone, Default)]
pub struct Sources {
    pub(crate) files: Vec<File>,
    pub(crate) root: Option<Node>,
    /// Files and patterns that `include` names, and files that are read later, whether they could be read or not.
    pub(crate) wanted: Vec<PathBuf>,
    /// Literal secrets, in the order in which they stand: no source line that is shown may show them.
    pub(crate) masked: Vec<Span>,
    /// What may be shown of values.
    pub(crate) known: Known,
}

impl Sources {
    /// Where the value at a path begins. `None` when the file does not write it.
    #[must_use]
    pub fn place(&self, path: &ConfigPath) -> Option<Place> {
        self.find(path).map(|found| self.place_of(path, found.value.span))
    }

    /// An error at a value; at the nearest value around it when the file leaves it out.
    #[must_use]
    pub fn diagnostic(&self, path: &ConfigPath, message: impl Into<String>) -> Diagnostic {
        let node = self.nearest(path).value;
        self.dress(path, node.span, conceal(node, message.into()))
    }

    /// An error at a key rather than its value.
    #[must_use]
    pub fn diagnostic_at_key(&self, path: &ConfigPath, message: impl Into<String>) -> Diagnostic {
        let found = self.nearest(path);
        self.dress(path, found.key.unwrap_or(found.value.span), message.into())
    }

    /// An error inside a text, `offset` bytes from its beginning: a caret within a template or a pattern.
    ///
    /// Where the text in the file differs from the value (escapes, folded lines, `${env.…}`) it points at the
    /// beginning of the text.
    #[must_use]
    pub fn diagnostic_within(&self, path: &ConfigPath, offset: usize, message: impl Into<String>) -> Diagnostic {
        let node = self.nearest(path).value;
        let span = self.find(path).and_then(|found| self.inside(found.value, offset));
        self.dress(path, span.unwrap_or(node.span), conceal(node, message.into()))
    }

    /// The folder that relative paths of the value count from: that of the file which writes it.
    #[must_use]
    pub fn folder(&self, path: &ConfigPath) -> &Path {
        self.folder_of(self.nearest(path).value.span.file)
    }

    /// Every file that was read, the main one first: what a watcher watches.
    pub fn paths(&self) -> impl Iterator<Item = &Path> + Clone {
        self.files.iter().map(|file| file.path.as_path())
    }

    /// What `include` names: paths of files, read or missing, and patterns with a `*` in the file name; and what is read when
    /// the configuration is compiled, such as certificates. A watcher watches these as well: a file that appears there belongs to the configuration. See [`matching`](crate::matching).
    pub fn wanted(&self) -> impl Iterator<Item = &Path> + Clone {
        self.wanted.iter().map(PathBuf::as_path)
    }

    /// Never shows what stands there.
    pub(crate) fn mask(&mut self, mut spans: Vec<Span>) {
        // One of several lines counts for each.
        let lines = |span: Span| (span.line..=span.end_line).map(move |line| (line, span));
        let one = |(line, span): (u32, Span)| Span {
            line,
            column: if line == span.line { span.column } else { 1 },
            end_line: line,
            end_column: if line == span.end_line { span.end_column } else { u32::MAX },
            ..span
        };
        // A value that is aliased stands there once.
        spans.sort_unstable();
        spans.dedup();
        self.masked = spans.into_iter().flat_map(lines).map(one).collect();
        self.masked.sort_unstable();
    }

    fn masked_in(&self, file: FileId, line: u32) -> impl Iterator<Item = Span> {
        let from = self.masked.partition_point(|mask| (mask.file, mask.line) < (file, line));
        let masks = self.masked.get(from..).unwrap_or_default().iter().copied();
        masks.take_while(move |mask| (mask.file, mask.line) == (file, line))
    }

    pub(crate) fn folder_of(&self, file: FileId) -> &Path {
        let folder = self.files.get(file.0 as usize).and_then(|file| file.path.parent());
        folder.unwrap_or_else(|| Path::new(""))
    }

    pub(crate) fn place_of(&self, path: &ConfigPath, span: Span) -> Place {
        Place { path: path.clone(), file: self.name(span.file), line: span.line, column: span.column }
    }

    fn name(&self, file: FileId) -> Arc<str> {
        self.files.get(file.0 as usize).map_or_else(|| Arc::from(""), |file| Arc::clone(&file.name))
    }

    /// Dresses findings, the main file first, then the included ones in the order they were read. Only as many as are told:
    /// of the others the number is enough.
    pub(crate) fn dress_all(&self, findings: Findings) -> Diagnostics {
        let (mut findings, left_out) = findings.into_parts();
        findings.sort_by_key(|finding| (finding.span.file, finding.span.line, finding.span.column));
        // An aliased value is wrong once, however often it is used.
        findings.dedup_by(|b, a| a.message == b.message && a.span == b.span);
        let mut dressed = Diagnostics::default();
        for finding in findings {
            dressed.add(|| self.dress_finding(finding));
        }
        dressed.sorted().and_others(left_out)
    }

    fn dress_finding(&self, finding: Finding) -> Diagnostic {
        let Finding { path, span, message, others, notes } = finding;
        let mut diagnostic = self.dress(&path, span, message);
        for (label, other) in others {
            let other = self.place_of(&path, other);
            diagnostic = diagnostic.with_place(&label, &other);
        }
        let notes = notes.into_iter().map(|note| url::without_credentials(&note).into_owned());
        notes.fold(diagnostic, Diagnostic::with_note)
    }

    /// Makes a diagnostic. Its source line shows no literal secret.
    fn dress(&self, path: &ConfigPath, span: Span, message: String) -> Diagnostic {
        let file = self.files.get(span.file.0 as usize);
        let source_line = file.map_or("", |file| file.lines.line(span.line));
        let width = if span.end_line == span.line { span.end_column.saturating_sub(span.column) } else { 1 };
        // The whole line: what is cut out of it may not look like a URL any more.
        let source_line = url::without_credentials(source_line);
        let mut excerpt = Excerpt::new(&source_line, span.column, width.max(1));
        for mask in self.masked_in(span.file, span.line) {
            excerpt.hide(mask.column, mask.end_column);
        }
        Diagnostic {
            place: self.place_of(path, span),
            file: span.file,
            shown_path: cut_path(self.local(path, span.file).to_string()),
            message: url::without_credentials(&message).into_owned(),
            excerpt,
            notes: Vec::new(),
        }
    }

    /// The path as the file counts: lists joined from several files start at 0 in each.
    fn local(&self, path: &ConfigPath, file: FileId) -> ConfigPath {
        let [Segment::Key(key), Segment::Index(index), ..] = path.segments() else {
            return path.clone();
        };
        let Some(list) = self.root.as_ref().and_then(|root| root.get(key)) else {
            return path.clone();
        };
        let before = list.items().iter().take(*index).filter(|item| item.span.file == file);
        path.with_top_index(before.count())
    }

    /// The path over all files of what one file counts: the opposite of [`Self::local`].
    pub(crate) fn united(&self, path: &ConfigPath, file: FileId) -> ConfigPath {
        let [Segment::Key(key), Segment::Index(index), ..] = path.segments() else {
            return path.clone();
        };
        let list = self.root.as_ref().and_then(|root| root.get(key)).map(Node::items).unwrap_or_default();
        let mut of_file = list.iter().enumerate().filter(|(_, item)| item.span.file == file);
        of_file.nth(*index).map_or_else(|| path.clone(), |(index, _)| path.with_top_index(index))
    }

    fn find(&self, path: &ConfigPath) -> Option<Found<'_>> {
        let root = self.root.as_ref()?;
        path.segments().iter().try_fold(Found { key: None, value: root }, Found::step)
    }

    /// The value at the path, or the innermost one around it.
    fn nearest(&self, path: &ConfigPath) -> Found<'_> {
        static NOWHERE: Node = Node {
            span: Span { file: FileId(0), line: 1, column: 1, end_line: 1, end_column: 1 },
            value: Value::Seq(Vec::new()),
        };
        let mut found = Found { key: None, value: self.root.as_ref().unwrap_or(&NOWHERE) };
        for segment in path.segments() {
            match found.step(segment) {
                Some(next) => found = next,
                None => break,
            }
        }
        found
    }

    /// The place of a byte of a scalar, when the file writes it just as it is.
    fn inside(&self, node: &Node, offset: usize) -> Option<Span> {
        let Value::Scalar(Scalar { text, written: None, style, .. }) = &node.value else {
            return None;
        };
        let span = node.span;
        let lines = &self.files.get(span.file.0 as usize)?.lines;
        let before = text.get(..offset.min(text.len()))?;
        let characters = |text: &str| u32::try_from(text.chars().count()).ok();
        let (line, column) = if *style == Style::Block {
            // Each line of a `|` block is one line of the file, behind the indentation of the block. The scanner
            // marks a block at its header or at its first line.
            let row = u32::try_from(before.matches('\n').count()).ok()?;
            let in_row = before.rsplit('\n').next()?;
            let indent = |line: u32, row: u32| lines.line(line).strip_suffix(text.split('\n').nth(row as usize)?);
            let first = [span.line, span.line.checked_add(1)?];
            let first = first.into_iter().find(|first| {
                let is_indent = |text: &str| text.chars().all(|c| c == ' ');
                indent(*first, 0).is_some_and(is_indent) && indent(*first + row, row).is_some_and(is_indent)
            })?;
            let line = first.checked_add(row)?;
            (line, characters(indent(line, row)?)? + characters(in_row)? + 1)
        } else {
            let quote = u32::from(*style == Style::Quoted);
            let column = span.column.checked_add(quote)?;
            lines.rest(span.line, column).strip_prefix(&**text)?;
            (span.line, column.checked_add(characters(before)?)?)
        };
        Some(Span { line, column, end_line: line, end_column: column.checked_add(1)?, ..span })
    }
}

/// A value with the place of its key, if it stands in a map.
#[derive(Clone, Copy)]
struct Found<'a> {
    key: Option<Span>,
    value: &'a Node,
}

impl<'a> Found<'a> {
    fn step(self, segment: &Segment) -> Option<Self> {
        match segment {
            Segment::Key(key) => {
                let entry = self.value.entry(key)?;
                Some(Self { key: Some(entry.key.span), value: &entry.value })
            }
            Segment::Index(index) => {
                let value: &'a Node = self.value.items().get(*index)?;
                Some(Self { key: None, value })
            }
        }
    }
}

/// A message about a value, without what the environment put into it.
fn conceal(node: &Node, message: String) -> String {
    match &node.value {
        Value::Scalar(scalar) => scalar.conceal(message),
        Value::Seq(_) | Value::Map(_) => message,
    }
}

/// A path nobody would read to its end is cut.
fn cut_path(path: String) -> String {
    const MOST: usize = 160;
    match path.char_indices().nth(MOST) {
        Some((end, _)) => format!("{}…", path.get(..end).unwrap_or_default()),
        None => path,
    }
}
