//! Frames of a WebSocket, found again however they are cut.

use portreeve_wire::websocket::{Frames, close, masked_close};
use proptest::collection::vec;
use proptest::prelude::*;

/// A frame, its length written in the shortest form or a longer one.
fn frame(first: u8, masked: bool, form: u8, payload: &[u8]) -> Vec<u8> {
    let mask = if masked { 0x80 } else { 0 };
    let length = payload.len() as u64;
    let mut frame = vec![first];
    match (length, form) {
        (0..=125, 0) => frame.push(mask | u8::try_from(length).unwrap()),
        (0..=0xffff, 0 | 1) => {
            frame.push(mask | 0x7e);
            frame.extend(&length.to_be_bytes()[6..]);
        }
        _ => {
            frame.push(mask | 0x7f);
            frame.extend(length.to_be_bytes());
        }
    }
    if masked {
        frame.extend([1, 2, 3, 4]);
    }
    frame.extend(payload);
    frame
}

proptest! {
    #[test]
    fn every_frame_ends_where_it_was_built_to_end(
        parts in vec((any::<u8>(), any::<bool>(), 0..3_u8, prop_oneof![vec(any::<u8>(), 0..130), vec(any::<u8>(), 65_530..65_540)]), 0..6),
        cut in 1..300_usize,
    ) {
        let mut all = Vec::new();
        let (mut ends, mut closed) = (vec![0], None);
        for (first, masked, form, payload) in &parts {
            all.extend(frame(*first, *masked, *form, payload));
            ends.push(all.len());
            if first & 0x0f == 8 && closed.is_none() {
                closed = Some(all.len());
            }
        }
        let mut frames = Frames::default();
        let mut at = 0;
        for piece in all.chunks(cut) {
            let rest = &all[at..];
            let end = *ends.iter().find(|end| **end >= at).unwrap();
            // Nothing is not a frame in hand.
            let in_hand = if frames.is_between() { 0 } else { end - at };
            prop_assert_eq!(frames.in_hand(rest), in_hand);
            prop_assert_eq!(frames.in_hand(piece), in_hand.min(piece.len()));
            frames.take(piece);
            at += piece.len();
            prop_assert_eq!(frames.is_between(), ends.contains(&at));
            prop_assert_eq!(frames.has_closed(), closed.is_some_and(|closed| closed <= at));
        }
    }

    #[test]
    fn any_bytes_are_followed_alike_however_they_are_cut(bytes in vec(any::<u8>(), 0..200), cut in 1..20_usize) {
        let (mut whole, mut pieces) = (Frames::default(), Frames::default());
        whole.take(&bytes);
        bytes.chunks(cut).for_each(|piece| pieces.take(piece));
        prop_assert_eq!(whole.is_between(), pieces.is_between());
        prop_assert_eq!(whole.has_closed(), pieces.has_closed());
    }
}

#[test]
fn the_longest_frame_there_can_be_does_not_wrap() {
    let mut frames = Frames::default();
    frames.take(b"\x82\xff\xff\xff\xff\xff\xff\xff\xff\xff");
    assert!(!frames.is_between());
    frames.take(&[0; 1000]);
    assert!(!frames.is_between());
}

#[test]
fn a_close_frame_is_written_as_each_side_has_to() {
    assert_eq!(close(1001), *b"\x88\x02\x03\xe9");
    assert_eq!(masked_close(1001, [0xff, 0x0f, 1, 2]), *b"\x88\x82\xff\x0f\x01\x02\xfc\xe6");
    for bytes in [&close(1001)[..], &masked_close(1000, [1, 2, 3, 4])] {
        let mut frames = Frames::default();
        frames.take(bytes);
        assert!(frames.is_between() && frames.has_closed());
    }
}
