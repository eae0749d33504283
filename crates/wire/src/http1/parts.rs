//! A head that has been read, taken apart.

use memchr::memchr;

use super::status_line;
use crate::class;

/// The lines of a head that a reader has found well-formed, one after the other.
///
/// ```
/// use portreeve_wire::http1::Parts;
///
/// let mut parts = Parts::of(b"GET / HTTP/1.1\r\nHost: a\r\n\r\nrest").unwrap();
/// assert_eq!(parts.line, b"GET / HTTP/1.1");
/// assert_eq!(parts.by_ref().collect::<Vec<_>>(), [(&b"Host"[..], &b"a"[..])]);
/// assert_eq!(parts.length(), Some(27));
/// ```
#[derive(Debug, Clone)]
pub struct Parts<'h> {
    /// The request line, or the status line.
    pub line: &'h [u8],
    rest: &'h [u8],
    all: usize,
    is_whole: bool,
}

impl<'h> Parts<'h> {
    /// The head at the beginning of `bytes`; `None` if not even its first line has come.
    pub fn of(bytes: &'h [u8]) -> Option<Self> {
        // One empty line may come before a request (RFC 9112 §2.2).
        let (line, rest) = split_line(bytes.strip_prefix(b"\r\n").unwrap_or(bytes))?;
        Some(Self { line, rest, all: bytes.len(), is_whole: false })
    }

    /// Bytes of the head, with the empty line at its end, once all fields have been seen; `None` if it has not come whole.
    pub fn length(&self) -> Option<usize> {
        self.is_whole.then(|| self.all - self.rest.len())
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

impl<'h> Iterator for Parts<'h> {
    type Item = (&'h [u8], &'h [u8]);

    /// The next field: its name as it was sent, and its value without the white space around it.
    fn next(&mut self) -> Option<Self::Item> {
        if self.is_whole {
            return None;
        }
        let (line, rest) = split_line(self.rest)?;
        self.rest = rest;
        if line.is_empty() {
            self.is_whole = true;
            return None;
        }
        // Names are short.
        let (name, value) = line.split_at_checked(line.iter().position(|&byte| byte == b':')?)?;
        Some((name, class::trim(value.get(1..)?)))
    }
}

/// The first line without its end, and what follows it.
fn split_line(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = memchr(b'\n', bytes)?;
    let (line, rest) = bytes.split_at_checked(end + 1)?;
    Some((line.strip_suffix(b"\r\n")?, rest))
}
