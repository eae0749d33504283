//! Where the values of references come from: the contexts of the request implement [`Scope`], templates only ask.

use std::borrow::Cow;

use http::HeaderValue;
use serde_json::Value;

use super::reference::Reference;

/// Answers what a reference stands for, for one request.
pub trait Scope {
    /// The value of a reference, or `None` when this request has none. Query values, cookies and path parameters are
    /// given decoded: escaping is what the template does on the way out.
    fn resolve<'s>(&'s self, reference: &Reference) -> Option<Datum<'s>>;
}

/// The value of a reference, borrowed from where it lies.
#[derive(Clone, Debug, PartialEq)]
pub enum Datum<'s> {
    /// Text.
    Text(Cow<'s, str>),
    /// A whole number, such as a status.
    Integer(i64),
    /// A list of names, such as the consumer's groups.
    List(&'s [String]),
    /// Any JSON value, such as a claim.
    Json(&'s Value),
}

impl<'s> Datum<'s> {
    /// Borrowed text.
    pub fn text(text: &'s str) -> Self {
        Self::Text(Cow::Borrowed(text))
    }

    /// The value of a header. Bytes that are not UTF-8 (obs-text, RFC 9110 §5.5) become U+FFFD, so that they match nothing.
    pub fn header(value: &'s HeaderValue) -> Self {
        // Nearly all are UTF-8, and to find that out alone is quicker.
        let bytes = value.as_bytes();
        Self::Text(str::from_utf8(bytes).map_or_else(|_| String::from_utf8_lossy(bytes), Cow::Borrowed))
    }

    /// The value as text: a list joined by commas, JSON arrays and objects as compact JSON. `None` for JSON `null`.
    pub fn into_text(self) -> Option<Cow<'s, str>> {
        Some(match self {
            Self::Text(text) => text,
            Self::Integer(number) => Cow::Owned(number.to_string()),
            Self::List([one]) => Cow::Borrowed(one),
            Self::List(list) => Cow::Owned(list.join(",")),
            Self::Json(Value::Null) => return None,
            Self::Json(Value::String(text)) => Cow::Borrowed(text),
            Self::Json(Value::Bool(true)) => Cow::Borrowed("true"),
            Self::Json(Value::Bool(false)) => Cow::Borrowed("false"),
            Self::Json(other) => Cow::Owned(other.to_string()),
        })
    }

    /// The value as JSON, of the same type.
    pub fn into_json(self) -> Value {
        match self {
            Self::Text(text) => Value::String(text.into_owned()),
            Self::Integer(number) => Value::from(number),
            Self::List(list) => Value::from(list),
            Self::Json(value) => value.clone(),
        }
    }

    /// Whether a default takes its place: JSON `null` and empty text, as `:-` has it in the shell.
    pub(crate) fn is_blank(&self) -> bool {
        match self {
            Self::Text(text) => text.is_empty(),
            Self::Integer(_) => false,
            Self::List(list) => list.is_empty(),
            Self::Json(value) => match value {
                Value::Null => true,
                Value::String(text) => text.is_empty(),
                _ => false,
            },
        }
    }
}
