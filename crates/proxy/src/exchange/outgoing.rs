//! A request on its way out: its head after the hooks of an attempt, and in HTTP/1.1 the bytes of it. Its framing is decided here,
//! from what is known of its body, and kept to.

use std::io::Write;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Version, header};
use pingora::http::RequestHeader;
use pingora::{Error, ErrorType, Result};
use portreeve_wire::http1::Body;

use crate::context::Request;
use crate::head::{is_hop_by_hop, write_fields};
use crate::{attempt, grpc, trailers};

/// The bytes of the head of `asked`, after the hooks of this attempt.
///
/// # Errors
/// A hook failed.
pub(super) fn head(asked: &RequestHeader, cx: &mut Request, body: Body, offers_upgrade: bool) -> Result<Vec<u8>> {
    let offer = asked.headers.get(header::UPGRADE).filter(|_| offers_upgrade);
    if offer.is_none() && !cx.changes_the_head() && body != Body::Chunked {
        return Ok(write(asked, body, None, |name| !is_of_hop(name)));
    }
    let head = prepared(asked, cx, Version::HTTP_11, body)?;
    // Its own `Connection` and `TE` are of an exchange in HTTP.
    Ok(write(&head, body, offer, |name| offer.is_none() || !is_of_hop(name)))
}

/// The head of `asked` as it goes to a target in this version, after the hooks of this attempt.
///
/// # Errors
/// A hook failed.
pub(super) fn prepared(asked: &RequestHeader, cx: &mut Request, version: Version, body: Body) -> Result<RequestHeader> {
    let mut head = asked.clone();
    head.set_version(version);
    let gone: Vec<_> = head.headers.keys().filter(|name| is_of_hop(name)).cloned().collect();
    for name in &gone {
        head.remove_header(name);
    }
    attempt::prepares(&mut head, cx)?;
    grpc::set_te(&mut head);
    cx.copy_head(&head, body == Body::None);
    // In HTTP/2 they have a place behind every body.
    cx.head_goes_out(&mut head, body == Body::Chunked || (version == Version::HTTP_2 && body != Body::None));
    Ok(head)
}

/// Whether this field is of the client's connection (RFC 9110 §7.6.1).
fn is_of_hop(name: &HeaderName) -> bool {
    // The last is of an offer that nobody takes (RFC 9113 §3.1).
    is_hop_by_hop(name) || name.as_str() == "http2-settings"
}

/// Writes a head with those fields that go on. None of them frames the body. `offer`: another protocol (RFC 9110 §7.8).
fn write(
    head: &RequestHeader,
    body: Body,
    offer: Option<&HeaderValue>,
    goes_on: impl Fn(&HeaderName) -> bool,
) -> Vec<u8> {
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
    let frames = |name: &HeaderName| matches!(name.as_str(), "content-length" | "transfer-encoding");
    write_fields(&mut out, &head.headers, |name, _| goes_on(name) && !frames(name));
    let said_none = || head.headers.get(header::CONTENT_LENGTH).is_some_and(|length| length == "0");
    match body {
        Body::Chunked => out.extend_from_slice(b"Transfer-Encoding: chunked\r\n"),
        Body::Length(length) => {
            // It cannot fail.
            write!(out, "Content-Length: {length}\r\n").ok();
        }
        // RFC 9110 §8.6: where content is expected, it is said that there is none.
        Body::None if said_none() || matches!(head.method, Method::POST | Method::PUT | Method::PATCH) => {
            out.extend_from_slice(b"Content-Length: 0\r\n");
        }
        Body::None => {}
    }
    if let Some(offer) = offer {
        for part in [&b"Connection: Upgrade\r\nUpgrade: "[..], offer.as_bytes(), b"\r\n"] {
            out.extend_from_slice(part);
        }
    }
    out.extend_from_slice(b"\r\n");
    out
}

/// What is still to be said of a request's body.
#[derive(Debug)]
pub(super) struct Rest {
    body: Body,
    /// Of another protocol: it ends with the connection.
    is_raw: bool,
    /// The last bytes of an announced length. With them the request is whole to its target, so they wait until it is known to be: a
    /// client of HTTP/2 may still send more, or take it back.
    held: Bytes,
    is_over: bool,
}

impl Rest {
    /// All of a body that is delimited so.
    pub(super) fn of(body: Body) -> Self {
        Self { body, is_raw: false, held: Bytes::new(), is_over: false }
    }

    /// Bytes of another protocol.
    pub(super) fn raw() -> Self {
        Self { is_raw: true, ..Self::of(Body::None) }
    }

    /// The end has been written.
    pub(super) fn is_over(&self) -> bool {
        self.is_over
    }

    /// Writes a piece of the content.
    ///
    /// # Errors
    /// There is more than was announced.
    pub(super) fn put(&mut self, out: &mut Vec<u8>, data: Bytes) -> Result<()> {
        // An empty chunk would be the last.
        if data.is_empty() {
            return Ok(());
        }
        match &mut self.body {
            Body::Length(left) => {
                let Some(after) = left.checked_sub(data.len() as u64) else { return Err(misframed()) };
                *left = after;
                if after == 0 {
                    self.held = data;
                } else {
                    out.extend_from_slice(&data);
                }
            }
            Body::Chunked if !self.is_over => {
                // It cannot fail.
                write!(out, "{:x}\r\n", data.len()).ok();
                out.extend_from_slice(&data);
                out.extend_from_slice(b"\r\n");
            }
            Body::Chunked => return Err(misframed()),
            Body::None if self.is_raw => out.extend_from_slice(&data),
            // What plugins make of nothing is not sent: the head has said that there is nothing.
            Body::None => {}
        }
        Ok(())
    }

