//! The head of a request on its way to a target: its bytes in HTTP/1.1, and what stands for them in HTTP/2.

use std::borrow::Cow;
use std::io::Write;

use http::uri::{PathAndQuery, Scheme};
use http::{HeaderName, HeaderValue, Method, Uri, Version, header};
use pingora::http::RequestHeader;
use pingora::{Error, ErrorType, OrErr, Result};
use portreeve_wire::http1::Body;

use portreeve_wire::http1::{is_hop_by_hop, write_fields};

/// The head of a request, before it is framed.
#[derive(Debug)]
pub struct RequestHead<'h> {
    head: Cow<'h, RequestHeader>,
    /// Another protocol (RFC 9110 §7.8).
    offer: Option<&'h HeaderValue>,
    /// Said to a proxy, which is to know where it goes (RFC 9112 §3.2.2).
    is_absolute: bool,
}

impl<'h> RequestHead<'h> {
    /// As it was received: the fields of the connection it came on are left out as it is written, and nothing is copied.
    pub fn received(head: &'h RequestHeader) -> Self {
        Self { head: Cow::Borrowed(head), offer: None, is_absolute: false }
    }

    /// Made for a target: all of its fields go on, but those that frame a body.
    pub fn made(head: RequestHeader) -> Self {
        Self { head: Cow::Owned(head), offer: None, is_absolute: false }
    }

    /// Offers another protocol, in HTTP/1.1.
    #[must_use]
    pub fn offering(self, offer: Option<&'h HeaderValue>) -> Self {
        Self { offer, ..self }
    }

    /// Names all of its URI, in HTTP/1.1.
    pub(crate) fn absolute(self, is_absolute: bool) -> Self {
        Self { is_absolute, ..self }
    }

    pub(super) fn method(&self) -> &Method {
        &self.head.method
    }

    /// Its bytes in HTTP/1.1.
    pub(super) fn write(&self, body: Body) -> Vec<u8> {
        let head = &*self.head;
        let mut out = Vec::with_capacity(256 + head.headers.len() * 48);
        for part in [head.method.as_str().as_bytes(), b" "] {
            out.extend_from_slice(part);
        }
        if let (true, Some(scheme), Some(authority)) = (self.is_absolute, head.uri.scheme_str(), head.uri.authority()) {
            for part in [scheme, "://", authority.as_str()] {
                out.extend_from_slice(part.as_bytes());
            }
        }
        for part in [head.raw_path(), b" HTTP/1.1\r\n"] {
            out.extend_from_slice(part);
        }
        if !head.headers.contains_key(header::HOST) {
            // HTTP/2 has it in the target (RFC 9113 §8.3.1); of HTTP/1.0, which need not say it, nothing is known (RFC 9112 §3.2).
            let authority = head.uri.authority().map_or("", |authority| authority.as_str());
            for part in [&b"Host: "[..], authority.as_bytes(), b"\r\n"] {
                out.extend_from_slice(part);
            }
        }
        // The `Connection` and `TE` of a head that was made are of an exchange in HTTP.
        let is_finished = matches!(self.head, Cow::Owned(_)) && self.offer.is_none();
        let goes_on = |name: &HeaderName| is_finished || !is_of_connection(name);
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
        if let Some(offer) = self.offer {
            for part in [&b"Connection: Upgrade\r\nUpgrade: "[..], offer.as_bytes(), b"\r\n"] {
                out.extend_from_slice(part);
            }
        }
        out.extend_from_slice(b"\r\n");
        out
    }

