//! Regular expressions over whole paths and values: size-limited, anchored at both ends, without allocation when run.

use std::fmt;

use regex_automata::{
    Input, PatternID,
    meta::{Config, Regex},
    util::primitives::NonMaxUsize,
};
use regex_syntax::{
    ParserBuilder,
    hir::{Hir, HirKind, Look},
};

use super::{MAX_SEGMENTS, PatternError, add_name};
use crate::{
    params::{MAX_PARAMS, Ranges},
    path::as_read,
};

/// Bytes a compiled expression may take. Arbitrary: generous for paths, and 10,000 of them do not end the process.
const SIZE_LIMIT: usize = 256 * 1024;
/// Two slots (start and end) for the whole match and for each group.
const SLOTS: usize = 2 * (MAX_PARAMS + 1);

/// A regular expression over a whole path.
#[derive(Clone)]
pub(crate) struct PathRegex {
    regex: Regex,
    text: Box<str>,
    /// The whole literal segments that each match starts with: where in the tree the expression hangs.
    pub(crate) prefix: Box<[Box<str>]>,
    /// Index of the capture group of each name, in the order of the names.
    groups: Box<[usize]>,
}

impl PathRegex {
    /// `offset` is where the expression starts in the pattern.
    pub(super) fn parse(text: &str, offset: usize, names: &mut Vec<Box<str>>) -> Result<Self, PatternError> {
        let shift = |error: PatternError| PatternError::new(offset + error.offset(), error.message().to_owned());
        if let Some((at, message)) = needless_escape(text) {
            return Err(PatternError::new(offset + at, message));
        }
        let hir = parse_hir(text).map_err(shift)?;
        let regex = build_whole(hir.clone()).map_err(shift)?;
        let mut groups = Vec::new();
        for (index, name) in regex.group_info().pattern_names(PatternID::ZERO).enumerate() {
            if index > MAX_PARAMS {
                return Err(PatternError::new(
                    offset,
                    format!("more than {MAX_PARAMS} groups; `(?:…)` is a group that keeps nothing"),
                ));
            }
            if let Some(name) = name {
                add_name(names, name, offset)?;
                groups.push(index);
            }
        }
        Ok(Self { prefix: literal_prefix(&hir), regex, text: Box::from(text), groups: groups.into_boxed_slice() })
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.text
    }

    pub(crate) fn compiled_size(&self) -> usize {
        self.regex.memory_usage()
    }

    pub(crate) fn is_match(&self, path: &str) -> bool {
        // As every pattern: `regex:.*` takes no `*` of an OPTIONS request.
        path.starts_with('/') && self.regex.is_match(path)
    }

    /// A group that took no part in the match is an empty range at the end of the path.
    pub(super) fn capture(&self, path: &str, ranges: &mut Ranges) {
        if self.groups.is_empty() {
            return;
        }
        let mut slots: [Option<NonMaxUsize>; SLOTS] = [None; SLOTS];
        self.regex.search_slots(&Input::new(path), &mut slots);
        for &group in &self.groups {
            let slot = |index: usize| slots.get(index).copied().flatten().map(NonMaxUsize::get);
            match (slot(2 * group), slot(2 * group + 1)) {
                (Some(start), Some(end)) => ranges.push(start..end),
                _ => ranges.push(path.len()..path.len()),
            }
        }
    }
}

impl fmt::Debug for PathRegex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PathRegex({:?})", self.text)
    }
}

/// The first escape of a character that is matched decoded, and what to write instead.
fn needless_escape(text: &str) -> Option<(usize, String)> {
    text.match_indices('%').find_map(|(at, _)| {
        let escape = text.get(at..at + 3)?;
        let read = as_read(escape);
        let meant = regex_syntax::escape(&read);
        (*read != *escape).then(|| (at, format!("paths are matched with `{escape}` decoded: write `{meant}`")))
    })
}

/// Parses an expression; the error has the byte where it goes wrong.
pub(crate) fn parse_hir(text: &str) -> Result<Hir, PatternError> {
    // 64: arbitrary, and shallow enough for the recursion in the parser's callers.
    let parsed = ParserBuilder::new().nest_limit(64).build().parse(text);
    parsed.map_err(|error| match error {
        regex_syntax::Error::Parse(error) => PatternError::new(error.span().start.offset, error.kind().to_string()),
        regex_syntax::Error::Translate(error) => PatternError::new(error.span().start.offset, error.kind().to_string()),
        error => PatternError::new(0, error.to_string()),
    })
}

/// Compiles an expression that must match from the first byte to the last.
pub(crate) fn build_whole(hir: Hir) -> Result<Regex, PatternError> {
    Regex::builder()
        .configure(Config::new().nfa_size_limit(Some(SIZE_LIMIT)).hybrid_cache_capacity(SIZE_LIMIT))
        .build_from_hir(&anchored(hir))
        .map_err(|error| {
            let message = match error.size_limit() {
                Some(limit) => format!("the expression is too large: more than {limit} bytes when compiled"),
                None => error.to_string(),
            };
            PatternError::new(0, message)
        })
}

/// The expression between `\A` and `\z`.
pub(crate) fn anchored(hir: Hir) -> Hir {
    Hir::concat(vec![Hir::look(Look::Start), hir, Hir::look(Look::End)])
}

/// The literal segments, each ended by a slash, that every match starts with.
fn literal_prefix(hir: &Hir) -> Box<[Box<str>]> {
    let parts = match hir.kind() {
        HirKind::Concat(parts) => parts.as_slice(),
        _ => std::slice::from_ref(hir),
    };
    let first = parts.iter().find(|part| !matches!(part.kind(), HirKind::Look(Look::Start)));
    let Some(HirKind::Literal(literal)) = first.map(Hir::kind) else {
        return Box::default();
    };
    let literal = std::str::from_utf8(&literal.0).unwrap_or_default();
    let Some((whole, _)) = literal.strip_prefix('/').and_then(|text| text.rsplit_once('/')) else {
        return Box::default();
    };
    whole.split('/').take(MAX_SEGMENTS).map(Box::from).collect()
}
