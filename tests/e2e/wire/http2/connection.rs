//! Frames that may not be so, or not there.

use super::Then::{Goaway, Passes, Refused, Reset};
use super::{Bench, Row, play};
use crate::wire::frames::{
    ACK, CANCEL, COMPRESSION_ERROR, CONTINUATION, DATA, END_HEADERS, END_STREAM, FLOW_CONTROL_ERROR, FRAME_SIZE_ERROR,
    GOAWAY, HEADERS, PADDED, PING, PRIORITY, PROTOCOL_ERROR, PUSH_PROMISE, RST_STREAM, SETTINGS, STREAM_CLOSED, WHOLE,
    WINDOW_UPDATE, WITH_PRIORITY, block, frame, get, literal, post, pseudo,
};

/// A frame whose size is wrong. The h2 library says `PROTOCOL_ERROR` of whatever it cannot load; the end is the same.
const SIZE: &[u32] = &[FRAME_SIZE_ERROR, PROTOCOL_ERROR];
const PROTOCOL: &[u32] = &[PROTOCOL_ERROR];
/// As with sizes.
const FLOW: &[u32] = &[FLOW_CONTROL_ERROR, PROTOCOL_ERROR];
/// As with sizes.
const COMPRESSION: &[u32] = &[COMPRESSION_ERROR, PROTOCOL_ERROR];
/// A stream that is closed may have been forgotten (RFC 9113 §5.1).
const CLOSED: &[u32] = &[STREAM_CLOSED, PROTOCOL_ERROR];

fn setting(id: u16, value: u32) -> Vec<u8> {
    frame(SETTINGS, 0, 0, [&id.to_be_bytes()[..], &value.to_be_bytes()].concat())
}

fn window(stream: u32, more: u32) -> Vec<u8> {
    frame(WINDOW_UPDATE, 0, stream, more.to_be_bytes())
}

fn reset(stream: u32) -> Vec<u8> {
    frame(RST_STREAM, 0, stream, CANCEL.to_be_bytes())
}

fn head(payload: impl AsRef<[u8]>) -> Vec<u8> {
    frame(HEADERS, WHOLE, 1, payload)
}

/// A request in a good block, with these bytes behind it.
fn and(bytes: &[u8]) -> Vec<u8> {
    head([block(&pseudo("GET", "/")), bytes.to_vec()].concat())
}

fn rows_of_settings_and_pings() -> Vec<Row> {
    vec![
        ("9113 §6.5", "SETTINGS of 5 bytes", frame(SETTINGS, 0, 0, [0; 5]), Goaway(SIZE)),
        ("9113 §6.5", "SETTINGS of 7 bytes", frame(SETTINGS, 0, 0, [0; 7]), Goaway(SIZE)),
        ("9113 §6.5", "an ACK with a setting", frame(SETTINGS, ACK, 0, [0, 3, 0, 0, 0, 9]), Goaway(SIZE)),
        ("9113 §6.5", "SETTINGS on a stream", frame(SETTINGS, 0, 1, []), Goaway(PROTOCOL)),
        ("9113 §6.5.2", "ENABLE_PUSH of 2", setting(2, 2), Goaway(PROTOCOL)),
        ("9113 §6.5.2", "a window of 2^31", setting(4, 1 << 31), Goaway(FLOW)),
        ("9113 §6.5.2", "MAX_FRAME_SIZE of 16383", setting(5, 16_383), Goaway(PROTOCOL)),
        ("9113 §6.5.2", "MAX_FRAME_SIZE of 2^24", setting(5, 1 << 24), Goaway(PROTOCOL)),
        ("8441 §3", "ENABLE_CONNECT_PROTOCOL of 2", setting(8, 2), Goaway(PROTOCOL)),
        ("9113 §6.5.2", "a setting that nobody knows", [setting(0xabcd, 7), get(1)].concat(), Passes(&[])),
        ("9113 §6.5.2", "a table of no size", [setting(1, 0), get(1)].concat(), Passes(&[])),
        ("9113 §6.7", "PING of 7 bytes", frame(PING, 0, 0, [0; 7]), Goaway(SIZE)),
        ("9113 §6.7", "PING of 9 bytes", frame(PING, 0, 0, [0; 9]), Goaway(SIZE)),
        ("9113 §6.7", "PING on a stream", frame(PING, 0, 1, [0; 8]), Goaway(PROTOCOL)),
        ("9113 §6.7", "an answer to no PING", [frame(PING, ACK, 0, [7; 8]), get(1)].concat(), Passes(&[])),
        ("9113 §6.8", "GOAWAY of 7 bytes", frame(GOAWAY, 0, 0, [0; 7]), Goaway(SIZE)),
        ("9113 §6.8", "GOAWAY on a stream", frame(GOAWAY, 0, 1, [0; 8]), Goaway(PROTOCOL)),
    ]
}