    /// The same in HTTP/2.
    ///
    /// # Errors
    /// What is to be its authority is none.
    pub(super) fn into_http2(self, body: Body, is_tls: bool) -> Result<http::Request<()>> {
        let mut head = self.head.into_owned();
        head.set_version(Version::HTTP_2);
        // What a plugin has set for a connection of HTTP/1.1 (RFC 9113 §8.2.2).
        for name in [&header::CONNECTION, &header::TRANSFER_ENCODING, &header::UPGRADE] {
            head.remove_header(name);
        }
        for name in ["keep-alive", "proxy-connection"] {
            head.remove_header(name);
        }
        // Its length is what it is.
        let said_none = head.remove_header(&header::CONTENT_LENGTH).is_some_and(|length| length == "0");
        match body {
            Body::Length(length) => head.insert_header(header::CONTENT_LENGTH, length)?,
            Body::None if said_none => head.insert_header(header::CONTENT_LENGTH, 0)?,
            Body::None | Body::Chunked => {}
        }
        // RFC 9113 §8.3.1: what `Host` says, who has the last word, is in the target.
        let host = head.remove_header(&header::HOST);
        let host = host.as_ref().map(HeaderValue::as_bytes);
        let authority = host.or_else(|| Some(head.uri.authority()?.as_str().as_bytes())).unwrap_or_default();
        let target = head.uri.path_and_query().cloned().unwrap_or(PathAndQuery::from_static("/"));
        let scheme = if is_tls { Scheme::HTTPS } else { Scheme::HTTP };
        let uri = Uri::builder().scheme(scheme).authority(authority).path_and_query(target).build();
        let uri = uri.or_err(ErrorType::InvalidHTTPHeader, "no authority for a target in HTTP/2");
        head.set_uri(uri.map_err(Error::into_down)?);
        Ok(http::Request::from_parts(head.into(), ()))
    }
}

/// Whether this field is of the connection on which a request came (RFC 9110 §7.6.1).
pub fn is_of_connection(name: &HeaderName) -> bool {
    // The last is of an offer that nobody takes (RFC 9113 §3.1).
    is_hop_by_hop(name) || name.as_str() == "http2-settings"
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(method: &str, target: &str, body: Body, fields: &[(&'static str, &str)]) -> String {
        let mut head = RequestHeader::build(method, target.as_bytes(), None).unwrap();
        for (name, value) in fields {
            head.append_header(*name, *value).unwrap();
        }
        String::from_utf8(RequestHead::received(&head).write(body)).unwrap()
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
    fn what_is_made_for_a_target_says_what_its_connection_is_for() {
        let mut head = RequestHeader::build_no_case("GET", b"/", None).unwrap();
        for (name, value) in [("host", "a"), ("te", "trailers"), ("connection", "te")] {
            head.insert_header(name, value).unwrap();
        }
        let made = String::from_utf8(RequestHead::made(head.clone()).write(Body::None)).unwrap();
        assert_eq!(made, "GET / HTTP/1.1\r\nHost: a\r\nTe: trailers\r\nConnection: te\r\n\r\n");
        // Another protocol is offered on a connection that is for nothing else.
        let offer = HeaderValue::from_static("websocket");
        let made = String::from_utf8(RequestHead::made(head).offering(Some(&offer)).write(Body::None)).unwrap();
        assert_eq!(made, "GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n");
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
        let text = |head| String::from_utf8(RequestHead::write(&head, Body::None)).unwrap();
        let written = text(RequestHead::made(head.clone()));
        assert_eq!(written, "GET /x?y HTTP/1.1\r\nHost: api.example.com\r\n\r\n");
        let written = text(RequestHead::made(head).absolute(true));
        assert_eq!(written, "GET https://api.example.com/x?y HTTP/1.1\r\nHost: api.example.com\r\n\r\n");
    }

    #[test]
    fn in_http2_the_host_is_the_authority_and_a_length_is_what_it_is() {
        let mut head = RequestHeader::build_no_case("POST", b"/x?y", None).unwrap();
        for (name, value) in [("host", "a.test"), ("connection", "te"), ("te", "trailers"), ("content-length", "9")] {
            head.insert_header(name, value).unwrap();
        }
        let framed = |head: &RequestHeader, body| RequestHead::received(head).into_http2(body, true).unwrap();
        let request = framed(&head, Body::Length(3));
        assert_eq!(request.uri(), "https://a.test/x?y");
        let fields: std::collections::BTreeMap<_, _> =
            request.headers().iter().map(|(name, value)| (name.as_str(), value.as_bytes())).collect();
        assert_eq!(fields, [("content-length", &b"3"[..]), ("te", b"trailers")].into());
        assert!(framed(&head, Body::None).headers().get("content-length").is_none(), "nothing is sent after all");
        head.insert_header("content-length", "0").unwrap();
        assert_eq!(framed(&head, Body::None).headers()["content-length"], "0");
    }
}
