//! From text to tree, bounded: a file that is too deep, too large or too fond of aliases is a clear error.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use saphyr_parser::{Event, Marker, Parser, ScalarStyle, Tag};

use super::syntax::{Explained, explain};
use super::{Entries, Entry, FileId, Key, Node, Scalar, ScalarKind, Span, Style, Value, env, scalar};
use crate::path::{ConfigPath, Segment};
use crate::report::Report;

/// What a file may cost, counted after aliases are expanded and over all included files.
#[derive(Debug, Clone)]
pub(crate) struct Bounds {
    /// Deeper is no configuration a person wrote; recursion elsewhere relies on it.
    depth: usize,
    /// 10,000 routes of 30 values each fit.
    nodes_left: usize,
    text_left: usize,
    /// Bytes of files.
    source_left: usize,
}

/// Values in all files together, after aliases are expanded.
const MAX_NODES: usize = 500_000;
/// Bytes of all files of a configuration together.
const MAX_SOURCE: usize = 32 * 1024 * 1024;

impl Default for Bounds {
    fn default() -> Self {
        Self { depth: 64, nodes_left: MAX_NODES, text_left: 32 * 1024 * 1024, source_left: MAX_SOURCE }
    }
}

impl Bounds {
    /// How many values there are so far.
    pub(crate) fn values(&self) -> usize {
        MAX_NODES - self.nodes_left
    }

    /// Takes a file's size into account.
    ///
    /// # Errors
    /// All files together are too large.
    pub(crate) fn take_source(&mut self, bytes: usize) -> Result<(), String> {
        let left = self.source_left.checked_sub(bytes);
        self.source_left = left.ok_or_else(|| {
            format!("with it the files of this configuration are larger than {} MiB together", MAX_SOURCE >> 20)
        })?;
        Ok(())
    }
}

/// Parses one document. Everything wrong goes to `report`; `None` when there is no tree to go on with.
pub(crate) fn parse(
    text: &str,
    file: FileId,
    env: env::Lookup<'_>,
    bounds: &mut Bounds,
    report: &mut Report,
) -> Option<Node> {
    let (anchors, words) = (HashMap::new(), HashSet::new());
    let mut builder = Builder { file, env, bounds, report, stack: Vec::new(), anchors, words, root: None };
    match builder.run(text) {
        Ok(()) => builder.root,
        Err(Stop) => None,
    }
}

/// Something is wrong that leaves no tree; it is already reported.
struct Stop;

struct Builder<'a> {
    file: FileId,
    env: env::Lookup<'a>,
    bounds: &'a mut Bounds,
    report: &'a mut Report,
    stack: Vec<Open>,
    anchors: HashMap<usize, Anchor>,
    /// The keys and values so far.
    words: HashSet<Arc<str>>,
    root: Option<Node>,
}

/// A list or map whose end has not come yet.
struct Open {
    start: Marker,
    anchor: usize,
    cost: Cost,
    content: Content,
}

enum Content {
    Seq(Vec<Node>),
    Map(OpenMap),
}

#[derive(Default)]
struct OpenMap {
    entries: Entries,
    /// The key whose value comes next, and whether it came before.
    pending: Option<(Key, Repeat)>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Repeat {
    First,
    Again,
}

struct Anchor {
    node: Node,
    cost: Cost,
}

/// What a subtree costs when an alias copies it.
#[derive(Clone, Copy, Default)]
struct Cost {
    nodes: usize,
    text: usize,
    height: usize,
}

impl Cost {
    fn add(&mut self, child: Self) {
        self.nodes = self.nodes.saturating_add(child.nodes);
        self.text = self.text.saturating_add(child.text);
        self.height = self.height.max(child.height + 1);
    }
}

impl Builder<'_> {
    fn run(&mut self, text: &str) -> Result<(), Stop> {
        let mut parser = Parser::new_from_str(text);
        let mut documents = 0;
        while let Some(event) = parser.next_event() {
            let (event, span) = match event {
                Ok(event) => event,
                Err(error) => {
                    let at = self.point(*error.marker());
                    return Err(self.syntax_error(at, error.info(), text));
                }
            };
            let at = self.span(span.start, span.end);
            match event {
                Event::DocumentStart(_) => {
                    documents += 1;
                    if documents > 1 {
                        return Err(
                            self.stop(at, "a second document (---) in one file; use include: for further files".into())
                        );
                    }
                }
                Event::Scalar(text, style, anchor, tag) => {
                    self.refuse_tag(at, tag.as_deref());
                    self.scalar(&text, style, anchor, at)?;
                }
                Event::SequenceStart(anchor, tag) => {
                    self.refuse_tag(at, tag.as_deref());
                    self.open(at, span.start, anchor, Content::Seq(Vec::new()))?;
                }
                Event::MappingStart(anchor, tag) => {
                    self.refuse_tag(at, tag.as_deref());
                    self.open(at, span.start, anchor, Content::Map(OpenMap::default()))?;
                }
                Event::SequenceEnd | Event::MappingEnd => self.close(span.end)?,
                Event::Alias(anchor) => self.alias(anchor, at)?,
                Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentEnd => {}
            }
        }
        Ok(())
    }

