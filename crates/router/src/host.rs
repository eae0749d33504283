//! Host patterns, and the table that finds the trees of a request's host: the exact one, then wildcards from the
//! longest suffix to the shortest, then the tree of rules that name no host.

use std::{fmt, str::FromStr};

use crate::PatternError;

mod table;
#[cfg(test)]
mod tests;

pub(crate) use table::{HostTable, Hosted};

/// Longest host name, in bytes (RFC 1035 §2.3.4).
pub(crate) const MAX_HOST: usize = 253;

/// A host of a rule: `api.example.com`, or `*.example.com` for one or more further labels. Without port, in any case.
///
/// Internationalised names are written in their ASCII form (`xn--…`), as clients send them.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct HostPattern {
    wildcard: bool,
    /// In lower case, without final dot; for a wildcard what follows `*.`.
    name: Box<str>,
}

impl HostPattern {
    /// Reads a host pattern.
    ///
    /// # Errors
    /// [`PatternError`] with the byte offset of what is wrong.
    pub fn parse(text: &str) -> Result<Self, PatternError> {
        let (wildcard, name, offset) = match text.strip_prefix("*.") {
            Some(suffix) => (true, suffix, 2),
            None => (false, text, 0),
        };
        if name.starts_with('[') && !wildcard {
            return Self::parse_ip6(name);
        }
        let name = name.strip_suffix('.').unwrap_or(name);
        let mut at = offset;
        for label in name.split('.') {
            check_label(label, at)?;
            at += label.len() + 1;
        }
        if name.len() > MAX_HOST {
            return Err(PatternError::new(MAX_HOST, format!("a host name has at most {MAX_HOST} bytes")));
        }
        Ok(Self { wildcard, name: name.to_ascii_lowercase().into_boxed_str() })
    }

    /// `[::1]`. The address is written as clients write it in `Host`: RFC 5952's one spelling.
    fn parse_ip6(text: &str) -> Result<Self, PatternError> {
        let address = text.strip_prefix('[').and_then(|text| text.strip_suffix(']'));
        let Some(Ok(address)) = address.map(str::parse::<std::net::Ipv6Addr>) else {
            return Err(PatternError::new(0, "an IPv6 address stands in brackets, without port: `[::1]`"));
        };
        Ok(Self { wildcard: false, name: format!("[{address}]").into_boxed_str() })
    }

    /// Whether it is `*.…`.
    pub fn is_wildcard(&self) -> bool {
        self.wildcard
    }

    /// The host, or what follows `*.`; in lower case.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether a host (any case, no port, a final dot allowed) matches: for tests and explanations.
    pub fn matches(&self, host: &str) -> bool {
        let mut buffer = [0; MAX_HOST];
        let Some(host) = canonical(host, &mut buffer) else {
            return false;
        };
        if !self.wildcard {
            return *host == *self.name;
        }
        let front = host.strip_suffix(&*self.name).and_then(|host| host.strip_suffix('.'));
        front.is_some_and(|front| !front.is_empty())
    }
}

fn check_label(label: &str, offset: usize) -> Result<(), PatternError> {
    let wrong = label.char_indices().find(|(_, c)| !(c.is_ascii_alphanumeric() || matches!(c, '-' | '_')));
    let (at, message) = match wrong {
        Some((at, ':')) => (at, "a host has no port here"),
        Some((at, '*')) => (at, "a wildcard is the whole first label: `*.example.com`; a rule without host takes any"),
        Some((at, c)) if !c.is_ascii() => (at, "write the name in its ASCII form, `xn--…`"),
        Some((at, _)) => (at, "a host name is letters, digits, `-`, `_` and dots"),
        None if label.is_empty() => (0, "an empty label"),
        None if label.len() > 63 => (63, "a label has at most 63 bytes"),
        None => return Ok(()),
    };
    Err(PatternError::new(offset + at, message))
}

/// The host in lower case without final dot, in `buffer` only if it has upper case. Nothing if it is no host: empty, or
/// too long to match any pattern.
pub(crate) fn canonical<'a>(host: &'a str, buffer: &'a mut [u8; MAX_HOST]) -> Option<&'a str> {
    let host = host.strip_suffix('.').unwrap_or(host);
    if host.is_empty() {
        return None;
    }
    let lower = buffer.get_mut(..host.len())?;
    if !host.bytes().any(|byte| byte.is_ascii_uppercase()) {
        return Some(host);
    }
    lower.copy_from_slice(host.as_bytes());
    lower.make_ascii_lowercase();
    std::str::from_utf8(lower).ok()
}

impl FromStr for HostPattern {
    type Err = PatternError;

    fn from_str(text: &str) -> Result<Self, PatternError> {
        Self::parse(text)
    }
}

impl fmt::Display for HostPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.wildcard { "*." } else { "" })?;
        f.write_str(&self.name)
    }
}
