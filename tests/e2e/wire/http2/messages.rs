//! Requests that are malformed as messages (RFC 9113 §8), or would be once they are written in HTTP/1.1.

use super::Then::{Passes, Refused, Reset, Status};
use super::{Bench, Row, play};
use crate::wire::frames::{
    DATA, END_HEADERS, END_STREAM, HEADERS, PROTOCOL_ERROR, WHOLE, block, frame, literal, post, pseudo,
};

/// A malformed request is a stream error of this type (RFC 9113 §8.1.1).
const MALFORMED: &[u32] = &[PROTOCOL_ERROR];

/// A request of these fields and nothing else.
fn only(fields: &[(&str, &str)]) -> Vec<u8> {
    frame(HEADERS, WHOLE, 1, block(fields))
}

/// A GET with this field besides.
fn with(name: &[u8], value: &[u8]) -> Vec<u8> {
    frame(HEADERS, WHOLE, 1, [block(&pseudo("GET", "/")), literal(name, value)].concat())
}

/// A GET of this path.
fn path(path: &str) -> Vec<u8> {
    only(&[(":method", "GET"), (":scheme", "http"), (":authority", "a.example"), (":path", path)])
}

/// A GET of this authority, if any, and with these fields.
fn asking(authority: Option<&str>, more: &[(&str, &str)]) -> Vec<u8> {
    let mut fields = vec![(":method", "GET"), (":scheme", "http"), (":path", "/")];
    fields.extend(authority.map(|authority| (":authority", authority)));
    only(&[&fields, more].concat())
}

fn rows_of_pseudo_headers() -> Vec<Row> {
    let (method, scheme) = ((":method", "GET"), (":scheme", "http"));
    let (authority, at) = ((":authority", "a.example"), (":path", "/"));
    vec![
        ("9113 §8.3.1", "no method", only(&[scheme, authority, at]), Reset(1, MALFORMED)),
        ("9113 §8.3.1", "no scheme", only(&[method, authority, at]), Reset(1, MALFORMED)),
        ("9113 §8.3.1", "no path", only(&[method, scheme, authority]), Reset(1, MALFORMED)),
        ("9113 §8.3.1", "an empty path", path(""), Reset(1, MALFORMED)),
        ("9113 §8.3", "two methods", only(&[method, method, scheme, authority, at]), Reset(1, MALFORMED)),
        ("9113 §8.3", "two schemes", only(&[method, scheme, scheme, authority, at]), Reset(1, MALFORMED)),
        ("9113 §8.3", "two paths", only(&[method, scheme, authority, at, (":path", "/b")]), Reset(1, MALFORMED)),
        (
            "9113 §8.3",
            "two authorities",
            only(&[method, scheme, authority, (":authority", "b"), at]),
            Reset(1, MALFORMED),
        ),
        (
            "9113 §8.3",
            "a path behind a field",
            only(&[method, scheme, authority, ("x-a", "b"), at]),
            Reset(1, MALFORMED),
        ),
        (
            "9113 §8.3",
            "a pseudo-header that nobody knows",
            only(&[method, scheme, authority, at, (":foo", "b")]),
            Refused,
        ),
        (
            "9113 §8.3",
            "a pseudo-header of answers",
            only(&[method, scheme, authority, at, (":status", "200")]),
            Refused,
        ),
        ("9113 §8.3.1", "a method with a space", only(&[(":method", "GET /b"), scheme, authority, at]), Refused),
        (
            "9110 §9.1",
            "a method of 33 characters",
            only(&[(":method", "ABCDEFGHIJKLMNOPQRSTUVWXYZABCDEFG"), scheme, authority, at]),
            Status(400),
        ),
        ("9113 §8.3.1", "an empty method", only(&[(":method", ""), scheme, authority, at]), Refused),
        ("9113 §8.3.1", "a scheme with CR LF", only(&[method, (":scheme", "http\r\nx: y"), authority, at]), Refused),
        ("9113 §8.5", "CONNECT", only(&[(":method", "CONNECT"), (":authority", "a.example:80")]), Status(405)),
        ("9113 §8.5", "CONNECT with a path", only(&[(":method", "CONNECT"), scheme, authority, at]), Refused),
        (
            "8441 §4",
            "extended CONNECT, which was not offered",
            only(&[(":method", "CONNECT"), (":protocol", "websocket"), scheme, authority, at]),
            Reset(1, MALFORMED),
        ),
        ("8441 §4", "a protocol with GET", only(&[method, (":protocol", "websocket"), scheme, authority, at]), Refused),
    ]
}

