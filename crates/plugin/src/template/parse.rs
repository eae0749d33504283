//! Splits a template into literals and references, and notes for each reference where in a URL it stands.

use super::cursor::{Cursor, SyntaxError};
use super::phase::Bounds;
use super::reference::Reference;
use super::scan::{self, Scanned};

/// A piece of a template. Two literals never stand side by side, and none is empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Part {
    Literal(Box<str>),
    Slot(Slot),
}

/// A reference, and what the template says about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Slot {
    pub(super) reference: Reference,
    pub(super) default: Option<Box<str>>,
    pub(super) position: Position,
}

/// Where a reference stands if the template is a URL or a path with a query. Fixed by the literals before it, since no
/// value can add a separator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Position {
    Authority,
    Path,
    /// Query or fragment.
    Query,
}

pub(super) fn parse(source: &str, bounds: Bounds) -> Result<Vec<Part>, SyntaxError> {
    let mut cursor = Cursor::new(source);
    let mut parts = Parts::default();
    while cursor.peek().is_some() {
        parts.literal.push_str(cursor.take_while(|c| c != '$'));
        let start = cursor.at();
        if cursor.eat("$${") {
            parts.literal.push_str("${");
        } else if cursor.eat("${") {
            let (scanned, default) = slot(&mut cursor, start, bounds)?;
            match scanned {
                Scanned::Env { name, value } => match value.as_deref().or(default.as_deref()) {
                    Some(text) => parts.literal.push_str(text),
                    None => return Err(cursor.error_at(start, scan::unset(&name))),
                },
                Scanned::Reference(reference) => parts.push(reference, default),
            }
        } else {
            parts.literal.extend(cursor.next());
        }
    }
    parts.flush();
    Ok(parts.done)
}

/// Reads the inside of `${…}` and its closing brace.
fn slot(cursor: &mut Cursor<'_>, start: usize, bounds: Bounds) -> Result<(Scanned, Option<Box<str>>), SyntaxError> {
    let never_closed = "this `${` is never closed; write `$${` for the two characters themselves";
    cursor.skip_space();
    let scanned = scan::reference(cursor, bounds)?;
    cursor.skip_space();
    if cursor.eat("}") {
        return Ok((scanned, None));
    }
    if cursor.peek().is_none() {
        return Err(cursor.error_at(start, never_closed));
    }
    if !cursor.eat(":-") {
        return Err(cursor.error("expected `}`, or `:-` and a default"));
    }
    let default_start = cursor.at();
    let default = cursor.take_while(|c| c != '}');
    if !cursor.eat("}") {
        return Err(cursor.error_at(start, never_closed));
    }
    if let Some(inner) = default.find("${") {
        return Err(cursor.error_at(default_start + inner, "a default is plain text, without references"));
    }
    Ok((scanned, Some(default.into())))
}

#[derive(Default)]
struct Parts {
    done: Vec<Part>,
    literal: String,
    position: Option<Position>,
}

impl Parts {
    fn flush(&mut self) {
        if !self.literal.is_empty() {
            self.position = Some(after(self.position, &self.literal));
            self.done.push(Part::Literal(std::mem::take(&mut self.literal).into()));
        }
    }

    fn push(&mut self, reference: Reference, default: Option<Box<str>>) {
        self.flush();
        let before = self.position.unwrap_or(Position::Path);
        // In `https://new.example.com${request.path}` the path brings the slash that ends the host.
        let ends_host = before == Position::Authority && reference == Reference::Path;
        let position = if ends_host { Position::Path } else { before };
        self.position = Some(position);
        self.done.push(Part::Slot(Slot { reference, default, position }));
    }
}

/// Where a URL stands after `text`, having stood at `before` (`None`: nothing was written yet).
fn after(before: Option<Position>, text: &str) -> Position {
    let authority = match before {
        Some(Position::Query) => return Position::Query,
        Some(Position::Path) => None,
        Some(Position::Authority) => Some(text),
        None => text.strip_prefix("//").or_else(|| {
            let (scheme, rest) = text.split_once("://")?;
            // In `/login?next=https://…` the `://` does not start the URL.
            (!scheme.contains(['/', '?', '#'])).then_some(rest)
        }),
    };
    let path = match authority {
        None => text,
        Some(authority) => match authority.find(['/', '?', '#']) {
            None => return Position::Authority,
            Some(end) => authority.get(end..).unwrap_or(""),
        },
    };
    if path.contains(['?', '#']) { Position::Query } else { Position::Path }
}
