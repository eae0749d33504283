//! Reads the text of a pattern.

use super::{Capture, MAX_PARAMS, MAX_SEGMENTS, PathRegex, Pattern, PatternError, Segment, Segments, Shape, add_name};
use crate::path::{self, PathError};

const REGEX: &str = "regex:";

pub(super) fn parse(text: &str) -> Result<Pattern, PatternError> {
    let mut names = Vec::new();
    let shape = if let Some(expression) = text.strip_prefix(REGEX) {
        Shape::Regex(PathRegex::parse(expression, REGEX.len(), &mut names)?)
    } else if let Some(relative) = text.strip_prefix('/') {
        Shape::Segments(parse_segments(relative, &mut names)?)
    } else {
        return Err(PatternError::new(0, "a path starts with `/`, or with `regex:`"));
    };
    Ok(Pattern { text: Box::from(text), shape, names: names.into_boxed_slice() })
}

fn parse_segments(relative: &str, names: &mut Vec<Box<str>>) -> Result<Segments, PatternError> {
    let mut segments = Vec::new();
    let mut captures = Vec::new();
    let mut tail = false;
    let mut offset = 1;
    let mut written = relative.split('/').peekable();
    while let Some(segment) = written.next() {
        let is_last = written.peek().is_none();
        if segments.len() == MAX_SEGMENTS {
            return Err(PatternError::new(offset, format!("more than {MAX_SEGMENTS} segments")));
        }
        match read(segment, offset)? {
            Read::Tail(name) => {
                if !is_last {
                    return Err(PatternError::new(offset, "`**` stands only at the end"));
                }
                tail = true;
                // A bare `**` is called `rest` too, unless a segment has that name or there is no room for another.
                let free = names.len() < MAX_PARAMS && !names.iter().any(|known| **known == *UNNAMED_TAIL);
                if let Some(name) = name.or(free.then_some(UNNAMED_TAIL)) {
                    add_name(names, name, offset)?;
                    captures.push(Capture::Tail(segments.len()));
                }
            }
            Read::Param(name) => {
                add_name(names, name, offset)?;
                captures.push(Capture::Segment(segments.len()));
                segments.push(Segment::Param);
            }
            Read::Any => segments.push(Segment::Any),
            Read::Literal("") if !is_last => {
                return Err(PatternError::new(offset, "an empty segment: request paths never hold `//`"));
            }
            Read::Literal(text) => segments.push(Segment::Literal(literal(text, offset)?)),
        }
        offset += segment.len() + 1;
    }
    Ok(Segments { fixed: segments.into_boxed_slice(), tail, captures: captures.into_boxed_slice() })
}

/// What templates call the part that a bare `**` takes: `${params.rest}`.
const UNNAMED_TAIL: &str = "rest";

enum Read<'a> {
    Literal(&'a str),
    Param(&'a str),
    Any,
    Tail(Option<&'a str>),
}

fn read(segment: &str, offset: usize) -> Result<Read<'_>, PatternError> {
    match segment {
        "*" => return Ok(Read::Any),
        "**" => return Ok(Read::Tail(None)),
        _ => {}
    }
    if let Some(inner) = segment.strip_prefix('{') {
        let Some(inner) = inner.strip_suffix('}') else {
            return Err(match inner.find('}') {
                Some(at) => {
                    PatternError::new(offset + at + 2, "a parameter is a whole segment: nothing may follow its `}`")
                }
                None => PatternError::new(offset, "`{` is never closed"),
            });
        };
        return match inner.strip_suffix("**") {
            Some(name) => parameter_name(name, offset + 1).map(|name| Read::Tail(Some(name))),
            None => parameter_name(inner, offset + 1).map(Read::Param),
        };
    }
    match segment.find(['*', '{', '}']) {
        None => Ok(Read::Literal(segment)),
        Some(at) => {
            let message = match segment.as_bytes().get(at) {
                Some(b'*') => "a wildcard is a whole segment, `*` or `**`; write a literal star as `%2A`",
                Some(b'{') => "a parameter is a whole segment: nothing may stand before its `{`",
                _ => "`}` without `{`; write a literal brace as `%7D`",
            };
            Err(PatternError::new(offset + at, message))
        }
    }
}

/// Letters, digits, `_` and `-`, not starting with a digit or `-`: what a template can name.
fn parameter_name(name: &str, offset: usize) -> Result<&str, PatternError> {
    if name.is_empty() {
        return Err(PatternError::new(offset, "the parameter has no name; a segment that needs none is `*`"));
    }
    let wrong = name
        .char_indices()
        .find(|&(at, c)| !(c.is_ascii_alphabetic() || c == '_' || at > 0 && (c.is_ascii_digit() || c == '-')));
    match wrong {
        None => Ok(name),
        Some((at, _)) => Err(PatternError::new(
            offset + at,
            "a parameter name is letters, digits, `_` and `-`, and starts with a letter or `_`",
        )),
    }
}

/// A literal segment in the spelling that request paths have when they are matched.
fn literal(text: &str, offset: usize) -> Result<Box<str>, PatternError> {
    let rooted = format!("/{text}");
    let message = match path::normalise(&rooted) {
        Ok(normal) => {
            let segment = normal.path.strip_prefix('/').unwrap_or_default();
            if !segment.is_empty() || text.is_empty() {
                return Ok(Box::from(&*path::as_read(segment)));
            }
            "`.` and `..` are removed from request paths: this never matches"
        }
        Err(PathError::AboveRoot) => "`.` and `..` are removed from request paths: this never matches",
        Err(PathError::Delimiter { offset: at }) => {
            return Err(PatternError::new(
                offset + at.saturating_sub(1),
                "`?` and `#` are no part of a path; query parameters have a condition of their own",
            ));
        }
        Err(PathError::MalformedEncoding { offset: at }) => {
            return Err(PatternError::new(
                offset + at.saturating_sub(1),
                "`%` needs two hexadecimal digits; write a literal percent sign as `%25`",
            ));
        }
        Err(PathError::Control { offset: at }) => {
            return Err(PatternError::new(
                offset + at.saturating_sub(1),
                "control characters are refused in request paths",
            ));
        }
        Err(_) => "request paths with this segment are refused",
    };
    Err(PatternError::new(offset, message))
}
