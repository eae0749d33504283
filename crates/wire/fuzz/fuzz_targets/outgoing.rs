//! Any bytes that the strict reader takes for one request: where a place for trailers is found, trailers put there are read as
//! such, and nothing else of the message changes. The first byte is the size of the pieces.
#![no_main]

use libfuzzer_sys::fuzz_target;
use portreeve_wire::http1::{At, Body, Bounds, Outgoing, Requests};

fuzz_target!(|input: &[u8]| {
    let [size, bytes @ ..] = input else { return };
    let mut plain = Requests::new(Bounds::default());
    let Ok(progress) = plain.read(bytes) else { return };
    let message = &bytes[..progress.taken];
    let (mut follower, mut made, mut found) = (Outgoing::request(), Vec::new(), false);
    for piece in message.chunks(usize::from(*size).max(1)) {
        let place = follower.follow(piece);
        assert!(!(found && place.is_some()));
        let (before, after) = piece.split_at(place.unwrap_or(piece.len()));
        made.extend_from_slice(before);
        if place.is_some() {
            found = true;
            made.extend_from_slice(b"x-place: here\r\n");
        }
        made.extend_from_slice(after);
    }
    if progress.at != At::End || !found {
        return;
    }
    assert_eq!(plain.head().map(|head| head.body), Some(Body::Chunked));
    let wide = Bounds { fields: 101, trailer_bytes: 9 * 1024, ..Bounds::default() };
    let mut again = Requests::new(wide);
    let progress = again.read(&made).unwrap();
    assert_eq!((progress.at, progress.taken), (At::End, made.len()));
    assert_eq!(again.body_bytes(), plain.body_bytes());
    assert_eq!(again.take_trailers().iter().next(), Some((&b"x-place"[..], &b"here"[..])));
});
