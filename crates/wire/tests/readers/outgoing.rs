//! Where the trailers of a message of our own belong: what is put there is read back as trailers, and as nothing else.

use std::fmt::Write;

use portreeve_wire::http1::{Asked, At, Bounds, Outgoing, Requests, Responses};
use proptest::collection::vec;
use proptest::prelude::*;

/// A body in chunks, as a gateway writes it.
fn chunked(chunks: &[Vec<u8>]) -> Vec<u8> {
    let mut body = Vec::new();
    for chunk in chunks.iter().filter(|chunk| !chunk.is_empty()) {
        body.extend(format!("{:X}\r\n", chunk.len()).bytes());
        body.extend(chunk);
        body.extend(b"\r\n");
    }
    body.extend(b"0\r\n\r\n");
    body
}

/// Puts trailers into a message at the place that is found, wherever it is cut.
fn with_trailers(mut follower: Outgoing, message: &[u8], cut: usize, trailers: &str) -> Option<Vec<u8>> {
    let (mut out, mut found) = (Vec::new(), 0);
    for piece in message.chunks(cut.max(1)) {
        let mut ahead = follower;
        let peeked = ahead.follow(piece);
        assert_eq!(follower.follow(piece), peeked);
        let at = peeked.unwrap_or(piece.len());
        out.extend(&piece[..at]);
        if peeked.is_some() {
            out.extend(trailers.bytes());
            found += 1;
        }
        out.extend(&piece[at..]);
    }
    assert!(found <= 1);
    (found == 1).then_some(out)
}

/// Bytes that are like what stands around them.
fn content() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        Just(b"0\r\n\r\n".to_vec()),
        Just(b"\r\n0\r\n".to_vec()),
        Just(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n".to_vec()),
        vec(any::<u8>(), 0..40),
    ]
}

proptest! {
    #[test]
    fn what_is_put_at_the_place_is_read_as_trailers_however_the_message_is_cut(
        interim in 0..3_usize,
        spelling in prop_oneof![Just("transfer-encoding: chunked"), Just("Transfer-Encoding: chunked")],
        fields in vec("[a-z]{1,40}: [a-z0-9 ]{0,300}", 0..4),
        chunks in vec(content(), 0..4),
        count in 1..4_usize,
        cut in 1..60_usize,
        is_answer in any::<bool>(),
    ) {
        let mut head = String::new();
        if is_answer {
            head.push_str(&"HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n".repeat(interim));
            head.push_str("HTTP/1.1 200 OK\r\n");
        } else {
            head.push_str("POST / HTTP/1.1\r\nHost: a\r\n");
        }
        for field in &fields {
            write!(head, "x-{field}\r\n").unwrap();
        }
        write!(head, "{spelling}\r\n\r\n").unwrap();
        let message = [head.as_bytes(), &chunked(&chunks)].concat();
        let trailers: String = (0..count).map(|n| format!("x-t{n}: {n}\r\n")).collect::<Vec<_>>().concat();
        let follower = if is_answer { Outgoing::answer() } else { Outgoing::request() };
        let made = with_trailers(follower, &message, cut, &trailers).expect("a place");

        let (kept, bytes) = if is_answer {
            let mut reader = Responses::new(Bounds::default());
            reader.ask(Asked::default());
            let mut taken = 0;
            while taken < made.len() {
                taken += reader.read(&made[taken..]).unwrap().taken;
            }
            prop_assert_eq!(reader.at(), At::End);
            (reader.take_trailers(), reader.body_bytes())
        } else {
            let mut reader = Requests::new(Bounds::default());
            let progress = reader.read(&made).unwrap();
            prop_assert_eq!((progress.at, progress.taken), (At::End, made.len()));
            (reader.take_trailers(), reader.body_bytes())
        };
        let names: Vec<_> = kept.iter().map(|(name, _)| String::from_utf8_lossy(name).into_owned()).collect();
        prop_assert_eq!(names, (0..count).map(|n| format!("x-t{n}")).collect::<Vec<_>>());
        prop_assert_eq!(bytes, chunks.iter().map(|chunk| chunk.len() as u64).sum::<u64>());
    }

    #[test]
    fn in_a_message_without_chunks_there_is_no_place(body in content(), cut in 1..60_usize, status in 0..3_usize) {
        let line = ["HTTP/1.1 200 OK", "HTTP/1.1 101 Switching Protocols", "HTTP/1.1 204 No Content"][status];
        let head = format!("{line}\r\nx-transfer-encoding: chunked\r\ncontent-length: {}\r\n\r\n", body.len());
        let message = [head.as_bytes(), &body].concat();
        // Of a 101, what follows is no answer any more; only what looks like one could be taken for it.
        prop_assume!(status != 1 || !body.starts_with(b"HTTP"));
        prop_assert_eq!(with_trailers(Outgoing::answer(), &message, cut, "x: y\r\n"), None);
    }
}

#[test]
fn trailers_are_kept_until_the_next_message_begins() {
    let mut reader = Requests::new(Bounds::default());
    let one = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX-Sum:  6 \r\nx-e:\r\n\r\n";
    let read = |reader: &mut Requests, text: &str| reader.read(text.as_bytes()).unwrap().at;
    assert_eq!(read(&mut reader, one), At::End);
    let kept = reader.take_trailers();
    assert_eq!(kept.iter().collect::<Vec<_>>(), [(&b"X-Sum"[..], &b"6"[..]), (b"x-e", b"")]);
    assert!(reader.take_trailers().is_empty());
    assert_eq!(read(&mut reader, one), At::End);
    assert_eq!(read(&mut reader, "GET / HTTP/1.1\r\nHost: a\r\n\r\n"), At::End);
    assert!(reader.take_trailers().is_empty());
}
