//! Maps: known and unknown keys, missing ones, and where a misplaced one belongs.

use std::rc::Rc;
use std::sync::Arc;

use regex::Regex;
use serde_json::{Map, Value as Json};

use super::{Schema, Shape, bound, words};
use crate::elsewhere::known_elsewhere;
use crate::path::Segment;
use crate::similar::{list, nearest};
use crate::unbuilt::unbuilt_key;
use crate::yaml::{Entries, Entry, Key, Span};

/// More known keys than this are not listed in a message.
const LISTED: usize = 15;

impl<'a> Shape<'a> {
    pub(super) fn check_map(&mut self, schema: &'a Schema, entries: &Entries, span: Span, label: Span) {
        let properties = schema.get("properties").and_then(Json::as_object);
        let patterns = self.patterns(schema);
        let others = schema.get("additionalProperties");
        // Required keys that a misspelt key stands for: one error says it.
        let mut meant = Vec::new();
        for Entry { key, value } in entries.iter() {
            self.check_key(schema, key);
            let by_pattern = patterns.iter().find(|(pattern, _)| pattern.is_match(&key.text));
            let known = properties
                .and_then(|properties| properties.get(&*key.text))
                .or_else(|| by_pattern.map(|(_, schema)| *schema));
            match known.or(others) {
                Some(Json::Bool(false)) => {
                    meant.extend(self.unknown_key(schema, properties, key, entries));
                }
                Some(schema) => {
                    let segment = Segment::Key(Arc::clone(&key.text));
                    self.descend(segment, |shape| shape.check(schema, value, key.span));
                }
                None => {}
            }
        }
        self.check_required(schema, entries, &meant, label);
        if entries.is_empty() && bound(schema, "minProperties").is_some_and(|least| least > 0) {
            let known = known_keys(properties);
            self.error(span, format!("this map is empty; it needs at least one key{known}"));
        }
        if let Some(most) = bound(schema, "maxProperties").filter(|most| entries.len() > *most) {
            self.error(label, format!("{} keys; at most {most} are allowed", entries.len()));
        }
    }

    fn patterns(&mut self, schema: &'a Schema) -> Vec<(Rc<Regex>, &'a Json)> {
        let patterns = schema.get("patternProperties").and_then(Json::as_object).into_iter().flatten();
        patterns.filter_map(|(pattern, schema)| Some((self.pattern(pattern)?, schema))).collect()
    }

    fn check_key(&mut self, schema: &'a Schema, key: &Key) {
        let names = schema.get("propertyNames").map(|names| self.resolved(names));
        if let Some(names) = names.and_then(Json::as_object) {
            let segment = Segment::Key(Arc::clone(&key.text));
            self.descend(segment, |shape| shape.check_text(names, &key.text, key.span));
        }
    }

    /// Reports an unknown key; returns the known one that was probably meant.
    fn unknown_key(
        &mut self,
        schema: &'a Schema,
        properties: Option<&'a Map<String, Json>>,
        key: &Key,
        entries: &Entries,
    ) -> Option<&'a str> {
        if !self.is_read() {
            self.error(key.span, "unknown key");
            return None;
        }
        let free = |word: &&'a String| entries.get(word).is_none();
        let words = properties.into_iter().flat_map(Map::keys);
        let meant = nearest(&key.text, words.filter(free).map(String::as_str));
        let message = if let Some(unbuilt) = unbuilt_key(&self.path.key(&key.text)) {
            unbuilt
        } else if let Some(hint) = known_elsewhere(&self.path.key(&key.text)) {
            let segment = Segment::Key(Arc::clone(&key.text));
            self.descend(segment, |shape| shape.error(key.span, format!("unknown key; {hint}")));
            // What it is here is not missing beside it.
            let here = hint.strip_prefix("here it is ").unwrap_or_default();
            let here = here.split(|c: char| !c.is_ascii_lowercase() && c != '_').next().unwrap_or_default();
            return properties.and_then(|properties| properties.get_key_value(here)).map(|(name, _)| name.as_str());
        } else if let Some(meant) = meant {
            format!("unknown key; did you mean {meant:?}?")
        } else if let Some(place) = self.home_of(properties, &key.text) {
            let message = format!("unknown key; {:?} belongs under {place:?}", key.text);
            self.descend(Segment::Key(Arc::clone(&key.text)), |shape| shape.error(key.span, message));
            return Some(place);
        } else if schema.get("additionalProperties").is_some() && properties.is_none() {
            "no key is known here".into()
        } else {
            format!("unknown key{}", known_keys(properties))
        };
        let segment = Segment::Key(Arc::clone(&key.text));
        self.descend(segment, |shape| shape.error(key.span, message));
        meant
    }

    /// The sibling key whose map knows this key: `path` belongs under `match`.
    fn home_of(&self, properties: Option<&'a Map<String, Json>>, key: &str) -> Option<&'a str> {
        let inside =
            |schema: &'a Json| self.resolved(schema).get("properties").is_some_and(|inner| inner.get(key).is_some());
        let mut siblings = properties.into_iter().flatten();
        siblings.find(|(_, schema)| inside(schema)).map(|(name, _)| name.as_str())
    }

    fn check_required(&mut self, schema: &'a Schema, entries: &Entries, meant: &[&str], label: Span) {
        let missing: Vec<String> = words(schema, "required")
            .into_iter()
            .filter(|key| entries.get(key).is_none())
            .filter(|key| !meant.contains(key))
            .map(|key| format!("{key:?}"))
            .collect();
        match missing.as_slice() {
            [] => {}
            [one] => self.error(label, format!("the key {one} is missing")),
            several => self.error(label, format!("the keys {} are missing", list(several, "and"))),
        }
    }
}

/// `; known here: a, b and c`, unless there are too many to be of help.
fn known_keys(properties: Option<&Map<String, Json>>) -> String {
    let keys: Vec<String> = properties.into_iter().flat_map(Map::keys).cloned().collect();
    if keys.is_empty() || keys.len() > LISTED {
        return String::new();
    }
    format!("; known here: {}", list(&keys, "and"))
}
