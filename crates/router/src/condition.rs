//! Conditions of a rule on headers, query parameters and cookies.

use std::fmt;

use http::{HeaderMap, HeaderName};
use regex_automata::meta::Regex;

use crate::{
    PatternError,
    lookup::Lookup,
    pattern::{build_whole, parse_hir},
};

#[cfg(test)]
mod tests;
mod value;

pub(crate) use value::Value;

/// What a header, query parameter or cookie must be. Values are compared byte for byte, case included.
///
/// Of a name that is there several times **only the first value counts**, so that a request cannot satisfy two
/// conditions that exclude each other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ValueMatch {
    /// Is there, with any value, also none.
    Present,
    /// Is not there.
    Absent,
    /// Is this.
    Exact(String),
    /// Starts with this.
    Prefix(String),
    /// Is one of these.
    OneOf(Vec<String>),
    /// Matches this, from first to last byte.
    Regex(ValueRegex),
}

/// A regular expression over a whole value.
#[derive(Clone)]
pub struct ValueRegex {
    regex: Regex,
    text: Box<str>,
}

impl ValueRegex {
    /// Reads an expression. It is anchored at both ends.
    ///
    /// # Errors
    /// [`PatternError`] with the byte offset of what is wrong; also when the expression is too large.
    pub fn parse(text: &str) -> Result<Self, PatternError> {
        Ok(Self { regex: build_whole(parse_hir(text)?)?, text: Box::from(text) })
    }

    /// As written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Bytes that it takes, compiled: see [`Pattern::compiled_size`](crate::Pattern::compiled_size).
    pub fn compiled_size(&self) -> usize {
        self.regex.memory_usage()
    }
}

impl PartialEq for ValueRegex {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for ValueRegex {}

impl fmt::Debug for ValueRegex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ValueRegex({:?})", self.text)
    }
}

impl ValueMatch {
    /// Whether a value, or its absence, is what is asked for.
    pub(crate) fn admits(&self, value: Option<Value<'_>>) -> bool {
        let Some(value) = value else {
            return matches!(self, Self::Absent);
        };
        match self {
            Self::Present => true,
            Self::Absent => false,
            Self::Exact(wanted) => value.equals(wanted.as_bytes()),
            Self::Prefix(wanted) => value.starts_with(wanted.as_bytes()),
            Self::OneOf(wanted) => wanted.iter().any(|wanted| value.equals(wanted.as_bytes())),
            Self::Regex(wanted) => wanted.regex.is_match(&*value.decoded()),
        }
    }
}

/// Where a condition looks.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Source {
    Header(HeaderName),
    Query(Box<str>),
    Cookie(Box<str>),
}

/// One condition of a rule.
#[derive(Debug, Clone)]
pub(crate) struct Condition {
    pub(crate) source: Source,
    pub(crate) wanted: ValueMatch,
}

impl Condition {
    pub(crate) fn holds(&self, request: &Lookup<'_>) -> bool {
        self.wanted.admits(self.source.first(request))
    }
}

impl Source {
    /// The first value of this name in the request.
    fn first<'a>(&self, request: &Lookup<'a>) -> Option<Value<'a>> {
        match self {
            Self::Header(name) => request.headers.get(name).map(|value| Value::Plain(value.as_bytes())),
            Self::Query(name) => query_value(request.query, name),
            Self::Cookie(name) => cookie_value(request.headers, name),
        }
    }
}

/// The first parameter of that name in a query in the `application/x-www-form-urlencoded` form.
fn query_value<'a>(query: &'a str, name: &str) -> Option<Value<'a>> {
    if query.is_empty() {
        return None;
    }
    query.split('&').find_map(|pair| {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        Value::Form(key.as_bytes()).equals(name.as_bytes()).then_some(Value::Form(value.as_bytes()))
    })
}

/// The first cookie of that name. HTTP/2 may spread cookies over several fields (RFC 9113 §8.2.3).
fn cookie_value<'a>(headers: &'a HeaderMap, name: &str) -> Option<Value<'a>> {
    let fields = headers.get_all(http::header::COOKIE).iter();
    let pairs = fields.flat_map(|field| field.as_bytes().split(|&byte| byte == b';'));
    pairs.into_iter().find_map(|pair| {
        let at = pair.iter().position(|&byte| byte == b'=')?;
        let (key, value) = pair.split_at_checked(at)?;
        let value = value.get(1..)?;
        (key.trim_ascii() == name.as_bytes()).then(|| Value::Plain(value.trim_ascii()))
    })
}
