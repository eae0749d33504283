//! `2027-06-30`: a day of the calendar.

use std::fmt;
use std::str::FromStr;

use super::{Unit, UnitError, parses, text_form};

/// A day, UTC, from 1970-01-01 to 9999-12-31.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Date {
    year: u16,
    month: u8,
    day: u8,
}

impl Date {
    /// The year, 1970 to 9999.
    #[must_use]
    pub const fn year(self) -> u16 {
        self.year
    }

    /// The month, 1 to 12.
    #[must_use]
    pub const fn month(self) -> u8 {
        self.month
    }

    /// The day of the month, 1 to 31.
    #[must_use]
    pub const fn day(self) -> u8 {
        self.day
    }
}

impl FromStr for Date {
    type Err = UnitError;

    fn from_str(text: &str) -> Result<Self, UnitError> {
        let wrong = || UnitError(format!("{text:?} is not a date; write year-month-day: 2027-06-30"));
        let mut parts = text.split('-');
        let mut part = |width: usize| -> Option<u16> {
            let part = parts.next()?;
            let digits = part.len() == width && part.bytes().all(|b| b.is_ascii_digit());
            digits.then(|| part.parse().ok()).flatten()
        };
        let (Some(year), Some(month), Some(day)) = (part(4), part(2), part(2)) else {
            return Err(wrong());
        };
        if parts.next().is_some() {
            return Err(wrong());
        }
        let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
        let days = match month {
            1 | 3 | 5 | 7 | 8 | 10 | 12 => 31,
            4 | 6 | 9 | 11 => 30,
            2 if leap => 29,
            2 => 28,
            _ => 0,
        };
        let (Ok(month), Ok(day)) = (u8::try_from(month), u8::try_from(day)) else {
            return Err(wrong());
        };
        if year < 1970 || day == 0 || day > days {
            return Err(UnitError(format!("there is no day {text}")));
        }
        Ok(Self { year, month, day })
    }
}

impl fmt::Display for Date {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04}-{:02}-{:02}", self.year, self.month, self.day)
    }
}

pub(crate) const UNIT: Unit =
    Unit { kind: "date", expected: "a date such as 2027-06-30", check: parses::<Date>, bare_number: None };

text_form!(Date, "Date", UNIT, "^[0-9]{4}-[0-9]{2}-[0-9]{2}$", "A day (UTC): `2027-06-30`.");
