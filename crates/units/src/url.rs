//! URLs of other servers: without credentials, and shown without what may be a secret in their query.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use super::{Unit, UnitError, parses, text_form};

/// The URL of another server. It has no name and password in it, which would be shown wherever the file is: those have keys of
/// their own. What is shown of it (`Display`, `Debug`, serialised) has `***` in the place of every value of its query, since
/// keys stand there as well.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Url(Box<str>);

impl Url {
    /// The URL, to be asked.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Its scheme, in lower case.
    #[must_use]
    pub fn scheme(&self) -> String {
        self.0.split(':').next().unwrap_or_default().to_ascii_lowercase()
    }
}

impl FromStr for Url {
    type Err = UnitError;

    // No message may repeat the text: it may hold what should not be in it.
    fn from_str(text: &str) -> Result<Self, UnitError> {
        let wrong = || UnitError("expected a URL such as https://host/path".into());
        let (scheme, rest) = text.split_once("://").ok_or_else(wrong)?;
        let is_scheme = scheme.starts_with(|c: char| c.is_ascii_alphabetic())
            && scheme.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte));
        if !is_scheme || !rest.bytes().all(|byte| byte.is_ascii_graphic() || !byte.is_ascii()) {
            return Err(wrong());
        }
        if has_credentials(text) {
            let message = "a name or a password does not belong into a URL, which is shown; write it beside the URL where \
                           there is a key for it, such as password: env:NAME";
            return Err(UnitError(message.into()));
        }
        let host = rest.split(['/', '?', '#']).next().unwrap_or_default();
        if (host.is_empty() || host.starts_with(':')) && !scheme.ends_with("unix") {
            return Err(wrong());
        }
        Ok(Self(text.into()))
    }
}

/// Whether something that looks like a URL has a name or a password before its host. A password may hold a slash that nobody has
/// encoded: then what seems to be the port is none, or the host is missing.
#[must_use]
pub fn has_credentials(text: &str) -> bool {
    let Some((_, rest)) = text.split_once("://") else { return false };
    credentials(rest).is_some()
}

/// How many bytes behind `://` are name and password.
fn credentials(rest: &str) -> Option<usize> {
    let authority = rest.split(['/', '?', '#']).next()?;
    if let Some(at) = authority.rfind('@') {
        return Some(at);
    }
    let (host, port) = authority.rsplit_once(':')?;
    let is_place = !host.is_empty() && (authority.ends_with(']') || port.bytes().all(|byte| byte.is_ascii_digit()));
    let before_query = rest.split(['?', '#']).next()?;
    before_query.rfind('@').filter(|_| !is_place)
}

/// As much of a text behind `://` is looked at as one URL, in bytes: longer ones are no URLs, and texts may be hostile.
const LONGEST: usize = 1024;

/// Any text, with `*` for every character of a name and a password in what looks like a URL: as wide as it was.
#[must_use]
pub fn without_credentials(text: &str) -> Cow<'_, str> {
    let (mut shown, mut done) = (String::new(), 0);
    for (at, _) in text.match_indices("://") {
        let rest = text.get(at + 3..).unwrap_or_default();
        let ends = |(at, c): &(usize, char)| *at >= LONGEST || c.is_whitespace() || matches!(c, '"' | '\'' | '`');
        let end = rest.char_indices().find(ends).map_or(rest.len(), |(end, _)| end);
        let hidden = rest.get(..end).and_then(credentials).and_then(|length| rest.get(..length));
        // What begins within another was looked at with it.
        if let Some(hidden) = hidden.filter(|_| at + 3 >= done) {
            shown.push_str(text.get(done..at + 3).unwrap_or_default());
            shown.extend(hidden.chars().map(|_| '*'));
            done = at + 3 + hidden.len();
        }
    }
    if done == 0 {
        return Cow::Borrowed(text);
    }
    shown.push_str(text.get(done..).unwrap_or_default());
    Cow::Owned(shown)
}

