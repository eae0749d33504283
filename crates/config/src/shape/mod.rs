//! Holds the position tree against the schema and reports every difference at its place.
//!
//! A small validator of our own: it knows the keywords that our types and plugins use, says what was expected in
//! words, and guesses what was meant. Collects references between sections on the way.

mod branches;
mod describe;
mod map;
mod scalar;
mod step;

use std::collections::{HashMap, HashSet};
use std::rc::Rc;
use std::sync::Arc;

use indexmap::IndexSet;
use regex::Regex;
use serde_json::{Map, Value as Json};

use self::scalar::unit_of;
use crate::catalog::Catalog;
use crate::path::{ConfigPath, Segment};
use crate::redact::is_secret;
use crate::report::Report;
use crate::units::{SecretSource, UnitError};
use crate::yaml::{Entry, FileId, Node, Scalar, ScalarKind, Span, Value};

/// A schema as a map of keywords.
type Schema = Map<String, Json>;

/// A text that must name something defined elsewhere in the file.
#[derive(Debug, Clone)]
pub(crate) struct Reference {
    /// The word of `x-refers-to`.
    pub(crate) kind: String,
    pub(crate) name: String,
    pub(crate) path: ConfigPath,
    pub(crate) span: Span,
}

/// A text of a plugin's settings that is written in one of the small languages. This crate reads none of them: the engine
/// checks them, so that a mistake is shown at its character, even where the settings around it are wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Text {
    /// Which language.
    pub language: Language,
    /// The moment of a request it is for: the word of `x-template` or `x-expression` in the plugin's schema. Empty for a
    /// regular expression, which is the same at any moment.
    pub moment: String,
    /// Where it stands.
    pub path: ConfigPath,
    /// The text, the environment put in.
    pub text: Arc<str>,
}

/// A small language of the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Language {
    /// `${root.path}` in a text: `x-template`.
    Template,
    /// A condition: `x-expression`.
    Expression,
    /// A regular expression: `x-regex`.
    Regex,
}

/// The name of an upstream in a plugin's settings: requests that come to this place may go there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UpstreamReference {
    /// The upstream.
    pub name: String,
    /// Where it is named.
    pub path: ConfigPath,
}

/// What the walk notes for later stages.
#[derive(Debug, Default)]
pub(crate) struct Notes {
    pub(crate) references: Vec<Reference>,
    pub(crate) texts: Vec<Text>,
    /// The lengths of the paths of `texts` together: a text that nests deeply has a long one.
    steps: usize,
    /// Values below a key that sounds like a secret's, and which are none by their schema.
    pub(crate) plain: HashSet<Span>,
    /// Values that are URLs.
    pub(crate) urls: HashSet<Span>,
}

/// The paths of templates and expressions in settings may have so many steps together. (Arbitrary: 10,000 routes with ten
/// templates each are well below.)
const MAX_STEPS_TO_TEXTS: usize = 1_000_000;

/// Whether a secret can be had; the file is the one that names it.
pub(crate) type SecretCheck<'a> = &'a dyn Fn(&SecretSource, FileId) -> Result<(), UnitError>;

pub(crate) struct Shape<'a> {
    root: &'a Json,
    catalog: &'a Catalog,
    secrets: Option<SecretCheck<'a>>,
    /// The names of chains, for steps that name one without `use`.
    chains: IndexSet<Arc<str>>,
    pub(crate) report: Report,
    pub(crate) notes: Notes,
    path: ConfigPath,
    /// Compiled patterns of the schema; `None` for one that our engine cannot read.
    patterns: HashMap<&'a str, Option<Rc<Regex>>>,
    /// Guards against schemas that refer to themselves without going into the value.
    depth: usize,
    /// What is found now is only counted: nobody will read it.
    is_counting: bool,
}

/// More `$ref`s and levels than any honest schema has on one path.
const MAX_DEPTH: usize = 256;

impl<'a> Shape<'a> {
    pub(crate) fn new(root: &'a Json, catalog: &'a Catalog) -> Self {
        Self {
            root,
            catalog,
            secrets: None,
            chains: IndexSet::new(),
            report: Report::default(),
            notes: Notes::default(),
            path: ConfigPath::root(),
            patterns: HashMap::new(),
            depth: 0,
            is_counting: false,
        }
    }

    pub(crate) fn with_secrets(mut self, check: SecretCheck<'a>) -> Self {
        self.secrets = Some(check);
        self
    }

    /// Checks a whole file.
    pub(crate) fn check_root(&mut self, node: &Node) {
        let chains = node.get("chains").map(Node::entries).unwrap_or_default();
        self.chains = chains.iter().map(|chain| Arc::clone(&chain.key.text)).collect();
        let start = Span { end_line: node.span.line, end_column: node.span.column, ..node.span };
        self.check(self.root, node, start);
    }

