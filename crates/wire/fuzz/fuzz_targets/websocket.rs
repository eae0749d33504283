//! Any bytes: frames are found at the same places however the bytes are cut, and never one beyond another. The first byte is
//! the size of the pieces.
#![no_main]

use libfuzzer_sys::fuzz_target;
use portreeve_wire::websocket::Frames;

fuzz_target!(|input: &[u8]| {
    let [size, bytes @ ..] = input else { return };
    let mut pieces = Frames::default();
    for piece in bytes.chunks(usize::from(*size).max(1)) {
        let before = pieces;
        pieces.take(piece);
        // The same by the frame: what is in hand first, then from one frame to the next.
        let (mut stepped, mut rest) = (before, piece);
        while !rest.is_empty() {
            let n = stepped.in_hand(rest).max(1);
            stepped.take(&rest[..n]);
            rest = &rest[n..];
        }
        assert_eq!((stepped.is_between(), stepped.has_closed()), (pieces.is_between(), pieces.has_closed()));
    }
    let mut whole = Frames::default();
    whole.take(bytes);
    assert_eq!((whole.is_between(), whole.has_closed()), (pieces.is_between(), pieces.has_closed()));
});
