//! Kinds and schemas in words: "a list", "a duration such as 800ms", "true or false".

use serde_json::Value as Json;

use super::branches::required_keys;
use super::{Schema, Shape, schemas, words};
use crate::similar::list;
use crate::units::unit;
use crate::yaml::{Node, Scalar, ScalarKind, Value};

/// What a value is, as JSON Schema tells kinds apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Null,
    Bool,
    Int,
    Float,
    Str,
    Seq,
    Map,
}

pub(super) const KINDS: [Kind; 7] = [Kind::Null, Kind::Bool, Kind::Int, Kind::Float, Kind::Str, Kind::Seq, Kind::Map];

impl Kind {
    pub(super) fn of(node: &Node) -> Self {
        match &node.value {
            Value::Seq(_) => Self::Seq,
            Value::Map(_) => Self::Map,
            Value::Scalar(scalar) => Self::of_scalar(scalar),
        }
    }

    pub(super) fn of_scalar(scalar: &Scalar) -> Self {
        match &scalar.kind {
            ScalarKind::Null | ScalarKind::Unknown => Self::Null,
            ScalarKind::Bool(_) => Self::Bool,
            ScalarKind::Number(n) if n.is_f64() => Self::Float,
            ScalarKind::Number(_) => Self::Int,
            ScalarKind::Str => Self::Str,
        }
    }

    fn of_json(json: &Json) -> Self {
        match json {
            Json::Null => Self::Null,
            Json::Bool(_) => Self::Bool,
            Json::Number(n) if n.is_f64() => Self::Float,
            Json::Number(_) => Self::Int,
            Json::String(_) => Self::Str,
            Json::Array(_) => Self::Seq,
            Json::Object(_) => Self::Map,
        }
    }

    /// Whether a JSON Schema type word covers this kind.
    pub(super) fn fits(self, word: &str) -> bool {
        match word {
            "null" => self == Self::Null,
            "boolean" => self == Self::Bool,
            "integer" => self == Self::Int,
            "number" => matches!(self, Self::Int | Self::Float),
            "string" => self == Self::Str,
            "array" => self == Self::Seq,
            "object" => self == Self::Map,
            _ => true,
        }
    }
}

/// What stands in the file, in words.
pub(super) fn found(node: &Node) -> String {
    match &node.value {
        Value::Seq(_) => "a list".into(),
        Value::Map(_) => "a map".into(),
        Value::Scalar(scalar) => match &scalar.kind {
            ScalarKind::Null | ScalarKind::Unknown => "nothing".into(),
            ScalarKind::Bool(value) => value.to_string(),
            ScalarKind::Number(_) => format!("the number {}", scalar.text),
            ScalarKind::Str => format!("the text {}", quoted(&scalar.text)),
        },
    }
}

/// A text in quotes, cut when it is long.
pub(super) fn quoted(text: &str) -> String {
    const MOST: usize = 60;
    if text.chars().count() <= MOST {
        return format!("{text:?}");
    }
    let cut: String = text.chars().take(MOST).collect();
    format!("{:?}", cut + "…")
}

/// The allowed types of a schema; none when every type is.
pub(super) fn types(schema: &Schema) -> Vec<&str> {
    match schema.get("type") {
        Some(Json::String(word)) => vec![word.as_str()],
        Some(Json::Array(_)) => words(schema, "type"),
        _ => Vec::new(),
    }
}

impl<'a> Shape<'a> {
    /// Which kinds a schema lets through.
    pub(super) fn kinds(&self, schema: &'a Json) -> Vec<Kind> {
        self.kinds_at(schema, 0)
    }

