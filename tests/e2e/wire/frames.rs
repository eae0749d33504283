//! Frames of HTTP/2 (RFC 9113 §4), written by hand and read as far as a test needs. Header blocks are plain literals (RFC 7541
//! §6.2.2), so that any bytes can stand in them.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use portreeve_tests::Wire;
use tokio::time::timeout;

use super::PATIENCE;

pub(crate) const DATA: u8 = 0;
pub(crate) const HEADERS: u8 = 1;
pub(crate) const PRIORITY: u8 = 2;
pub(crate) const RST_STREAM: u8 = 3;
pub(crate) const SETTINGS: u8 = 4;
pub(crate) const PUSH_PROMISE: u8 = 5;
pub(crate) const PING: u8 = 6;
pub(crate) const GOAWAY: u8 = 7;
pub(crate) const WINDOW_UPDATE: u8 = 8;
pub(crate) const CONTINUATION: u8 = 9;

/// `ACK` of SETTINGS and PING, `END_STREAM` of DATA and HEADERS.
pub(crate) const ACK: u8 = 1;
pub(crate) const END_STREAM: u8 = 1;
pub(crate) const END_HEADERS: u8 = 4;
pub(crate) const PADDED: u8 = 8;
pub(crate) const WITH_PRIORITY: u8 = 32;
/// A request in one frame.
pub(crate) const WHOLE: u8 = END_STREAM | END_HEADERS;

pub(crate) const PROTOCOL_ERROR: u32 = 1;
pub(crate) const FLOW_CONTROL_ERROR: u32 = 3;
pub(crate) const STREAM_CLOSED: u32 = 5;
pub(crate) const FRAME_SIZE_ERROR: u32 = 6;
pub(crate) const REFUSED_STREAM: u32 = 7;
pub(crate) const CANCEL: u32 = 8;
pub(crate) const COMPRESSION_ERROR: u32 = 9;
pub(crate) const ENHANCE_YOUR_CALM: u32 = 11;