fn rows_of_windows_and_resets() -> Vec<Row> {
    vec![
        ("9113 §6.9", "a window wider by 0", window(0, 0), Goaway(PROTOCOL)),
        ("9113 §6.9", "a stream's window wider by 0", [post(1, &[]), window(1, 0)].concat(), Refused),
        ("9113 §6.9.1", "a window beyond 2^31", window(0, 0x7fff_ffff), Goaway(&[FLOW_CONTROL_ERROR])),
        (
            "9113 §6.9.1",
            "a stream's window beyond 2^31",
            [post(1, &[]), window(1, 0x7fff_ffff)].concat(),
            Reset(1, &[FLOW_CONTROL_ERROR]),
        ),
        (
            "9113 §6.9.2",
            "a window beyond 2^31 by SETTINGS",
            [post(1, &[]), window(1, 0x7fff_0000), setting(4, 0x7fff_ffff)].concat(),
            Goaway(&[FLOW_CONTROL_ERROR]),
        ),
        ("9113 §6.9", "WINDOW_UPDATE of 3 bytes", frame(WINDOW_UPDATE, 0, 0, [0; 3]), Goaway(SIZE)),
        ("9113 §5.1", "WINDOW_UPDATE on an idle stream", window(1, 1), Goaway(PROTOCOL)),
        ("9113 §6.4", "RST_STREAM on the connection", reset(0), Goaway(PROTOCOL)),
        ("9113 §6.4", "RST_STREAM on an idle stream", reset(1), Goaway(PROTOCOL)),
        ("9113 §6.4", "RST_STREAM of 3 bytes", [post(1, &[]), frame(RST_STREAM, 0, 1, [0; 3])].concat(), Goaway(SIZE)),
        ("9113 §6.3", "PRIORITY of 4 bytes", frame(PRIORITY, 0, 1, [0; 4]), Refused),
        ("9113 §6.3", "PRIORITY on the connection", frame(PRIORITY, 0, 0, [0; 5]), Goaway(PROTOCOL)),
        (
            "9113 §5.3",
            "a stream that depends on itself",
            [post(1, &[]), frame(PRIORITY, 0, 1, [0, 0, 0, 1, 9])].concat(),
            Reset(1, PROTOCOL),
        ),
        (
            "9113 §6.3",
            "PRIORITY on an idle stream",
            [frame(PRIORITY, 0, 7, [0, 0, 0, 0, 9]), get(1)].concat(),
            Passes(&[]),
        ),
        (
            "9113 §6.6",
            "PUSH_PROMISE of a client",
            [post(1, &[]), frame(PUSH_PROMISE, END_HEADERS, 1, [0, 0, 0, 2, 0x82])].concat(),
            Goaway(PROTOCOL),
        ),
        (
            "9113 §4.1",
            "a frame of a type that nobody knows",
            [frame(0xee, 0xff, 1, [1; 40]), get(1)].concat(),
            Passes(&[]),
        ),
        (
            "9113 §4.2",
            "a frame beyond the largest size",
            frame(0xee, 0, 0, vec![0; 16_385]),
            Goaway(&[FRAME_SIZE_ERROR]),
        ),
    ]
}

