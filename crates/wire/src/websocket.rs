//! Where the frames of a WebSocket begin and end (RFC 6455 §5.2): just enough to put a frame of our own between two of theirs.
//! What they carry is not looked at.

const OPCODE: u8 = 0x0f;
const CLOSE: u8 = 0x8;
const MASK: u8 = 0x80;
const LENGTH: u8 = 0x7f;

/// Follows the frames that one side sends. It judges nothing: whoever reads the frames does.
///
/// ```
/// use portreeve_wire::websocket::Frames;
///
/// let mut frames = Frames::default();
/// frames.take(b"\x81\x05hel");
/// assert!(!frames.is_between());
/// // Two bytes of that frame are still to come; then a close frame follows.
/// assert_eq!(frames.in_hand(b"lo\x88\x02\x03\xe8"), 2);
/// frames.take(b"lo\x88\x02\x03\xe8");
/// assert!(frames.is_between() && frames.has_closed());
/// ```
#[derive(Debug, Clone, Copy, Default)]
pub struct Frames {
    at: At,
    /// The frame in hand is a close frame.
    is_close: bool,
    has_closed: bool,
}

#[derive(Debug, Clone, Copy, Default)]
enum At {
    #[default]
    Between,
    /// Before the second byte of a frame.
    Second,
    /// So many bytes of the length are still to come, and so much of it is known.
    Length { left: u8, length: u64, mask: u64 },
    /// So many bytes of the frame are still to come.
    Payload(u64),
}

impl Frames {
    /// Takes the next bytes.
    pub fn take(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            bytes = bytes.get(self.step(bytes)..).unwrap_or_default();
        }
    }

    /// How many of the next bytes belong to the frame in hand: as many as there are, if it does not end among them; none, if
    /// there is no frame in hand.
    pub fn in_hand(mut self, bytes: &[u8]) -> usize {
        let mut taken = 0;
        while !self.is_between() && taken < bytes.len() {
            taken += self.step(bytes.get(taken..).unwrap_or_default());
        }
        taken
    }

    /// The last frame has come whole, and nothing of the next one.
    pub fn is_between(&self) -> bool {
        matches!(self.at, At::Between)
    }

    /// A close frame has come whole: no other may follow (RFC 6455 §5.5.1).
    pub fn has_closed(&self) -> bool {
        self.has_closed
    }

    /// Takes one piece of the next bytes, at least one byte, and never beyond the frame in hand.
    fn step(&mut self, bytes: &[u8]) -> usize {
        let [byte, ..] = bytes else { return 0 };
        self.at = match self.at {
            At::Between => {
                self.is_close = byte & OPCODE == CLOSE;
                At::Second
            }
            At::Second => {
                let mask = if byte & MASK == 0 { 0 } else { 4 };
                match byte & LENGTH {
                    126 => At::Length { left: 2, length: 0, mask },
                    127 => At::Length { left: 8, length: 0, mask },
                    length => self.payload(u64::from(length) + mask),
                }
            }
            At::Length { left, length, mask } => {
                let length = length << 8 | u64::from(*byte);
                match left {
                    // No frame is that long (RFC 6455 §5.2 has 63 bits).
                    0 | 1 => self.payload(length.saturating_add(mask)),
                    left => At::Length { left: left - 1, length, mask },
                }
            }
            At::Payload(left) => {
                let taken = usize::try_from(left).map_or(bytes.len(), |left| left.min(bytes.len()));
                self.at = self.payload(left - taken as u64);
                return taken;
            }
        };
        1
    }

    /// So much of the frame is still to come.
    fn payload(&mut self, left: u64) -> At {
        if left > 0 {
            return At::Payload(left);
        }
        self.has_closed |= self.is_close;
        At::Between
    }
}

/// A close frame of a server with this code (RFC 6455 §7.4).
pub fn close(code: u16) -> [u8; 4] {
    let [high, low] = code.to_be_bytes();
    [0x80 | CLOSE, 2, high, low]
}

/// The same of a client: masked (RFC 6455 §5.3). `mask` must not be foreseeable.
pub fn masked_close(code: u16, mask: [u8; 4]) -> [u8; 8] {
    let ([high, low], [a, b, c, d]) = (code.to_be_bytes(), mask);
    [0x80 | CLOSE, MASK | 2, a, b, c, d, high ^ a, low ^ b]
}
