//! `Europe/Zurich`: a time zone by its name in the IANA database.

use std::fmt;
use std::str::FromStr;

use super::{Unit, UnitError, parses, text_form};

/// A time zone of the IANA database: the system's if it has one, else the one this program was built with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TimeZone(jiff::tz::TimeZone);

impl TimeZone {
    /// Coordinated Universal Time.
    #[must_use]
    pub fn utc() -> Self {
        Self(jiff::tz::TimeZone::UTC)
    }

    /// The zone with its rules.
    #[must_use]
    pub const fn get(&self) -> &jiff::tz::TimeZone {
        &self.0
    }

    /// Its name: `Europe/Zurich`.
    #[must_use]
    pub fn name(&self) -> &str {
        self.0.iana_name().unwrap_or("UTC")
    }
}

impl FromStr for TimeZone {
    type Err = UnitError;

    fn from_str(text: &str) -> Result<Self, UnitError> {
        jiff::tz::TimeZone::get(text).map(Self).map_err(|_| {
            UnitError(format!(
                "{text:?} is not a time zone; write its name in the IANA database, such as Europe/Zurich"
            ))
        })
    }
}

impl fmt::Display for TimeZone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

pub(crate) const UNIT: Unit = Unit {
    kind: "time-zone",
    expected: "a time zone such as Europe/Zurich",
    check: parses::<TimeZone>,
    bare_number: None,
};

text_form!(
    TimeZone,
    "TimeZone",
    UNIT,
    "^[A-Za-z0-9_+/-]+$",
    "A time zone by its name in the IANA database, such as `Europe/Zurich`."
);