fn rows_of_data() -> Vec<Row> {
    let data = |stream, flags, payload: &[u8]| frame(DATA, flags, stream, payload);
    vec![
        ("9113 §6.1", "DATA on the connection", data(0, 0, b"hello"), Goaway(PROTOCOL)),
        ("9113 §5.1", "DATA on an idle stream", data(1, 0, b"hello"), Goaway(CLOSED)),
        ("9113 §5.1", "DATA on a stream of the server", data(2, 0, b"hello"), Goaway(CLOSED)),
        (
            "9113 §6.1",
            "more padding than there is",
            [post(1, &[]), data(1, PADDED, b"\x09hello")].concat(),
            Goaway(PROTOCOL),
        ),
        ("9113 §6.1", "padding of a frame without bytes", [post(1, &[]), data(1, PADDED, b"")].concat(), Goaway(SIZE)),
        (
            "9113 §4.2",
            "DATA beyond the largest size",
            [post(1, &[]), data(1, 0, &[0; 16_385])].concat(),
            Goaway(&[FRAME_SIZE_ERROR]),
        ),
        (
            "9113 §6.1",
            "padded DATA",
            [post(1, &[]), data(1, PADDED | END_STREAM, b"\x03hello\0\0\0")].concat(),
            Passes(&["+\r\n5\r\nhello\r\n0\r\n\r\n", "+transfer-encoding: chunked\r\n"]),
        ),
        (
            "9113 §8.1.1",
            "more DATA than content-length",
            [post(1, &[("content-length", "3")]), data(1, END_STREAM, b"hello")].concat(),
            Reset(1, PROTOCOL),
        ),
        (
            "9113 §8.1.1",
            "less DATA than content-length",
            [post(1, &[("content-length", "9")]), data(1, END_STREAM, b"hello")].concat(),
            Reset(1, PROTOCOL),
        ),
        (
            "9113 §8.1.1",
            "a content-length and no DATA",
            frame(HEADERS, WHOLE, 1, [block(&pseudo("POST", "/")), block(&[("content-length", "9")])].concat()),
            Reset(1, PROTOCOL),
        ),
        (
            "9113 §8.1.1",
            "DATA beyond content-length in a second frame",
            [post(1, &[("content-length", "5")]), data(1, 0, b"hello"), data(1, END_STREAM, b"!")].concat(),
            Reset(1, PROTOCOL),
        ),
    ]
}

fn rows_of_headers() -> Vec<Row> {
    let whole = block(&pseudo("GET", "/"));
    let (first, second) = whole.split_at(20);
    let (first, second) = (first.to_vec(), second.to_vec());
    let part = frame(HEADERS, END_STREAM, 1, &first);
    let rest = |stream| frame(CONTINUATION, END_HEADERS, stream, &second);
    let prioritised = |on: u8| [&[0, 0, 0, on, 9][..], &whole].concat();
    vec![
        ("9113 §6.2", "HEADERS on the connection", frame(HEADERS, WHOLE, 0, &whole), Goaway(PROTOCOL)),
        ("9113 §5.1.1", "HEADERS on a stream of the server", get(2), Goaway(PROTOCOL)),
        (
            "9113 §6.2",
            "more padding than there is",
            frame(HEADERS, WHOLE | PADDED, 1, [&[255][..], &whole].concat()),
            Goaway(PROTOCOL),
        ),
        ("9113 §6.2", "padding of a frame without bytes", frame(HEADERS, WHOLE | PADDED, 1, []), Goaway(SIZE)),
        ("9113 §6.2", "a priority that is cut off", frame(HEADERS, WHOLE | WITH_PRIORITY, 1, [0; 4]), Goaway(SIZE)),
        (
            "9113 §5.3",
            "HEADERS that depend on themselves",
            frame(HEADERS, WHOLE | WITH_PRIORITY, 1, prioritised(1)),
            Refused,
        ),
        (
            "9113 §6.2",
            "padded HEADERS",
            frame(HEADERS, WHOLE | PADDED, 1, [&[2][..], &whole, &[0, 0]].concat()),
            Passes(&[]),
        ),
        ("9113 §5.3", "HEADERS with a priority", frame(HEADERS, WHOLE | WITH_PRIORITY, 1, prioritised(0)), Passes(&[])),
        ("9113 §4.1", "flags that nobody knows", frame(HEADERS, WHOLE | 0xd0, 1, &whole), Passes(&[])),
        ("9113 §6.10", "CONTINUATION of nothing", rest(1), Goaway(PROTOCOL)),
        ("9113 §6.10", "CONTINUATION on the connection", [part.clone(), rest(0)].concat(), Goaway(PROTOCOL)),
        ("9113 §6.10", "CONTINUATION on another stream", [part.clone(), rest(3)].concat(), Goaway(PROTOCOL)),
        (
            "9113 §6.10",
            "PING within a header block",
            [part.clone(), frame(PING, 0, 0, [0; 8]), rest(1)].concat(),
            Goaway(PROTOCOL),
        ),
        (
            "9113 §6.10",
            "DATA within a header block",
            [part.clone(), frame(DATA, 0, 1, []), rest(1)].concat(),
            Goaway(PROTOCOL),
        ),
        ("9113 §6.10", "HEADERS within a header block", [part.clone(), get(3)].concat(), Goaway(PROTOCOL)),
        (
            "9113 §5.5",
            "an unknown frame within a header block",
            [part.clone(), frame(0xee, 0, 1, []), rest(1)].concat(),
            Goaway(PROTOCOL),
        ),
        ("9113 §6.10", "a header block in two frames", [part.clone(), rest(1)].concat(), Passes(&[])),
        ("9113 §6.10", "an empty CONTINUATION", [part, frame(CONTINUATION, 0, 1, []), rest(1)].concat(), Passes(&[])),
        (
            "9113 §8.1",
            "a second head that ends nothing",
            [post(1, &[]), frame(HEADERS, END_HEADERS, 1, block(&[("x-a", "b")]))].concat(),
            Refused,
        ),
        // The h2 library drops what may not be there instead of resetting the stream.
        (
            "9113 §8.1",
            "trailers with a path",
            [post(1, &[]), head(block(&[(":path", "/b")]))].concat(),
            Passes(&["-/b"]),
        ),
        (
            "9113 §8.1",
            "trailers with a method",
            [post(1, &[]), head(block(&[(":method", "PUT"), ("x-a", "b")]))].concat(),
            Passes(&["-put"]),
        ),
        (
            "9113 §8.1",
            "trailers",
            [post(1, &[]), frame(DATA, 0, 1, b"hello"), head(block(&[("x-sum", "6")]))].concat(),
            Passes(&["+\r\n5\r\nhello\r\n0\r\nx-sum: 6\r\n\r\n"]),
        ),
    ]
}

