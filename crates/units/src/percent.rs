//! `20%`, `0.5%`: a share.

use std::fmt;
use std::str::FromStr;

use super::{Unit, UnitError, parses, text_form};

/// A share between 0% and 100%, kept in hundredths of a percent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Percent(u16);

impl Percent {
    /// A whole number of percent; more than 100 is 100.
    #[must_use]
    pub const fn new(percent: u8) -> Self {
        Self(if percent > 100 { 10_000 } else { percent as u16 * 100 })
    }

    /// The share as a number between 0 and 1.
    #[must_use]
    pub fn fraction(self) -> f64 {
        f64::from(self.0) / 10_000.0
    }
}

impl FromStr for Percent {
    type Err = UnitError;

    fn from_str(text: &str) -> Result<Self, UnitError> {
        let wrong = || UnitError(format!("{text:?} is not a share; write a number and %: 20% or 0.5%"));
        let Some(number) = text.strip_suffix('%') else {
            if text.bytes().all(|b| b.is_ascii_digit()) && !text.is_empty() {
                return Err(UnitError(bare_number(text)));
            }
            return Err(wrong());
        };
        let (whole, decimals) = number.split_once('.').unwrap_or((number, "0"));
        let digits = |s: &str| !s.is_empty() && s.bytes().all(|b| b.is_ascii_digit());
        if !digits(whole) || !digits(decimals) || decimals.len() > 2 {
            return Err(wrong());
        }
        let fraction: u16 = format!("{decimals:0<2}").parse().map_err(|_| wrong())?;
        whole
            .parse::<u16>()
            .ok()
            .and_then(|whole| whole.checked_mul(100)?.checked_add(fraction))
            .filter(|hundredths| *hundredths <= 10_000)
            .map(Self)
            .ok_or_else(|| UnitError(format!("{text} is more than 100%")))
    }
}

impl fmt::Display for Percent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.0 / 100, self.0 % 100) {
            (whole, 0) => write!(f, "{whole}%"),
            (whole, part) if part % 10 == 0 => write!(f, "{whole}.{}%", part / 10),
            (whole, part) => write!(f, "{whole}.{part:02}%"),
        }
    }
}

fn bare_number(number: &str) -> String {
    format!("{number} has no unit; write {number}%")
}

pub(crate) const UNIT: Unit =
    Unit { kind: "percent", expected: "a share such as 20%", check: parses::<Percent>, bare_number: Some(bare_number) };

text_form!(
    Percent,
    "Percent",
    UNIT,
    r"^[0-9]+(\.[0-9]{1,2})?%$",
    "A share: a number between 0 and 100 and `%`, such as `20%`."
);
