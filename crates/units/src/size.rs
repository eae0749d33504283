//! `64KiB`, `1MiB`, `200MiB`: an amount of bytes.

use std::fmt;
use std::str::FromStr;

use super::{Unit, UnitError, parses, split_number, text_form};

const UNITS: [(&str, u64); 7] = [
    ("GiB", 1 << 30),
    ("GB", 1_000_000_000),
    ("MiB", 1 << 20),
    ("MB", 1_000_000),
    ("KiB", 1 << 10),
    ("KB", 1000),
    ("B", 1),
];

/// An amount of bytes, written as a whole number and a unit (`KiB` is 1024 bytes, `KB` is 1000).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Size(u64);

impl Size {
    /// A size of `bytes` bytes.
    #[must_use]
    pub const fn from_bytes(bytes: u64) -> Self {
        Self(bytes)
    }

    /// The size in bytes.
    #[must_use]
    pub const fn bytes(self) -> u64 {
        self.0
    }
}

impl FromStr for Size {
    type Err = UnitError;

    fn from_str(text: &str) -> Result<Self, UnitError> {
        let wrong = || {
            UnitError(format!(
                "{text:?} is not a size; write a whole number and a unit: 512B, 64KiB, 1MiB or 1GiB (or KB, MB, GB)"
            ))
        };
        let (number, unit) = split_number(text).ok_or_else(wrong)?;
        if unit.is_empty() {
            return Err(UnitError(bare_number(text)));
        }
        let (_, bytes) = UNITS.iter().find(|(name, _)| *name == unit).ok_or_else(wrong)?;
        let bytes =
            number.checked_mul(*bytes).ok_or_else(|| UnitError(format!("{text} is more bytes than there are")))?;
        Ok(Self(bytes))
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let whole = UNITS.iter().find(|(_, bytes)| self.0 != 0 && self.0.is_multiple_of(*bytes));
        match whole {
            Some((unit, bytes)) => write!(f, "{}{unit}", self.0 / bytes),
            None => write!(f, "{}B", self.0),
        }
    }
}

fn bare_number(number: &str) -> String {
    // 1048576 was meant in bytes, 5 was not.
    let bytes = number.parse().map(Size).ok().filter(|size| size.0 >= 1000);
    match bytes.map(|size| size.to_string()) {
        Some(short) if short != format!("{number}B") => {
            format!("{number} has no unit; write {number}B or {short}")
        }
        Some(_) => format!("{number} has no unit; write {number}B"),
        None => format!("{number} has no unit; write {number}KiB, {number}MiB or {number}B"),
    }
}

pub(crate) const UNIT: Unit = Unit {
    kind: "size",
    expected: "a size such as 64KiB or 1MiB",
    check: parses::<Size>,
    bare_number: Some(bare_number),
};

text_form!(
    Size,
    "Size",
    UNIT,
    "^[0-9]+(B|KB|MB|GB|KiB|MiB|GiB)$",
    "A size in bytes: a whole number and `B`, `KiB`, `MiB`, `GiB`, `KB`, `MB` or `GB`, such as `64KiB`."
);