    fn scalar(&mut self, text: &str, style: ScalarStyle, anchor: usize, at: Span) -> Result<(), Stop> {
        if self.wants_key() {
            self.charge(at, Cost { nodes: 0, text: text.len(), height: 0 })?;
            return self.key(text, at);
        }
        let style = match style {
            ScalarStyle::Plain => Style::Plain,
            ScalarStyle::SingleQuoted | ScalarStyle::DoubleQuoted => Style::Quoted,
            ScalarStyle::Literal | ScalarStyle::Folded => Style::Block,
        };
        let substituted = env::substitute(text, self.env);
        let (text, written): (Arc<str>, Option<Arc<str>>) = match &substituted {
            Ok(Some(value)) => (value.as_str().into(), Some(text.into())),
            Ok(None) | Err(_) => (self.word(text), None),
        };
        let kind = match (substituted, style) {
            (Err(message), _) => {
                self.report.error(self.path(), at, message);
                ScalarKind::Unknown
            }
            (Ok(_), Style::Plain) => scalar::resolve(&text),
            (Ok(_), Style::Quoted | Style::Block) => ScalarKind::Str,
        };
        let cost = Cost { nodes: 1, text: text.len(), height: 0 };
        let node = Node { span: at, value: Value::Scalar(Scalar { kind, text, written, style }) };
        self.charge(at, cost)?;
        self.finish(node, cost, anchor)
    }

    /// Whether the next node is a key of the innermost map.
    fn wants_key(&self) -> bool {
        matches!(self.stack.last(), Some(Open { content: Content::Map(OpenMap { pending: None, .. }), .. }))
    }

    fn key(&mut self, text: &str, at: Span) -> Result<(), Stop> {
        if text == "<<" {
            return Err(self.stop(at, "merge keys (<<) are not supported: nothing is merged implicitly; write the keys out, or put shared steps into chains".into()));
        }
        let key = Key { text: self.word(text), span: at };
        let map =
            self.stack.last().and_then(|open| if let Content::Map(map) = &open.content { Some(map) } else { None });
        let repeat = match map.and_then(|map| map.entries.get(text)).map(|first| first.key.span) {
            None => Repeat::First,
            Some(first) => {
                let (path, others) = (self.path().key(text), vec![("first written here".into(), first)]);
                self.report.error_with(path, at, format!("the key {text:?} is written twice"), others);
                Repeat::Again
            }
        };
        if let Some(Open { content: Content::Map(map), .. }) = self.stack.last_mut() {
            map.pending = Some((key, repeat));
        }
        Ok(())
    }

    fn open(&mut self, at: Span, start: Marker, anchor: usize, content: Content) -> Result<(), Stop> {
        if self.wants_key() {
            return Err(self.stop(at, "a key must be a text; a text that begins with { or [ needs quotes".into()));
        }
        if self.stack.len() >= self.bounds.depth {
            let depth = self.bounds.depth;
            return Err(self.stop(at, format!("nested more than {depth} levels deep")));
        }
        let cost = Cost { nodes: 1, text: 0, height: 0 };
        self.charge(at, cost)?;
        self.stack.push(Open { start, anchor, cost, content });
        Ok(())
    }

    fn close(&mut self, end: Marker) -> Result<(), Stop> {
        let Some(open) = self.stack.pop() else {
            return Ok(());
        };
        let span = self.span(open.start, end);
        let value = match open.content {
            // The tree is kept for as long as the configuration is: without the room that growing left.
            Content::Seq(mut items) => {
                items.shrink_to_fit();
                Value::Seq(items)
            }
            Content::Map(OpenMap { mut entries, .. }) => {
                entries.shrink_to_fit();
                Value::Map(entries)
            }
        };
        self.finish(Node { span, value }, open.cost, open.anchor)
    }

