//! `${root.path}` templates: compiled and checked at load, filled in for each request, never evaluated twice.
//!
//! | written | is |
//! |---|---|
//! | `request.method`, `.path`, `.host`, `.client_ip`, `.id`, `.route` | the request, and the name of its route |
//! | `request.headers.NAME`, `request.query.NAME`, `request.cookies.NAME` | one value of it, by name |
//! | `params.NAME` | what `{NAME}` matched in the path; `params.rest` for a final `**` |
//! | `consumer.id`, `.tier`, `.groups` | who calls |
//! | `claims.PATH` | a claim of the verified token; `claims.roles.0`, `claims["https://x/roles"]` |
//! | `calls.NAME`, `calls.NAME.PATH` | the answer of a call |
//! | `response.status`, `response.headers.NAME` | the answer |
//! | `env.NAME` | the environment when the configuration was loaded |
//!
//! Names hold letters, digits, `_` and `-`; any other is written `["…"]`. `${claims.plan:-free}` has a default, which
//! stands in for a value that is missing, `null` or empty. `$${` is a literal `${`; a lone `$` is a dollar. What a value
//! holds is never read as a template.

mod cursor;
mod json;
mod meant;
mod parse;
mod phase;
mod reference;
mod render;
mod scan;
mod scope;
#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{self, Deserialize, Deserializer, Visitor};

pub use self::cursor::SyntaxError;
pub(crate) use self::cursor::{Cursor, Quoted, did_you_mean};
pub use self::json::{JsonTemplate, JsonTemplateError};
use self::parse::Part;
pub use self::phase::{AtMatch, AtRequest, AtResponse, Phase, Roots, WithCalls};
pub(crate) use self::phase::{Bounds, NAMES as ROOT_NAMES};
pub(crate) use self::reference::Kind;
pub use self::reference::{JsonPath, Reference};
pub use self::render::Escape;
pub(crate) use self::scan::{Scanned, reference as scan_reference, unset as unset_message};
pub use self::scope::{Datum, Scope};

/// What is wrong in a template, and where.
pub type TemplateError = SyntaxError;

/// Text with references, checked against the roots that are known in phase `P`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template<P: Phase = AtRequest> {
    source: Box<str>,
    parts: Box<[Part]>,
    phase: PhantomData<P>,
}

impl<P: Phase> Template<P> {
    /// Compiles a template.
    ///
    /// # Errors
    /// When it is malformed, names what does not exist or is not known in this phase, or an environment variable that
    /// is not set.
    pub fn parse(source: &str) -> Result<Self, TemplateError> {
        Ok(Self { parts: parse::parse(source, Bounds::of::<P>())?.into(), source: source.into(), phase: PhantomData })
    }

    /// The template as it was written.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// Whether the text is the same for every request.
    pub fn is_literal(&self) -> bool {
        self.as_literal().is_some()
    }

    /// The text, if it is the same for every request: escapes undone, the environment folded in.
    pub fn as_literal(&self) -> Option<&str> {
        match self.parts() {
            [] => Some(""),
            [Part::Literal(text)] => Some(text),
            _ => None,
        }
    }

    /// Every reference, in the order written.
    pub fn references(&self) -> impl Iterator<Item = &Reference> {
        self.parts.iter().filter_map(|part| match part {
            Part::Literal(_) => None,
            Part::Slot(slot) => Some(&slot.reference),
        })
    }

    fn parts(&self) -> &[Part] {
        &self.parts
    }
}

/// What a template of these bounds names, and whether there is a default for it.
pub(crate) fn read(source: &str, bounds: Bounds) -> Result<Vec<(Reference, bool)>, TemplateError> {
    let slots = parse::parse(source, bounds)?.into_iter().filter_map(|part| match part {
        Part::Literal(_) => None,
        Part::Slot(slot) => Some((slot.reference, slot.default.is_some())),
    });
    Ok(slots.collect())
}

impl<P: Phase> Default for Template<P> {
    /// The empty text.
    fn default() -> Self {
        Self { source: Box::default(), parts: Box::default(), phase: PhantomData }
    }
}

impl<P: Phase> fmt::Display for Template<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.source)
    }
}

impl<P: Phase> FromStr for Template<P> {
    type Err = TemplateError;

    fn from_str(source: &str) -> Result<Self, TemplateError> {
        Self::parse(source)
    }
}

impl<'de, P: Phase> Deserialize<'de> for Template<P> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text<P>(PhantomData<P>);

        impl<P: Phase> Visitor<'_> for Text<P> {
            type Value = Template<P>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("text, which may hold `${root.path}` references (quote what looks like a number)")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Template<P>, E> {
                Template::parse(text).map_err(E::custom)
            }
        }

        deserializer.deserialize_str(Text(PhantomData))
    }
}

impl<P: Phase> JsonSchema for Template<P> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Template".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "x-template": P::WORD,
            "description": "Text that may hold `${root.path}` references, such as `${params.id}` or `${claims.plan:-free}`."
        })
    }
}
