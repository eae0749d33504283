//! The reference page, written from the schema: a table for each map, a list for each choice, plugins last.

use std::collections::VecDeque;
use std::fmt::Write as _;

use serde_json::{Map, Value};

use super::compose::{compose, plugin_definition};
use super::index::TASKS;
use crate::catalog::Catalog;

const INTRODUCTION: &str = "\
# gateway.yaml

<!-- Generated from the types by `portreeve_config::reference_markdown`. Edit the doc comments, not this page. -->

Keys are `snake_case`, names are `kebab-case`, and unknown keys are refused.
Units stand in the value: `800ms`, `64KiB`, `100/min`, `20%`.
`${env.NAME}` and `${env.NAME:-default}` are replaced when the file is loaded, in any value.
Secrets are `env:NAME` or `file:/path`, never written out.
Texts with `${…}` are [templates](templates.md#templates), conditions are [expressions](templates.md#expressions).
Each example is a whole file that loads.

";

/// docs/configuration.md for the plugins of `catalog`.
#[must_use]
pub fn reference_markdown(catalog: &Catalog) -> String {
    let root = compose(catalog);
    let mut page = Page { root: &root, out: INTRODUCTION.to_owned(), waiting: VecDeque::new(), seen: Vec::new() };
    page.tasks();
    if let Value::Object(map) = &root {
        page.body(map);
    }
    page.definitions("##");
    page.out.push_str("## Plugins\n\nA step is a bare plugin name, a map with one plugin key, or `use: <chain>`.\n\n");
    for (name, plugin) in &catalog.plugins {
        let definition = plugin_definition(name);
        page.heading("###", name);
        page.line(&plugin.summary);
        if let Some(map) = page.definition(&definition) {
            page.example(map);
            page.body(map);
        }
        page.definitions("####");
    }
    let end = page.out.trim_end().len();
    page.out.truncate(end);
    page.out.push('\n');
    page.out
}

struct Page<'a> {
    root: &'a Value,
    out: String,
    /// Definitions that were mentioned and have no section yet.
    waiting: VecDeque<String>,
    seen: Vec<String>,
}