    /// Checks a value. `label` is the key or the list position that it stands at, for what is missing in it.
    fn check(&mut self, schema: &'a Json, node: &Node, label: Span) {
        let Json::Object(schema) = schema else {
            if schema == &Json::Bool(false) {
                self.error(label, "nothing may stand here");
            }
            return;
        };
        if self.depth >= MAX_DEPTH || node.is_unknown() {
            return;
        }
        self.depth += 1;
        let before = self.report.errors.count();
        self.check_keywords(schema, node, label);
        self.note_kind(schema, node);
        if self.report.errors.count() == before {
            self.note_reference(schema, node);
            self.note_texts(schema, node);
        } else if let Value::Scalar(scalar) = &node.value {
            self.report.as_written(node.span, scalar);
        }
        self.depth -= 1;
    }

    fn check_keywords(&mut self, schema: &'a Schema, node: &Node, label: Span) {
        if schema.contains_key("x-step") {
            return self.check_step(schema, node, label);
        }
        if let Some(target) = self.target(schema) {
            self.check(target, node, label);
        }
        for part in schemas(schema, "allOf") {
            self.check(part, node, label);
        }
        let mut branches = Vec::new();
        for (keyword, how_many) in [("anyOf", branches::HowMany::AtLeastOne), ("oneOf", branches::HowMany::One)] {
            let of_keyword = schemas(schema, keyword).collect::<Vec<_>>();
            match branches::required_keys(&of_keyword) {
                Some(keys) => self.check_keys(&keys, how_many, node, label),
                None => branches.extend(of_keyword),
            }
        }
        if !branches.is_empty() {
            return self.check_branches(schema, &branches, node, label);
        }
        if !self.check_kind(schema, node, label) {
            return;
        }
        match &node.value {
            Value::Scalar(scalar) => self.check_scalar(schema, scalar, node.span),
            Value::Seq(items) => self.check_list(schema, items, node.span, label),
            Value::Map(entries) => self.check_map(schema, entries, node.span, label),
        }
    }

    fn check_list(&mut self, schema: &'a Schema, items: &[Node], span: Span, label: Span) {
        let fixed: Vec<&'a Json> = schemas(schema, "prefixItems").collect();
        for (index, item) in items.iter().enumerate() {
            let schema = fixed.get(index).copied().or_else(|| schema.get("items"));
            if let Some(schema) = schema {
                self.descend(Segment::Index(index), |shape| shape.check(schema, item, item.span));
            }
        }
        let least = bound(schema, "minItems").unwrap_or(0);
        if items.len() < least {
            let message = match (items.len(), least) {
                (0, 1) => "the list is empty; it needs at least one item".to_owned(),
                (found, least) => format!("the list needs at least {least} items, and has {found}"),
            };
            self.error(if items.is_empty() { span } else { label }, message);
        }
        if let Some(most) = bound(schema, "maxItems").filter(|most| items.len() > *most) {
            self.error(label, format!("the list has {} items; at most {most} are allowed", items.len()));
        }
        if schema.get("uniqueItems") == Some(&Json::Bool(true)) {
            let mut first: HashMap<String, Span> = HashMap::new();
            for (index, item) in items.iter().enumerate() {
                let json = item.to_json().to_string();
                if let Some(first) = first.get(&json) {
                    let others = vec![("first written here".to_owned(), *first)];
                    self.report.error_with(self.path.index(index), item.span, "written twice in this list", others);
                } else {
                    first.insert(json, item.span);
                }
            }
        }
    }

    /// Goes one step down for the time of `check`.
    fn descend(&mut self, segment: Segment, check: impl FnOnce(&mut Self)) {
        self.path.push(segment);
        check(self);
        self.path.pop();
    }

    fn error(&mut self, span: Span, message: impl Into<String>) {
        // What is not kept needs no path.
        let path = if self.report.errors.is_full() { ConfigPath::root() } else { self.path.clone() };
        self.report.error(path, span, message);
    }

    /// Whether somebody may read what is found now. When not, no work is put into hints.
    fn is_read(&self) -> bool {
        !self.is_counting && !self.report.errors.is_full()
    }

    /// A pattern of the schema, compiled once. A pattern our engine cannot read is not the reader's mistake: the type
    /// behind the schema has the last word.
    fn pattern(&mut self, pattern: &'a str) -> Option<Rc<Regex>> {
        self.patterns.entry(pattern).or_insert_with(|| Regex::new(pattern).ok().map(Rc::new)).clone()
    }

