//! Any bytes from an origin: the reader must not care how they are cut, and must never take more than one answer for a
//! request. The first byte is the size of the pieces, the second says what is asked.
#![no_main]

use libfuzzer_sys::fuzz_target;
use portreeve_wire::http1::{Answer, Asked, At, Bounds, Flaw, Responses};

/// How much was taken, the answer, the bytes of its body; and where it came to.
fn read<'a>(asked: Asked, pieces: impl Iterator<Item = &'a [u8]>) -> (usize, Option<Answer>, u64, Result<At, Flaw>) {
    let mut responses = Responses::new(Bounds::default());
    responses.ask(asked);
    let mut taken = 0;
    'pieces: for mut piece in pieces {
        while !piece.is_empty() {
            match responses.read(piece) {
                Ok(progress) => {
                    taken += progress.taken;
                    piece = &piece[progress.taken..];
                    assert!(piece.is_empty() || progress.at == At::End || responses.is_past_interim());
                    if progress.at == At::End {
                        break 'pieces;
                    }
                }
                Err(flaw) => return (0, None, 0, Err(flaw)),
            }
        }
    }
    let at = responses.at();
    assert_eq!(responses.read(b"").map(|progress| progress.at), Ok(at));
    if at == At::End {
        assert!(responses.answer().is_some());
        assert_eq!(responses.read(b"H"), Err(Flaw::Unasked));
    }
    (taken, responses.answer().copied(), responses.body_bytes(), Ok(at))
}

fuzz_target!(|input: &[u8]| {
    let [size, asked, bytes @ ..] = input else { return };
    let asked = Asked { is_head: asked & 1 != 0, upgrade: asked & 2 != 0 };
    let cut = read(asked, bytes.chunks(usize::from(*size).max(1)));
    assert_eq!(cut, read(asked, [bytes].into_iter()));
});
