//! Request lines.

use super::{Refused, refuse};
use crate::wire::Bench;

/// Request lines, without their end.
const LINES: &[Refused] = &[
    ("9112 §3", "no target and no version", b"GET", 400),
    ("9112 §3", "no version (HTTP/0.9)", b"GET /", 400),
    ("9112 §3", "an empty target", b"GET  HTTP/1.1", 400),
    ("9112 §3", "two spaces before the target", b"GET  / HTTP/1.1", 400),
    ("9112 §3", "two spaces before the version", b"GET /  HTTP/1.1", 400),
    ("9112 §3", "a space before the method", b" GET / HTTP/1.1", 400),
    ("9112 §3", "a space after the version", b"GET / HTTP/1.1 ", 400),
    ("9112 §3", "a tab after the method", b"GET\t/ HTTP/1.1", 400),
    ("9112 §3", "a tab before the version", b"GET /\tHTTP/1.1", 400),
    ("9112 §3", "a vertical tab after the method", b"GET\x0b/ HTTP/1.1", 400),
    ("9112 §3", "a form feed before the version", b"GET /\x0cHTTP/1.1", 400),
    ("9112 §3", "a fourth word", b"GET / HTTP/1.1 HTTP/1.1", 400),
    ("9112 §3", "a space within the target", b"GET /a b HTTP/1.1", 400),
    ("9110 §9.1", "a method in quotes", b"\"GET\" / HTTP/1.1", 400),
    ("9110 §9.1", "a colon in the method", b"GET: / HTTP/1.1", 400),
    ("9110 §9.1", "a comma in the method", b"GET,POST / HTTP/1.1", 400),
    ("9110 §9.1", "NUL in the method", b"GE\0T / HTTP/1.1", 400),
    ("9110 §9.1", "a byte beyond ASCII in the method", b"G\xc3\x89T / HTTP/1.1", 400),
    ("9110 §9.1", "a method of 33 letters", b"ABCDEFGHIJKLMNOPQRSTUVWXYZABCDEFG / HTTP/1.1", 400),
    ("9110 §9.3.6", "CONNECT with an authority", b"CONNECT a.example:443 HTTP/1.1", 405),
    ("9110 §9.3.6", "CONNECT with a path", b"CONNECT / HTTP/1.1", 405),
    ("9112 §2.3", "HTTP/2.0 in a request line", b"GET / HTTP/2.0", 505),
    ("9112 §2.3", "HTTP/1.2", b"GET / HTTP/1.2", 505),
    ("9112 §2.3", "HTTP/0.9 by name", b"GET / HTTP/0.9", 505),
    ("9112 §2.3", "HTTP/3.0", b"GET / HTTP/3.0", 505),
    ("9112 §2.3", "a version in small letters", b"GET / http/1.1", 400),
    ("9112 §2.3", "a version with two digits", b"GET / HTTP/1.10", 400),
    ("9112 §2.3", "a version with a leading zero", b"GET / HTTP/01.1", 400),
    ("9112 §2.3", "a version without a minor number", b"GET / HTTP/1", 400),
    ("9112 §2.3", "a version with a comma", b"GET / HTTP/1,1", 400),
    ("9112 §2.3", "a version of something else", b"GET / SIP/2.0", 400),
    ("9112 §3.2", "a target without a slash", b"GET index HTTP/1.1", 400),
    ("9112 §3.2", "an authority as the target of GET", b"GET a.example:80 HTTP/1.1", 400),
    ("9112 §3.2.4", "an asterisk with GET", b"GET * HTTP/1.1", 400),
    ("9112 §3.2.4", "an asterisk and more", b"OPTIONS *x HTTP/1.1", 400),
    ("9112 §3.2", "an empty query without a path", b"GET ?a=b HTTP/1.1", 400),
    ("9112 §3.2.2", "a URI of another scheme", b"GET ftp://a.example/ HTTP/1.1", 400),
    ("9112 §3.2.2", "a URI without an authority", b"GET http:///a HTTP/1.1", 400),
    ("9112 §3.2.2", "a URI with one slash", b"GET http:/a.example/ HTTP/1.1", 400),
    ("9110 §4.2.4", "user information in a URI", b"GET http://u:p@a.example/ HTTP/1.1", 400),
    ("9112 §3.2.2", "a URI with a bad port", b"GET http://a.example:8x/ HTTP/1.1", 400),
    ("9112 §3.2", "a URI whose authority is not that of Host", b"GET http://b.example/ HTTP/1.1", 400),
    ("9112 §3.2", "a URI whose port is not that of Host", b"GET http://a.example:81/ HTTP/1.1", 400),
    ("3986 §3.5", "a fragment", b"GET /a#b HTTP/1.1", 400),
    ("3986 §2.1", "a lone percent sign", b"GET /100% HTTP/1.1", 400),
    ("3986 §2.1", "a percent sign and one digit", b"GET /%2 HTTP/1.1", 400),
    ("3986 §2.1", "a percent sign and no digits", b"GET /%zz HTTP/1.1", 400),
    ("3986 §2.1", "a bad escape in the query", b"GET /?a=%g0 HTTP/1.1", 400),
    ("3986 §3.3", "NUL in the target", b"GET /a\0b HTTP/1.1", 400),
    ("3986 §3.3", "DEL in the target", b"GET /a\x7fb HTTP/1.1", 400),
    ("3986 §3.3", "raw UTF-8 in the target", b"GET /\xc3\xa4 HTTP/1.1", 400),
    ("3986 §3.3", "a backslash", b"GET /a\\b HTTP/1.1", 400),
    ("3986 §3.3", "a double quote", b"GET /\"a\" HTTP/1.1", 400),
    ("3986 §3.3", "angle brackets", b"GET /<a> HTTP/1.1", 400),
    ("3986 §3.3", "braces", b"GET /{a} HTTP/1.1", 400),
    ("3986 §3.3", "a caret in the path", b"GET /a^b HTTP/1.1", 400),
    ("3986 §3.4", "a double quote in the query", b"GET /?a=\"b\" HTTP/1.1", 400),
    ("3986 §3.4", "angle brackets in the query", b"GET /?a=<b> HTTP/1.1", 400),
    ("3986 §5.2.4", "a path that climbs out", b"GET /../a HTTP/1.1", 400),
    ("3986 §5.2.4", "a path that climbs out in escapes", b"GET /%2e%2e/a HTTP/1.1", 400),
    ("3986 §2.1", "an escaped NUL in the path", b"GET /a%00b HTTP/1.1", 400),
    ("9112 §2.2", "a bare CR within the line", b"GET /\rHTTP/1.1", 400),
    ("9112 §2.2", "a bare CR at its end", b"GET / HTTP/1.1\r", 400),
    ("9112 §2.2", "a bare LF within the line", b"GET /\nHTTP/1.1", 400),
];

