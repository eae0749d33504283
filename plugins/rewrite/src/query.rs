//! Changes of the query, compiled. What is not changed stays as the client wrote it, byte for byte.

use std::borrow::Cow;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use portreeve_plugin::prelude::*;
use portreeve_plugin::query::without;
use portreeve_plugin::template::Escape;

use crate::config::QueryEdits;

/// RFC 3986 §2.3: what never needs encoding.
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// What becomes of the query.
#[derive(Debug)]
pub(crate) struct QueryRewrite {
    /// Decoded names of all that goes: what is removed, and what is set anew.
    dropped: Vec<Box<str>>,
    set: Vec<Parameter>,
}

#[derive(Debug)]
struct Parameter {
    /// `name=`, encoded.
    prefix: Box<str>,
    value: Template,
}

impl QueryRewrite {
    pub(crate) fn compile(edits: QueryEdits) -> Result<Self, BuildError> {
        let mut dropped = Vec::with_capacity(edits.remove.len() + edits.set.len());
        for (index, name) in edits.remove.iter().enumerate() {
            if edits.set.contains_key(name) {
                let message = format!("{name:?} is also in `set`, which replaces what was there");
                return Err(BuildError::at(format!("query.remove[{index}]"), message));
            }
            dropped.push(Box::from(name.as_str()));
        }
        let mut set = Vec::with_capacity(edits.set.len());
        for (name, value) in edits.set {
            let prefix = format!("{}=", utf8_percent_encode(&name, RESERVED)).into();
            set.push(Parameter { prefix, value });
            dropped.push(name.into());
        }
        Ok(Self { dropped, set })
    }

    pub(crate) fn is_nothing(&self) -> bool {
        self.dropped.is_empty()
    }

    /// The new query; `None` for none at all.
    pub(crate) fn apply<'c>(&self, cx: &'c RequestCx<'_>) -> Option<Cow<'c, str>> {
        let old = cx.uri().query();
        if self.is_nothing() {
            return old.map(Cow::Borrowed);
        }
        let mut new = old.map_or(Cow::Borrowed(""), |query| without(query, &self.dropped)).into_owned();
        for Parameter { prefix, value } in &self.set {
            if let Some(value) = encoded(value, cx) {
                begin(&mut new);
                new.push_str(prefix);
                new.push_str(&value);
            }
        }
        (!new.is_empty()).then_some(Cow::Owned(new))
    }
}

/// Constants are written by an author who means the text, so they are encoded like the values of references.
fn encoded<'t>(value: &'t Template, cx: &'t RequestCx<'_>) -> Option<Cow<'t, str>> {
    match value.as_literal() {
        Some(text) => Some(utf8_percent_encode(text, RESERVED).into()),
        None => value.render_with(cx, Escape::QueryValue),
    }
}

fn begin(query: &mut String) {
    if !query.is_empty() {
        query.push('&');
    }
}
