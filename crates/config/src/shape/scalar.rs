//! Single values: kinds, words, patterns, units, ranges.

use serde_json::Value as Json;

use super::describe::{Kind, found, quoted, types};
use super::{Schema, Shape, bound};
use crate::path::Segment;
use crate::units::{SecretSource, Unit, unit};
use crate::yaml::{Node, Scalar, ScalarKind, Span, Value};

impl<'a> Shape<'a> {
    /// Whether the value's kind is right; reports it when not.
    pub(super) fn check_kind(&mut self, schema: &'a Schema, node: &Node, label: Span) -> bool {
        let kind = Kind::of(node);
        let types = types(schema);
        if types.is_empty() || types.iter().any(|word| kind.fits(word)) {
            return true;
        }
        self.mismatch(&[], schema, node, label);
        false
    }

    /// Says what was expected instead of a value of the wrong kind. `branches` are the forms of `schema`, if it has several.
    pub(super) fn mismatch(&mut self, branches: &[&'a Json], schema: &'a Schema, node: &Node, label: Span) {
        let units: Vec<&Unit> = branches
            .iter()
            .map(|branch| self.resolved(branch))
            .filter_map(Json::as_object)
            .chain([schema])
            .filter_map(unit_of)
            .collect();
        if units.iter().any(|unit| unit.kind == "secret") && matches!(node.value, Value::Scalar(_)) {
            self.report.masked.push(node.span);
        }
        if let Value::Scalar(Scalar { kind: ScalarKind::Number(_), text, .. }) = &node.value {
            // `5` lacks its unit. `1.5` lacks more than that: the unit itself says what.
            let whole = text.bytes().all(|b| b.is_ascii_digit());
            let message = units.iter().find_map(|unit| match unit.bare_number {
                Some(bare_number) if whole || unit.kind == "secret" => Some(bare_number(text)),
                _ => (unit.check)(text).err().map(|error| error.to_string()),
            });
            if let Some(message) = message {
                return self.error(node.span, message);
            }
        }
        let expected = if branches.is_empty() || schema.contains_key("x-expected") {
            self.expected_of(schema)
        } else {
            self.expected_of_all(branches)
        };
        if node.is_null() {
            let in_list = matches!(self.path.segments().last(), Some(Segment::Index(_)));
            return self.error(
                label,
                if in_list {
                    format!("this list item is empty; expected {expected}")
                } else {
                    format!("this key has no value; expected {expected}, or remove the key")
                },
            );
        }
        let hint = if units.is_empty() { self.repair(schema, branches, node) } else { String::new() };
        self.error(node.span, format!("expected {expected}, found {}{hint}", found(node)));
    }

    /// `; write "5" in quotes`: the smallest change that makes the value what was expected.
    fn repair(&self, schema: &'a Schema, branches: &[&'a Json], node: &Node) -> String {
        let fits = |kind: Kind| {
            let own = types(schema);
            own.iter().any(|word| kind.fits(word)) || branches.iter().any(|branch| self.kinds(branch).contains(&kind))
        };
        let Value::Scalar(scalar) = &node.value else {
            return String::new();
        };
        let text = &*scalar.text;
        match &scalar.kind {
            ScalarKind::Bool(_) | ScalarKind::Number(_) if fits(Kind::Str) => {
                format!("; a text in this form needs quotes: \"{text}\"")
            }
            ScalarKind::Str if fits(Kind::Bool) => match text.to_ascii_lowercase().as_str() {
                "yes" | "on" | "true" | "y" => "; write true".into(),
                "no" | "off" | "false" | "n" => "; write false".into(),
                _ => String::new(),
            },
            ScalarKind::Str if fits(Kind::Int) && !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()) => {
                "; remove the quotes".into()
            }
            ScalarKind::Str if fits(Kind::Seq) && self.takes_steps(schema, branches) && self.chains.contains(text) => {
                format!("; the chain of that name runs with [use: {text}]")
            }
            ScalarKind::Str | ScalarKind::Number(_) | ScalarKind::Bool(_) if fits(Kind::Seq) => {
                let plain = text.chars().all(|c| c.is_alphanumeric() || "-_./".contains(c));
                if plain && !text.is_empty() { format!("; write [{text}]") } else { format!("; write [{text:?}]") }
            }
            _ => String::new(),
        }
    }

    /// Whether what is wanted is a list of steps.
    fn takes_steps(&self, schema: &'a Schema, branches: &[&'a Json]) -> bool {
        let forms = branches.iter().filter_map(|branch| self.resolved(branch).as_object()).chain([schema]);
        let mut items = forms.filter_map(|form| form.get("items")).map(|items| self.resolved(items));
        items.any(|items| items.get("x-step").is_some())
    }

    pub(super) fn check_scalar(&mut self, schema: &'a Schema, scalar: &Scalar, span: Span) {
        let node = Node { span, value: Value::Scalar(scalar.clone()) };
        if let Some(allowed) = schema.get("enum").and_then(Json::as_array) {
            let allowed: Vec<&Json> = allowed.iter().collect();
            self.one_of(&allowed, &[], &node);
        } else if let Some(word) = schema.get("const") {
            self.one_of(&[word], &[], &node);
        }
        match &scalar.kind {
            ScalarKind::Str => self.check_text(schema, &scalar.text, span),
            ScalarKind::Number(number) => self.check_range(schema, number, span),
            ScalarKind::Null | ScalarKind::Bool(_) | ScalarKind::Unknown => {}
        }
    }

    /// Checks a text that stands at `span`: a value or a key.
    pub(super) fn check_text(&mut self, schema: &'a Schema, text: &str, span: Span) {
        if let Some(unit) = unit_of(schema) {
            if unit.kind == "secret" {
                return self.check_secret(text, span);
            }
            if let Err(error) = (unit.check)(text) {
                if unit.kind == "url" {
                    self.report.masked.push(span);
                }
                self.error(span, error.to_string());
            }
            return;
        }
        let length = text.chars().count();
        if bound(schema, "minLength").is_some_and(|least| length < least) {
            return self.error(
                span,
                if length == 0 {
                    "this text must not be empty".to_owned()
                } else {
                    format!("{} is too short", quoted(text))
                },
            );
        }
        if let Some(most) = bound(schema, "maxLength").filter(|most| length > *most) {
            return self.error(span, format!("this text has {length} characters; at most {most} are allowed"));
        }
        if let Some(pattern) = schema.get("pattern").and_then(Json::as_str) {
            let wrong = self.pattern(pattern).is_some_and(|pattern| !pattern.is_match(text));
            if wrong {
                let expected = schema.get("x-expected").and_then(Json::as_str);
                self.error(
                    span,
                    match expected {
                        Some(expected) => format!("expected {expected}, found {}", quoted(text)),
                        None => format!("{} does not have the form {pattern}", quoted(text)),
                    },
                );
            }
        }
    }

    fn check_secret(&mut self, text: &str, span: Span) {
        match text.parse::<SecretSource>() {
            Err(error) => {
                self.report.masked.push(span);
                self.error(span, error.to_string());
            }
            Ok(source) => {
                if let Some(Err(error)) = self.secrets.map(|check| check(&source, span.file)) {
                    self.error(span, error.to_string());
                }
            }
        }
    }

    fn check_range(&mut self, schema: &Schema, number: &serde_json::Number, span: Span) {
        let Some(value) = number.as_f64() else {
            return;
        };
        let limit = |keyword: &str| schema.get(keyword).and_then(Json::as_f64);
        let (least, most) = (limit("minimum"), limit("maximum"));
        let (above, below) = (limit("exclusiveMinimum"), limit("exclusiveMaximum"));
        let wrong = least.is_some_and(|least| value < least)
            || most.is_some_and(|most| value > most)
            || above.is_some_and(|above| value <= above)
            || below.is_some_and(|below| value >= below);
        if wrong {
            let shown = |limit: Option<f64>| limit.map(|limit| limit.to_string());
            let message = match (shown(least), shown(most), shown(above), shown(below)) {
                (Some(least), Some(most), ..) => format!("{number} is not between {least} and {most}"),
                (Some(least), None, ..) => format!("{number} is less than {least}"),
                (None, Some(most), ..) => format!("{number} is more than {most}"),
                (_, _, Some(above), _) => format!("{number} is not more than {above}"),
                (_, _, _, below) => format!("{number} is not less than {}", below.unwrap_or_default()),
            };
            self.error(span, message);
        }
    }
}

/// The unit that a schema names.
pub(super) fn unit_of(schema: &Schema) -> Option<&'static Unit> {
    schema.get("x-unit").and_then(Json::as_str).and_then(unit)
}
