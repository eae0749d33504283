//! HTTP status codes as numbers, and ranges of them.

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

/// An HTTP status code of a final answer, 200 to 599 (RFC 9110 §15).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "u16")]
pub struct StatusCode(u16);

impl StatusCode {
    /// 200.
    pub const OK: Self = Self(200);

    /// `None` unless `code` is in 200..=599.
    #[must_use]
    pub const fn new(code: u16) -> Option<Self> {
        match code {
            200..=599 => Some(Self(code)),
            _ => None,
        }
    }

    /// The number.
    #[must_use]
    pub const fn get(self) -> u16 {
        self.0
    }
}

impl TryFrom<u16> for StatusCode {
    type Error = String;

    fn try_from(code: u16) -> Result<Self, String> {
        Self::new(code).ok_or_else(|| format!("{code} is not in 200..=599"))
    }
}

impl fmt::Display for StatusCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl JsonSchema for StatusCode {
    fn schema_name() -> Cow<'static, str> {
        "StatusCode".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "An HTTP status code, 200 to 599.",
            "type": "integer",
            "minimum": 200,
            "maximum": 599,
            "x-expected": "a status code such as 200",
        })
    }
}

/// Status codes from one to another, both included: `200`, `200-299`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "RangeForm", into = "RangeForm")]
pub struct StatusRange {
    first: StatusCode,
    last: StatusCode,
}

#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum RangeForm {
    One(u16),
    Text(String),
}

impl StatusRange {
    /// Whether this status is in it.
    #[must_use]
    pub const fn contains(self, status: u16) -> bool {
        self.first.0 <= status && status <= self.last.0
    }
}

impl From<StatusCode> for StatusRange {
    fn from(code: StatusCode) -> Self {
        Self { first: code, last: code }
    }
}

impl TryFrom<RangeForm> for StatusRange {
    type Error = String;

    fn try_from(form: RangeForm) -> Result<Self, String> {
        let text = match form {
            RangeForm::One(code) => return StatusCode::try_from(code).map(Self::from),
            RangeForm::Text(text) => text,
        };
        let code = |text: &str| text.parse().ok().and_then(StatusCode::new);
        match text.split_once('-').map(|(first, last)| (code(first), code(last))) {
            Some((Some(first), Some(last))) if first < last => Ok(Self { first, last }),
            Some((Some(first), Some(last))) => Err(format!("{text:?} goes backwards; write \"{last}-{first}\"")),
            _ => Err(format!("{text:?} is no range of status codes; write \"200-299\"")),
        }
    }
}

impl From<StatusRange> for RangeForm {
    fn from(range: StatusRange) -> Self {
        if range.first == range.last { Self::One(range.first.0) } else { Self::Text(range.to_string()) }
    }
}

impl fmt::Display for StatusRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.first == self.last { self.first.fmt(f) } else { write!(f, "{}-{}", self.first, self.last) }
    }
}

impl JsonSchema for StatusRange {
    fn schema_name() -> Cow<'static, str> {
        "StatusRange".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "An HTTP status code, 200 to 599, or a range of them: `\"200-299\"`.",
            "type": ["integer", "string"],
            "minimum": 200,
            "maximum": 599,
            "pattern": "^[2-5][0-9]{2}-[2-5][0-9]{2}$",
            "x-expected": "a status code such as 200 or a range such as \"200-299\"",
        })
    }
}