fn rows_of_compression() -> Vec<Row> {
    vec![
        ("7541 §6.1", "index 0", and(&[0x80]), Goaway(COMPRESSION)),
        ("7541 §2.3.3", "an index beyond the tables", and(&[0xff, 0x40]), Goaway(COMPRESSION)),
        (
            "7541 §5.1",
            "an index that never ends",
            and(&[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f]),
            Goaway(COMPRESSION),
        ),
        (
            "7541 §6.3",
            "a table larger than was offered",
            head([&[0x3f, 0xe2, 0x1f][..], &block(&pseudo("GET", "/"))].concat()),
            Goaway(COMPRESSION),
        ),
        ("7541 §4.2", "a table resized behind a field", and(&[0x20]), Goaway(COMPRESSION)),
        ("7541 §5.2", "a string beyond its block", and(&[0, 0x7f, b'x']), Goaway(COMPRESSION)),
        ("7541 §5.2", "a name without a value", and(&[0, 1, b'x']), Goaway(COMPRESSION)),
        (
            "7541 §5.2",
            "the end of strings within a string",
            and(&[0, 1, b'x', 0x84, 0xff, 0xff, 0xff, 0xff]),
            Goaway(COMPRESSION),
        ),
        ("7541 §5.2", "a string padded with zeros", and(&[0, 1, b'x', 0x81, 0x00]), Goaway(COMPRESSION)),
        (
            "7541 §6.2.1",
            "a field from the table",
            and(&[&[0x40][..], &literal(b"x-a", b"b")[1..], &[0xbe]].concat()),
            Passes(&["+x-a: b\r\nx-a: b\r\n"]),
        ),
        (
            "7541 §4.2",
            "a table that is emptied",
            head([&[0x20][..], &block(&pseudo("GET", "/"))].concat()),
            Passes(&[]),
        ),
    ]
}

/// Breaches behind a request that is served.
fn rows_after_a_request() -> Vec<Row> {
    let data = frame(DATA, END_STREAM, 1, b"hello");
    vec![
        ("9113 §5.1", "DATA behind the end of its stream", [get(1), data.clone()].concat(), Refused),
        ("9113 §5.1", "HEADERS behind the end of their stream", [get(1), get(1)].concat(), Refused),
        ("9113 §5.1.1", "a stream of a lower number", [get(5), get(3)].concat(), Goaway(CLOSED)),
        (
            "9113 §5.1",
            "DATA on a stream that was passed over",
            [get(5), frame(DATA, 0, 3, b"hello")].concat(),
            Reset(3, CLOSED),
        ),
        (
            "9113 §5.1",
            "DATA behind a reset of its stream",
            [post(1, &[]), reset(1), data, frame(PING, 0, 0, [0; 7])].concat(),
            Goaway(&[STREAM_CLOSED, PROTOCOL_ERROR, FRAME_SIZE_ERROR]),
        ),
        ("9113 §5.1", "HEADERS on a stream that was reset", [post(1, &[]), reset(1), get(1)].concat(), Refused),
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_frame_that_breaks_the_protocol_ends_its_stream_or_its_connection() {
    let mut bench = Bench::new().await;
    let none = [
        rows_of_settings_and_pings(),
        rows_of_windows_and_resets(),
        rows_of_data(),
        rows_of_headers(),
        rows_of_compression(),
    ]
    .concat();
    play(&mut bench, &none, 0).await;
    let after = rows_after_a_request();
    play(&mut bench, &after, 1).await;
    bench.finish(none.len() + after.len(), 80);
}
