//! The names that users give to routes, upstreams, tiers and so on: kebab-case, fit for a metric label.

use std::borrow::Borrow;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use super::{Unit, UnitError, parses, text_form};

/// Arbitrary: long enough for any name a person types, short enough for a metric label.
const MAX_LEN: usize = 64;

/// A kebab-case name of 1 to 64 characters. Cheap to clone.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name(Arc<str>);

impl Name {
    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The name as shared text.
    #[must_use]
    pub fn shared(&self) -> Arc<str> {
        Arc::clone(&self.0)
    }
}

impl FromStr for Name {
    type Err = UnitError;

    fn from_str(text: &str) -> Result<Self, UnitError> {
        if text.len() > MAX_LEN {
            return Err(UnitError(format!(
                "a name has at most {MAX_LEN} characters; this one has {}",
                text.chars().count()
            )));
        }
        let part = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
        if text.split('-').all(part) {
            return Ok(Self(text.into()));
        }
        let suggestion = kebab(text);
        Err(UnitError(if suggestion.is_empty() {
            format!("{text:?} is not a name (lower-case letters, digits and single hyphens, such as users-v2)")
        } else {
            format!("{text:?} is not a name (lower-case letters, digits and single hyphens); write {suggestion}")
        }))
    }
}

/// The name that was probably meant: `usersV2`, `users_v2` and `Users v2` all become `users-v2`.
fn kebab(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 4);
    let mut previous_lower = false;
    for c in text.chars() {
        if c.is_ascii_alphanumeric() {
            if c.is_ascii_uppercase() && previous_lower {
                out.push('-');
            }
            out.push(c.to_ascii_lowercase());
        } else if !out.is_empty() && !out.ends_with('-') {
            out.push('-');
        }
        previous_lower = c.is_ascii_lowercase();
    }
    out.truncate(out.trim_end_matches('-').len());
    out
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Borrow<str> for Name {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl AsRef<str> for Name {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl PartialEq<str> for Name {
    fn eq(&self, other: &str) -> bool {
        &*self.0 == other
    }
}

impl PartialEq<&str> for Name {
    fn eq(&self, other: &&str) -> bool {
        &*self.0 == *other
    }
}

pub(crate) const UNIT: Unit = Unit {
    kind: "name",
    expected: "a name such as users-v2",
    check: parses::<Name>,
    bare_number: Some(|number| format!("{number} is a number; a name in digits needs quotes: \"{number}\"")),
};

text_form!(
    Name,
    "Name",
    UNIT,
    "^[a-z0-9]+(-[a-z0-9]+)*$",
    "A name: lower-case letters, digits and single hyphens, such as `users-v2`."
);
