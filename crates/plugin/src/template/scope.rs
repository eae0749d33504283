//! Where the values of references come from: the contexts of the request implement [`Scope`], templates only ask.

use std::borrow::Cow;

use http::HeaderValue;
use serde_json::Value;

use super::reference::Reference;

/// Answers what a reference stands for, for one request.
pub trait Scope {
    /// The value of a reference, or `None` when this request has none. Query values, cookies and path parameters are
    /// given decoded: escaping is what the template does on the way out.
    fn resolve<'s>(&'s self, reference: &Reference) -> Option<Datum<'s>>;
}

/// The value of a reference, borrowed from where it lies.
#[derive(Clone, Debug, PartialEq)]
pub enum Datum<'s> {
    /// Text.
    Text(Cow<'s, str>),
    /// A whole number, such as a status.
    Integer(i64),
    /// A list of names, such as the consumer's groups.
    List(&'s [String]),
    /// Any JSON value, such as a claim.
    Json(&'s Value),
}

impl<'s> Datum<'s> {
    /// Borrowed text.
    pub fn text(text: &'s str) -> Self {
        Self::Text(Cow::Borrowed(text))
    }

    /// The value of a header. Bytes that are not UTF-8 (obs-text, RFC 9110 §5.5) become U+FFFD, so that they match nothing.
    pub fn header(value: &'s HeaderValue) -> Self {
        // Nearly all are UTF-8, and to find that out alone is quicker.
        let bytes = value.as_bytes();
        Self::Text(str::from_utf8(bytes).map_or_else(|_| String::from_utf8_lossy(bytes), Cow::Borrowed))
    }

    /// The value as text: a list joined by commas, JSON arrays and objects as compact JSON. `None` for JSON `null`.
    ///
    /// A name of a list that holds a comma or a percent sign, or begins or ends with white space, has these percent-encoded:
    /// so a list of names is never read as one of other names.
    pub fn into_text(self) -> Option<Cow<'s, str>> {
        Some(match self {
            Self::Text(text) => text,
            Self::Integer(number) => Cow::Owned(number.to_string()),
            Self::List([one]) => in_list(one),
            Self::List(list) => Cow::Owned(list.iter().map(|name| in_list(name)).collect::<Vec<_>>().join(",")),
            Self::Json(Value::Null) => return None,
            Self::Json(Value::String(text)) => Cow::Borrowed(text),
            Self::Json(Value::Bool(true)) => Cow::Borrowed("true"),
            Self::Json(Value::Bool(false)) => Cow::Borrowed("false"),
            Self::Json(other) => Cow::Owned(other.to_string()),
        })
    }

    /// The value as JSON, of the same type.
    pub fn into_json(self) -> Value {
        match self {
            Self::Text(text) => Value::String(text.into_owned()),
            Self::Integer(number) => Value::from(number),
            Self::List(list) => Value::from(list),
            Self::Json(value) => value.clone(),
        }
    }

    /// Whether a default takes its place: JSON `null` and empty text, as `:-` has it in the shell.
    pub(crate) fn is_blank(&self) -> bool {
        match self {
            Self::Text(text) => text.is_empty(),
            Self::Integer(_) => false,
            Self::List(list) => list.is_empty(),
            Self::Json(value) => match value {
                Value::Null => true,
                Value::String(text) => text.is_empty(),
                _ => false,
            },
        }
    }
}

/// A name as it stands between commas. Borrowed if it is plain, as nearly every one is.
fn in_list(name: &str) -> Cow<'_, str> {
    let trimmed = name.trim();
    if trimmed.len() == name.len() && !name.contains([',', '%']) {
        return Cow::Borrowed(name);
    }
    let inner = name.len() - name.trim_start().len()..name.trim_end().len();
    let mut text = String::with_capacity(name.len() + 8);
    for (at, c) in name.char_indices() {
        if matches!(c, ',' | '%') || !inner.contains(&at) {
            let mut bytes = [0; 4];
            text.extend(percent_encoding::percent_encode(c.encode_utf8(&mut bytes).as_bytes(), ALL));
        } else {
            text.push(c);
        }
    }
    Cow::Owned(text)
}

/// Everything.
const ALL: &percent_encoding::AsciiSet = percent_encoding::NON_ALPHANUMERIC;

#[cfg(test)]
mod tests {
    use super::*;

    fn text(names: &[&str]) -> String {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        Datum::List(&names).into_text().unwrap().into_owned()
    }

    #[test]
    fn a_name_with_a_comma_is_one_name() {
        assert_eq!(text(&["staff", "Domain Users"]), "staff,Domain Users");
        assert_eq!(text(&["staff,admin"]), "staff%2Cadmin");
        assert_eq!(text(&["a", "staff, admin", "b%2Cc"]), "a,staff%2C admin,b%252Cc");
        assert_eq!(text(&[" admin", "admin\t", " ", "\u{a0}x"]), "%20admin,admin%09,%20,%C2%A0x");
        assert_eq!(text(&[]), "");
    }
}
