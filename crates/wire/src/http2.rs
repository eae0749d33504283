//! Where the frames of an HTTP/2 client begin and end (RFC 9113 §4.1): just enough to know how long a head is on its way, how
//! much of a body has come, and what frames cost that carry nothing, without reading what the frames say.

/// The preface of a client (RFC 9113 §3.4), which comes before its first frame.
pub const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// `GOAWAY` of whoever has served no stream, with `PROTOCOL_ERROR` (RFC 9113 §6.8).
pub const GOAWAY_AT_ONCE: [u8; 17] = [0, 0, 8, 7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1];

const HEADER: usize = 9;
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const CONTINUATION: u8 = 9;
const END_HEADERS: u8 = 4;
const ACK: u8 = 1;

/// Follows the frames that come in on one connection. It judges nothing but how they begin: whatever reads the frames does.
#[derive(Debug, Clone, Default)]
pub struct Frames {
    /// Bytes of the preface so far.
    preface: usize,
    /// What the first frame is, as soon as its header has come.
    opening: Opening,
    header: [u8; HEADER],
    /// Bytes of the frame header so far.
    filled: usize,
    /// Bytes of the frame's payload that are still to come.
    left: usize,
    /// A head whose last frame has not begun.
    open: bool,
    /// Heads that have come whole.
    heads: u64,
    /// What the frames so far have cost.
    cost: u64,
}

/// The first frame of a client, which belongs to its preface.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Opening {
    #[default]
    Awaited,
    /// `SETTINGS` of its own.
    Proper,
    /// Something else.
    Improper,
}

