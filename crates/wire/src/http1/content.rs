//! The content of a body, told from what delimits it.

use super::body::Place;
use super::lines::Lines;
use super::{AnswerBody, Body, Bounds, Refusal, Trailers};

/// Takes a body apart that a reader ([`Requests`], [`Responses`]) has found well-formed: which of its bytes are content, and
/// which only say where chunks begin and end.
///
/// ```
/// use portreeve_wire::http1::{AnswerBody, Body, Bounds, Content};
///
/// let mut content = Content::of(AnswerBody::Framed(Body::Chunked), Bounds::default());
/// let (mut bytes, mut whole) = (&b"3\r\nabc\r\n1\r\nd\r\n0\r\n\r\n"[..], Vec::new());
/// while !content.is_over() {
///     let piece = content.next(bytes)?;
///     if piece.is_content {
///         whole.extend_from_slice(&bytes[..piece.length]);
///     }
///     bytes = &bytes[piece.length..];
/// }
/// assert_eq!((&whole[..], bytes), (&b"abcd"[..], &b""[..]));
/// # Ok::<(), portreeve_wire::http1::Refusal>(())
/// ```
///
/// [`Requests`]: super::Requests
/// [`Responses`]: super::Responses
#[derive(Debug)]
pub struct Content {
    place: Place,
    lines: Lines,
    bounds: Bounds,
}

/// Bytes at the beginning of those given that are of one kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Piece {
    /// How many. 0 if none were given, or the body is over.
    pub length: usize,
    /// Whether they are content.
    pub is_content: bool,
}

impl Content {
    /// That of a body which is delimited so, from its first byte on. `bounds` are those of the reader.
    pub fn of(body: AnswerBody, bounds: Bounds) -> Self {
        let place = match body {
            AnswerBody::Framed(body) => Place::start(body),
            AnswerBody::UntilClose => Place::Close,
        };
        Self { place, lines: Lines::default(), bounds }
    }

    /// Whether the body has come to its end. One that the end of the connection delimits never does by itself.
    pub fn is_over(&self) -> bool {
        self.place == Place::End
    }

    /// Whether the end of the connection is the end of the body.
    pub fn is_until_close(&self) -> bool {
        self.place == Place::Close
    }

    /// Whether what comes next is content.
    pub fn is_at_content(&self) -> bool {
        matches!(self.place, Place::Length(_) | Place::Chunk(..) | Place::Close)
    }

    /// What comes next, at the beginning of `bytes`: one piece.
    ///
    /// # Errors
    /// They are not well-formed.
    pub fn next(&mut self, bytes: &[u8]) -> Result<Piece, Refusal> {
        let is_content = self.is_at_content();
        // The reader before has counted, and has kept the trailers.
        let (mut count, mut trailers) = (0, Trailers::default());
        let length = self.place.read(bytes, &mut self.lines, &self.bounds, &mut count, &mut trailers)?;
        Ok(Piece { length, is_content })
    }
}

impl Default for Content {
    /// That of no body.
    fn default() -> Self {
        Self::of(AnswerBody::Framed(Body::None), Bounds::default())
    }
}
