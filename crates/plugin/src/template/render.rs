//! Puts values into a template: borrowed where one piece is the whole, and escaped so that a value cannot leave its place.

use std::borrow::Cow;

use http::HeaderValue;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;

use super::parse::{Part, Position, Slot};
use super::{Phase, Reference, Scope, Template};

/// How values are written into the text around them. Literals and defaults are the author's and are never escaped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Escape {
    /// As they are.
    None,
    /// As one segment of a path: all but RFC 3986's unreserved characters percent-encoded. `params.rest`, which is
    /// what `**` matched, keeps its slashes, and `request.path`, normalised and encoded already, stays as it is.
    ///
    /// Refused, so that `/users/${params.id}` is always a user: an empty value, a NUL, and whatever makes a segment
    /// `.` or `..`, also behind an encoded slash, which some servers decode first.
    PathSegment,
    /// As a value in a query: percent-encoded likewise; a NUL is refused.
    QueryValue,
    /// By where each stands in a URL or a path with query: host and port, path segment, or query value. In the place of
    /// the host only letters, digits and `.-_:[]` are let through.
    Url,
    /// As part of a JSON string: quotes, backslashes and control characters escaped.
    Json,
    /// As text or a quoted attribute of HTML: `&`, `<`, `>` and both quotes as character references.
    Html,
}

/// RFC 3986 §2.3: what never needs encoding. Sub-delimiters are encoded too: `;` and `:` mean something to some servers.
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// As [`RESERVED`], for a tail of several segments.
const RESERVED_BUT_SLASH: &AsciiSet = &RESERVED.remove(b'/');

impl<P: Phase> Template<P> {
    /// The text for one request, values as they are. `None` when a reference has no value and no default.
    ///
    /// A template that is one literal or one text reference allocates nothing.
    pub fn render<'t>(&'t self, scope: &'t dyn Scope) -> Option<Cow<'t, str>> {
        self.render_with(scope, Escape::None)
    }

    /// The text for one request, values escaped. `None` when a reference has neither value nor default, or when its
    /// value is one that the [`Escape`] refuses.
    pub fn render_with<'t>(&'t self, scope: &'t dyn Scope, escape: Escape) -> Option<Cow<'t, str>> {
        let text = match self.parts() {
            [] => return Some(Cow::Borrowed("")),
            [Part::Literal(text)] => return Some(Cow::Borrowed(text)),
            [Part::Slot(slot)] => slot.render(scope, escape)?,
            parts => {
                let mut text = String::with_capacity(self.source().len());
                for part in parts {
                    match part {
                        Part::Literal(literal) => text.push_str(literal),
                        Part::Slot(slot) => text.push_str(&slot.render(scope, escape)?),
                    }
                }
                Cow::Owned(text)
            }
        };
        let is_path = matches!(escape, Escape::PathSegment | Escape::Url);
        (!is_path || !has_dot_segment(&text)).then_some(text)
    }

    /// The text as a header value. `None` when a reference has neither value nor default, or when the text holds a
    /// control character other than a tab: CR, LF and NUL never get into a header. Other characters beyond ASCII are
    /// written as UTF-8, which HTTP calls obs-text (RFC 9110 §5.5).
    pub fn render_header(&self, scope: &dyn Scope) -> Option<HeaderValue> {
        let text = self.render(scope)?;
        // `HeaderValue` lets the bytes of U+0080 to U+009F through; some servers take U+0085 for a line end.
        if text.chars().any(|c| c.is_control() && c != '\t') {
            return None;
        }
        match text {
            Cow::Borrowed(text) => HeaderValue::from_str(text).ok(),
            Cow::Owned(text) => HeaderValue::try_from(text).ok(),
        }
    }

    /// The value as JSON: a template that is exactly one reference keeps that reference's type, any other is text.
    pub fn render_value(&self, scope: &dyn Scope) -> Option<Value> {
        if let [Part::Slot(slot)] = self.parts() {
            let datum = scope.resolve(&slot.reference);
            return match (&slot.default, datum) {
                (Some(default), None) => Some(Value::from(&**default)),
                (Some(default), Some(datum)) if datum.is_blank() => Some(Value::from(&**default)),
                (_, datum) => datum.map(super::Datum::into_json),
            };
        }
        self.render(scope).map(|text| Value::String(text.into_owned()))
    }
}

