//! Values that carry their unit or their form in the text: `800ms`, `64KiB`, `100/min`, `env:NAME`.
//! Each type parses itself with a message a reader can act on; the schema walk and serde share that one parser.

mod address;
mod authority;
mod date;
mod duration;
mod duration_or_zero;
pub mod file;
mod name;
mod network;
mod one_or_many;
mod percent;
mod quota;
mod rate;
mod secret;
mod service;
mod size;
mod status;
mod time_zone;
pub mod url;
mod words;

pub use address::{Address, BindAddress, Host};
pub use authority::Authority;
pub use date::Date;
pub use duration::Duration;
pub use duration_or_zero::DurationOrZero;
pub use name::Name;
pub use network::{Network, Networks};
pub use one_or_many::OneOrMany;
pub use percent::Percent;
pub use quota::{Allotment, Period, Quota, QuotaWindow};
pub use rate::Rate;
pub use secret::{Secret, SecretSource};
pub use service::ServiceName;
pub use size::Size;
pub use status::{StatusCode, StatusRange};
pub use time_zone::TimeZone;
pub use url::Url;
pub use words::{HeaderName, LogTarget, Method};

use std::fmt;

/// Why a text is not a value of its unit: a full clause, ready to stand behind `path: `.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnitError(pub String);

impl fmt::Display for UnitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for UnitError {}

/// A unit type as the schema walk sees it.
#[derive(Debug)]
pub struct Unit {
    /// The value of the schema keyword `x-unit`.
    pub kind: &'static str,
    /// "a duration such as 800ms, 5s or 1m": completes "expected …".
    pub expected: &'static str,
    /// Checks a text without keeping the value.
    pub check: fn(&str) -> Result<(), UnitError>,
    /// What to write instead of a bare number, given that number.
    pub bare_number: Option<fn(&str) -> String>,
}

/// Every unit, by its `x-unit` word. A plugin's schema may use the same words.
pub static UNITS: &[Unit] = &[
    duration::UNIT,
    duration_or_zero::UNIT,
    size::UNIT,
    rate::UNIT,
    quota::UNIT,
    time_zone::UNIT,
    percent::UNIT,
    date::UNIT,
    address::UNIT,
    address::BIND_UNIT,
    authority::UNIT,
    name::UNIT,
    network::UNIT,
    secret::UNIT,
    service::UNIT,
    url::UNIT,
    words::METHOD_UNIT,
    words::HEADER_NAME_UNIT,
    words::LOG_TARGET_UNIT,
];

pub fn unit(kind: &str) -> Option<&'static Unit> {
    UNITS.iter().find(|unit| unit.kind == kind)
}

/// Splits `100min` into its leading digits and the rest. `None` when there are no digits; more than fit are the most that fit.
fn split_number(text: &str) -> Option<(u64, &str)> {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (digits, rest) = text.split_at_checked(end)?;
    (!digits.is_empty()).then(|| (digits.parse().unwrap_or(u64::MAX), rest))
}

/// Gives a `FromStr + Display` type its serde and schema faces.
macro_rules! text_form {
    ($type:ident, $schema_name:literal, $unit:expr, $pattern:literal, $doc:literal) => {
        impl serde::Serialize for $type {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> serde::Deserialize<'de> for $type {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }

        impl schemars::JsonSchema for $type {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                $schema_name.into()
            }

            fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                schemars::json_schema!({
                    "description": $doc,
                    "type": "string",
                    "pattern": $pattern,
                    "x-unit": $unit.kind,
                })
            }
        }
    };
}
use text_form;

/// A unit's `check`: parse and forget.
fn parses<T: std::str::FromStr<Err = UnitError>>(text: &str) -> Result<(), UnitError> {
    text.parse::<T>().map(drop)
}

#[cfg(test)]
mod tests;