fn rows_of_targets() -> Vec<Row> {
    vec![
        (
            "9110 §4.2",
            "a scheme that is not of HTTP",
            only(&[(":method", "GET"), (":scheme", "ftp"), (":authority", "a.example"), (":path", "/")]),
            Status(400),
        ),
        ("9113 §8.3.1", "a path without a slash", path("a"), Refused),
        ("9113 §8.3.1", "a URI as the path", path("http://b.example/"), Refused),
        ("9113 §8.3.1", "an asterisk with GET", path("*"), Status(400)),
        ("9113 §10.3", "CR LF in the path", path("/ HTTP/1.1\r\nHost: b\r\n\r\nGET /b"), Refused),
        ("9113 §10.3", "a space in the path", path("/a b"), Refused),
        ("9113 §10.3", "a version in the path", path("/a HTTP/1.1"), Refused),
        ("9113 §10.3", "NUL in the path", path("/a\0b"), Refused),
        ("9113 §10.3", "a tab in the path", path("/a\tb"), Refused),
        ("3986 §5.2.4", "a path that climbs out", path("/../a"), Status(400)),
        ("3986 §2.1", "a bad escape in the path", path("/%zz"), Status(400)),
        ("3986 §3.3", "a backslash in the path", path("/a\\b"), Status(400)),
        ("9113 §8.3.1", "no authority and no Host", asking(None, &[]), Status(400)),
        (
            "9113 §8.3.1",
            "a Host that is not the authority",
            asking(Some("a.example"), &[("host", "b.example")]),
            Status(400),
        ),
        ("9113 §8.3.1", "two Hosts", asking(None, &[("host", "a.example"), ("host", "b.example")]), Status(400)),
        ("9113 §8.3.1", "user information in the authority", asking(Some("u@a.example"), &[]), Status(400)),
        ("9113 §8.3.1", "an empty authority", asking(Some(""), &[]), Refused),
        ("9113 §8.3.1", "a path in the authority", asking(Some("a.example/b"), &[]), Refused),
        ("9113 §8.3.1", "two names in the authority", asking(Some("a.example,b.example"), &[]), Status(400)),
        ("9110 §7.2", "an empty Host", asking(None, &[("host", "")]), Status(400)),
        ("9110 §7.2", "a Host that is no host", asking(None, &[("host", "a.example/b")]), Status(400)),
        ("9110 §7.2", "two names in one Host", asking(None, &[("host", "a.example, b.example")]), Status(400)),
    ]
}

