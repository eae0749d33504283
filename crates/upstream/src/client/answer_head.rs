//! The head of an answer in HTTP/1.1, made of bytes that the connection has read strictly.

use bytes::{Bytes, BytesMut};
use http::{Response, StatusCode, Version};
use pingora::http::ResponseHeader;
use pingora::{Error, ErrorType, Result};
use portreeve_wire::http1::{Parts, fields, head_length};

/// Room that is made at once. Arbitrary: most answers have fewer.
const FIELDS: usize = 16;

/// Takes the head at the beginning of `came`, if it has come whole.
///
/// # Errors
/// It is none, which the connection has ruled out.
pub(crate) fn head(came: &mut BytesMut) -> Result<Option<Box<ResponseHeader>>> {
    // Behind it a chunk or the beginning of a body may have come: it stays.
    let Some(length) = head_length(came) else { return Ok(None) };
    let bytes = came.split_to(length).freeze();
    let head = parse(&bytes).ok_or_else(|| Error::explain(ErrorType::InvalidHTTPHeader, "no head of an answer"));
    head.map(Some)
}

fn parse(bytes: &Bytes) -> Option<Box<ResponseHeader>> {
    let mut parts = Parts::of(bytes)?;
    let (status, reason, is_http10) = parts.status_line()?;
    let headers = fields(&mut parts, bytes, FIELDS)?;
    let mut answer = Response::new(()).into_parts().0;
    answer.status = StatusCode::from_u16(status).ok()?;
    answer.version = if is_http10 { Version::HTTP_10 } else { Version::HTTP_11 };
    answer.headers = headers;
    let is_usual = answer.status.canonical_reason().is_some_and(|usual| usual.as_bytes() == reason);
    let mut head = ResponseHeader::from(answer);
    if !is_usual && let Ok(reason) = std::str::from_utf8(reason) {
        head.set_reason_phrase(Some(reason)).ok()?;
    }
    Some(Box::new(head))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_is_what_its_bytes_say() {
        let bytes = Bytes::from_static(b"HTTP/1.0 299 So so\r\nSeRver: x\r\nX-A:  1 \r\nx-a: \xff\r\n\r\n");
        let head = parse(&bytes).unwrap();
        assert_eq!((head.status.as_u16(), head.get_reason_phrase()), (299, Some("So so")));
        assert_eq!(head.version, Version::HTTP_10);
        let fields: Vec<_> = head.headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes())).collect();
        assert_eq!(fields, [("server", &b"x"[..]), ("x-a", b"1"), ("x-a", b"\xff")]);
    }
}