/// Beginnings of a connection that are no head at all.
const WHOLE: &[Refused] = &[
    ("9112 §2.2", "lines that end in bare LF", b"GET / HTTP/1.1\nHost: a.example\n\n", 400),
    ("9112 §2.2", "only the request line ends in bare LF", b"GET / HTTP/1.1\nHost: a.example\r\n\r\n", 400),
    ("9112 §2.2", "a field line that ends in bare LF", b"GET / HTTP/1.1\r\nHost: a.example\nA: b\r\n\r\n", 400),
    ("9112 §2.2", "an empty line that is a bare LF", b"GET / HTTP/1.1\r\nHost: a.example\r\n\n", 400),
    ("9112 §2.2", "lines that end in bare CR", b"GET / HTTP/1.1\rHost: a.example\r\r", 400),
    ("9112 §2.2", "lines that end in LF CR", b"GET / HTTP/1.1\n\rHost: a.example\n\r\n\r", 400),
    ("9112 §2.2", "two empty lines before the request", b"\r\n\r\nGET / HTTP/1.1\r\nHost: a.example\r\n\r\n", 400),
    ("9112 §2.2", "a bare LF before the request", b"\nGET / HTTP/1.1\r\nHost: a.example\r\n\r\n", 400),
    ("9112 §2.2", "white space after the request line", b"GET / HTTP/1.1\r\n Host: a.example\r\n\r\n", 400),
    ("9112 §2.1", "a head of nothing but fields", b"Host: a.example\r\n\r\n", 400),
    ("9112 §2.1", "an answer instead of a request", b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", 400),
    ("9112 §2.1", "a TLS handshake", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 \r\n\r\n", 400),
    ("9112 §2.1", "NUL before the request", b"\0GET / HTTP/1.1\r\nHost: a.example\r\n\r\n", 400),
    ("9112 §2.1", "a byte order mark", b"\xef\xbb\xbfGET / HTTP/1.1\r\nHost: a.example\r\n\r\n", 400),
    ("9113 §3.4", "a preface that goes wrong", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\rx\r\n\r\n", 505),
    ("9112 §2.1", "a PROXY header where none is due", b"PROXY TCP4 1.2.3.4 5.6.7.8 1 2\r\nGET / HTTP/1.1\r\n\r\n", 400),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_malformed_request_line_is_refused() {
    let mut bench = Bench::new().await;
    refuse(&mut bench, LINES, |line| [line, b"\r\nHost: a.example\r\n\r\n"].concat()).await;
    refuse(&mut bench, WHOLE, <[u8]>::to_vec).await;
    bench.finish(LINES.len() + WHOLE.len(), 75);
}
