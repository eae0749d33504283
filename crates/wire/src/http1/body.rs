//! What comes after a head, up to the end of the message.

use super::field::{Field, may_be_trailer};
use super::lines::Lines;
use super::{Body, Bounds, Refusal, Trailers, chunk};

/// Where in a body a reader is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// So many bytes are still to come.
    Length(u64),
    /// Before a chunk.
    ChunkLine(Extensions),
    /// So many bytes of the chunk are still to come.
    Chunk(u64, Extensions),
    /// At the CR after a chunk.
    ChunkCr(Extensions),
    /// At the LF after a chunk.
    ChunkLf(Extensions),
    /// Among the trailers: bytes and fields so far.
    Trailers {
        bytes: usize,
        fields: usize,
    },
    /// Until the connection ends (only responses).
    Close,
    End,
}

/// Bytes of chunk extensions so far: they are thrown away, and count for nothing else.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Extensions(usize);

impl Extensions {
    fn and(self, more: usize, bounds: &Bounds) -> Result<Self, Refusal> {
        let all = self.0.saturating_add(more);
        if all > bounds.extension_bytes { Err(Refusal::ChunkExtensionsTooLong) } else { Ok(Self(all)) }
    }
}

impl Place {
    /// Where a body begins.
    pub(super) fn start(body: Body) -> Self {
        match body {
            Body::None | Body::Length(0) => Self::End,
            Body::Length(length) => Self::Length(length),
            Body::Chunked => Self::ChunkLine(Extensions::default()),
        }
    }

    /// Reads on within one piece of the body; how many bytes it took. `body_bytes` counts those that are content, `trailers`
    /// takes the fields after it.
    pub(super) fn read(
        &mut self,
        bytes: &[u8],
        lines: &mut Lines,
        bounds: &Bounds,
        body_bytes: &mut u64,
        trailers: &mut Trailers,
    ) -> Result<usize, Refusal> {
        match *self {
            Self::Length(left) => {
                let (taken, left) = take(bytes, left, body_bytes);
                *self = if left == 0 { Self::End } else { Self::Length(left) };
                Ok(taken)
            }
            Self::Chunk(left, extensions) => {
                let (taken, left) = take(bytes, left, body_bytes);
                *self = if left == 0 { Self::ChunkCr(extensions) } else { Self::Chunk(left, extensions) };
                Ok(taken)
            }
            Self::ChunkLine(extensions) => {
                let line = lines.next(bytes, bounds.chunk_line_bytes, Refusal::ChunkLineTooLong)?;
                let Some((line, taken)) = line else { return Ok(bytes.len()) };
                let (size, more) = chunk::size(line)?;
                let extensions = extensions.and(more, bounds)?;
                *self = match size {
                    0 => Self::Trailers { bytes: 0, fields: 0 },
                    size => Self::Chunk(size, extensions),
                };
                Ok(taken)
            }
            Self::ChunkCr(extensions) => self.after_chunk(bytes, b'\r', Self::ChunkLf(extensions)),
            Self::ChunkLf(extensions) => self.after_chunk(bytes, b'\n', Self::ChunkLine(extensions)),
            Self::Trailers { bytes: used, fields } => {
                let most = bounds.trailer_bytes.saturating_sub(used);
                let Some((line, taken)) = lines.next(bytes, most, Refusal::TrailersTooLarge)? else {
                    return Ok(bytes.len());
                };
                *self = if line.is_empty() {
                    Self::End
                } else {
                    if fields == bounds.fields {
                        return Err(Refusal::TooManyFields);
                    }
                    if !may_be_trailer(&Field::parse(line)?) {
                        return Err(Refusal::Trailer);
                    }
                    trailers.push(line);
                    Self::Trailers { bytes: used + line.len() + 2, fields: fields + 1 }
                };
                Ok(taken)
            }
            Self::Close => Ok(take(bytes, u64::MAX, body_bytes).0),
            Self::End => Ok(0),
        }
    }

    fn after_chunk(&mut self, bytes: &[u8], wanted: u8, next: Self) -> Result<usize, Refusal> {
        match bytes.first() {
            Some(&byte) if byte == wanted => {
                *self = next;
                Ok(1)
            }
            Some(_) => Err(Refusal::ChunkEnd),
            None => Ok(0),
        }
    }
}

/// Takes at most `left` bytes of content: how many, and how many are then left.
fn take(bytes: &[u8], left: u64, body_bytes: &mut u64) -> (usize, u64) {
    let taken = usize::try_from(left).map_or(bytes.len(), |left| left.min(bytes.len()));
    let count = taken as u64;
    *body_bytes = body_bytes.saturating_add(count);
    (taken, left - count)
}
