//! The three ways to change a path, compiled.

use std::borrow::Cow;

use portreeve_plugin::prelude::*;
use portreeve_plugin::template::{Datum, Escape, Reference, Scope};
use regex::{Regex, RegexBuilder};

use crate::config::Pattern;
use crate::target::{hidden_separators, is_sound, never_in_a_path};

/// Memory that the expression may take, in bytes, and again that of its states while it runs: what the gateway counts for one
/// that a schema marks with `x-regex`.
const MAX_REGEX: usize = 256 << 10;

/// What becomes of the path.
#[derive(Debug)]
pub(crate) enum PathRewrite {
    Template(Template),
    Prefix { strip: Option<Box<str>>, add: Option<Box<str>> },
    Regex { pattern: Regex, to: Box<[Part]> },
}

/// A piece of a replacement.
#[derive(Debug)]
pub(crate) enum Part {
    Text(String),
    Group(usize),
}

impl PathRewrite {
    pub(crate) fn compile(
        path: Option<Template>,
        strip: Option<String>,
        add: Option<String>,
        pattern: Option<Pattern>,
    ) -> Result<Self, BuildError> {
        match (path, pattern) {
            (Some(path), None) if strip.is_none() && add.is_none() => {
                check_template(&path).map_err(|message| BuildError::at("path", message))?;
                Ok(Self::Template(path))
            }
            (None, Some(pattern)) if strip.is_none() && add.is_none() => compile_regex(&pattern),
            (None, None) => {
                let prefix = |prefix: Option<String>, at| prefix.map(|prefix| check_prefix(prefix, at)).transpose();
                if let Some((escape, meant)) = strip.as_deref().and_then(never_in_a_path) {
                    let message = format!("paths come with `{escape}` decoded: write `{meant}`");
                    return Err(BuildError::at("strip_prefix", message));
                }
                Ok(Self::Prefix { strip: prefix(strip, "strip_prefix")?, add: prefix(add, "add_prefix")? })
            }
            _ => Err(BuildError::new("give one of `path`, `regex`, or `strip_prefix` with `add_prefix`")),
        }
    }

    pub(crate) fn is_nothing(&self) -> bool {
        matches!(self, Self::Prefix { strip: None, add: None })
    }

    /// The new path, or why there is none.
    pub(crate) fn apply<'c>(&'c self, cx: &'c RequestCx<'_>) -> Result<Cow<'c, str>, &'static str> {
        let path = cx.path();
        match self {
            Self::Template(template) => {
                template.render_with(cx, Escape::PathSegment).ok_or("`path` has no value for this request")
            }
            Self::Prefix { strip, add } => {
                let rest = strip.as_deref().map_or(path, |prefix| without_prefix(path, prefix));
                Ok(match add {
                    None if rest.is_empty() => Cow::Borrowed("/"),
                    None => Cow::Borrowed(rest),
                    Some(prefix) => Cow::Owned(format!("{prefix}{rest}")),
                })
            }
            Self::Regex { pattern, to } => {
                let Some(groups) = pattern.captures(path) else { return Ok(Cow::Borrowed(path)) };
                let Some(whole) = groups.get(0) else { return Ok(Cow::Borrowed(path)) };
                let mut new = String::with_capacity(path.len() + 32);
                new.push_str(path.get(..whole.start()).unwrap_or(""));
                for part in to {
                    match part {
                        Part::Text(text) => new.push_str(text),
                        Part::Group(index) => new.push_str(groups.get(*index).map_or("", |group| group.as_str())),
                    }
                }
                new.push_str(path.get(whole.end()..).unwrap_or(""));
                // A group may end inside an escape: `%2` and a literal `f` would be a slash nobody matched.
                if hidden_separators(&new) > hidden_separators(path) {
                    return Err("`regex` would make an encoded separator");
                }
                Ok(Cow::Owned(new))
            }
        }
    }
}

