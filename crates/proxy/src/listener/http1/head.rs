//! The head of a request as Pingora has it, made of bytes that have been read strictly.

use bytes::Bytes;
use http::{Method, Request, Version};
use pingora::http::RequestHeader;
use portreeve_wire::http1::{Parts, fields};

/// Room that is made at once: for what browsers send, and what is added on the way. Arbitrary.
const FIELDS: usize = 20;

/// The head of a request. `None` if it is none, which the reader of the connection has ruled out.
pub(super) fn read(bytes: &Bytes) -> Option<RequestHeader> {
    let mut parts = Parts::of(bytes)?;
    let (method, target, is_http10) = parts.request_line()?;
    let headers = fields(&mut parts, bytes, FIELDS)?;
    let mut request = Request::new(()).into_parts().0;
    request.method = Method::from_bytes(method).ok()?;
    request.version = if is_http10 { Version::HTTP_10 } else { Version::HTTP_11 };
    request.headers = headers;
    let mut head = RequestHeader::from(request);
    let is_asterisk = head.method == Method::OPTIONS && is_authority_alone(target);
    head.set_raw_path(if is_asterisk { b"*" } else { target }).ok()?;
    Some(head)
}

/// Whether a target in absolute form has neither path nor query: with OPTIONS another form of the asterisk (RFC 9112 §3.2.4).
fn is_authority_alone(target: &[u8]) -> bool {
    let is_absolute = target.first() != Some(&b'/');
    let authority = memchr::memmem::find(target, b"://").and_then(|scheme| target.get(scheme + 3..));
    is_absolute && authority.is_some_and(|rest| memchr::memchr2(b'/', b'?', rest).is_none())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_is_what_its_bytes_say() {
        let bytes = Bytes::from_static(b"GET /a?b HTTP/1.0\r\nHoSt: x\r\nX-A:  1 \r\nx-a: \xff\r\n\r\n");
        let head = read(&bytes).unwrap();
        assert_eq!((head.method.as_str(), head.raw_path(), head.version), ("GET", &b"/a?b"[..], Version::HTTP_10));
        assert_eq!(head.uri.path(), "/a");
        let fields: Vec<_> = head.headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes())).collect();
        assert_eq!(fields, [("host", &b"x"[..]), ("x-a", b"1"), ("x-a", b"\xff")]);
    }

    #[test]
    fn what_has_not_come_whole_is_none() {
        for part in ["", "GET / HTTP/1.1\r\n", "GET / HTTP/1.1\r\nHost: x\r\n", "GET / HTTP/1.1\r\nHost: x\r\n\r"] {
            assert!(read(&Bytes::from(part)).is_none(), "{part:?}");
        }
    }
}