fn rows_of_fields() -> Vec<Row> {
    vec![
        ("9110 §10.1.1", "an Expect that nobody knows", with(b"expect", b"more"), Status(417)),
        ("9110 §10.1.1", "more than one Expect", with(b"expect", b"100-continue, more"), Status(417)),
        ("9113 §8.2.1", "a name in capitals", with(b"X-A", b"b"), Refused),
        ("9113 §8.2.1", "an empty name", with(b"", b"b"), Refused),
        ("9113 §8.2.1", "a space in a name", with(b"x a", b"b"), Refused),
        ("9113 §8.2.1", "a colon in a name", with(b"x:a", b"b"), Refused),
        ("9113 §8.2.1", "CR LF in a name", with(b"x\r\ny", b"b"), Refused),
        ("9113 §8.2.1", "NUL in a name", with(b"x\0a", b"b"), Refused),
        ("9113 §8.2.1", "a byte beyond ASCII in a name", with(b"x\xff", b"b"), Refused),
        ("9113 §8.2.1", "CR LF in a value", with(b"x-a", b"b\r\nTransfer-Encoding: chunked"), Refused),
        ("9113 §8.2.1", "CR in a value", with(b"x-a", b"b\rc"), Refused),
        ("9113 §8.2.1", "LF in a value", with(b"x-a", b"b\nc"), Refused),
        ("9113 §8.2.1", "NUL in a value", with(b"x-a", b"b\0c"), Refused),
        ("9113 §8.2.1", "a space before a value", with(b"x-a", b" b"), Status(400)),
        ("9113 §8.2.1", "a space behind a value", with(b"x-a", b"b "), Status(400)),
        ("9113 §8.2.1", "a tab behind a value", with(b"x-a", b"b\t"), Status(400)),
        ("9113 §8.2.1", "a value of a space", with(b"x-a", b" "), Status(400)),
        ("9113 §8.2.2", "connection", with(b"connection", b"close"), Reset(1, MALFORMED)),
        ("9113 §8.2.2", "keep-alive", with(b"keep-alive", b"timeout=5"), Reset(1, MALFORMED)),
        ("9113 §8.2.2", "proxy-connection", with(b"proxy-connection", b"close"), Reset(1, MALFORMED)),
        ("9113 §8.2.2", "transfer-encoding", with(b"transfer-encoding", b"chunked"), Reset(1, MALFORMED)),
        ("9113 §8.2.2", "upgrade", with(b"upgrade", b"websocket"), Reset(1, MALFORMED)),
        ("9113 §8.2.2", "a te other than trailers", with(b"te", b"gzip"), Reset(1, MALFORMED)),
        ("9113 §8.1.1", "a content-length that is no number", post(1, &[("content-length", "five")]), Refused),
        ("9113 §8.1.1", "a content-length with a plus", post(1, &[("content-length", "+5")]), Refused),
        ("9113 §8.1.1", "two content-lengths", post(1, &[("content-length", "5"), ("content-length", "6")]), Refused),
        ("9112 §11.2", "content_length, on the way to HTTP/1.1", with(b"content_length", b"5"), Status(400)),
        (
            "9112 §11.2",
            "transfer_encoding, on the way to HTTP/1.1",
            with(b"transfer_encoding", b"chunked"),
            Status(400),
        ),
    ]
}

