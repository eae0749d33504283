//! A query goes on as it came, to the byte: a signature over it holds (docs/adr/0032). Only what no browser sends is brought into
//! the form of RFC 3986, or refused.

use std::borrow::Cow;
use std::fmt::Write as _;

/// A `%` that no two hexadecimal digits follow: one server decodes it in one way, and another in another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the query holds a percent sign that is no escape")]
pub(crate) struct BadEscape;

/// `*( pchar / "/" / "?" )` (RFC 3986 §3.4) and what the URL standard leaves raw beside them
/// (<https://url.spec.whatwg.org/#query-percent-encode-set>), all else in escapes. Borrowed when it is so already, as everything is
/// that comes in HTTP/1.1. Idempotent.
///
/// # Errors
/// [`BadEscape`].
pub(crate) fn normalise(raw: &str) -> Result<Cow<'_, str>, BadEscape> {
    let mut bytes = raw.bytes();
    while let Some(byte) = bytes.next() {
        let is_hex = |byte: Option<u8>| byte.is_some_and(|byte| byte.is_ascii_hexdigit());
        if byte == b'%' && !(is_hex(bytes.next()) && is_hex(bytes.next())) {
            return Err(BadEscape);
        }
    }
    if raw.bytes().all(stands) {
        return Ok(Cow::Borrowed(raw));
    }
    let mut text = String::with_capacity(raw.len() + 16);
    for byte in raw.bytes() {
        if stands(byte) {
            text.push(char::from(byte));
        } else {
            // Writing into a text cannot fail.
            write!(text, "%{byte:02X}").ok();
        }
    }
    Ok(Cow::Owned(text))
}

/// Whether a query may hold this byte as it is; `%` begins an escape, which has been looked at.
const fn stands(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || matches!(byte, b'-' | b'.' | b'_' | b'~' | b'%' | b':' | b'@' | b'/' | b'?')
        || matches!(byte, b'!' | b'$' | b'&' | b'\'' | b'(' | b')' | b'*' | b'+' | b',' | b';' | b'=')
        || matches!(byte, b'[' | b']' | b'|' | b'{' | b'}' | b'^' | b'`' | b'\\')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_clients_send_stays_as_it_is() {
        for query in ["", "a=b&c=d", "a=%7c%2F&b=%41", "x=/?:@-._~!$&'()*+,;=", "f[a]=b|c&j={'d'}", "a\\^`"] {
            assert!(matches!(normalise(query), Ok(Cow::Borrowed(same)) if same == query), "{query}");
        }
    }

    #[test]
    fn what_no_browser_sends_is_encoded() {
        assert_eq!(normalise("f[a]=<ä>&j={\"d\"}").unwrap(), "f[a]=%3C%C3%A4%3E&j={%22d%22}");
    }

    #[test]
    fn a_percent_sign_is_an_escape_or_a_mistake() {
        for query in ["%", "a=%2", "a=%zz", "100%&b", "%%41"] {
            assert_eq!(normalise(query), Err(BadEscape), "{query}");
        }
    }

    proptest! {
        #[test]
        fn the_spelling_is_one_and_means_the_same(raw in "[ -~]{0,40}") {
            let Ok(query) = normalise(&raw) else { return Ok(()) };
            prop_assert!(query.bytes().all(stands));
            prop_assert_eq!(normalise(&query).unwrap(), query.clone());
            // An oracle that decodes both: nothing is lost, nothing is read in another way.
            let decode = |text: &str| {
                let (mut bytes, mut decoded) = (text.bytes(), Vec::new());
                while let Some(byte) = bytes.next() {
                    if byte != b'%' {
                        decoded.push(byte);
                        continue;
                    }
                    let digits = [bytes.next().unwrap(), bytes.next().unwrap()];
                    decoded.push(u8::from_str_radix(std::str::from_utf8(&digits).unwrap(), 16).unwrap());
                }
                decoded
            };
            prop_assert_eq!(decode(&raw), decode(&query));
        }
    }
}