pub(crate) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// A frame.
pub(crate) fn frame(kind: u8, flags: u8, stream: u32, payload: impl AsRef<[u8]>) -> Vec<u8> {
    let payload = payload.as_ref();
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// A header block.
pub(crate) fn block(fields: &[(&str, &str)]) -> Vec<u8> {
    fields.iter().flat_map(|(name, value)| literal(name.as_bytes(), value.as_bytes())).collect()
}

/// One field of a header block.
pub(crate) fn literal(name: &[u8], value: &[u8]) -> Vec<u8> {
    let mut field = vec![0];
    for text in [name, value] {
        // An integer with a prefix of 7 bits (RFC 7541 §5.1); no Huffman code.
        if text.len() < 127 {
            field.push(u8::try_from(text.len()).unwrap());
        } else {
            field.push(127);
            let mut rest = text.len() - 127;
            while rest >= 128 {
                field.push(u8::try_from(rest % 128).unwrap() | 128);
                rest /= 128;
            }
            field.push(u8::try_from(rest).unwrap());
        }
        field.extend_from_slice(text);
    }
    field
}

/// What every request has.
pub(crate) fn pseudo(method: &'static str, path: &'static str) -> Vec<(&'static str, &'static str)> {
    vec![(":method", method), (":scheme", "http"), (":authority", "a.example"), (":path", path)]
}

/// A GET in one frame.
pub(crate) fn get(stream: u32) -> Vec<u8> {
    frame(HEADERS, WHOLE, stream, block(&pseudo("GET", "/")))
}

/// The head of a POST, whose body follows.
pub(crate) fn post(stream: u32, more: &[(&str, &str)]) -> Vec<u8> {
    frame(HEADERS, END_HEADERS, stream, [block(&pseudo("POST", "/")), block(more)].concat())
}

/// What the gateway has said on a connection so far.
#[derive(Debug, Default)]
pub(crate) struct Told {
    pub(crate) goaway: Option<u32>,
    pub(crate) closed: bool,
    pub(crate) resets: BTreeMap<u32, u32>,
    pub(crate) statuses: BTreeMap<u32, u16>,
    /// Streams that the gateway has ended.
    pub(crate) ended: BTreeSet<u32>,
    pub(crate) pongs: usize,
    pub(crate) bytes: usize,
    /// What it allows, by number (RFC 9113 §6.5.2).
    pub(crate) settings: BTreeMap<u16, u32>,
    /// By how much it has widened the window of the connection.
    pub(crate) widened: u32,
}

/// A connection of HTTP/2.
pub(crate) struct Frames {
    wire: Wire,
    unread: Vec<u8>,
    pub(crate) told: Told,
}

impl Frames {
    /// One on which nothing has been sent.
    pub(crate) async fn bare(address: SocketAddr) -> Self {
        Self { wire: Wire::connect(address).await, unread: Vec::new(), told: Told::default() }
    }

    /// One that has been opened properly.
    pub(crate) async fn open(address: SocketAddr) -> Self {
        let mut frames = Self::bare(address).await;
        frames.send([PREFACE, &frame(SETTINGS, 0, 0, []), &frame(SETTINGS, ACK, 0, [])].concat()).await;
        frames
    }

    pub(crate) async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.wire.send(bytes).await;
    }

    /// Listens until `done`, or until the connection ends. Whether it was in time.
    pub(crate) async fn hear(&mut self, done: impl Fn(&Told) -> bool) -> bool {
        let listen = async {
            while !done(&self.told) && !self.told.closed {
                let next = self.wire.next().await;
                self.told.closed = next.is_empty();
                self.told.bytes += next.len();
                self.unread.extend(next);
                self.read();
            }
        };
        timeout(PATIENCE, listen).await.is_ok()
    }

    fn read(&mut self) {
        while let Some(head) = self.unread.first_chunk::<9>() {
            let length = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
            let (kind, flags) = (head[3], head[4]);
            let stream = u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
            let Some(payload) = self.unread.get(9..9 + length) else { return };
            let code =
                |at: usize| payload.get(at..at + 4).map_or(0, |code| u32::from_be_bytes(code.try_into().unwrap()));
            let told = &mut self.told;
            match kind {
                GOAWAY => told.goaway = Some(code(4)),
                RST_STREAM => {
                    told.resets.insert(stream, code(0));
                }
                SETTINGS => told.settings.extend(payload.chunks_exact(6).map(|setting| {
                    let [a, b, value @ ..] = <[u8; 6]>::try_from(setting).unwrap();
                    (u16::from_be_bytes([a, b]), u32::from_be_bytes(value))
                })),
                WINDOW_UPDATE if stream == 0 => told.widened += code(0),
                PING => told.pongs += usize::from(flags & ACK != 0),
                HEADERS => {
                    told.statuses.entry(stream).or_insert_with(|| status(payload));
                }
                _ => {}
            }
            if matches!(kind, DATA | HEADERS) && flags & END_STREAM != 0 {
                told.ended.insert(stream);
            }
            self.unread.drain(..9 + length);
        }
    }
}

/// `:status`, which comes first, from the block of an answer: indexed, or a literal of three digits (RFC 7541 §6, Appendix A
/// and B).
fn status(block: &[u8]) -> u16 {
    // A change of the table's size may come before it.
    let first = block.iter().position(|byte| byte >> 5 != 1).unwrap_or(0);
    let Some([field, rest @ ..]) = block.get(first..) else { return 0 };
    if field & 0x80 != 0 {
        return [200, 204, 206, 304, 400, 404, 500]
            .get(usize::from(field & 0x7f).wrapping_sub(8))
            .copied()
            .unwrap_or(0);
    }
    let Some([length, digits @ ..]) = rest.get(usize::from(matches!(field, 0 | 0x10 | 0x40)) * 8..) else { return 0 };
    let digits = &digits[..usize::from(length & 0x7f).min(digits.len())];
    if length & 0x80 == 0 {
        return String::from_utf8_lossy(digits).parse().unwrap_or(0);
    }
    // In the Huffman code 0, 1 and 2 have 5 bits; the other digits have 6.
    let mut bits = digits
        .iter()
        .take(4)
        .fold((0_u32, 32), |(bits, left), byte| (bits | u32::from(*byte) << (left - 8), left - 8))
        .0;
    let mut number = 0;
    for _ in 0..3 {
        let (digit, width) = match (bits >> 27, bits >> 26) {
            (short @ 0..=2, _) => (short, 5),
            (_, long @ 0x19..=0x1f) => (long - 0x16, 6),
            _ => return 0,
        };
        number = number * 10 + digit;
        bits <<= width;
    }
    u16::try_from(number).unwrap_or(0)
}
