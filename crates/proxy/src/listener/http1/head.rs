//! The head of a request as Pingora has it, made of bytes that have been read strictly.

use bytes::Bytes;
use http::{HeaderValue, Version};
use pingora::http::RequestHeader;
use portreeve_wire::http1::Parts;

/// Fields that are added on the way: room for them is made at once.
const ADDED: usize = 6;

/// The head of a request. `None` if it is none, which the reader of the connection has ruled out.
pub(super) fn read(bytes: &Bytes) -> Option<RequestHeader> {
    let parts = Parts::of(bytes)?;
    let (method, target, is_http10) = parts.request_line()?;
    let mut head = RequestHeader::build(method, target, Some(parts.count + ADDED)).ok()?;
    head.set_version(if is_http10 { Version::HTTP_10 } else { Version::HTTP_11 });
    for (name, value) in parts.fields() {
        let value = HeaderValue::from_maybe_shared(bytes.slice_ref(value)).ok()?;
        head.append_header(bytes.slice_ref(name), value).ok()?;
    }
    Some(head)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_is_what_its_bytes_say() {
        let bytes = Bytes::from_static(b"GET /a?b HTTP/1.0\r\nHoSt: x\r\nX-A:  1 \r\nx-a: \xff\r\n\r\n");
        let head = read(&bytes).unwrap();
        assert_eq!((head.method.as_str(), head.raw_path(), head.version), ("GET", &b"/a?b"[..], Version::HTTP_10));
        let fields: Vec<_> = head.headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes())).collect();
        assert_eq!(fields, [("host", &b"x"[..]), ("x-a", b"1"), ("x-a", b"\xff")]);
        let names: Vec<_> = head.case_header_iter().map(|(name, _)| name.as_slice()).collect();
        assert_eq!(names, [&b"HoSt"[..], b"X-A", b"x-a"]);
    }
}
