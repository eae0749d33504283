//! `0s`, or a duration: for keys where no time at all means something.

use std::fmt;
use std::str::FromStr;

use super::{Duration, Unit, UnitError, duration, parses, split_number, text_form};

/// A time span of nothing, or of one millisecond to 366 days.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct DurationOrZero(Option<Duration>);

impl DurationOrZero {
    /// No time at all.
    pub const ZERO: Self = Self(None);

    /// A duration that is not nothing.
    #[must_use]
    pub const fn new(duration: Duration) -> Self {
        Self(Some(duration))
    }

    /// The same span for the standard library.
    #[must_use]
    pub fn get(self) -> std::time::Duration {
        self.0.map_or(std::time::Duration::ZERO, Duration::get)
    }
}

impl FromStr for DurationOrZero {
    type Err = UnitError;

    fn from_str(text: &str) -> Result<Self, UnitError> {
        match split_number(text) {
            Some((0, "ms" | "s" | "m" | "h" | "d")) => Ok(Self::ZERO),
            _ => text.parse().map(Self::new),
        }
    }
}

impl fmt::Display for DurationOrZero {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(duration) => duration.fmt(f),
            None => f.write_str("0s"),
        }
    }
}

pub(crate) const UNIT: Unit = Unit {
    kind: "duration-or-zero",
    expected: "a duration such as 800ms, 5s or 1m, or 0s",
    check: parses::<DurationOrZero>,
    bare_number: duration::UNIT.bare_number,
};

text_form!(
    DurationOrZero,
    "DurationOrZero",
    UNIT,
    "^[0-9]+(ms|s|m|h|d)$",
    "A duration such as `800ms` or `5s`, or `0s` for none."
);
