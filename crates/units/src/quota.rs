//! `1000/day`, `20000/month`: so much in a period of the calendar, or in any span of that length.

use std::borrow::Cow;
use std::fmt;
use std::num::NonZeroU64;
use std::str::FromStr;
use std::time::Duration;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

use super::{TimeZone, Unit, UnitError, parses, split_number, text_form};

/// The largest amount that every part which counts it can hold exactly: 2⁵³ − 1, as a script inside Redis counts with doubles.
const MOST: u64 = (1 << 53) - 1;

/// So much in a period.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Allotment {
    /// How much, at most 2⁵³ − 1.
    pub count: NonZeroU64,
    /// In what time.
    pub per: Period,
}

/// A span that a calendar knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Period {
    /// From one full hour to the next.
    Hour,
    /// From midnight to midnight.
    Day,
    /// From Monday to Monday (ISO 8601).
    Week,
    /// From the first of one month to the first of the next.
    Month,
}

/// How much a key may use over a long time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Quota {
    /// How much, in what time.
    pub of: Allotment,
    /// When it begins anew.
    pub window: QuotaWindow,
    /// The time zone of the calendar; UTC if `None`. Means nothing to a window that rolls: say so where one has it.
    pub time_zone: Option<TimeZone>,
}

/// When a quota begins anew.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum QuotaWindow {
    /// With each period of the calendar.
    #[default]
    Calendar,
    /// Never at once: any span of the period's length holds at most so much. A month has 30 days then.
    Rolling,
}

impl Quota {
    /// By the calendar in UTC.
    #[must_use]
    pub const fn calendar(of: Allotment) -> Self {
        Self { of, window: QuotaWindow::Calendar, time_zone: None }
    }
}

impl Period {
    const ALL: [(&'static str, Self); 4] =
        [("h", Self::Hour), ("day", Self::Day), ("week", Self::Week), ("month", Self::Month)];

    /// As it is written behind the slash.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        Self::ALL.iter().find(|(_, period)| *period == self).map_or("", |(name, _)| name)
    }

    /// Its length where no calendar says otherwise; a month has 30 days.
    #[must_use]
    pub const fn length(self) -> Duration {
        const HOUR: u64 = 3600;
        Duration::from_secs(match self {
            Self::Hour => HOUR,
            Self::Day => 24 * HOUR,
            Self::Week => 7 * 24 * HOUR,
            Self::Month => 30 * 24 * HOUR,
        })
    }
}

impl FromStr for Allotment {
    type Err = UnitError;

    fn from_str(text: &str) -> Result<Self, UnitError> {
        let wrong = || {
            UnitError(format!(
                "{text:?} is not a quota; write a whole number and a period: 1000/day, 5000/week or 20000/month"
            ))
        };
        let (number, rest) = split_number(text).ok_or_else(wrong)?;
        if rest.is_empty() {
            return Err(UnitError(bare_number(text)));
        }
        let period = rest.strip_prefix('/').ok_or_else(wrong)?;
        let (_, per) = Period::ALL.iter().find(|(name, _)| *name == period).ok_or_else(wrong)?;
        let Some(count) = NonZeroU64::new(number) else {
            return Err(UnitError(format!("{text} lets nothing through; the lowest quota is 1/{period}")));
        };
        if number > MOST {
            return Err(UnitError(format!("{text} is more than {MOST}/{period}")));
        }
        Ok(Self { count, per: *per })
    }
}

impl fmt::Display for Allotment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.count, self.per.as_str())
    }
}

fn bare_number(number: &str) -> String {
    format!("{number} has no period; write {number}/day, {number}/week or {number}/month")
}

pub(crate) const UNIT: Unit = Unit {
    kind: "quota",
    expected: "a quota such as 1000/day or 20000/month",
    check: parses::<Allotment>,
    bare_number: Some(bare_number),
};

text_form!(
    Allotment,
    "Allotment",
    UNIT,
    "^[0-9]+/(h|day|week|month)$",
    "A quota: a whole number, `/`, and `h`, `day`, `week` or `month`, such as `20000/month`."
);

/// A quota as it may be written in full.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Written {
    /// How much, in what time: `20000/month`.
    of: Allotment,
    /// Whether it begins anew with each period of the calendar, or holds for any span of the period's length (a month
    /// having 30 days).
    #[serde(default)]
    window: QuotaWindow,
    /// The time zone of the calendar; UTC unless given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    time_zone: Option<TimeZone>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Form {
    Short(Allotment),
    Full(Written),
}

impl<'de> Deserialize<'de> for Quota {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(match Form::deserialize(deserializer)? {
            Form::Short(of) => Self::calendar(of),
            Form::Full(Written { of, window, time_zone }) => Self { of, window, time_zone },
        })
    }
}

impl Serialize for Quota {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self { of, window, time_zone } = self.clone();
        Written { of, window, time_zone }.serialize(serializer)
    }
}

impl JsonSchema for Quota {
    fn schema_name() -> Cow<'static, str> {
        "Quota".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let (short, full) = (generator.subschema_for::<Allotment>(), Written::json_schema(generator));
        json_schema!({
            "description": "How much a key may use over a long time: `20000/month` by the calendar in UTC, or in full \
                `{ of: 20000/month, window: calendar, time_zone: Europe/Zurich }`.",
            "anyOf": [short, full],
        })
    }
}

impl fmt::Display for Quota {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.of.fmt(f)
    }
}
