//! Messages in HTTP/1.x as they come: where a head ends, and the content of a body.

use std::sync::LazyLock;

use bytes::{Bytes, BytesMut};
use memchr::memmem;

use super::{Content, Flaw, Refusal};

/// Bytes of the head at the beginning, if it has come whole.
pub fn head_length(came: &[u8]) -> Option<usize> {
    static END: LazyLock<memmem::Finder<'static>> = LazyLock::new(|| memmem::Finder::new(b"\r\n\r\n"));
    END.find(came).map(|at| at + 4)
}

/// A body in HTTP/1.x as it comes, behind the head of its message: its content, told from what delimits it. Its bytes have been
/// read strictly by the connection.
#[derive(Debug, Default)]
pub struct Incoming {
    came: BytesMut,
    content: Content,
    /// The end has been told.
    is_told: bool,
}

impl Incoming {
    /// One that is delimited so, from its first byte on.
    pub fn of(content: Content) -> Self {
        Self { content, ..Self::default() }
    }

    /// What has come is the head, and then a body that is delimited so.
    pub fn begins(&mut self, content: Content) {
        (self.content, self.is_told) = (content, false);
    }

    /// Whether the end has come. Without a body, it has with the head.
    pub fn is_over(&self) -> bool {
        self.content.is_over()
    }

    /// Where what comes next is read into.
    pub fn room(&mut self) -> &mut BytesMut {
        &mut self.came
    }

    /// The next piece of the content that has come, and whether it is the last; the last may be none. `None` until more comes.
    ///
    /// # Errors
    /// The body is malformed, which the connection has ruled out.
    pub fn next_piece(&mut self) -> Result<Option<(Option<Bytes>, bool)>, Refusal> {
        let mut data = None;
        while !self.came.is_empty() && !self.content.is_over() {
            if data.is_some() && self.content.is_at_content() {
                break;
            }
            let piece = self.content.next(&self.came)?;
            let bytes = self.came.split_to(piece.length);
            if piece.is_content {
                data = Some(bytes.freeze());
            }
        }
        let last = self.content.is_over() && !std::mem::replace(&mut self.is_told, self.content.is_over());
        Ok((data.is_some() || last).then_some((data, last)))
    }

    /// The other side has sent its last byte.
    ///
    /// # Errors
    /// That was not where the message ends.
    pub fn end(&mut self) -> Result<(), Flaw> {
        if !self.content.is_until_close() {
            return Err(Flaw::Truncated);
        }
        self.content = Content::default();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use crate::http1::{AnswerBody, Body, Bounds};
    use proptest::prelude::*;

    use super::*;

    fn reading(body: AnswerBody) -> Incoming {
        Incoming::of(Content::of(body, Bounds::default()))
    }

    /// Reads all that has come: the content, and how often the end was told.
    fn drain(reading: &mut Incoming, whole: &mut Vec<u8>) -> usize {
        let mut ends = 0;
        while let Some((data, last)) = reading.next_piece().unwrap() {
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
