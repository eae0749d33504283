//! Texts of a fixed form that carry no unit: methods, header names, request lines, log destinations.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use super::{Unit, UnitError, parses, text_form};

/// RFC 9110 §5.6.2: the characters of methods and field names.
fn is_token(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b))
}

/// An HTTP method in capitals, such as `GET`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Method(String);

impl Method {
    /// The method as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Method {
    type Err = UnitError;

    fn from_str(text: &str) -> Result<Self, UnitError> {
        if !is_token(text) {
            return Err(UnitError(format!("{text:?} is not a method; write GET, POST and so on")));
        }
        // Methods are case-sensitive (RFC 9110 §9.1): `get` would match nothing that a browser sends.
        if text.bytes().any(|b| b.is_ascii_lowercase()) {
            return Err(UnitError(format!("methods are written in capitals: {}", text.to_ascii_uppercase())));
        }
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The name of a header, in lower case whatever the file wrote.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct HeaderName(String);

impl HeaderName {
    /// The name in lower case.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for HeaderName {
    type Err = UnitError;

    fn from_str(text: &str) -> Result<Self, UnitError> {
        if is_token(text) {
            Ok(Self(text.to_ascii_lowercase()))
        } else {
            Err(UnitError(format!("{text:?} is not a header name")))
        }
    }
}

impl fmt::Display for HeaderName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Where the access log goes.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum LogTarget {
    /// Standard output.
    #[default]
    Stdout,
    /// Nowhere.
    Off,
    /// Appended to this file.
    File(PathBuf),
}

impl FromStr for LogTarget {
    type Err = UnitError;

    fn from_str(text: &str) -> Result<Self, UnitError> {
        match (text, text.strip_prefix("file:")) {
            ("stdout", _) => Ok(Self::Stdout),
            ("off", _) => Ok(Self::Off),
            (_, Some(path)) if !path.is_empty() => Ok(Self::File(path.into())),
            _ => Err(UnitError(format!("{text:?} is no place for a log; write stdout, off or file:/path"))),
        }
    }
}

impl fmt::Display for LogTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stdout => f.write_str("stdout"),
            Self::Off => f.write_str("off"),
            Self::File(path) => write!(f, "file:{}", path.display()),
        }
    }
}

pub(crate) const METHOD_UNIT: Unit =
    Unit { kind: "method", expected: "a method such as GET", check: parses::<Method>, bare_number: None };

pub(crate) const HEADER_NAME_UNIT: Unit = Unit {
    kind: "header-name",
    expected: "a header name such as x-request-id",
    check: parses::<HeaderName>,
    bare_number: None,
};

pub(crate) const LOG_TARGET_UNIT: Unit =
    Unit { kind: "log-target", expected: "stdout, off or file:/path", check: parses::<LogTarget>, bare_number: None };

text_form!(Method, "Method", METHOD_UNIT, "^[A-Z0-9!#$%&'*+.^_`|~-]+$", "An HTTP method in capitals, such as `GET`.");
text_form!(
    HeaderName,
    "HeaderName",
    HEADER_NAME_UNIT,
    "^[A-Za-z0-9!#$%&'*+.^_`|~-]+$",
    "The name of a header; letter case does not matter."
);
text_form!(LogTarget, "LogTarget", LOG_TARGET_UNIT, "^(stdout|off|file:.+)$", "`stdout`, `off` or `file:/path`.");
