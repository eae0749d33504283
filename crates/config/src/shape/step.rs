//! Steps of a chain: a bare name, a map with one plugin key, or `use`. The slips people make with them are few and
//! known, so each has its own message.

use std::sync::Arc;

use serde_json::Value as Json;

use super::describe::found;
use super::{Schema, Shape};
use crate::elsewhere::plugin_elsewhere;
use crate::path::Segment;
use crate::schema::plugin_definition;
use crate::sections::BESIDE;
use crate::similar::{list, nearest};
use crate::unbuilt::unbuilt_plugin;
use crate::yaml::{Entries, Entry, Node, Span, Value};

impl<'a> Shape<'a> {
    /// Whether a plugin needs no settings, so that its bare name is a step.
    pub(crate) fn stands_alone(&mut self, plugin: &str) -> bool {
        let Some(schema) = self.settings_schema(plugin) else {
            return false;
        };
        let empty = Node { span: Span::default(), value: Value::Map(Entries::default()) };
        self.trial(schema, &empty, Span::default()).0.is_empty()
    }

    pub(super) fn check_step(&mut self, schema: &'a Schema, node: &Node, label: Span) {
        match &node.value {
            Value::Map(entries) => self.check_step_map(schema, entries, label),
            Value::Scalar(_) if node.str().is_some() => {
                let name = node.str().unwrap_or_default();
                if self.catalog.plugins.contains_key(name) {
                    self.check_alone(name, node.span);
                } else {
                    let message = self.unknown_plugin(name, &[]);
                    self.error(node.span, message);
                }
            }
            _ => {
                let found = found(node);
                self.error(
                    node.span,
                    format!("expected a step (a plugin name, or a map with one plugin or use), found {found}"),
                );
            }
        }
    }

    fn check_step_map(&mut self, schema: &'a Schema, entries: &[Entry], label: Span) {
        let beside = schema
            .get("anyOf")
            .and_then(Json::as_array)
            .and_then(|forms| forms.iter().find_map(|form| form.get("properties")))
            .or_else(|| schema.get("properties"));
        let mut actions: Vec<&Entry> = Vec::new();
        let mut strangers: Vec<&Entry> = Vec::new();
        for entry in entries {
            let key = &*entry.key.text;
            let is_beside = BESIDE.contains(&key);
            if (is_beside || key == "use")
                && let Some(schema) = beside.and_then(|properties| properties.get(key))
            {
                self.at_key(entry, |shape| shape.check(schema, &entry.value, entry.key.span));
            }
            if key == "use" || self.catalog.plugins.contains_key(key) {
                actions.push(entry);
            } else if !is_beside {
                strangers.push(entry);
            }
        }
        for entry in &actions {
            self.check_settings(entry, &strangers);
        }
        for entry in &strangers {
            let message = self.stranger(entry, &actions);
            self.at_key(entry, |shape| shape.error(entry.key.span, message));
        }
        match actions.as_slice() {
            [] if strangers.is_empty() => {
                self.error(label, "this step does nothing; it needs a plugin or use");
            }
            [first, second, ..] => {
                let message = format!(
                    "a step has one plugin, and this one has {} and {}; write each as a list item of its own",
                    first.key.text, second.key.text
                );
                self.error(second.key.span, message);
            }
            [only] if &*only.key.text == "use" => {
                if let Some(name) = entries.iter().find(|entry| &*entry.key.text == "name") {
                    let message = "use runs a whole chain, which has its name already; name stands beside a plugin";
                    self.at_key(name, |shape| shape.error(name.key.span, message));
                }
            }
            _ => {}
        }
    }

    /// Checks the settings of a plugin. `strangers` are unknown keys beside it, which may be settings at the wrong depth.
    fn check_settings(&mut self, entry: &Entry, strangers: &[&Entry]) {
        let name = &*entry.key.text;
        let Some(schema) = self.settings_schema(name) else {
            return;
        };
        if entry.value.is_null() {
            let misplaced = strangers.iter().any(|stranger| self.has_setting(name, &stranger.key.text));
            if !misplaced {
                self.at_key(entry, |shape| shape.check_alone(name, entry.key.span));
            }
            return;
        }
        self.at_key(entry, |shape| shape.check(schema, &entry.value, entry.key.span));
    }

    fn check_alone(&mut self, name: &str, span: Span) {
        let Some(schema) = self.settings_schema(name) else {
            return;
        };
        if self.stands_alone(name) {
            return;
        }
        let required = self.resolved(schema).as_object().map(|map| super::words(map, "required")).unwrap_or_default();
        let required: Vec<String> = required.into_iter().map(str::to_owned).collect();
        let settings = if required.is_empty() { String::new() } else { format!(": {}", list(&required, "and")) };
        self.error(span, format!("{name} needs settings{settings}"));
    }

    fn unknown_plugin(&self, name: &str, also: &[&str]) -> String {
        if !self.is_read() {
            return "unknown key".to_owned();
        }
        if self.chains.contains(name) {
            return format!("there is no plugin {name:?}; the chain of that name runs with use: {name}");
        }
        if let Some(planned) = unbuilt_plugin(name) {
            return planned;
        }
        let plugins = self.catalog.plugins.keys().map(String::as_str);
        let chains = self.chains.iter().map(|chain| &**chain);
        if let Some(meant) = nearest(name, plugins.clone().chain(also.iter().copied())) {
            return format!("there is no plugin {name:?}; did you mean {meant:?}?");
        }
        if let Some(hint) = plugin_elsewhere(name) {
            return format!("there is no plugin {name:?}; {hint}");
        }
        if let Some(chain) = nearest(name, chains) {
            return format!("there is no plugin {name:?}; did you mean use: {chain}?");
        }
        let known: Vec<String> = plugins.map(str::to_owned).collect();
        if known.is_empty() {
            return format!("there is no plugin {name:?}; this binary has none");
        }
        format!("there is no plugin {name:?}; this binary has {}", list(&known, "and"))
    }

    /// What to say of a key that is neither a plugin nor may stand beside one.
    fn stranger(&self, entry: &Entry, actions: &[&Entry]) -> String {
        let key = &*entry.key.text;
        let owner = actions.iter().find(|action| self.has_setting(&action.key.text, key));
        if let Some(owner) = owner {
            return format!("{key:?} is a setting of {}; indent it below {}:", owner.key.text, owner.key.text);
        }
        let beside = [BESIDE.as_slice(), &["use"]].concat();
        if actions.is_empty() {
            return self.unknown_plugin(key, &beside);
        }
        if let Some(meant) = nearest(key, beside.iter().copied()) {
            return format!("unknown key; did you mean {meant:?}?");
        }
        "unknown key; beside a plugin may stand name, when, mode and on_error".to_string()
    }

    fn has_setting(&self, plugin: &str, key: &str) -> bool {
        let schema = self.settings_schema(plugin).map(|schema| self.resolved(schema));
        schema.and_then(|schema| schema.get("properties")).is_some_and(|p| p.get(key).is_some())
    }

    fn settings_schema(&self, plugin: &str) -> Option<&'a Json> {
        self.root.get("$defs")?.get(plugin_definition(plugin))
    }

    fn at_key(&mut self, entry: &Entry, check: impl FnOnce(&mut Self)) {
        self.descend(Segment::Key(Arc::clone(&entry.key.text)), check);
    }
}
