//! A message of our own on its way out: where its trailers belong. Not strict: what we write ourselves needs no judge.

/// Follows the bytes of one message that goes out, to the place where trailers may be put into it: behind the last chunk,
/// before the empty line (RFC 9112 §7.1). Looks at heads and at the lines before chunks; what is in the chunks is skipped.
///
/// It knows the spelling in which a gateway writes chunks (`Transfer-Encoding: chunked` in any case, a size without
/// extension); in a message of any other form there is no place. It is `Copy`, so that it can look ahead at bytes that may
/// not all be taken.
///
/// ```
/// use portreeve_wire::http1::Outgoing;
///
/// let mut answer = Outgoing::answer();
/// assert_eq!(answer.follow(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n"), None);
/// assert_eq!(answer.follow(b"0\r\n\r\n"), Some(3));
/// ```
#[derive(Debug, Clone, Copy)]
pub struct Outgoing {
    state: State,
    is_answer: bool,
}

#[derive(Debug, Clone, Copy)]
enum State {
    Head(Head),
    /// In the line before a chunk: its size so far, and how many digits it has.
    Size(u64, u8),
    /// At the LF of that line.
    SizeEnd(u64),
    /// So many bytes to the next of those lines.
    Chunk(u64),
    /// There is nothing more to find.
    Over,
}

/// Where in a head.
#[derive(Debug, Clone, Copy, Default)]
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own; they do not form states")]
struct Head {
    /// Bytes of the line so far, as far as they matter.
    column: u8,
    /// How many of them are those of [`CHUNKED`].
    alike: u8,
    begins_with_cr: bool,
    is_past_first: bool,
    is_interim: bool,
    is_chunked: bool,
}

/// How a gateway says it, in lower case.
const CHUNKED: &[u8] = b"transfer-encoding: chunked\r";
/// Where the status stands: `HTTP/1.1 200`.
const STATUS: u8 = 9;

impl Outgoing {
    /// Before a request.
    pub fn request() -> Self {
        Self { state: State::Head(Head::default()), is_answer: false }
    }

    /// Before an answer, and any number of interim ones before it.
    pub fn answer() -> Self {
        Self { state: State::Head(Head::default()), is_answer: true }
    }

    /// Follows the next bytes. `Some(n)`: the place of the trailers is behind the first `n` of them; said once, and what
    /// follows is of no interest.
    pub fn follow(&mut self, bytes: &[u8]) -> Option<usize> {
        let mut rest = bytes;
        loop {
            rest = match self.state {
                State::Over => return None,
                State::Chunk(left) => {
                    let skipped = usize::try_from(left).map_or(rest.len(), |left| left.min(rest.len()));
                    let left = left - skipped as u64;
                    self.state = if left == 0 { State::Size(0, 0) } else { State::Chunk(left) };
                    if left > 0 {
                        return None;
                    }
                    rest.get(skipped..).unwrap_or_default()
                }
                _ => {
                    let [byte, after @ ..] = rest else { return None };
                    if self.step(*byte) {
                        return Some(bytes.len() - after.len());
                    }
                    after
                }
            };
        }
    }

    /// One byte of a head or of the line before a chunk. Whether the place of the trailers is behind it.
    fn step(&mut self, byte: u8) -> bool {
        self.state = match (self.state, byte) {
            (State::Head(head), byte) => head.step(byte, self.is_answer),
            (State::Size(size, digits @ 0..16), b'0'..=b'9') => {
                State::Size(size << 4 | u64::from(byte - b'0'), digits + 1)
            }
            (State::Size(size, digits @ 0..16), b'A'..=b'F' | b'a'..=b'f') => {
                State::Size(size << 4 | u64::from((byte | 0x20) - b'a' + 10), digits + 1)
            }
            (State::Size(size, 1..), b'\r') => State::SizeEnd(size),
            (State::SizeEnd(0), b'\n') => {
                self.state = State::Over;
                return true;
            }
            // Its CRLF is no other than its bytes.
            (State::SizeEnd(size), b'\n') => size.checked_add(2).map_or(State::Over, State::Chunk),
            _ => State::Over,
        };
        false
    }
}

impl Head {
    fn step(mut self, byte: u8, is_answer: bool) -> State {
        if byte == b'\n' {
            return self.end_line();
        }
        if self.column == 0 {
            self.begins_with_cr = byte == b'\r';
        }
        if is_answer && !self.is_past_first && self.column == STATUS {
            self.is_interim = byte == b'1';
        }
        if self.alike == self.column && CHUNKED.get(usize::from(self.alike)) == Some(&byte.to_ascii_lowercase()) {
            self.alike += 1;
        }
        self.column = self.column.saturating_add(1);
        State::Head(self)
    }

    fn end_line(self) -> State {
        let Self { column, alike, begins_with_cr, is_interim, .. } = self;
        let is_chunked = self.is_chunked || column == alike && usize::from(alike) == CHUNKED.len();
        match (begins_with_cr && column == 1, is_interim, is_chunked) {
            (false, ..) => State::Head(Self { is_past_first: true, is_interim, is_chunked, ..Self::default() }),
            (true, true, _) => State::Head(Self::default()),
            (true, false, true) => State::Size(0, 0),
            (true, false, false) => State::Over,
        }
    }
}
