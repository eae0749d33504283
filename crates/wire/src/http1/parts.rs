//! A head that has been read, taken apart.

use memchr::memchr;

use super::status_line;
use crate::class;

/// The lines of a head that a reader has found whole and well-formed.
///
/// ```
/// use portreeve_wire::http1::Parts;
///
/// let parts = Parts::of(b"GET / HTTP/1.1\r\nHost: a\r\n\r\nrest").unwrap();
/// assert_eq!(parts.line, b"GET / HTTP/1.1");
/// assert_eq!(parts.fields().collect::<Vec<_>>(), [(&b"Host"[..], &b"a"[..])]);
/// assert_eq!(parts.length, 27);
/// ```
#[derive(Debug, Clone, Copy)]
pub struct Parts<'h> {
    /// The request line, or the status line.
    pub line: &'h [u8],
    /// How many fields there are.
    pub count: usize,
    /// Bytes of the head, with the empty line at its end.
    pub length: usize,
    fields: &'h [u8],
}

impl<'h> Parts<'h> {
    /// The head at the beginning of `bytes`; `None` if its end is not among them.
    pub fn of(bytes: &'h [u8]) -> Option<Self> {
        // One empty line may come before a request (RFC 9112 §2.2).
        let head = bytes.strip_prefix(b"\r\n").unwrap_or(bytes);
        let (line, fields) = split_line(head)?;
        let (mut rest, mut count) = (fields, 0);
        loop {
            let (field, after) = split_line(rest)?;
            rest = after;
            if field.is_empty() {
                break;
            }
            count += 1;
        }
        let fields = fields.get(..fields.len() - rest.len())?;
        Some(Self { line, count, length: bytes.len() - rest.len(), fields })
    }

    /// Names as they were sent, and values without the white space around them.
    pub fn fields(&self) -> impl Iterator<Item = (&'h [u8], &'h [u8])> + use<'h> {
        let mut rest = self.fields;
        std::iter::from_fn(move || {
            let (line, after) = split_line(rest)?;
            rest = after;
            let (name, value) = line.split_at_checked(memchr(b':', line)?)?;
            Some((name, class::trim(value.get(1..)?)))
        })
    }

    /// Method, target and whether the version is 1.0, of a request.
    pub fn request_line(&self) -> Option<(&'h [u8], &'h [u8], bool)> {
        let mut words = self.line.split(|&byte| byte == b' ');
        Some((words.next()?, words.next()?, words.next()? == b"HTTP/1.0"))
    }

    /// Status, reason and whether the version is 1.0, of an answer.
    pub fn status_line(&self) -> Option<(u16, &'h [u8], bool)> {
        let (is_http10, status) = status_line::parse(self.line).ok()?;
        Some((status, self.line.get(status_line::REASON..).unwrap_or_default(), is_http10))
    }
}

/// The first line without its end, and what follows it.
fn split_line(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = memchr(b'\n', bytes)?;
    let (line, rest) = bytes.split_at_checked(end + 1)?;
    Some((line.strip_suffix(b"\r\n")?, rest))
}
