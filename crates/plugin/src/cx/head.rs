//! Reading a request head: its host, one value of its query, one cookie.

use std::borrow::Cow;

use http::{HeaderMap, HeaderName, Uri, header};
use percent_encoding::percent_decode_str;

/// Fields that frame a message or concern its connection (RFC 9110 §7.6.1, RFC 9112 §6): a plugin that changed one would
/// make two readers of the same bytes disagree.
static FRAMING: [HeaderName; 6] = [
    header::CONTENT_LENGTH,
    header::TRANSFER_ENCODING,
    header::CONNECTION,
    header::UPGRADE,
    header::TE,
    header::TRAILER,
];

pub(crate) fn is_framing(name: &HeaderName) -> bool {
    FRAMING.contains(name)
}

/// The host the client asked for, without the port: the authority of an absolute target, else the `Host` field. Without a
/// final dot, which only says that the name is whole: `example.com.` is `example.com` (RFC 1034 §3.1).
pub fn host<'h>(uri: &'h Uri, headers: &'h HeaderMap) -> &'h str {
    let host = uri
        .host()
        .unwrap_or_else(|| without_port(headers.get(header::HOST).and_then(|value| value.to_str().ok()).unwrap_or("")));
    host.strip_suffix('.').unwrap_or(host)
}

fn without_port(authority: &str) -> &str {
    match authority.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|b| b.is_ascii_digit()) => host,
        _ => authority,
    }
}

/// The first value of `name` in a query, decoded as `application/x-www-form-urlencoded` (`+` is a space). Borrowed if nothing was encoded.
pub fn query_value<'q>(query: &'q str, name: &str) -> Option<Cow<'q, str>> {
    query.split('&').find_map(|pair| {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        (decoded(key) == name).then(|| decoded(value))
    })
}

fn decoded(text: &str) -> Cow<'_, str> {
    if !text.contains(['%', '+']) {
        return Cow::Borrowed(text);
    }
    let spaced = text.replace('+', " ");
    Cow::Owned(percent_decode_str(&spaced).decode_utf8_lossy().into_owned())
}

/// The first cookie called `name` (RFC 6265 §4.2), without surrounding quotes. What is not ASCII hides itself alone, never
/// the cookies beside it: the router, which compares bytes, sees them too.
pub fn cookie<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    let fields = headers.get_all(header::COOKIE).iter();
    let mut pairs = fields.flat_map(|field| field.as_bytes().split(|&byte| byte == b';'));
    let value = pairs.find_map(|pair| {
        let (key, value) = pair.split_at_checked(pair.iter().position(|&byte| byte == b'=')?)?;
        (key.trim_ascii() == name.as_bytes()).then(|| value.get(1..)).flatten()
    })?;
    let value = str::from_utf8(value.trim_ascii()).ok().filter(|value| value.is_ascii())?;
    Some(value.trim_matches('"'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_one_with_and_without_its_final_dot() {
        for (sent, expected) in [
            ("x.example.", "x.example"),
            ("x.example.:8080", "x.example"),
            ("x.example:80", "x.example"),
            ("[::1]:80", "[::1]"),
        ] {
            let headers = HeaderMap::from_iter([(header::HOST, sent.parse().unwrap())]);
            assert_eq!(host(&Uri::from_static("/"), &headers), expected);
            assert_eq!(host(&format!("http://{sent}/a").parse().unwrap(), &HeaderMap::new()), expected);
        }
    }

    #[test]
    fn a_query_value_is_decoded_and_borrowed_when_plain() {
        assert!(matches!(query_value("a=1&b=2", "b"), Some(Cow::Borrowed("2"))));
        assert_eq!(query_value("a=x+y%21", "a").as_deref(), Some("x y!"));
        assert_eq!(query_value("flag&a=1", "flag").as_deref(), Some(""));
        assert_eq!(query_value("a=1", "b"), None);
    }

    #[test]
    fn a_host_loses_its_port_but_an_ipv6_literal_stays_whole() {
        assert_eq!(without_port("api.example.com:8080"), "api.example.com");
        assert_eq!(without_port("[::1]:80"), "[::1]");
        assert_eq!(without_port("[::1]"), "[::1]");
    }

    #[test]
    fn a_cookie_is_found_among_several_fields() {
        let mut headers = HeaderMap::new();
        headers.append(header::COOKIE, "a=1; b=\"2\"".parse().unwrap());
        headers.append(header::COOKIE, "c=3".parse().unwrap());
        assert_eq!(cookie(&headers, "b"), Some("2"));
        assert_eq!(cookie(&headers, "c"), Some("3"));
        assert_eq!(cookie(&headers, "d"), None);
        headers.append(header::COOKIE, http::HeaderValue::from_bytes(b"e=\xff; f=6").unwrap());
        assert_eq!((cookie(&headers, "e"), cookie(&headers, "f")), (None, Some("6")));
    }
}