    /// [`Self::kinds`], some `$ref`s and branches down. A schema that leads back to itself without going into the
    /// value lets everything through.
    fn kinds_at(&self, schema: &'a Json, depth: usize) -> Vec<Kind> {
        let (Json::Object(map), 0..=16) = (schema, depth) else {
            return KINDS.to_vec();
        };
        if map.contains_key("x-step") {
            return vec![Kind::Str, Kind::Map];
        }
        let mut kinds = KINDS.to_vec();
        if let Some(target) = self.target(map) {
            let of_target = self.kinds_at(target, depth + 1);
            kinds.retain(|kind| of_target.contains(kind));
        }
        let types = types(map);
        kinds.retain(|kind| types.is_empty() || types.iter().any(|word| kind.fits(word)));
        if let Some(values) = map.get("enum").and_then(Json::as_array) {
            kinds.retain(|kind| values.iter().any(|value| Kind::of_json(value) == *kind));
        }
        if let Some(value) = map.get("const") {
            kinds.retain(|kind| Kind::of_json(value) == *kind);
        }
        let branches: Vec<&Json> = schemas(map, "anyOf").chain(schemas(map, "oneOf")).collect();
        if !branches.is_empty() {
            let any: Vec<Kind> = branches.into_iter().flat_map(|b| self.kinds_at(b, depth + 1)).collect();
            kinds.retain(|kind| any.contains(kind));
        }
        kinds
    }

    /// What several schemas want, any of them.
    pub(super) fn expected_of_all(&self, schemas: &[&'a Json]) -> String {
        let mut wanted = Vec::new();
        for schema in schemas.iter().filter_map(|schema| schema.as_object()) {
            self.collect_expected(schema, &mut wanted, 0);
        }
        list(&join_maps(wanted), "or")
    }

    /// What one schema wants, in words: "a duration such as 800ms, 5s or 1m".
    pub(super) fn expected_of(&self, schema: &'a Schema) -> String {
        let mut wanted = Vec::new();
        self.collect_expected(schema, &mut wanted, 0);
        list(&join_maps(wanted), "or")
    }

    fn collect_expected(&self, map: &'a Schema, out: &mut Vec<String>, depth: usize) {
        let mut push = |text: String| {
            if !out.contains(&text) {
                out.push(text);
            }
        };
        if let Some(text) = map.get("x-expected").and_then(Json::as_str) {
            return push(text.to_owned());
        }
        if let Some(unit) = map.get("x-unit").and_then(Json::as_str).and_then(unit) {
            return push(unit.expected.to_owned());
        }
        if map.contains_key("x-step") {
            return push("a step (a plugin name, or a map with one plugin or use)".to_owned());
        }
        if let Some(values) = map.get("enum").and_then(Json::as_array) {
            return values.iter().for_each(|value| push(bare(value)));
        }
        if let Some(value) = map.get("const") {
            return push(bare(value));
        }
        let branches: Vec<&Json> = schemas(map, "anyOf").chain(schemas(map, "oneOf")).collect();
        if depth < 16 {
            if let Some(target) = self.target(map).and_then(Json::as_object) {
                return self.collect_expected(target, out, depth + 1);
            }
            if !branches.is_empty() && !map.contains_key("type") {
                let branches = branches.into_iter().filter_map(Json::as_object);
                return branches.for_each(|branch| self.collect_expected(branch, out, depth + 1));
            }
        }
        let keys = match (required_keys(&branches), words(map, "required").as_slice()) {
            (Some(keys), _) => format!(" with {}", list(&owned(&keys), "or")),
            (None, []) => String::new(),
            (None, keys) => format!(" with {}", list(&owned(keys), "and")),
        };
        for word in types(map) {
            push(match word {
                "null" => "nothing".into(),
                "boolean" => "true or false".into(),
                "integer" => "a whole number".into(),
                "number" => "a number".into(),
                "string" => "a text".into(),
                "array" => "a list".into(),
                _ => format!("a map{keys}"),
            });
        }
    }
}

fn owned(words: &[&str]) -> Vec<String> {
    words.iter().map(ToString::to_string).collect()
}

/// `a map with path`, `a map with header` become `a map with path or header`.
fn join_maps(wanted: Vec<String>) -> Vec<String> {
    let key = |text: &str| {
        let key = text.strip_prefix("a map with ")?;
        (!key.contains(' ')).then(|| key.to_owned())
    };
    let keys: Vec<String> = wanted.iter().filter_map(|text| key(text)).collect();
    if keys.len() < 2 {
        return wanted;
    }
    let mut joined: Vec<String> = wanted.into_iter().filter(|text| key(text).is_none()).collect();
    joined.push(format!("a map with {}", list(&keys, "or")));
    joined
}

/// A word as it is written in YAML.
pub(super) fn bare(value: &Json) -> String {
    match value {
        Json::String(text) => text.clone(),
        other => other.to_string(),
    }
}
