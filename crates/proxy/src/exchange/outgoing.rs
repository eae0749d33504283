//! The head of a request as it goes to a target in HTTP/1.1.

use http::{HeaderName, Version, header};
use pingora::Result;
use pingora::http::RequestHeader;

use crate::attempt;
use crate::context::Request;
use crate::head::{is_hop_by_hop, write_fields};

/// The bytes of the head of `asked`, after the hooks of this attempt.
///
/// # Errors
/// A hook failed.
pub(super) fn head(asked: &RequestHeader, cx: &mut Request) -> Result<Vec<u8>> {
    if !cx.changes_the_head() {
        return Ok(write(asked, |name| !is_of_hop(name)));
    }
    let mut head = asked.clone();
    head.set_version(Version::HTTP_11);
    let gone: Vec<_> = head.headers.keys().filter(|name| is_of_hop(name)).cloned().collect();
    for name in &gone {
        head.remove_header(name);
    }
    attempt::prepares(&mut head, cx)?;
    cx.copy_head(&head, true);
    cx.head_goes_out(&mut head, false);
    // There is no body, so nothing frames one.
    Ok(write(&head, |name| *name != header::TRANSFER_ENCODING))
}

/// Whether this field is of the client's connection (RFC 9110 §7.6.1).
fn is_of_hop(name: &HeaderName) -> bool {
    // The last is of an offer that nobody takes (RFC 9113 §3.1).
    is_hop_by_hop(name) || name.as_str() == "http2-settings"
}

/// Writes a head with those fields that go on.
fn write(head: &RequestHeader, goes_on: impl Fn(&HeaderName) -> bool) -> Vec<u8> {
    let mut out = Vec::with_capacity(256 + head.headers.len() * 48);
    for part in [head.method.as_str().as_bytes(), b" ", head.raw_path(), b" HTTP/1.1\r\n"] {
        out.extend_from_slice(part);
    }
    if !head.headers.contains_key(header::HOST) {
        // HTTP/2 has it in the target (RFC 9113 §8.3.1); of HTTP/1.0, which need not say it, nothing is known (RFC 9112 §3.2).
        let authority = head.uri.authority().map_or("", |authority| authority.as_str());
        for part in [&b"Host: "[..], authority.as_bytes(), b"\r\n"] {
            out.extend_from_slice(part);
        }
    }
    // A length other than none would promise a body.
    write_fields(&mut out, &head.headers, |name, value| {
        goes_on(name) && (*name != header::CONTENT_LENGTH || value == "0")
    });
    out.extend_from_slice(b"\r\n");
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(target: &str, fields: &[(&'static str, &str)]) -> String {
        let mut head = RequestHeader::build("GET", target.as_bytes(), None).unwrap();
        for (name, value) in fields {
            head.append_header(*name, *value).unwrap();
        }
        String::from_utf8(write(&head, |name| !is_of_hop(name))).unwrap()
    }

    #[test]
    fn what_is_of_the_clients_connection_stays_behind() {
        let fields = [
            ("Host", "a"),
            ("Connection", "keep-alive"),
            ("Keep-Alive", "timeout=5"),
            ("TE", "gzip"),
            ("Trailer", "x"),
            ("Upgrade", "h2c"),
            ("HTTP2-Settings", "x"),
            ("Proxy-Authorization", "x"),
            ("X-Kept", "1"),
            ("x-kept", "2"),
        ];
        assert_eq!(written("/a?b", &fields), "GET /a?b HTTP/1.1\r\nHost: a\r\nX-Kept: 1\r\nX-Kept: 2\r\n\r\n");
    }

    #[test]
    fn a_request_without_a_body_promises_none() {
        let fields = [("Host", "a"), ("Content-Length", "5"), ("Transfer-Encoding", "chunked")];
        assert_eq!(written("/", &fields), "GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        let none = [("Host", "a"), ("Content-Length", "0")];
        assert_eq!(written("/", &none), "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n");
    }

    #[test]
    fn every_request_says_which_host_it_is_for() {
        assert_eq!(written("/", &[]), "GET / HTTP/1.1\r\nHost: \r\n\r\n");
        let mut head = RequestHeader::build_no_case("GET", b"/x", None).unwrap();
        head.set_uri("https://api.example.com/x?y".parse().unwrap());
        let text = String::from_utf8(write(&head, |_| true)).unwrap();
        assert_eq!(text, "GET /x?y HTTP/1.1\r\nHost: api.example.com\r\n\r\n");
    }
}