/// The path without its prefix, if it has it as whole segments. May be empty.
fn without_prefix<'p>(path: &'p str, prefix: &str) -> &'p str {
    match path.strip_prefix(prefix) {
        Some(rest) if rest.is_empty() || rest.starts_with('/') => rest,
        _ => path,
    }
}

fn check_prefix(prefix: String, at: &str) -> Result<Box<str>, BuildError> {
    if prefix.len() < 2 || prefix.ends_with('/') || !is_sound(&prefix) {
        let message = "expected whole segments such as /api: a leading `/`, none at the end, percent-encoded, without `.` and `..`";
        return Err(BuildError::at(at, message));
    }
    Ok(prefix.into())
}

/// Tries the template with a plain value in every place, and with every default.
fn check_template(path: &Template) -> Result<(), String> {
    struct Sample(Option<&'static str>);

    impl Scope for Sample {
        fn resolve<'s>(&'s self, _: &Reference) -> Option<Datum<'s>> {
            self.0.map(Datum::text)
        }
    }

    if path.references().any(|reference| *reference == Reference::Path) {
        return Err(
            "`${request.path}` would be escaped as one segment; use `add_prefix`, `strip_prefix` or `regex`".to_owned()
        );
    }
    if path.source().contains('?') {
        return Err("the query is changed with `query`".to_owned());
    }
    let plain = path.render_with(&Sample(Some("x")), Escape::PathSegment);
    let defaults = path.render_with(&Sample(None), Escape::PathSegment);
    let is_bad = |text: &Option<Cow<'_, str>>| text.as_deref().is_some_and(|text| !is_sound(text));
    if plain.is_none() || is_bad(&plain) || is_bad(&defaults) {
        let message = "expected a path: a leading `/`, percent-encoded, without empty segments, `.` and `..`";
        return Err(message.to_owned());
    }
    Ok(())
}

fn compile_regex(pattern: &Pattern) -> Result<PathRewrite, BuildError> {
    if let Some((escape, meant)) = never_in_a_path(&pattern.pattern) {
        let meant = regex::escape(&meant.to_string());
        let message = format!("paths come with `{escape}` decoded: write `{meant}`");
        return Err(BuildError::at("regex.match", message));
    }
    let regex = RegexBuilder::new(&pattern.pattern).size_limit(MAX_REGEX).dfa_size_limit(MAX_REGEX).build();
    let regex = regex.map_err(|error| BuildError::at("regex.match", error.to_string()))?;
    let to = compile_replacement(&pattern.to, &regex).map_err(|message| BuildError::at("regex.to", message))?;
    Ok(PathRewrite::Regex { pattern: regex, to })
}

/// Stricter than the crate's own replacement, which takes `$1x` for a group called `1x` and an unknown group for nothing.
fn compile_replacement(to: &str, regex: &Regex) -> Result<Box<[Part]>, String> {
    let mut parts = Vec::new();
    let mut rest = to;
    while let Some((text, after)) = rest.split_once('$') {
        push_text(&mut parts, text);
        if let Some(after) = after.strip_prefix('$') {
            push_text(&mut parts, "$");
            rest = after;
            continue;
        }
        let (name, after) = match after.strip_prefix('{') {
            Some(braced) => braced.split_once('}').ok_or("this `${` is never closed")?,
            None => after.split_at(after.find(|c: char| !c.is_ascii_digit()).unwrap_or(after.len())),
        };
        let index = match name.parse::<usize>() {
            Ok(index) => (index < regex.captures_len()).then_some(index),
            Err(_) => regex.capture_names().position(|group| group == Some(name)),
        };
        let unknown = || format!("`match` has no group {name:?}; write $1, ${{name}}, or $$ for a dollar");
        parts.push(Part::Group(index.ok_or_else(unknown)?));
        rest = after;
    }
    push_text(&mut parts, rest);
    Ok(parts.into())
}

fn push_text(parts: &mut Vec<Part>, text: &str) {
    if !text.is_empty() {
        parts.push(Part::Text(text.to_owned()));
    }
}