impl Slot {
    fn render<'t>(&'t self, scope: &'t dyn Scope, escape: Escape) -> Option<Cow<'t, str>> {
        let datum = scope.resolve(&self.reference);
        match (&self.default, datum) {
            (Some(default), None) => Some(Cow::Borrowed(default)),
            (Some(default), Some(datum)) if datum.is_blank() => Some(Cow::Borrowed(default)),
            (_, datum) => self.escaped(datum?.into_text()?, escape),
        }
    }

    fn escaped<'t>(&self, value: Cow<'t, str>, escape: Escape) -> Option<Cow<'t, str>> {
        match (escape, self.position) {
            (Escape::None, _) => Some(value),
            (Escape::Json, _) => json_text(value),
            (Escape::Html, _) => Some(html_text(value)),
            (Escape::PathSegment, _) | (Escape::Url, Position::Path) => self.path_text(value),
            (Escape::QueryValue, _) | (Escape::Url, Position::Query) => {
                (!value.contains('\0')).then(|| percent(value, RESERVED))
            }
            (Escape::Url, Position::Authority) => {
                let plain = |c: char| c.is_ascii_alphanumeric() || ".-_:[]".contains(c);
                (!value.is_empty() && value.chars().all(plain)).then_some(value)
            }
        }
    }

    fn path_text<'t>(&self, value: Cow<'t, str>) -> Option<Cow<'t, str>> {
        if value.contains('\0') {
            return None;
        }
        if self.reference == Reference::Path {
            let plain = |c: char| c.is_ascii_graphic() && !matches!(c, '?' | '#' | '\\');
            let is_path = value.starts_with('/') && !value.contains("//") && value.chars().all(plain);
            return is_path.then_some(value);
        }
        if self.reference.is_tail() {
            // A leading or doubled slash could turn `/${params.rest}` into `//host`.
            let is_clean = !value.starts_with('/') && !value.contains("//");
            return is_clean.then(|| percent(value, RESERVED_BUT_SLASH));
        }
        (!value.is_empty()).then(|| percent(value, RESERVED))
    }
}

fn percent<'v>(value: Cow<'v, str>, set: &'static AsciiSet) -> Cow<'v, str> {
    match value {
        Cow::Borrowed(text) => utf8_percent_encode(text, set).into(),
        Cow::Owned(text) => {
            let encoded = match Cow::from(utf8_percent_encode(&text, set)) {
                Cow::Borrowed(_) => None,
                Cow::Owned(encoded) => Some(encoded),
            };
            Cow::Owned(encoded.unwrap_or(text))
        }
    }
}

fn json_text(value: Cow<'_, str>) -> Option<Cow<'_, str>> {
    if !value.contains(|c: char| matches!(c, '"' | '\\') || c < ' ') {
        return Some(value);
    }
    let quoted = serde_json::to_string(&value).ok()?;
    Some(Cow::Owned(quoted.strip_prefix('"')?.strip_suffix('"')?.to_owned()))
}

fn html_text(value: Cow<'_, str>) -> Cow<'_, str> {
    if !value.contains(['&', '<', '>', '"', '\'']) {
        return value;
    }
    let mut text = String::with_capacity(value.len() + 16);
    for c in value.chars() {
        match c {
            '&' => text.push_str("&amp;"),
            '<' => text.push_str("&lt;"),
            '>' => text.push_str("&gt;"),
            '"' => text.push_str("&quot;"),
            '\'' => text.push_str("&#39;"),
            other => text.push(other),
        }
    }
    Cow::Owned(text)
}

/// Whether the path in `text`, which ends at `?` or `#`, has a segment `.` or `..` for a server that decodes before it splits.
fn has_dot_segment(text: &str) -> bool {
    let mut rest = text.split(['?', '#']).next().unwrap_or(text);
    let (mut dots, mut others) = (0_usize, false);
    loop {
        let dot = strip_any(rest, &[".", "%2e", "%2E"]);
        let separator = strip_any(rest, &["/", "\\", "%2f", "%2F", "%5c", "%5C"]);
        let is_end = rest.is_empty() || separator.is_some();
        if is_end && !others && matches!(dots, 1 | 2) {
            return true;
        }
        rest = if let Some(after) = dot {
            dots += 1;
            after
        } else if let Some(after) = separator {
            (dots, others) = (0, false);
            after
        } else {
            others = true;
            let mut chars = rest.chars();
            if chars.next().is_none() {
                return false;
            }
            chars.as_str()
        };
    }
}

fn strip_any<'t>(text: &'t str, prefixes: &[&str]) -> Option<&'t str> {
    prefixes.iter().find_map(|prefix| text.strip_prefix(prefix))
}
