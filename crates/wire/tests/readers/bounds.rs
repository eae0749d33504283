//! Each bound: what is just within is taken, one more is refused, whichever way the bytes are cut.

use portreeve_wire::http1::{At, Bounds, Refusal};

use crate::drive::{Trace, drive};

/// All at once, byte by byte, and in two pieces cut anywhere: the same.
#[track_caller]
fn every_way(bounds: Bounds, bytes: &[u8]) -> Trace {
    let whole = drive(bounds, [bytes]);
    assert_eq!(drive(bounds, bytes.chunks(1)), whole);
    for cut in 0..bytes.len() {
        let (a, b) = bytes.split_at(cut);
        assert_eq!(drive(bounds, [a, b]), whole, "cut at {cut}: {}", bytes.escape_ascii());
    }
    whole
}

/// `within` is taken, `beyond` is refused.
#[track_caller]
fn edge(bounds: Bounds, within: &[u8], beyond: &[u8], refusal: Refusal) {
    assert_eq!(every_way(bounds, within).last, Ok(At::End));
    assert_eq!(every_way(bounds, beyond).last, Err(refusal));
}

#[test]
fn a_head_is_bounded() {
    let head = |length: usize| {
        let start = "GET / HTTP/1.1\r\nHost: a\r\nb: ";
        format!("{start}{}\r\n\r\n", "c".repeat(length - start.len() - 4)).into_bytes()
    };
    let bounds = Bounds { head_bytes: 80, ..Bounds::default() };
    edge(bounds, &head(80), &head(81), Refusal::HeadTooLarge);
    // Refused as soon as no end can come in time.
    assert_eq!(every_way(bounds, &head(200)[..78]).last, Ok(At::Head));
    assert_eq!(every_way(bounds, &head(200)[..80]).last, Err(Refusal::HeadTooLarge));
}

#[test]
fn a_head_of_one_endless_line_is_bounded() {
    let bounds = Bounds { head_bytes: 80, ..Bounds::default() };
    let line = format!("GET /{}", "a".repeat(100));
    assert_eq!(every_way(bounds, line.as_bytes()).last, Err(Refusal::HeadTooLarge));
    let bounds = Bounds { target_bytes: 40, ..Bounds::default() };
    assert_eq!(every_way(bounds, line.as_bytes()).last, Err(Refusal::TargetTooLong));
}

#[test]
fn a_target_is_bounded() {
    let get = |length: usize| format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "a".repeat(length - 1)).into_bytes();
    edge(Bounds { target_bytes: 20, ..Bounds::default() }, &get(20), &get(21), Refusal::TargetTooLong);
    assert_eq!(drive(Bounds::default(), [&get(8192)[..]]).last, Ok(At::End));
    assert_eq!(drive(Bounds::default(), [&get(8193)[..]]).last, Err(Refusal::TargetTooLong));
}

#[test]
fn the_number_of_fields_is_bounded() {
    let get =
        |fields: usize| format!("GET / HTTP/1.1\r\nHost: a\r\n{}\r\n", "b: c\r\n".repeat(fields - 1)).into_bytes();
    edge(Bounds { fields: 5, ..Bounds::default() }, &get(5), &get(6), Refusal::TooManyFields);
}

#[test]
fn the_line_before_a_chunk_is_bounded() {
    let post = |length: usize| {
        let head = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
        format!("{head}1;{}\r\nx\r\n0\r\n\r\n", "a".repeat(length - 4)).into_bytes()
    };
    edge(Bounds { chunk_line_bytes: 20, ..Bounds::default() }, &post(20), &post(21), Refusal::ChunkLineTooLong);
}

#[test]
fn the_extensions_of_all_chunks_are_bounded_together() {
    let post = |lengths: &[usize]| {
        let head = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
        let chunk = |length: &usize| format!("1;{}\r\nx\r\n", "a".repeat(length - 1));
        format!("{head}{}0\r\n\r\n", lengths.iter().map(chunk).collect::<String>()).into_bytes()
    };
    let bounds = Bounds { extension_bytes: 20, ..Bounds::default() };
    edge(bounds, &post(&[8, 2, 10]), &post(&[8, 2, 11]), Refusal::ChunkExtensionsTooLong);
}

#[test]
fn trailers_are_bounded() {
    let post = |trailers: &str| {
        let head = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
        format!("{head}0\r\n{trailers}\r\n").into_bytes()
    };
    let bounds = Bounds { trailer_bytes: 20, ..Bounds::default() };
    edge(bounds, &post("a: 3456789\r\nb:45\r\n"), &post("a: 3456789\r\nb:456\r\n"), Refusal::TrailersTooLarge);
    let bounds = Bounds { fields: 2, ..Bounds::default() };
    edge(bounds, &post("a: b\r\na: b\r\n"), &post("a: b\r\na: b\r\na: b\r\n"), Refusal::TooManyFields);
}