    fn note_reference(&mut self, schema: &Schema, node: &Node) {
        let (Some(Json::String(kind)), Some(name)) = (schema.get("x-refers-to"), node.str()) else {
            return;
        };
        // A template names something only at run time.
        if !name.contains("${") {
            self.notes.references.push(Reference {
                kind: kind.clone(),
                name: name.to_owned(),
                path: self.path.clone(),
                span: node.span,
            });
        }
    }

    /// What a value may be shown as.
    fn note_kind(&mut self, schema: &Schema, node: &Node) {
        let Value::Scalar(_) = &node.value else { return };
        let unit = unit_of(schema).map(|unit| unit.kind);
        if unit == Some("url") {
            self.notes.urls.insert(node.span);
        }
        let is_plain = unit.is_some_and(|unit| !matches!(unit, "secret" | "url"))
            || ["x-shown", "x-refers-to", "enum", "const"].iter().any(|word| schema.contains_key(*word));
        let sounds = |segment: &Segment| matches!(segment, Segment::Key(key) if is_secret(key));
        if is_plain && self.path.segments().iter().any(sounds) {
            self.notes.plain.insert(node.span);
        }
    }

    fn note_texts(&mut self, schema: &Schema, node: &Node) {
        for (keyword, language) in [("x-template", Language::Template), ("x-expression", Language::Expression)] {
            if let Some(Json::String(moment)) = schema.get(keyword) {
                self.note_every_text(language, moment, node);
            }
        }
        if schema.get("x-regex") == Some(&Json::Bool(true)) {
            self.note_every_text(Language::Regex, "", node);
        }
    }

    /// A template may be a whole tree whose texts are templates.
    fn note_every_text(&mut self, language: Language, moment: &str, node: &Node) {
        match &node.value {
            Value::Scalar(Scalar { kind: ScalarKind::Str, text, .. }) => {
                self.notes.steps += self.path.segments().len();
                if self.notes.steps > MAX_STEPS_TO_TEXTS {
                    let message = "with this one there are more templates, and nested deeper, than can be checked";
                    return self.error(node.span, message);
                }
                let (moment, path, text) = (moment.to_owned(), self.path.clone(), Arc::clone(text));
                self.notes.texts.push(Text { language, moment, path, text });
            }
            Value::Scalar(_) => {}
            Value::Seq(items) => {
                for (index, item) in items.iter().enumerate() {
                    self.descend(Segment::Index(index), |shape| shape.note_every_text(language, moment, item));
                }
            }
            Value::Map(entries) => {
                for Entry { key, value } in entries.iter() {
                    let segment = Segment::Key(Arc::clone(&key.text));
                    self.descend(segment, |shape| shape.note_every_text(language, moment, value));
                }
            }
        }
    }

    /// The schema that `$ref` names.
    fn target(&self, schema: &Schema) -> Option<&'a Json> {
        let reference = schema.get("$ref")?.as_str()?.strip_prefix('#')?;
        self.root.pointer(reference)
    }

    /// The schema itself, or what it refers to when it is nothing but a reference.
    fn resolved(&self, schema: &'a Json) -> &'a Json {
        let mut schema = schema;
        for _ in 0..MAX_DEPTH {
            match schema.as_object().and_then(|map| self.target(map)) {
                Some(target) => schema = target,
                None => break,
            }
        }
        schema
    }

    /// What `check` finds, without keeping it.
    fn trial(&mut self, schema: &'a Json, node: &Node, label: Span) -> (Report, Notes) {
        let is_counting = !self.is_read();
        let was_counting = std::mem::replace(&mut self.is_counting, is_counting);
        let report = std::mem::take(&mut self.report);
        let notes = std::mem::take(&mut self.notes);
        self.check(schema, node, label);
        self.is_counting = was_counting;
        (std::mem::replace(&mut self.report, report), std::mem::replace(&mut self.notes, notes))
    }

    fn adopt(&mut self, (report, notes): (Report, Notes)) {
        self.report.append(report);
        self.notes.references.extend(notes.references);
        self.notes.texts.extend(notes.texts);
        self.notes.steps += notes.steps;
        self.notes.plain.extend(notes.plain);
        self.notes.urls.extend(notes.urls);
    }
}

/// The schemas in a list keyword; none when it is missing.
fn schemas<'a>(schema: &'a Schema, keyword: &str) -> impl Iterator<Item = &'a Json> + use<'a> {
    schema.get(keyword).and_then(Json::as_array).map(Vec::as_slice).unwrap_or_default().iter()
}

/// The strings in a list keyword.
fn words<'a>(schema: &'a Schema, keyword: &str) -> Vec<&'a str> {
    schemas(schema, keyword).filter_map(Json::as_str).collect()
}

fn bound(schema: &Schema, keyword: &str) -> Option<usize> {
    schema.get(keyword)?.as_u64().and_then(|n| usize::try_from(n).ok())
}
