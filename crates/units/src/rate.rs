//! `100/min`, `10/s`, `1000/h`, `5000/day`: so many in any such span.

use std::fmt;
use std::num::NonZeroU32;
use std::str::FromStr;
use std::time::Duration;

use super::{Unit, UnitError, parses, split_number, text_form};

const SPANS: [(&str, u64); 4] = [("s", 1), ("min", 60), ("h", 3600), ("day", 86_400)];

/// At most `count` events in any span of `per`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Rate {
    /// How many events fit in one span.
    pub count: NonZeroU32,
    /// The span: one second, minute, hour or day.
    pub per: Duration,
}

impl FromStr for Rate {
    type Err = UnitError;

    fn from_str(text: &str) -> Result<Self, UnitError> {
        let wrong = || {
            UnitError(format!(
                "{text:?} is not a rate; write a whole number and a span: 10/s, 100/min, 1000/h or 5000/day"
            ))
        };
        let (number, rest) = split_number(text).ok_or_else(wrong)?;
        if rest.is_empty() {
            return Err(UnitError(bare_number(text)));
        }
        let span = rest.strip_prefix('/').ok_or_else(wrong)?;
        let (_, seconds) = SPANS.iter().find(|(name, _)| *name == span).ok_or_else(wrong)?;
        if number == 0 {
            return Err(UnitError(format!("{text} lets nothing through; the lowest rate is 1/{span}")));
        }
        let count = u32::try_from(number)
            .ok()
            .and_then(NonZeroU32::new)
            .ok_or_else(|| UnitError(format!("{text} is more than {}/{span}", u32::MAX)))?;
        Ok(Self { count, per: Duration::from_secs(*seconds) })
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let span = SPANS.iter().find(|(_, seconds)| *seconds == self.per.as_secs()).map_or("s", |(name, _)| name);
        write!(f, "{}/{span}", self.count)
    }
}

fn bare_number(number: &str) -> String {
    format!("{number} has no span; write {number}/min, {number}/s, {number}/h or {number}/day")
}

pub(crate) const UNIT: Unit = Unit {
    kind: "rate",
    expected: "a rate such as 100/min or 10/s",
    check: parses::<Rate>,
    bare_number: Some(bare_number),
};

text_form!(
    Rate,
    "Rate",
    UNIT,
    "^[0-9]+/(s|min|h|day)$",
    "A rate: a whole number, `/`, and `s`, `min`, `h` or `day`, such as `100/min`."
);
