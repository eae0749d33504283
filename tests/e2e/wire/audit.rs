//! Whether bytes that the gateway sent are one clean request that nobody could read in another way: two parsers that share
//! no code must find the same head, the same framing and the same end.

use portreeve_wire::http1::{At, Body, Requests};

use super::recorder::WIDE;

/// Fields of one connection (RFC 9110 §7.6.1), none of which may be passed on.
const OF_ONE_HOP: [&str; 6] =
    ["keep-alive", "proxy-connection", "proxy-authorization", "proxy-authenticate", "te", "trailer"];

/// Takes one message apart.
///
/// # Errors
/// What is wrong with it, in words.
pub(super) fn audit(message: &[u8]) -> Result<(), String> {
    let flaw = |what: &str| Err(format!("{what}: {}", message.escape_ascii()));
    let mut strict = Requests::new(WIDE);
    match strict.read(message) {
        Ok(progress) if progress.at == At::End && progress.taken == message.len() => {}
        Ok(progress) => return flaw(&format!("the strict reader is {:?} after {}", progress.at, progress.taken)),
        Err(refusal) => return flaw(&format!("the strict reader refuses it, {refusal}")),
    }
    let mut fields = [httparse::EMPTY_HEADER; 300];
    let mut other = httparse::Request::new(&mut fields);
    let Ok(httparse::Status::Complete(length)) = other.parse(message) else { return flaw("httparse refuses it") };
    let values = |name: &str| {
        let named = other.headers.iter().filter(|field| field.name.eq_ignore_ascii_case(name));
        named.map(|field| field.value).collect::<Vec<_>>()
    };
    // What httparse understood, written again in the plainest way, is what was sent: nothing is left to interpret.
    let (method, path) = (other.method.unwrap_or_default(), other.path.unwrap_or_default());
    let mut again = format!("{method} {path} HTTP/1.1\r\n").into_bytes();
    for field in other.headers.iter() {
        again.extend([field.name.as_bytes(), b": ", field.value, b"\r\n"].concat());
    }
    again.extend(b"\r\n");
    if again != message[..length] {
        return flaw(&format!("httparse reads its head as {}", again.escape_ascii()));
    }
    let (hosts, lengths, codings) = (values("host"), values("content-length"), values("transfer-encoding"));
    if hosts.len() != 1 || lengths.len() + codings.len() > 1 {
        return flaw("not one Host and at most one of Content-Length and Transfer-Encoding");
    }
    let body = &message[length..];
    let (framing, end) = match (lengths.first().copied(), codings.first().copied()) {
        (_, Some(b"chunked")) => (Body::Chunked, chunks(body)),
        (_, Some(_)) => return flaw("a coding other than chunked"),
        (Some(digits), _) => match std::str::from_utf8(digits).ok().and_then(|digits| digits.parse().ok()) {
            Some(length) => (Body::Length(length), usize::try_from(length).ok()),
            None => return flaw("a length that is no number"),
        },
        _ => (Body::None, Some(0)),
    };
    if strict.head().map(|head| head.body) != Some(framing) || end != Some(body.len()) {
        return flaw(&format!("the two disagree on its body, {framing:?} to {end:?}"));
    }
    for name in OF_ONE_HOP {
        let values = values(name);
        let is_of_all_hops = name == "te" && values == [b"trailers"];
        if !values.is_empty() && !is_of_all_hops {
            return flaw(&format!("{name} was passed on"));
        }
    }
    // The gateway's own: it takes trailers, and `TE` is of one connection (RFC 9110 §10.1.4).
    let takes_trailers = values("connection") == [b"te"] && values("te") == [b"trailers"];
    let of_connection = values("connection").len() + values("upgrade").len();
    if of_connection > usize::from(takes_trailers) && !strict.head().is_some_and(|head| head.upgrade) {
        return flaw("a field of the client's connection was passed on");
    }
    for name in ["x-forwarded-for", "x-forwarded-proto", "forwarded", "via"] {
        if values(name).len() != 1 {
            return flaw(&format!("not one {name}"));
        }
    }
    let via = values("via").concat();
    let client = values("x-forwarded-for").concat();
    if !via.ends_with(b" portreeve") || client != b"127.0.0.1" || values("x-forwarded-proto").concat() != b"http" {
        return flaw("forwarding fields that are not ours");
    }
    // A query may have a raw backslash, as browsers send it.
    let whole = path.split('?').next().unwrap_or_default();
    let is_path = whole.starts_with('/') && !path.contains('#') && !whole.contains('\\');
    if !is_path && (path, method) != ("*", "OPTIONS") {
        return flaw("a target that is no path");
    }
    Ok(())
}