    /// Writes the end, and what follows it where it may.
    ///
    /// # Errors
    /// There is less than was announced.
    pub(super) fn end(&mut self, out: &mut Vec<u8>, follows: Option<&HeaderMap>) -> Result<()> {
        match self.body {
            Body::Length(1..) => return Err(misframed()),
            Body::Chunked if !self.is_over => {
                out.extend_from_slice(b"0\r\n");
                if let Some(fields) = follows {
                    trailers::write(out, fields);
                }
                out.extend_from_slice(b"\r\n");
            }
            _ => out.extend_from_slice(&std::mem::take(&mut self.held)),
        }
        self.is_over = true;
        Ok(())
    }
}

#[expect(clippy::unnecessary_box_returns, reason = "Pingora's errors are boxed")]
pub(super) fn misframed() -> Box<Error> {
    Error::explain(ErrorType::InternalError, "the body of a request is not as long as was announced")
}

#[cfg(test)]
mod tests {
    use portreeve_wire::http1::{At, Bounds, Requests};
    use proptest::prelude::*;

    use super::*;

    fn written(method: &str, target: &str, body: Body, fields: &[(&'static str, &str)]) -> String {
        let mut head = RequestHeader::build(method, target.as_bytes(), None).unwrap();
        for (name, value) in fields {
            head.append_header(*name, *value).unwrap();
        }
        String::from_utf8(write(&head, body, None, |name| !is_of_hop(name))).unwrap()
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
        let text = written("GET", "/a?b", Body::None, &fields);
        assert_eq!(text, "GET /a?b HTTP/1.1\r\nHost: a\r\nX-Kept: 1\r\nX-Kept: 2\r\n\r\n");
    }

    #[test]
    fn a_body_is_framed_as_it_is_whatever_the_fields_say() {
        let framed = |method, body, fields: &[(&'static str, &str)]| {
            let text = written(method, "/", body, &[&[("Host", "a")], fields].concat());
            text.strip_prefix(&format!("{method} / HTTP/1.1\r\nHost: a\r\n")).unwrap().to_owned()
        };
        let length = ("Content-Length", "5");
        let chunked = ("Transfer-Encoding", "chunked");
        for fields in [&[length, chunked][..], &[length], &[chunked], &[]] {
            assert_eq!(framed("GET", Body::None, fields), "\r\n");
            assert_eq!(framed("DELETE", Body::None, fields), "\r\n");
            assert_eq!(framed("POST", Body::None, fields), "Content-Length: 0\r\n\r\n");
            assert_eq!(framed("POST", Body::Length(7), fields), "Content-Length: 7\r\n\r\n");
            assert_eq!(framed("GET", Body::Chunked, fields), "Transfer-Encoding: chunked\r\n\r\n");
        }
        assert_eq!(framed("DELETE", Body::None, &[("Content-Length", "0")]), "Content-Length: 0\r\n\r\n");
    }

    #[test]
    fn every_request_says_which_host_it_is_for() {
        assert_eq!(written("GET", "/", Body::None, &[]), "GET / HTTP/1.1\r\nHost: \r\n\r\n");
        let mut head = RequestHeader::build_no_case("GET", b"/x", None).unwrap();
        head.set_uri("https://api.example.com/x?y".parse().unwrap());
        let text = String::from_utf8(write(&head, Body::None, None, |_| true)).unwrap();
        assert_eq!(text, "GET /x?y HTTP/1.1\r\nHost: api.example.com\r\n\r\n");
    }

    #[test]
    fn a_body_is_never_longer_or_shorter_than_was_announced() {
        let out = &mut Vec::new();
        let mut rest = Rest::of(Body::Length(3));
        rest.put(out, "ab".into()).unwrap();
        assert!(rest.end(out, None).is_err() && rest.put(out, "cd".into()).is_err());
        rest.put(out, "c".into()).unwrap();
        assert_eq!(out, b"ab", "whole before its end is known");
        assert!(rest.put(out, "d".into()).is_err());
        rest.end(out, None).unwrap();
        assert!(rest.put(out, "d".into()).is_err() && out == b"abc");
        let mut none = Rest::of(Body::None);
        none.put(out, "a".into()).unwrap();
        none.end(out, None).unwrap();
        assert_eq!(out, b"abc");
    }

    proptest! {
        #[test]
        fn what_is_written_is_one_request_with_that_content(
            pieces in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 0..6),
            is_chunked: bool,
            follows: bool,
        ) {
            let content = pieces.concat();
            let body = if is_chunked { Body::Chunked } else { Body::Length(content.len() as u64) };
            let mut head = RequestHeader::build("PUT", b"/", None).unwrap();
            head.append_header("Host", "a").unwrap();
            let (mut out, mut rest) = (write(&head, body, None, |_| true), Rest::of(body));
            for piece in &pieces {
                rest.put(&mut out, Bytes::copy_from_slice(piece)).unwrap();
            }
            let fields: HeaderMap = [(HeaderName::from_static("x-sum"), "6".parse().unwrap())].into_iter().collect();
            rest.end(&mut out, Some(&fields).filter(|_| follows)).unwrap();
            let mut requests = Requests::new(Bounds::default());
            let progress = requests.read(&out).unwrap();
            prop_assert_eq!((progress.taken, progress.at), (out.len(), At::End));
            prop_assert_eq!(requests.body_bytes(), content.len() as u64);
            prop_assert_eq!(requests.take_trailers().is_empty(), !(follows && is_chunked));
            // And the end is written once.
            let written = out.len();
            rest.end(&mut out, Some(&fields)).unwrap();
            prop_assert_eq!(out.len(), written);
        }
    }
}