/// A URL as it may be shown: `***` for name and password and for every value of the query.
#[must_use]
pub fn shown(text: &str) -> String {
    let Some((scheme, rest)) = text.split_once("://") else { return text.to_owned() };
    let (before, fragment) = rest.split_at(rest.find('#').unwrap_or(rest.len()));
    let (place, query) = before.split_once('?').map_or((before, None), |(place, query)| (place, Some(query)));
    let mut shown = format!("{scheme}://");
    match credentials(place).and_then(|length| place.get(length + 1..)) {
        Some(after) => shown.extend(["***@", after]),
        None => shown.push_str(place),
    }
    for (number, pair) in query.into_iter().flat_map(|query| query.split('&')).enumerate() {
        shown.push(if number == 0 { '?' } else { '&' });
        match pair.split_once('=') {
            Some((name, _)) => shown.extend([name, "=***"]),
            None => shown.push_str(pair),
        }
    }
    shown + fragment
}

impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&shown(&self.0))
    }
}

impl fmt::Debug for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

pub(crate) const UNIT: Unit =
    Unit { kind: "url", expected: "a URL such as https://host/path", check: parses::<Url>, bare_number: None };

text_form!(
    Url,
    "Url",
    UNIT,
    "^[A-Za-z][A-Za-z0-9+.-]*://[^\\s@]+$",
    "The URL of another server, such as `https://host/path`. Without name and password: they have keys of their own."
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_with_a_name_or_a_password_is_refused_without_being_repeated() {
        for text in [
            "redis://:hunter2@redis.internal:6379",
            "rediss://user:hunter2@h/0",
            "https://hunter2@idp.example.com/jwks.json",
            "https://a:hunter2@[::1]:8443/x?y=1",
            "redis://:hun/ter2@redis.internal:6379",
            "hunter2",
            "hunter2://",
            "https://hunter2 x/",
            "https:///hunter2",
            "1https://hunter2/",
        ] {
            let error = text.parse::<Url>().unwrap_err().to_string();
            assert!(!error.contains("hunter2") && !error.contains("ter2"), "{error}");
        }
    }

    #[test]
    fn a_url_is_shown_without_the_values_of_its_query() {
        for (text, seen) in [
            ("https://idp.example.com/@scope/jwks.json", "https://idp.example.com/@scope/jwks.json"),
            ("http://[::1]:8080", "http://[::1]:8080"),
            ("https://h/x?key=hunter2&flag&sig=a=b#f", "https://h/x?key=***&flag&sig=***#f"),
            ("redis+unix:///run/redis.sock", "redis+unix:///run/redis.sock"),
        ] {
            let url: Url = text.parse().unwrap();
            assert_eq!((url.expose(), url.to_string(), format!("{url:?}")), (text, seen.to_owned(), seen.to_owned()));
            assert_eq!(serde_json::to_value(&url).unwrap(), seen);
        }
        assert_eq!(shown("redis://a:hunter2@h:1/0"), "redis://***@h:1/0");
        assert_eq!(shown("redis://:hun/ter2@h:1/0"), "redis://***@h:1/0");
        assert_eq!(shown("no url at all: a@b?c=d"), "no url at all: a@b?c=d");
    }

    #[test]
    fn a_text_is_shown_without_the_credentials_of_any_url_in_it() {
        let seen = |text| without_credentials(text).into_owned();
        assert_eq!(seen("url: \"redis://:hunter2@h/0\" # x@y"), "url: \"redis://********@h/0\" # x@y");
        assert_eq!(seen("[http://a:b@h, 'http://c:d@[::1]:1/'] e@f"), "[http://***@h, 'http://***@[::1]:1/'] e@f");
        assert_eq!(seen("redis://:12/34@h"), "redis://******@h");
        for plain in ["https://h:8443/@scope/x", "a@b", "://", "https://[::1]:80/@a", "http://h/ mail a@b"] {
            assert!(matches!(without_credentials(plain), Cow::Borrowed(_)), "{plain}");
        }
    }
}
