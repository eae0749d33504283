//! An answer as it comes: its heads, then the content of its body. Its bytes have been read strictly by the connection.

use std::sync::LazyLock;

use bytes::{Bytes, BytesMut};
use http::{Response, StatusCode, Version};
use memchr::memmem;
use pingora::http::ResponseHeader;
use pingora::{Error, ErrorType, OrErr, Result};
use portreeve_wire::http1::{Content, Parts};

use crate::names;
use crate::upstream::Loan;

/// Room that is made at once. Arbitrary: most answers have fewer.
const FIELDS: usize = 16;

/// Takes the head at the beginning of `came`, if it has come whole.
///
/// # Errors
/// It is none, which the connection has ruled out.
pub(super) fn head(came: &mut BytesMut) -> Result<Option<Box<ResponseHeader>>> {
    // Behind it a chunk or the beginning of a body may have come: it stays.
    let Some(length) = length(came) else { return Ok(None) };
    let bytes = came.split_to(length).freeze();
    let head = parse(&bytes).ok_or_else(|| Error::explain(ErrorType::InvalidHTTPHeader, "no head of an answer"));
    head.map(Some).map_err(Error::into_up)
}

/// Bytes of the head, if it has come whole.
fn length(came: &[u8]) -> Option<usize> {
    static END: LazyLock<memmem::Finder<'static>> = LazyLock::new(|| memmem::Finder::new(b"\r\n\r\n"));
    END.find(came).map(|at| at + 4)
}

fn parse(bytes: &Bytes) -> Option<Box<ResponseHeader>> {
    let mut parts = Parts::of(bytes)?;
    let (status, reason, is_http10) = parts.status_line()?;
    let headers = names::fields(&mut parts, bytes, FIELDS)?;
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

/// The body behind a head.
pub(super) struct Reading {
    came: BytesMut,
    content: Content,
    /// The end has been told.
    is_told: bool,
}

impl Reading {
    /// Behind the head that has just come; `came` is what came with it.
    ///
    /// # Errors
    /// There is no such head.
    pub(super) fn new(loan: &Loan, came: BytesMut) -> Result<Self> {
        let Some(content) = loan.content() else {
            return Err(Error::explain(ErrorType::InvalidHTTPHeader, "an answer without a head").into_up());
        };
        Ok(Self { came, content, is_told: false })
    }

    /// Whether the end has come. Without a body, it has with the head.
    pub(super) fn is_over(&self) -> bool {
        self.content.is_over()
    }

    /// Where what comes next is read into.
    pub(super) fn room(&mut self) -> &mut BytesMut {
        &mut self.came
    }

    /// The next piece of the content that has come, and whether it is the last; the last may be none. `None` until more comes.
    ///
    /// # Errors
    /// The body is malformed, which the connection has ruled out.
    pub(super) fn next(&mut self) -> Result<Option<(Option<Bytes>, bool)>> {
        let mut data = None;
        while !self.came.is_empty() && !self.content.is_over() {
            if data.is_some() && self.content.is_at_content() {
                break;
            }
            let piece = self.content.next(&self.came);
            let piece = piece.or_err(ErrorType::InvalidHTTPHeader, "a malformed body").map_err(Error::into_up)?;
            let bytes = self.came.split_to(piece.length);
            if piece.is_content {
                data = Some(bytes.freeze());
            }
        }
        let last = self.content.is_over() && !std::mem::replace(&mut self.is_told, self.content.is_over());
        Ok((data.is_some() || last).then_some((data, last)))
    }

    /// The target has sent its last byte.
    ///
    /// # Errors
    /// That was not where the answer ends.
    pub(super) fn end(&mut self) -> Result<()> {
        if !self.content.is_until_close() {
            return Err(Error::explain(ErrorType::ConnectionClosed, "within the body of an answer").into_up());
        }
        self.content = Content::default();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use portreeve_wire::http1::{AnswerBody, Body, Bounds};
    use proptest::prelude::*;

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

    fn reading(body: AnswerBody) -> Reading {
        Reading { came: BytesMut::new(), content: Content::of(body, Bounds::default()), is_told: false }
    }

    /// Reads all that has come: the content, and how often the end was told.
    fn drain(reading: &mut Reading, whole: &mut Vec<u8>) -> usize {
        let mut ends = 0;
        while let Some((data, last)) = reading.next().unwrap() {
            whole.extend_from_slice(data.as_deref().unwrap_or_default());
            ends += usize::from(last);
        }
        ends
    }

    proptest! {
        #[test]
        fn the_content_is_the_same_however_it_is_chunked_and_cut(
            chunks in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..40), 0..6),
            is_chunked: bool,
            cuts in prop::collection::vec(1_usize..30, 1..8),
        ) {
            let content = chunks.concat();
            let (body, bytes) = if is_chunked {
                let mut bytes = Vec::new();
                for chunk in &chunks {
                    bytes.extend_from_slice(format!("{:x};a=b\r\n", chunk.len()).as_bytes());
                    bytes.extend_from_slice(chunk);
                    bytes.extend_from_slice(b"\r\n");
                }
                bytes.extend_from_slice(b"0\r\nX-Sum: 1\r\n\r\n");
                (Body::Chunked, bytes)
            } else {
                (Body::Length(content.len() as u64), content.clone())
            };
            let (mut reading, mut whole, mut ends) = (reading(AnswerBody::Framed(body)), Vec::new(), 0);
            let (mut rest, mut cuts) = (&bytes[..], cuts.iter().cycle());
            while !rest.is_empty() {
                let n = rest.len().min(*cuts.next().unwrap());
                reading.room().extend_from_slice(&rest[..n]);
                rest = &rest[n..];
                ends += drain(&mut reading, &mut whole);
            }
            prop_assert_eq!(whole, content);
            // Without a byte there is nobody to tell: the head was the end.
            prop_assert_eq!(ends, usize::from(!bytes.is_empty()));
            prop_assert!(reading.is_over());
            prop_assert!(reading.end().is_err());
        }
    }

    #[test]
    fn the_end_of_the_connection_ends_a_body_that_nothing_else_ends() {
        let (mut reading, mut whole) = (reading(AnswerBody::UntilClose), Vec::new());
        reading.room().extend_from_slice(b"abc");
        assert_eq!(drain(&mut reading, &mut whole), 0);
        reading.end().unwrap();
        assert_eq!(drain(&mut reading, &mut whole), 1);
        assert_eq!(whole, b"abc");
    }
}
