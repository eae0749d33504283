//! A small typed language for `when:` and for a route's `if:`, checked at load and decided without an error.
//!
//! ```text
//! claims.plan == "paid" && request.method in ["GET", "HEAD"]
//! has(request.headers.x-beta) or "staff" in consumer.groups
//! request.path matches '^/v[0-9]+/' and not claims.suspended
//! ```
//!
//! *Values*: `'…'` (taken as it stands; `''` is a quote) and `"…"` (knows `\"` `\\` `\n` `\r` `\t`), whole numbers, `true`,
//! `false`, `null`, lists `[…]` of these, and the references of [`template`](crate::template) without `${}`.
//! `env.NAME` is text, taken from the environment at load. *Joined* by `&&`/`and`, which binds tighter than `||`/`or`;
//! `!`/`not` negates the whole comparison after it, and joins conditions only inside parentheses.
//!
//! What decides, a missing value being `null`:
//!
//! | test | true when | with `null` |
//! |---|---|---|
//! | `a == b` | same type and value; numbers by value (`5 == 5.0`), lists item by item; text `"5"` is never the number `5` | `null == null` only |
//! | `a != b` | `a == b` is false | true unless both are |
//! | `a < b`, `<=`, `>`, `>=` | both numbers, or both text (by bytes), in that order | false |
//! | `a in list` | an item equals `a`; false if the right turns out to be no list | true if the list holds `null` |
//! | `a contains b` | list: an item equals `b`; text: `b` is part of it | false for text |
//! | `a starts_with b`, `ends_with` | both text | false |
//! | `a matches 'regex'` | the pattern is found anywhere in the text: write `^…$` for all of it | false |
//! | `has(ref)` | there is a value, even an empty one | false |
//! | `claims.x` on its own | it is `true`; text `"true"` is not | false |
//!
//! Mind that `claims.scope contains "read"` also holds for the scope `readonly`.

mod ast;
mod eval;
mod exclusion;
mod lexer;
mod parser;
mod pattern;
#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{self, Deserialize, Deserializer, Visitor};

use crate::template::{AtRequest, Bounds, Phase, Reference, Roots, Scope, SyntaxError};

use self::ast::Condition;
pub(crate) use self::pattern::Pattern;

/// What is wrong in an expression, and where.
pub type ExpressionError = SyntaxError;

/// A condition over one request, checked against the roots that are known in phase `P`.
#[derive(Clone, Debug, PartialEq)]
pub struct Expression<P: Phase = AtRequest> {
    source: Box<str>,
    condition: Condition,
    phase: PhantomData<P>,
}

impl<P: Phase> Expression<P> {
    /// Compiles an expression.
    ///
    /// # Errors
    /// When it is malformed, longer than 4096 bytes, nested deeper than 32, compares what can never be equal, names what
    /// does not exist or is not known in this phase, or holds a regular expression that is wrong or too large, or several that are so together.
    pub fn parse(source: &str) -> Result<Self, ExpressionError> {
        Self::parse_within(source, P::ROOTS)
    }

    /// Compiles an expression that may use only those roots of the phase that are also in `roots`.
    ///
    /// # Errors
    /// As [`parse`](Self::parse).
    pub fn parse_within(source: &str, roots: Roots) -> Result<Self, ExpressionError> {
        let bounds = Bounds::of::<P>().within(roots);
        Ok(Self { condition: parser::parse(source, bounds)?, source: source.into(), phase: PhantomData })
    }

    /// Whether the condition holds for this request. Stops at the first part that decides.
    ///
    /// Allocates nothing of its own; what [`Scope::resolve`] must build, it builds.
    pub fn eval(&self, scope: &dyn Scope) -> bool {
        self.condition.eval(scope)
    }

    /// Whether no request fulfils both this and `other`, as far as that can be told: `x == 'a'` and `x == 'b'`, `x` and
    /// `not x`, `x < 5` and `x >= 5`, also as parts of larger conditions. `false` when it cannot be told.
    pub fn excludes(&self, other: &Self) -> bool {
        exclusion::excludes(&self.condition, &other.condition)
    }

    /// The expression as it was written.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// Every reference, in the order written.
    pub fn references(&self) -> Vec<&Reference> {
        let mut found = Vec::new();
        self.condition.collect(&mut found);
        found
    }

    /// Bytes that its regular expressions take, compiled: what all those of a file take together is bounded.
    pub fn regex_size(&self) -> usize {
        self.condition.regex_size()
    }
}

/// What an expression of these bounds names, and the bytes that its regular expressions take.
pub(crate) fn read(source: &str, bounds: Bounds) -> Result<(Vec<Reference>, usize), ExpressionError> {
    let condition = parser::parse(source, bounds)?;
    let mut found = Vec::new();
    condition.collect(&mut found);
    Ok((found.into_iter().cloned().collect(), condition.regex_size()))
}

impl<P: Phase> fmt::Display for Expression<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.source)
    }
}

impl<P: Phase> FromStr for Expression<P> {
    type Err = ExpressionError;

    fn from_str(source: &str) -> Result<Self, ExpressionError> {
        Self::parse(source)
    }
}

impl<'de, P: Phase> Deserialize<'de> for Expression<P> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text<P>(PhantomData<P>);

        impl<P: Phase> Visitor<'_> for Text<P> {
            type Value = Expression<P>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an expression, such as `claims.plan == \"paid\"`")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Expression<P>, E> {
                Expression::parse(text).map_err(E::custom)
            }

            // YAML reads a bare `when: false` as a boolean, and it means the same.
            fn visit_bool<E: de::Error>(self, value: bool) -> Result<Expression<P>, E> {
                self.visit_str(if value { "true" } else { "false" })
            }
        }

        deserializer.deserialize_any(Text(PhantomData))
    }
}

impl<P: Phase> JsonSchema for Expression<P> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Expression".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": ["string", "boolean"],
            "x-expression": P::WORD,
            "description": "A condition, such as `claims.plan == \"paid\" && request.method in [\"GET\", \"HEAD\"]`."
        })
    }
}