fn rows_that_pass() -> Vec<Row> {
    let data = |payload: &[u8]| frame(DATA, END_STREAM, 1, payload);
    vec![
        (
            "9113 §8.3.1",
            "a GET",
            path("/a?b"),
            Passes(&["+get /a?b http/1.1\r\n", "+\r\nhost: a.example\r\n", "-:authority"]),
        ),
        (
            "9113 §8.3.1",
            "Host beside the same authority",
            asking(Some("a.example"), &[("host", "a.example")]),
            Passes(&[]),
        ),
        (
            "9113 §8.3.1",
            "Host instead of the authority",
            asking(None, &[("host", "a.example")]),
            Passes(&["+host: a.example\r\n"]),
        ),
        (
            "9113 §8.2.3",
            "a cookie in crumbs",
            frame(
                HEADERS,
                WHOLE,
                1,
                [block(&pseudo("GET", "/")), block(&[("cookie", "a=1"), ("x-a", "b"), ("cookie", "b=2")])].concat(),
            ),
            Passes(&["+cookie: a=1; b=2\r\n"]),
        ),
        ("9113 §8.2.2", "te: trailers", with(b"te", b"trailers"), Passes(&[])),
        (
            "9113 §8.1",
            "a body without a length",
            [post(1, &[]), data(b"hello")].concat(),
            Passes(&["+transfer-encoding: chunked\r\n", "-content-length", "+\r\n5\r\nhello\r\n0\r\n\r\n"]),
        ),
        (
            "9113 §8.1",
            "a body with a length",
            [post(1, &[("content-length", "5")]), data(b"hello")].concat(),
            Passes(&["+content-length: 5\r\n", "-transfer-encoding", "+\r\n\r\nhello"]),
        ),
        ("9113 §8.1", "an empty body without a length", [post(1, &[]), data(b"")].concat(), Passes(&[])),
        (
            "9113 §8.1",
            "an empty body with a length",
            [post(1, &[("content-length", "0")]), data(b"")].concat(),
            Passes(&["+content-length: 0\r\n"]),
        ),
        (
            "9113 §8.1",
            "DATA without bytes in between",
            [post(1, &[]), frame(DATA, 0, 1, b""), frame(DATA, 0, 1, b"hel"), frame(DATA, 0, 1, b""), data(b"lo")]
                .concat(),
            Passes(&["+hel", "+lo\r\n0\r\n\r\n"]),
        ),
        (
            "9113 §10.3",
            "a body that looks like the end of one",
            [post(1, &[]), data(b"0\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n")].concat(),
            Passes(&["+transfer-encoding: chunked\r\n"]),
        ),
        (
            "9110 §7.6.3",
            "forwarding fields of a stranger",
            frame(
                HEADERS,
                WHOLE,
                1,
                [
                    block(&pseudo("GET", "/")),
                    block(&[("x-forwarded-for", "10.0.0.1"), ("forwarded", "for=10.0.0.1"), ("x-real-ip", "10.0.0.1")]),
                ]
                .concat(),
            ),
            Passes(&["-10.0.0.1"]),
        ),
        (
            "9110 §5.5",
            "an empty value, and bytes beyond ASCII",
            frame(
                HEADERS,
                WHOLE,
                1,
                [block(&pseudo("GET", "/")), literal(b"x-a", b""), literal(b"x-b", b"\xff\xe4")].concat(),
            ),
            Passes(&["+x-a: \r\n"]),
        ),
        (
            "9113 §8.3.1",
            "a method that nobody knows",
            only(&[(":method", "purge"), (":scheme", "http"), (":authority", "a.example"), (":path", "/")]),
            Passes(&["+purge / http/1.1\r\n"]),
        ),
        // The h2 library drops it before anybody can object.
        ("3986 §3.5", "a fragment in the path", path("/a#b"), Passes(&["+get /a http/1.1\r\n"])),
        ("9113 §8.3.1", "a path with dots", path("//a/./b/../c"), Passes(&["+get /a/c http/1.1\r\n"])),
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_malformed_http2_request_is_refused_and_its_connection_serves_on() {
    let mut bench = Bench::new().await;
    let rows = [rows_of_pseudo_headers(), rows_of_targets(), rows_of_fields()].concat();
    play(&mut bench, &rows, 0).await;
    bench.finish(rows.len(), 60);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_valid_http2_request_is_one_clean_message_of_http_1_1() {
    let mut bench = Bench::new().await;
    let rows = rows_that_pass();
    play(&mut bench, &rows, 0).await;
    bench.finish(rows.len(), 15);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_list_of_fields_beyond_the_bound_is_refused_however_small_it_was_packed() {
    let mut bench = Bench::new().await;
    // 16 KiB of one field in the table, then named again and again by one byte each (an HPACK bomb).
    let mut bomb = block(&pseudo("GET", "/"));
    bomb.extend([&[0x40][..], &literal(b"x-a", &[b'b'; 4_000])[1..], &[0xbe; 8_000]].concat());
    // As large, but plain.
    let long = "b".repeat(15_000);
    let begin = frame(HEADERS, END_STREAM, 1, block(&pseudo("GET", "/")));
    let mut plain = begin.clone();
    for n in 0..6 {
        let last = if n == 5 { END_HEADERS } else { 0 };
        plain.extend(frame(crate::wire::frames::CONTINUATION, last, 1, block(&[("x-a", &long)])));
    }
    let small: Vec<u8> = (0..4_000).flat_map(|_| literal(b"a", b"")).collect();
    let many = frame(HEADERS, WHOLE, 1, [block(&pseudo("GET", "/")), small].concat());
    let rows: [Row; 3] = [
        ("7541 §7.3", "4 KB named 8,000 times", frame(HEADERS, WHOLE, 1, bomb), Refused),
        ("9113 §10.5.1", "90 KB in six frames", plain, Refused),
        ("9113 §10.5.1", "4,000 small fields", many, Refused),
    ];
    for (rfc, name, bytes, _) in &rows {
        let mut frames = super::Frames::open(bench.gateway.address()).await;
        frames.send(bytes).await;
        frames.hear(|told| told.ended.contains(&1) || told.resets.contains_key(&1) || told.goaway.is_some()).await;
        let status = frames.told.statuses.get(&1).copied();
        if status.is_some_and(|status| status != 431) {
            bench.wrong(rfc, name, format!("{:?}", frames.told));
        }
        let heard = bench.heard(rfc, name).await;
        if !heard.whole.is_empty() {
            bench.wrong(rfc, name, "it was served");
        }
    }
    bench.finish(rows.len(), 3);
}
