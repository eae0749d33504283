//! A JSON value whose strings are templates: the bodies of answers and of aggregates.

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};

use super::{AtRequest, Phase, Reference, Scope, SyntaxError, Template};

/// How deep a body may nest; `serde_json` itself stops at 128.
const MAX_DEPTH: usize = 64;

/// Any JSON value; its strings are templates, its object keys are literal.
///
/// A string that is exactly one reference becomes the referenced value with its type; a string whose reference has
/// neither value nor default becomes `null`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JsonTemplate<P: Phase = AtRequest>(Node<P>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Node<P: Phase> {
    /// A value without references, folded at load.
    Constant(Value),
    Text(Template<P>),
    Array(Vec<Self>),
    Object(Vec<(String, Self)>),
}

/// What is wrong in a [`JsonTemplate`], and in which of its strings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JsonTemplateError {
    /// Where the string is, as a JSON pointer (RFC 6901); empty for the value itself.
    pub pointer: String,
    /// What is wrong there.
    pub error: SyntaxError,
}

impl fmt::Display for JsonTemplateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.pointer.is_empty() {
            write!(f, "in {}: ", self.pointer)?;
        }
        self.error.fmt(f)
    }
}

impl std::error::Error for JsonTemplateError {}

impl<P: Phase> JsonTemplate<P> {
    /// Compiles every string in `value`.
    ///
    /// # Errors
    /// When a string is not a valid template for this phase, or the value nests deeper than 64.
    pub fn parse(value: Value) -> Result<Self, JsonTemplateError> {
        Node::parse(value, 0).map(Self)
    }

    /// The value for one request.
    pub fn render(&self, scope: &dyn Scope) -> Value {
        self.0.render(scope)
    }

    /// Whether the value is the same for every request.
    pub fn is_literal(&self) -> bool {
        matches!(self.0, Node::Constant(_))
    }

    /// Every reference, in the order written.
    pub fn references(&self) -> Vec<&Reference> {
        let mut found = Vec::new();
        self.0.collect(&mut found);
        found
    }
}

impl<P: Phase> Node<P> {
    fn parse(value: Value, depth: usize) -> Result<Self, JsonTemplateError> {
        if depth > MAX_DEPTH {
            return Err(JsonTemplateError {
                pointer: String::new(),
                error: SyntaxError::new("", 0, format!("the value nests deeper than {MAX_DEPTH}")),
            });
        }
        let node = match value {
            Value::String(text) => match Template::parse(&text) {
                Ok(template) => match template.as_literal() {
                    Some(literal) => Self::Constant(Value::from(literal)),
                    None => Self::Text(template),
                },
                Err(error) => {
                    let pointer = String::new();
                    return Err(JsonTemplateError { pointer, error });
                }
            },
            Value::Array(items) => {
                let parse = |(index, item)| Self::parse(item, depth + 1).map_err(|error| error.below(&index));
                Self::Array(items.into_iter().enumerate().map(parse).collect::<Result<_, _>>()?)
            }
            Value::Object(entries) => {
                let parse = |(key, item): (String, Value)| match Self::parse(item, depth + 1) {
                    Ok(node) => Ok((key, node)),
                    Err(error) => Err(error.below(&key.replace('~', "~0").replace('/', "~1"))),
                };
                Self::Object(entries.into_iter().map(parse).collect::<Result<_, _>>()?)
            }
            constant => Self::Constant(constant),
        };
        Ok(node.folded())
    }

    /// A constant, if all that it holds is constant.
    fn folded(self) -> Self {
        match self {
            Self::Array(items) if items.iter().all(Self::is_constant) => {
                Self::Constant(items.into_iter().filter_map(Self::constant).collect())
            }
            Self::Object(entries) if entries.iter().all(|(_, item)| item.is_constant()) => {
                Self::Constant(entries.into_iter().filter_map(|(key, item)| Some((key, item.constant()?))).collect())
            }
            other => other,
        }
    }

    fn is_constant(&self) -> bool {
        matches!(self, Self::Constant(_))
    }

    fn constant(self) -> Option<Value> {
        match self {
            Self::Constant(value) => Some(value),
            _ => None,
        }
    }

    fn render(&self, scope: &dyn Scope) -> Value {
        match self {
            Self::Constant(value) => value.clone(),
            Self::Text(template) => template.render_value(scope).unwrap_or(Value::Null),
            Self::Array(items) => items.iter().map(|item| item.render(scope)).collect(),
            Self::Object(entries) => {
                let render = |(key, item): &(String, Self)| (key.clone(), item.render(scope));
                Value::Object(entries.iter().map(render).collect::<Map<_, _>>())
            }
        }
    }

    fn collect<'n>(&'n self, found: &mut Vec<&'n Reference>) {
        match self {
            Self::Constant(_) => {}
            Self::Text(template) => found.extend(template.references()),
            Self::Array(items) => items.iter().for_each(|item| item.collect(found)),
            Self::Object(entries) => entries.iter().for_each(|(_, item)| item.collect(found)),
        }
    }
}

impl JsonTemplateError {
    fn below(mut self, step: &dyn fmt::Display) -> Self {
        self.pointer = format!("/{step}{}", self.pointer);
        self
    }
}

impl<'de, P: Phase> Deserialize<'de> for JsonTemplate<P> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::parse(Value::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}

impl<P: Phase> JsonSchema for JsonTemplate<P> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "JsonTemplate".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "x-template": P::WORD,
            "description": "Any value; its strings may hold `${root.path}` references. \
                A string that is one reference takes the type of what it refers to."
        })
    }
}