impl Frames {
    /// Takes the next bytes.
    pub fn take(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            if self.preface < PREFACE.len() {
                let n = bytes.len().min(PREFACE.len() - self.preface);
                self.preface += n;
                bytes = bytes.get(n..).unwrap_or_default();
            } else if self.filled < HEADER {
                let n = bytes.len().min(HEADER - self.filled);
                let (fresh, rest) = bytes.split_at_checked(n).unwrap_or((bytes, &[]));
                if let Some(room) = self.header.get_mut(self.filled..self.filled + n) {
                    room.copy_from_slice(fresh);
                }
                self.filled += n;
                bytes = rest;
                if self.filled == HEADER {
                    self.begin();
                }
            } else {
                let n = bytes.len().min(self.left);
                self.left -= n;
                bytes = bytes.get(n..).unwrap_or_default();
            }
            if self.filled == HEADER && self.left == 0 {
                self.end();
            }
        }
    }

    fn begin(&mut self) {
        let [a, b, c, ..] = self.header;
        self.left = usize::from(a) << 16 | usize::from(b) << 8 | usize::from(c);
        if self.opening == Opening::Awaited {
            let is_proper = self.kind() == SETTINGS && self.flags() & ACK == 0;
            self.opening = if is_proper { Opening::Proper } else { Opening::Improper };
        }
        self.cost += self.cost_of_frame();
        match self.kind() {
            HEADERS => self.open = !self.ends_headers(),
            CONTINUATION if self.ends_headers() => self.open = false,
            _ => {}
        }
    }

    fn end(&mut self) {
        if self.of_head() && self.ends_headers() {
            self.heads += 1;
        }
        self.filled = 0;
    }

    /// What the frame that begins costs whoever must look at it, in the cheapest of frames: see [`Frames::cost`].
    fn cost_of_frame(&self) -> u64 {
        let of_length = self.left as u64 / 256;
        match (self.kind(), self.flags() & ACK != 0) {
            // Held to a window, and the short ones to a budget, by whoever reads them.
            (DATA, _) => 0,
            // A client has nothing to answer but what it was asked, and goes away once.
            (PING, true) | (GOAWAY, _) => 100,
            // Each is answered, and may change the windows of all streams.
            (SETTINGS, _) => 10 + of_length,
            _ => 1 + of_length,
        }
    }

    fn kind(&self) -> u8 {
        self.header.get(3).copied().unwrap_or_default()
    }

    fn flags(&self) -> u8 {
        self.header.get(4).copied().unwrap_or_default()
    }

    fn ends_headers(&self) -> bool {
        self.flags() & END_HEADERS != 0
    }

    fn of_head(&self) -> bool {
        matches!(self.kind(), HEADERS | CONTINUATION)
    }

    /// Whether the first frame is none of `SETTINGS`: a connection error (RFC 9113 §3.4).
    pub fn open_improperly(&self) -> bool {
        self.opening == Opening::Improper
    }

    /// Whether the next bytes are due, because a head has begun and not ended: nothing else may come before its end
    /// (RFC 9113 §4.3). The preface counts as one.
    pub fn in_head(&self) -> bool {
        self.preface < PREFACE.len() || self.open || (self.filled == HEADER && self.of_head())
    }

    /// Heads that have come whole.
    pub fn heads(&self) -> u64 {
        self.heads
    }

    /// What the frames so far cost whoever must look at them, but for `DATA`: 1 for a short one (`HEADERS`, `PRIORITY`,
    /// `RST_STREAM`, `PING`, `WINDOW_UPDATE`, what nobody knows), 10 for `SETTINGS`, 100 for an answer to a `PING` and for
    /// `GOAWAY`, and 1 more for each 256 bytes. Whether they were of use is for others to say.
    pub fn cost(&self) -> u64 {
        self.cost
    }

    /// The stream whose `DATA` frame is on its way, and how many bytes of it have come. h2 hands a frame on when it is whole.
    pub fn arriving(&self) -> Option<(u32, usize)> {
        let [a, b, c, kind, _, stream @ ..] = self.header;
        if self.filled < HEADER || kind != DATA {
            return None;
        }
        let length = usize::from(a) << 16 | usize::from(b) << 8 | usize::from(c);
        Some((u32::from_be_bytes(stream) & 0x7fff_ffff, length - self.left.min(length)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
        let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
        [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
    }

    /// After each byte: whether a head is open, and how many have ended.
    fn states(frames: &mut Frames, bytes: &[u8]) -> Vec<(bool, u64)> {
        let state = |byte: &u8| {
            frames.take(std::slice::from_ref(byte));
            (frames.in_head(), frames.heads())
        };
        bytes.iter().map(state).collect()
    }

    fn greeted() -> Frames {
        let mut frames = Frames::default();
        frames.take(PREFACE);
        frames
    }

    #[test]
    fn the_preface_is_due_from_the_start() {
        let mut frames = Frames::default();
        assert!(frames.in_head());
        frames.take(&PREFACE[..10]);
        assert!(frames.in_head());
        frames.take(&PREFACE[10..]);
        assert!(!frames.in_head());
    }

    #[test]
    fn the_first_frame_is_settings_of_the_clients_own() {
        let opens = |bytes: &[u8]| {
            let mut frames = greeted();
            frames.take(bytes);
            !frames.open_improperly()
        };
        let settings = frame(4, 0, 0, &[0; 6]);
        assert!(opens(&settings));
        assert!(opens(&[settings, frame(4, 1, 0, b""), frame(6, 0, 0, &[0; 8])].concat()), "later frames are free");
        for other in [frame(4, 1, 0, b""), frame(6, 0, 0, &[0; 8]), frame(1, 5, 1, b"x"), frame(0xee, 0, 0, b"")] {
            assert!(opens(&other[..8]), "{other:?} has not shown itself");
            assert!(!opens(&other[..9]), "{other:?}");
            assert!(!opens(&[other, frame(4, 0, 0, b"")].concat()), "and does not recover");
        }
    }

    #[test]
    fn a_head_lasts_until_the_last_byte_of_the_frame_that_ends_it() {
        let bytes = [frame(1, 0, 1, b"abc"), frame(9, 0, 1, b"d"), frame(9, 4, 1, b"ef")].concat();
        let seen = states(&mut greeted(), &bytes);
        let begun = 8;
        assert!(seen[..begun].iter().all(|state| *state == (false, 0)));
        assert!(seen[begun..bytes.len() - 1].iter().all(|state| *state == (true, 0)), "{seen:?}");
        assert_eq!(seen.last(), Some(&(false, 1)));
    }

    #[test]
    fn other_frames_are_no_heads() {
        let bytes = [frame(4, 0, 0, &[0; 6]), frame(6, 0, 0, &[0; 8]), frame(0, 1, 1, b"body"), frame(4, 1, 0, b"")];
        assert!(states(&mut greeted(), &bytes.concat()).iter().all(|state| *state == (false, 0)));
    }

    #[test]
    fn a_head_without_bytes_has_ended_with_its_header() {
        let mut frames = greeted();
        frames.take(&frame(1, 5, 1, b""));
        assert_eq!((frames.in_head(), frames.heads()), (false, 1));
    }

    #[test]
    fn frames_cost_what_it_takes_to_look_at_them_and_those_that_a_client_has_no_reason_to_send_much_more() {
        let cost = |bytes: Vec<u8>| {
            let mut frames = greeted();
            frames.take(&bytes);
            frames.cost()
        };
        for kind in [1, 2, 3, 6, 8, 9, 0xee] {
            assert_eq!(cost(frame(kind, 0, 1, &[0; 8])), 1, "{kind}");
            assert_eq!(cost(frame(kind, 0, 1, &[0; 16_384])), 65, "{kind}");
        }
        assert_eq!(cost(frame(0, 0, 1, &[0; 1_000])), 0);
        assert_eq!((cost(frame(4, 0, 0, b"")), cost(frame(4, 1, 0, b""))), (10, 10));
        assert_eq!((cost(frame(6, 1, 0, &[0; 8])), cost(frame(7, 0, 0, &[0; 8]))), (100, 100));
        assert_eq!(cost(frame(6, 0, 0, &[0; 8]).repeat(1_000)), 1_000);
    }

    #[test]
    fn the_bytes_of_a_body_count_while_their_frame_is_on_its_way() {
        let (mut frames, bytes) = (greeted(), frame(0, 0, 7, b"hello"));
        frames.take(&bytes[..8]);
        assert_eq!(frames.arriving(), None);
        frames.take(&bytes[8..12]);
        assert_eq!(frames.arriving(), Some((7, 3)));
        frames.take(&bytes[12..]);
        assert_eq!(frames.arriving(), None);
    }

    proptest::proptest! {
        #[test]
        fn where_the_bytes_are_cut_makes_no_difference(
            kinds in proptest::collection::vec((0u8..10, 0u8..8, 0usize..40), 0..20),
            cuts in proptest::collection::vec(0usize..400, 0..20),
        ) {
            let bytes: Vec<u8> = kinds.iter().flat_map(|(kind, flags, n)| frame(*kind, *flags, 1, &vec![0; *n])).collect();
            let (mut whole, mut pieces) = (greeted(), greeted());
            whole.take(&bytes);
            let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(bytes.len())).chain([0, bytes.len()]).collect();
            cuts.sort_unstable();
            for pair in cuts.windows(2) {
                pieces.take(&bytes[pair[0]..pair[1]]);
            }
            let ended = kinds.iter().filter(|(kind, flags, _)| matches!(kind, 1 | 9) && flags & 4 != 0).count() as u64;
            proptest::prop_assert_eq!((whole.in_head(), whole.heads()), (pieces.in_head(), pieces.heads()));
            proptest::prop_assert_eq!(whole.heads(), ended);
        }
    }
}
