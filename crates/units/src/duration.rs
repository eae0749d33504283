//! `800ms`, `5s`, `1m`, `12h`, `30d`: a time span.

use std::fmt;
use std::str::FromStr;

use super::{Unit, UnitError, parses, split_number, text_form};

/// The longest duration that can be written: a longer one is a slip of the finger.
const MAX_MILLIS: u64 = 366 * 24 * 60 * 60 * 1000;

/// A time span of one millisecond to 366 days, written as a whole number and a unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Duration(u64);

impl Duration {
    /// A duration of `millis` milliseconds, brought into the range that can be written.
    #[must_use]
    pub const fn from_millis(millis: u64) -> Self {
        Self(if millis == 0 {
            1
        } else if millis > MAX_MILLIS {
            MAX_MILLIS
        } else {
            millis
        })
    }

    /// A duration of `secs` seconds, brought into the range that can be written.
    #[must_use]
    pub const fn from_secs(secs: u64) -> Self {
        Self::from_millis(secs.saturating_mul(1000))
    }

    /// The same span for the standard library.
    #[must_use]
    pub const fn get(self) -> std::time::Duration {
        std::time::Duration::from_millis(self.0)
    }
}

impl FromStr for Duration {
    type Err = UnitError;

    fn from_str(text: &str) -> Result<Self, UnitError> {
        let wrong = || {
            UnitError(format!("{text:?} is not a duration; write a whole number and a unit: 800ms, 5s, 1m, 1h or 1d"))
        };
        let (number, unit) = split_number(text).ok_or_else(wrong)?;
        let millis_per_unit = match unit {
            "ms" => 1,
            "s" => 1000,
            "m" => 60 * 1000,
            "h" => 60 * 60 * 1000,
            "d" => 24 * 60 * 60 * 1000,
            "" => return Err(UnitError(bare_number(text))),
            _ => return Err(wrong()),
        };
        match number.checked_mul(millis_per_unit) {
            Some(0) => Err(UnitError(format!("{text} is no time at all; the shortest duration is 1ms"))),
            Some(millis) if millis <= MAX_MILLIS => Ok(Self(millis)),
            _ => Err(UnitError(format!("{text} is longer than 366d"))),
        }
    }
}

impl fmt::Display for Duration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let units = [(86_400_000, "d"), (3_600_000, "h"), (60_000, "m"), (1000, "s")];
        // 60 s reads better as 1m, but 90 s must not become 1.5m: the largest unit that divides it.
        let whole = units.iter().find(|(size, _)| self.0.is_multiple_of(*size));
        match whole {
            Some((size, unit)) => write!(f, "{}{unit}", self.0 / size),
            None => write!(f, "{}ms", self.0),
        }
    }
}

fn bare_number(number: &str) -> String {
    format!("{number} has no unit; write {number}s, {number}ms or {number}m")
}

pub(crate) const UNIT: Unit = Unit {
    kind: "duration",
    expected: "a duration such as 800ms, 5s or 1m",
    check: parses::<Duration>,
    bare_number: Some(bare_number),
};

text_form!(
    Duration,
    "Duration",
    UNIT,
    "^[0-9]+(ms|s|m|h|d)$",
    "A duration: a whole number and `ms`, `s`, `m`, `h` or `d`, such as `800ms` or `5s`."
);
