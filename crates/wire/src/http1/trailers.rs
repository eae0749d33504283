//! The fields after a body, kept as they came.

use super::field::Field;

/// Room that is kept from one message to the next. Arbitrary: a checksum or two are sent.
const KEEP: usize = 256;

/// The trailer fields of a message, in their order; well-formed, and none that may not come after a body (RFC 9110 §6.5.1).
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Trailers {
    /// Field lines, each with its LF.
    lines: Vec<u8>,
}

impl Trailers {
    /// There are none.
    pub fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    /// Names as they were sent, and values without the white space around them.
    pub fn iter(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        let lines = self.lines.split(|&byte| byte == b'\n').filter(|line| !line.is_empty());
        lines.filter_map(|line| Field::parse(line).ok()).map(|field| (field.name, field.value))
    }

    /// Adds a line that has been found good.
    pub(super) fn push(&mut self, line: &[u8]) {
        self.lines.extend_from_slice(line);
        self.lines.push(b'\n');
    }

    /// Forgets those of the message before.
    pub(super) fn clear(&mut self) {
        self.lines.clear();
        self.lines.shrink_to(KEEP);
    }
}

/// Whether a field of this name may come after a body: none that frames, routes, modifies or authenticates a message, or
/// tells the form of its content (RFC 9110 §6.5.1), and none that some implementation takes for one that frames.
pub fn may_be_trailer(name: &[u8]) -> bool {
    super::field::may_be_trailer(&Field { name, value: b"" })
}