    fn alias(&mut self, anchor: usize, at: Span) -> Result<(), Stop> {
        if self.wants_key() {
            return Err(self.stop(at, "an alias cannot be a key".into()));
        }
        let Some(Anchor { node, cost }) = self.anchors.get(&anchor) else {
            return Err(self.stop(at, "the alias stands inside its own anchor".into()));
        };
        let (node, cost) = (node.clone(), *cost);
        if self.stack.len() + cost.height > self.bounds.depth {
            let depth = self.bounds.depth;
            return Err(self.stop(at, format!("the alias nests more than {depth} levels deep")));
        }
        self.charge(at, cost)?;
        self.finish(node, cost, 0)
    }

    /// A key or a value, kept once however often it is written.
    fn word(&mut self, text: &str) -> Arc<str> {
        if let Some(known) = self.words.get(text) {
            return Arc::clone(known);
        }
        let word: Arc<str> = text.into();
        self.words.insert(Arc::clone(&word));
        word
    }

    /// Puts a finished node where it belongs.
    fn finish(&mut self, node: Node, cost: Cost, anchor: usize) -> Result<(), Stop> {
        if anchor != 0 {
            // The copy kept for aliases costs as much as the original: nested anchors must not multiply.
            self.charge(node.span, cost)?;
            self.anchors.insert(anchor, Anchor { node: node.clone(), cost });
        }
        let Some(parent) = self.stack.last_mut() else {
            self.root = Some(node);
            return Ok(());
        };
        parent.cost.add(cost);
        match &mut parent.content {
            Content::Seq(items) => items.push(node),
            // A key written twice is already reported; the first one stands.
            Content::Map(map) => {
                if let Some((key, Repeat::First)) = map.pending.take() {
                    map.entries.push(Entry { key, value: node });
                }
            }
        }
        Ok(())
    }

    fn charge(&mut self, at: Span, cost: Cost) -> Result<(), Stop> {
        let nodes = self.bounds.nodes_left.checked_sub(cost.nodes);
        let text = self.bounds.text_left.checked_sub(cost.text);
        let (Some(nodes), Some(text)) = (nodes, text) else {
            return Err(self.stop(at, "the configuration is too large once its aliases are written out (at most 500,000 values, 32 MiB of text)".into()));
        };
        self.bounds.nodes_left = nodes;
        self.bounds.text_left = text;
        Ok(())
    }

    /// The path of the value that comes next.
    fn path(&self) -> ConfigPath {
        let mut path = ConfigPath::root();
        for open in &self.stack {
            match &open.content {
                Content::Seq(items) => path.push(Segment::Index(items.len())),
                Content::Map(OpenMap { pending: Some((key, _)), .. }) => {
                    path.push(Segment::Key(Arc::clone(&key.text)));
                }
                Content::Map(_) => {}
            }
        }
        path
    }

    fn refuse_tag(&mut self, at: Span, tag: Option<&Tag>) {
        if let Some(tag) = tag {
            let message = format!("tags ({tag}) are not supported; a text that begins with ! needs quotes");
            self.report.error(self.path(), at, message);
        }
    }

    fn syntax_error(&mut self, at: Span, info: &str, text: &str) -> Stop {
        let Explained { message, open, place } = explain(info, at, text);
        let at = place.map_or(at, |(line, column)| Span { line, column, end_line: line, end_column: column, ..at });
        let start = match self.stack.last() {
            Some(open_node) if open => vec![("opened here".into(), self.point(open_node.start))],
            _ => Vec::new(),
        };
        self.report.error_with(self.path(), at, message, start);
        Stop
    }

    fn stop(&mut self, at: Span, message: String) -> Stop {
        self.report.error(self.path(), at, message);
        Stop
    }

    fn point(&self, at: Marker) -> Span {
        self.span(at, at)
    }

    fn span(&self, start: Marker, end: Marker) -> Span {
        let number = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        Span {
            file: self.file,
            line: number(start.line()).max(1),
            column: number(start.col()).saturating_add(1),
            end_line: number(end.line()).max(1),
            end_column: number(end.col()).saturating_add(1),
        }
    }
}
