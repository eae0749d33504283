//! Edits as they run: names and constant values prepared, templates compiled, the gateway's own fields refused.

use std::collections::BTreeMap;

use portreeve_plugin::prelude::*;
use portreeve_plugin::template::{Phase, Scope};

use crate::config;

/// What is done to one head.
#[derive(Debug)]
pub(crate) struct Edits<P: Phase> {
    pub(crate) remove: Vec<HeaderName>,
    pub(crate) set: Vec<Edit<P>>,
    pub(crate) add: Vec<Edit<P>>,
}

/// One field and what it gets.
#[derive(Debug)]
pub(crate) struct Edit<P: Phase> {
    pub(crate) name: HeaderName,
    pub(crate) value: Value<P>,
}

/// A value: the same for all, or made for each.
#[derive(Debug)]
pub(crate) enum Value<P: Phase> {
    Constant(HeaderValue),
    Template(Template<P>),
}

impl<P: Phase> Value<P> {
    /// `None` when something it names is absent, or has a character that no header may hold.
    pub(crate) fn render(&self, scope: &dyn Scope) -> Option<HeaderValue> {
        match self {
            Self::Constant(value) => Some(value.clone()),
            Self::Template(template) => template.render_header(scope),
        }
    }
}

impl<P: Phase> Edits<P> {
    /// Prepares the edits found under `side`: `request` or `response`.
    pub(crate) fn compile(config: config::Edits<P>, side: &str) -> Result<Self, BuildError> {
        let set = compile_values(config.set, side, "set")?;
        let add = compile_values(config.add, side, "add")?;
        let mut remove = Vec::with_capacity(config.remove.len());
        for (index, name) in config.remove.iter().enumerate() {
            let at = format!("{side}.remove[{index}]");
            let name = prepared(name.as_str(), side, &at)?;
            if set.iter().any(|edit| edit.name == name) {
                return Err(BuildError::at(at, format!("`{name}` is also in `set`, which replaces what was there")));
            }
            remove.push(name);
        }
        Ok(Self { remove, set, add })
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.remove.is_empty() && self.set.is_empty() && self.add.is_empty()
    }
}

fn compile_values<P: Phase>(
    values: BTreeMap<String, Template<P>>,
    side: &str,
    edit: &str,
) -> Result<Vec<Edit<P>>, BuildError> {
    let mut edits: Vec<Edit<P>> = Vec::with_capacity(values.len());
    for (written, template) in values {
        let at = format!("{side}.{edit}.{written}");
        let name = prepared(&written, side, &at)?;
        if edits.iter().any(|edit| edit.name == name) {
            return Err(BuildError::at(at, format!("`{name}` stands here twice; letter case does not matter")));
        }
        let value = match template.as_literal() {
            Some(text) if text.chars().any(char::is_control) => {
                return Err(BuildError::at(at, "a header value has no control characters"));
            }
            Some(text) => {
                Value::Constant(HeaderValue::from_str(text).map_err(|_| BuildError::at(at, "not a header value"))?)
            }
            None => Value::Template(template),
        };
        edits.push(Edit { name, value });
    }
    Ok(edits)
}

fn prepared(written: &str, side: &str, at: &str) -> Result<HeaderName, BuildError> {
    let name: HeaderName =
        written.parse().map_err(|_| BuildError::at(at, format!("{written:?} is not a header name")))?;
    match reserved(&name, side) {
        Some(reason) => Err(BuildError::at(at, format!("`{name}` {reason}"))),
        None => Ok(name),
    }
}

/// Why a field is not the user's to edit.
fn reserved(name: &HeaderName, side: &str) -> Option<&'static str> {
    match name.as_str() {
        // RFC 9112 §6: a wrong one of these is how requests are smuggled.
        "content-length" | "transfer-encoding" | "trailer" => Some("says where the message ends; the gateway sets it"),
        // RFC 9110 §7.6.1.
        "connection" | "keep-alive" | "proxy-connection" | "te" | "upgrade" | "http2-settings" => {
            Some("belongs to one connection and goes no further; the gateway sets it")
        }
        "host" if side == "request" => Some("says which site is asked for; it was decided before any plugin ran"),
        _ => None,
    }
}
