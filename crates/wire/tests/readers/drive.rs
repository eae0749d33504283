//! A connection: pieces of bytes for a reader, with the rest of each withheld until the message in hand is over.

use portreeve_wire::http1::{At, Bounds, Head, Refusal, Requests};

/// What a reader made of a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Trace {
    /// The messages that ended: where, what their heads said, the bytes of their bodies.
    pub(crate) messages: Vec<(usize, Head, u64)>,
    /// Where it came to after all bytes.
    pub(crate) last: Result<At, Refusal>,
}

/// Reads `pieces` as one connection.
pub(crate) fn drive<'a>(bounds: Bounds, pieces: impl IntoIterator<Item = &'a [u8]>) -> Trace {
    let mut requests = Requests::new(bounds);
    let mut messages = Vec::new();
    let mut offset = 0;
    for mut piece in pieces {
        while !piece.is_empty() {
            let progress = match requests.read(piece) {
                Ok(progress) => progress,
                Err(refusal) => {
                    assert_eq!(requests.read(b"GET / HTTP/1.1\r\n"), Err(refusal), "a refusal is for good");
                    assert_eq!(requests.read(b""), Err(refusal), "a refusal is for good");
                    return Trace { messages, last: Err(refusal) };
                }
            };
            assert_eq!(progress.at, requests.at());
            offset += progress.taken;
            piece = &piece[progress.taken..];
            match progress.at {
                At::End => messages.push((offset, *requests.head().unwrap(), requests.body_bytes())),
                at => {
                    assert!(piece.is_empty(), "all is taken but after the end");
                    assert_eq!(requests.head().is_some(), at == At::Body);
                }
            }
            assert_eq!(requests.read(b"").unwrap().at, progress.at, "no bytes change nothing");
        }
    }
    Trace { messages, last: Ok(requests.at()) }
}
