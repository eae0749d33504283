//! The path language of a route: literal segments, `{name}`, `*`, a final `**` or `{name**}`, or `regex:`.

use std::{fmt, str::FromStr};

use crate::{
    params::{MAX_PARAMS, Ranges},
    path::as_read,
};

mod error;
mod parse;
mod regex;
#[cfg(test)]
mod tests;

pub use error::PatternError;
pub(crate) use regex::{PathRegex, anchored, build_whole, parse_hir};

/// Most segments a pattern may have: the depth to which matching can go. Arbitrary, and far beyond real APIs.
pub const MAX_SEGMENTS: usize = 64;

/// One path pattern of a route.
///
/// | written | matches |
/// |---|---|
/// | `/users/me` | that path, in any spelling: literal text and request paths are compared decoded |
/// | `{id}` | one whole, non-empty segment, kept as the parameter `id` |
/// | `*` | one whole, non-empty segment |
/// | `**` at the end | any number of further segments, also none: `/users/**` takes `/users`, `/users/` and `/users/7/x`; kept as the parameter `rest` |
/// | `{name**}` at the end | the same, kept as `name`. A tail has no slash before it, and is empty if nothing is left |
/// | `regex:^/x/(?<id>\d+)$` | the whole path, decoded but for what a segment cannot hold raw, always anchored at both ends; named groups are parameters |
///
/// `/a` and `/a/` are different paths. A literal `*`, `{` or `}` is written `%2A`, `%7B`, `%7D`.
/// Parameters keep the percent-encoding of the path.
///
/// ```
/// # use portreeve_router::Pattern;
/// let pattern: Pattern = "/users/{id}/**".parse().unwrap();
/// assert_eq!(pattern.names().collect::<Vec<_>>(), ["id", "rest"]);
/// let wrong = "/users/{id/**".parse::<Pattern>().unwrap_err();
/// assert_eq!(wrong.to_string(), "byte 7: `{` is never closed");
/// ```
#[derive(Clone)]
pub struct Pattern {
    text: Box<str>,
    pub(crate) shape: Shape,
    names: Box<[Box<str>]>,
}

/// The two kinds of patterns.
#[derive(Debug, Clone)]
pub(crate) enum Shape {
    Segments(Segments),
    Regex(PathRegex),
}

/// A pattern of segments; `tail` says whether `**` follows.
#[derive(Debug, Clone)]
pub(crate) struct Segments {
    pub(crate) fixed: Box<[Segment]>,
    pub(crate) tail: bool,
    /// Which segment each parameter is, in the order of the names, which is also that of the segments.
    captures: Box<[Capture]>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Segment {
    Literal(Box<str>),
    Param,
    Any,
}

/// Where a parameter's text stands: a segment, counted from 0, alone or with all that follow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Capture {
    Segment(usize),
    Tail(usize),
}

impl Pattern {
    /// Reads a pattern.
    ///
    /// # Errors
    /// [`PatternError`] with the byte offset of what is wrong.
    pub fn parse(text: &str) -> Result<Self, PatternError> {
        parse::parse(text)
    }

    /// Matches every path and ranks like `/**`: what a rule without paths has.
    pub fn any() -> Self {
        Self {
            text: Box::from("/**"),
            shape: Shape::Segments(Segments { fixed: Box::default(), tail: true, captures: Box::default() }),
            names: Box::default(),
        }
    }

    /// As written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Bytes that its regular expression takes, compiled; nothing for one without. So that whoever reads many of them from a
    /// file can put a bound on all together: each may have 256 KiB.
    pub fn compiled_size(&self) -> usize {
        match &self.shape {
            Shape::Regex(regex) => regex.compiled_size(),
            Shape::Segments(_) => 0,
        }
    }

    /// Names of the parameters, in the order of their positions in [`Params`](crate::Params). At most
    /// [`MAX_PARAMS`].
    pub fn names(&self) -> impl ExactSizeIterator<Item = &str> {
        self.names.iter().map(AsRef::as_ref)
    }

    /// Position of a parameter, for templates that are compiled ahead of requests.
    pub fn position(&self, name: &str) -> Option<usize> {
        self.names.iter().position(|known| **known == *name)
    }

    /// Whether the path matches, without a router: for tests and explanations. Takes time linear in the path. Parameters of
    /// segments (`;x`) are looked at as they are.
    pub fn matches(&self, path: &str) -> bool {
        self.fits(&as_read(path))
    }

    /// Whether a path matches that is in the form in which paths are compared.
    pub(crate) fn fits(&self, path: &str) -> bool {
        match &self.shape {
            Shape::Regex(regex) => regex.is_match(path),
            Shape::Segments(pattern) => pattern.matches(path),
        }
    }

    /// The ranges of the parameters in a path that is known to match.
    pub(crate) fn capture(&self, path: &str) -> Ranges {
        let mut ranges = Ranges::default();
        match &self.shape {
            Shape::Regex(regex) => regex.capture(path, &mut ranges),
            Shape::Segments(pattern) => pattern.capture(path, &mut ranges),
        }
        ranges
    }
}

impl Segments {
    fn matches(&self, path: &str) -> bool {
        let Some(path) = path.strip_prefix('/') else {
            return false;
        };
        let mut given = path.split('/');
        for segment in &self.fixed {
            let Some(given) = given.next() else {
                return false;
            };
            let fits = match segment {
                Segment::Literal(text) => **text == *given,
                Segment::Param | Segment::Any => !given.is_empty(),
            };
            if !fits {
                return false;
            }
        }
        self.tail || given.next().is_none()
    }

    fn capture(&self, path: &str, ranges: &mut Ranges) {
        let mut captures = self.captures.iter();
        let mut wanted = captures.next();
        let mut start = 1;
        for (index, segment) in path.get(1..).unwrap_or_default().split('/').enumerate() {
            match wanted {
                Some(&Capture::Segment(at)) if at == index => {
                    ranges.push(start..start + segment.len());
                    wanted = captures.next();
                }
                Some(&Capture::Tail(at)) if at == index => {
                    ranges.push(start..path.len());
                    return;
                }
                Some(_) => {}
                None => return,
            }
            start += segment.len() + 1;
        }
        // The tail of `/users/{rest**}` in `/users`: there is not even a slash.
        if wanted.is_some() {
            ranges.push(path.len()..path.len());
        }
    }
}

impl FromStr for Pattern {
    type Err = PatternError;

    fn from_str(text: &str) -> Result<Self, PatternError> {
        Self::parse(text)
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Pattern({:?})", self.text)
    }
}

/// Adds a parameter name, if it is new and there is room.
fn add_name(names: &mut Vec<Box<str>>, name: &str, offset: usize) -> Result<(), PatternError> {
    if names.iter().any(|known| **known == *name) {
        return Err(PatternError::new(offset, format!("the parameter `{name}` is there twice")));
    }
    if names.len() == MAX_PARAMS {
        return Err(PatternError::new(offset, format!("more than {MAX_PARAMS} parameters")));
    }
    names.push(Box::from(name));
    Ok(())
}
