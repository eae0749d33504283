//! The body of a request in HTTP/1.1 on its way to a target. Its framing was decided with its head, and is kept to.

use std::io::Write;

use bytes::Bytes;
use http::HeaderMap;
use pingora::{Error, ErrorType, Result};
use portreeve_wire::http1::Body;

use portreeve_connection::trailers;

/// What is still to be said of a request's body.
#[derive(Debug)]
pub(super) struct RequestBody {
    framing: Body,
    /// Of another protocol: it ends with the connection.
    is_raw: bool,
    /// The last bytes of an announced length. With them the request is whole to its target, so they wait until it is known to be: a
    /// client of HTTP/2 may still send more, or take it back.
    held: Bytes,
    is_over: bool,
}

impl RequestBody {
    /// All of a body that is delimited so.
    pub(super) fn of(framing: Body) -> Self {
        Self { framing, is_raw: false, held: Bytes::new(), is_over: false }
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
        match &mut self.framing {
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
        match self.framing {
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
    use http::HeaderName;
    use pingora::http::RequestHeader;
    use portreeve_wire::http1::{At, Bounds, Requests};
    use proptest::prelude::*;

    use super::super::RequestHead;
    use super::*;

    #[test]
    fn a_body_is_never_longer_or_shorter_than_was_announced() {
        let out = &mut Vec::new();
        let mut rest = RequestBody::of(Body::Length(3));
        rest.put(out, "ab".into()).unwrap();
        assert!(rest.end(out, None).is_err() && rest.put(out, "cd".into()).is_err());
        rest.put(out, "c".into()).unwrap();
        assert_eq!(out, b"ab", "whole before its end is known");
        assert!(rest.put(out, "d".into()).is_err());
        rest.end(out, None).unwrap();
        assert!(rest.put(out, "d".into()).is_err() && out == b"abc");
        let mut none = RequestBody::of(Body::None);
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
            let (mut out, mut rest) = (RequestHead::received(&head).write(body), RequestBody::of(body));
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