impl<'a> Page<'a> {
    fn definition(&self, name: &str) -> Option<&'a Map<String, Value>> {
        self.root.get("$defs")?.get(name)?.as_object()
    }

    /// Sections for everything mentioned so far, and for what those mention; forms of single values last.
    fn definitions(&mut self, level: &str) {
        let mut forms = Vec::new();
        while let Some(name) = self.waiting.pop_front() {
            let Some(map) = self.definition(&name) else {
                continue;
            };
            if map.contains_key("x-unit") || text(map, "type") == Some("integer") {
                forms.push((name, map));
            } else {
                self.section(level, &name, map);
            }
        }
        for (name, map) in forms {
            self.section(level, &name, map);
        }
    }

    fn section(&mut self, level: &str, name: &str, map: &'a Map<String, Value>) {
        self.heading(level, &title(name));
        if let Some(text) = text(map, "description") {
            self.line(text);
        }
        self.example(map);
        self.body(map);
    }

    /// What people want to do, and where it is described; tasks of plugins that this binary does not have are left out.
    fn tasks(&mut self) {
        self.out.push_str("| you want to | see |\n|---|---|\n");
        for (task, names) in TASKS {
            let known = |name: &&&str| self.definition(name).is_some();
            let links: Vec<_> = names.iter().filter(known).map(|name| anchor(name)).collect();
            if !links.is_empty() {
                let _infallible = writeln!(self.out, "| {task} | {} |", links.join(", "));
            }
        }
        self.out.push('\n');
    }

    /// A whole file that shows the section in use.
    fn example(&mut self, map: &Map<String, Value>) {
        if let Some(example) = text(map, "x-example") {
            let _infallible = writeln!(self.out, "```yaml\n{}\n```\n", example.trim_end());
        }
    }

    fn heading(&mut self, level: &str, title: &str) {
        self.line(&format!("{level} {title}"));
    }

    fn line(&mut self, text: &str) {
        self.out.push_str(text.trim());
        self.out.push_str("\n\n");
    }

    /// A table for a map with known keys; a list for a choice.
    fn body(&mut self, map: &'a Map<String, Value>) {
        if map.contains_key("x-step") {
            return self.step(map);
        }
        if let Some(Value::Object(properties)) = map.get("properties") {
            return self.table(map, properties);
        }
        if let Some(values @ Value::Object(_)) = map.get("additionalProperties") {
            let (kind, keys) = (self.kind(values), map.get("propertyNames").and_then(|keys| keys.get("x-expected")));
            let keys = keys.and_then(Value::as_str).map(|keys| format!(", each key {keys}")).unwrap_or_default();
            return self.line(&format!("A map to: {kind}{keys}."));
        }
        let branches = leaves(map);
        if !branches.is_empty() {
            for branch in branches {
                let kind = self.kind(branch);
                let meaning = branch.get("description").and_then(Value::as_str).map(flat).unwrap_or_default();
                let colon = if meaning.is_empty() { "" } else { ": " };
                // Writing to a String cannot fail.
                let _infallible = writeln!(self.out, "- {kind}{colon}{meaning}");
            }
            self.out.push('\n');
        }
    }

    /// The keys beside a plugin; the plugins have sections of their own.
    fn step(&mut self, map: &'a Map<String, Value>) {
        let forms = map.get("anyOf").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        let Some(Value::Object(properties)) = forms.iter().find_map(|form| form.get("properties")) else {
            return;
        };
        self.out.push_str("| key | value | default | meaning |\n|---|---|---|---|\n");
        for key in ["use", "name", "when", "mode", "on_error"] {
            if let Some(schema) = properties.get(key) {
                self.row(key, schema, false);
            }
        }
        self.out.push('\n');
    }

    fn table(&mut self, map: &'a Map<String, Value>, properties: &'a Map<String, Value>) {
        if properties.is_empty() {
            return self.line("No keys.");
        }
        let required = map.get("required").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        self.out.push_str("| key | value | default | meaning |\n|---|---|---|---|\n");
        for (key, schema) in properties {
            self.row(key, schema, required.iter().any(|word| word == key.as_str()));
        }
        self.out.push('\n');
    }

    fn row(&mut self, key: &str, schema: &'a Value, required: bool) {
        let kind = self.kind(schema);
        let meaning = schema.get("description").and_then(Value::as_str).map(flat).unwrap_or_default();
        let default = match schema.get("default") {
            _ if required => "required".to_owned(),
            Some(Value::Object(map)) if map.is_empty() => String::new(),
            Some(Value::Array(list)) if list.is_empty() => String::new(),
            Some(Value::String(text)) if text.is_empty() => String::new(),
            Some(Value::Object(_)) | None => String::new(),
            Some(Value::String(text)) => format!("`{text}`"),
            Some(other) => format!("`{other}`"),
        };
        let cell = |text: &str| text.replace('|', "\\|");
        let (kind, default, meaning) = (cell(&kind), cell(&default), cell(&meaning));
        let _infallible = writeln!(self.out, "| `{key}` | {kind} | {default} | {meaning} |");
    }

    /// A schema in a few words, with links to the sections of what it mentions.
    fn kind(&mut self, schema: &'a Value) -> String {
        let Value::Object(map) = schema else {
            return "anything".to_owned();
        };
        if let Some(name) = text(map, "$ref").and_then(|reference| reference.strip_prefix("#/$defs/")) {
            return self.link(name);
        }
        for (keyword, language) in [("x-template", "template"), ("x-expression", "expression")] {
            if map.contains_key(keyword) {
                let link = format!("[{language}](templates.md#{language}s)");
                return if text(map, "type") == Some("string") { link } else { format!("JSON of {link}s") };
            }
        }
        if map.contains_key("x-regex") {
            return "regular expression".to_owned();
        }
        if let Some(words) = map.get("enum").and_then(Value::as_array) {
            return join(words.iter().map(|word| format!("`{}`", plain(word))).collect());
        }
        if let Some(word) = map.get("const") {
            return format!("`{}`", plain(word));
        }
        let branches = branches(map);
        if !branches.is_empty() && !map.contains_key("properties") {
            return join(branches.into_iter().map(|branch| self.kind(branch)).collect());
        }
        match text(map, "type") {
            Some("string") => "text".to_owned(),
            Some("integer") => range(map),
            Some("number") => "number".to_owned(),
            Some("boolean") => "`true` or `false`".to_owned(),
            Some("array") => match map.get("items") {
                Some(items) => format!("list of: {}", self.kind(items)),
                None => "list".to_owned(),
            },
            Some("object") => self.map_kind(map),
            _ => "anything".to_owned(),
        }
    }

    fn map_kind(&mut self, map: &'a Map<String, Value>) -> String {
        if let Some(Value::Object(properties)) = map.get("properties") {
            let keys = properties.iter().map(|(key, schema)| format!("`{key}`: {}", self.kind(schema)));
            return format!("{{ {} }}", keys.collect::<Vec<_>>().join(", "));
        }
        match map.get("additionalProperties") {
            Some(values @ Value::Object(_)) => format!("map to: {}", self.kind(values)),
            _ => "map".to_owned(),
        }
    }

    fn link(&mut self, name: &str) -> String {
        if !self.seen.iter().any(|seen| seen == name) {
            self.seen.push(name.to_owned());
            self.waiting.push_back(name.to_owned());
        }
        anchor(name)
    }
}

/// A link to the section of a definition.
fn anchor(name: &str) -> String {
    let title = title(name);
    let anchor: String = title
        .to_lowercase()
        .chars()
        .filter_map(|c| match c {
            ' ' | '-' => Some('-'),
            c if c.is_alphanumeric() || c == '_' => Some(c),
            _ => None,
        })
        .collect();
    format!("[{title}](#{anchor})")
}

/// `plugin.jwt.Key` is shown as `jwt: Key`.
fn title(name: &str) -> String {
    match name.strip_prefix("plugin.") {
        Some(rest) => rest.replacen('.', ": ", 1),
        None => name.to_owned(),
    }
}

fn text<'a>(map: &'a Map<String, Value>, keyword: &str) -> Option<&'a str> {
    map.get(keyword).and_then(Value::as_str)
}

fn branches(map: &Map<String, Value>) -> Vec<&Value> {
    ["anyOf", "oneOf"].iter().filter_map(|keyword| map.get(*keyword)?.as_array()).flatten().collect()
}

/// The branches of a choice, and of choices directly in it.
fn leaves(map: &Map<String, Value>) -> Vec<&Value> {
    let mut leaves = Vec::new();
    for branch in branches(map) {
        match branch.as_object().map(branches) {
            Some(inner) if !inner.is_empty() => leaves.extend(inner),
            _ => leaves.push(branch),
        }
    }
    leaves
}

/// A whole number with its bounds, where they say more than the width of an integer.
fn range(map: &Map<String, Value>) -> String {
    let bound = |keyword: &str| map.get(keyword).and_then(Value::as_u64);
    match (bound("minimum"), bound("maximum")) {
        (Some(least), Some(most)) => format!("whole number, {least} to {most}"),
        (Some(least), None) if least > 0 => format!("whole number, at least {least}"),
        _ => "whole number".to_owned(),
    }
}

fn join(mut kinds: Vec<String>) -> String {
    kinds.dedup();
    kinds.join(" or ")
}

fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// One paragraph on one line.
fn flat(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}
