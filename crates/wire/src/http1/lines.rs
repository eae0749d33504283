//! Lines out of pieces: whole ones where they stand, split ones put together in a buffer of their own.

use memchr::memchr;

use super::Refusal;

/// Room that is kept from one line to the next; a buffer that grew beyond is given back, so that an idle connection
/// stays small. Arbitrary: the rest of a split line is seldom longer.
const KEEP: usize = 512;

/// The part of a line that has come, while its end has not.
#[derive(Debug, Default)]
pub(super) struct Lines {
    part: Vec<u8>,
    /// `part` was a whole line, and has been shown.
    is_shown: bool,
}

impl Lines {
    /// The next line without its CRLF, and how many of `bytes` it took. `None`: its end is not among them, and all
    /// were kept. `most` bounds the line, CRLF included; the same line is refused however it is split.
    ///
    /// # Errors
    /// `too_long`, or [`Refusal::BareLf`].
    pub(super) fn next<'a>(
        &'a mut self,
        bytes: &'a [u8],
        most: usize,
        too_long: Refusal,
    ) -> Result<Option<(&'a [u8], usize)>, Refusal> {
        if self.is_shown {
            self.rest();
        }
        let end = memchr(b'\n', bytes);
        let taken = end.map_or(bytes.len(), |end| end + 1);
        let length = self.part.len() + taken;
        // A line of the full length that does not end yet can only become too long.
        if length > most || length == most && end.is_none() {
            return Err(too_long);
        }
        let piece = bytes.get(..taken).unwrap_or_default();
        if !self.part.is_empty() || end.is_none() {
            self.part.extend_from_slice(piece);
        }
        if end.is_none() {
            return Ok(None);
        }
        let line = if self.part.is_empty() {
            piece
        } else {
            self.is_shown = true;
            &self.part
        };
        line.strip_suffix(b"\r\n").map(|line| Some((line, taken))).ok_or(Refusal::BareLf)
    }

    /// The part of a line that has come.
    pub(super) fn part(&self) -> &[u8] {
        if self.is_shown { &[] } else { &self.part }
    }

    /// Keeps no more than it needs until the next line.
    pub(super) fn rest(&mut self) {
        self.is_shown = false;
        self.part.clear();
        self.part.shrink_to(KEEP);
    }
}

/// `refusal` of `line`, unless a bare CR is behind it: that is what the operator wants to know.
pub(super) fn because_of_cr(line: &[u8], refusal: Refusal) -> Refusal {
    if memchr(b'\r', line).is_some() { Refusal::BareCr } else { refusal }
}