/// Where a chunked body ends, by httparse and arithmetic.
fn chunks(body: &[u8]) -> Option<usize> {
    let mut at = 0;
    loop {
        let Ok(httparse::Status::Complete((line, size))) = httparse::parse_chunk_size(body.get(at..)?) else {
            return None;
        };
        at += line;
        if size == 0 {
            let mut fields = [httparse::EMPTY_HEADER; 64];
            let Ok(httparse::Status::Complete((trailers, _))) = httparse::parse_headers(&body[at..], &mut fields)
            else {
                return None;
            };
            return Some(at + trailers);
        }
        at = at.checked_add(usize::try_from(size).ok()?)?;
        at = (body.get(at..at + 2)? == b"\r\n").then_some(at + 2)?;
    }
}

#[test]
fn the_audit_finds_what_two_could_read_differently() {
    let ours = "Host: a\r\nX-Forwarded-For: 127.0.0.1\r\nX-Forwarded-Proto: http\r\nForwarded: for=127.0.0.1\r\nVia: 1.1 portreeve\r\n";
    let made = |line: &str, more: &str, body: &str| audit(format!("{line}\r\n{ours}{more}\r\n{body}").as_bytes());
    for (more, body) in [
        ("", ""),
        ("Content-Length: 5\r\n", "hello"),
        ("Transfer-Encoding: chunked\r\n", "5\r\nhello\r\n0\r\n\r\n"),
        ("Transfer-Encoding: chunked\r\n", "5\r\nhello\r\n0\r\nX-A: b\r\n\r\n"),
        ("Connection: upgrade\r\nUpgrade: websocket\r\n", ""),
        ("TE: trailers\r\nConnection: te\r\n", ""),
    ] {
        assert_eq!(made("POST / HTTP/1.1", more, body), Ok(()), "{more} {body}");
    }
    for (line, more, body) in [
        ("POST / HTTP/1.0", "", ""),
        ("POST  / HTTP/1.1", "", ""),
        ("POST a HTTP/1.1", "", ""),
        ("POST http://a/ HTTP/1.1", "", ""),
        ("POST / HTTP/1.1", "", "x"),
        ("POST / HTTP/1.1", "Host: a\r\n", ""),
        ("POST / HTTP/1.1", "X-A:b\r\n", ""),
        ("POST / HTTP/1.1", "X-A: b \r\n", ""),
        ("POST / HTTP/1.1", "X-A: b\nX-B: c\r\n", ""),
        ("POST / HTTP/1.1", "Content-Length: 5\r\n", "hell"),
        ("POST / HTTP/1.1", "Content-Length: 5\r\n", "hello!"),
        ("POST / HTTP/1.1", "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n"),
        ("POST / HTTP/1.1", "Transfer-Encoding: gzip, chunked\r\n", "0\r\n\r\n"),
        ("POST / HTTP/1.1", "Transfer-Encoding: chunked\r\n", "5\r\nhello\r\n0\r\n\r\n0\r\n\r\n"),
        ("POST / HTTP/1.1", "content_length: 5\r\n", ""),
        ("POST / HTTP/1.1", "Keep-Alive: 5\r\n", ""),
        ("POST / HTTP/1.1", "Connection: close\r\n", ""),
        ("POST / HTTP/1.1", "TE: gzip\r\n", ""),
        ("POST / HTTP/1.1", "Connection: te\r\n", ""),
        ("POST / HTTP/1.1", "X-Forwarded-For: 10.0.0.1\r\n", ""),
        ("POST / HTTP/1.1", "Via: 1.1 other\r\n", ""),
    ] {
        assert!(made(line, more, body).is_err(), "{line} {more} {body}");
    }
}
