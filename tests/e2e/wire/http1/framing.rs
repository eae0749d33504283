//! Heads that leave a doubt where the message ends.

use super::{Refused, refuse};
use crate::wire::Bench;

/// Field lines of a POST beside a good Host, with their ends.
const FRAMING: &[Refused] = &[
    ("9112 §6.3", "an empty length", b"Content-Length:\r\n", 400),
    ("9112 §6.3", "a length of letters", b"Content-Length: five\r\n", 400),
    ("9112 §6.3", "a length with a plus", b"Content-Length: +5\r\n", 400),
    ("9112 §6.3", "a negative length", b"Content-Length: -1\r\n", 400),
    ("9112 §6.3", "a hexadecimal length", b"Content-Length: 0x5\r\n", 400),
    ("9112 §6.3", "a length with a fraction", b"Content-Length: 5.0\r\n", 400),
    ("9112 §6.3", "a length with an exponent", b"Content-Length: 1e1\r\n", 400),
    ("9112 §6.3", "a length with a unit", b"Content-Length: 5B\r\n", 400),
    ("9112 §6.3", "a length with an underscore", b"Content-Length: 1_0\r\n", 400),
    ("9112 §6.3", "a space within a length", b"Content-Length: 1 0\r\n", 400),
    ("9112 §6.3", "a length beyond 64 bits", b"Content-Length: 18446744073709551621\r\n", 400),
    ("9112 §6.3", "a length of 40 digits", b"Content-Length: 1111111111111111111111111111111111111111\r\n", 400),
    ("9112 §6.3", "a length in quotes", b"Content-Length: \"5\"\r\n", 400),
    ("9112 §6.3", "a length in wide digits", b"Content-Length: \xef\xbc\x95\r\n", 400),
    ("9112 §6.3", "a length after a vertical tab", b"Content-Length: \x0b5\r\n", 400),
    ("9112 §6.3", "a list of equal lengths", b"Content-Length: 5, 5\r\n", 400),
    ("9112 §6.3", "a list of lengths", b"Content-Length: 5,6\r\n", 400),
    ("9112 §6.3", "a length and a comma", b"Content-Length: 5,\r\n", 400),
    ("9112 §6.3", "two lengths", b"Content-Length: 5\r\nContent-Length: 6\r\n", 400),
    ("9112 §6.3", "the same length twice", b"Content-Length: 5\r\nContent-Length: 5\r\n", 400),
    ("9112 §6.3", "a length and an empty one", b"Content-Length: 5\r\nContent-Length:\r\n", 400),
    ("9112 §5.1", "a length with a space before the colon", b"Content-Length : 5\r\n", 400),
    ("9112 §5.2", "a folded length", b"Content-Length:\r\n 5\r\n", 400),
    ("9112 §6.1", "length, then coding", b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", 400),
    ("9112 §6.1", "coding, then length", b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n", 400),
    ("9112 §6.1", "coding and a length of 0", b"Transfer-Encoding: chunked\r\nContent-Length: 0\r\n", 400),
    ("9112 §6.1", "a length and an unknown coding", b"Content-Length: 5\r\nTransfer-Encoding: x\r\n", 400),
    ("9112 §6.1", "a length and an empty coding", b"Content-Length: 5\r\nTransfer-Encoding:\r\n", 400),
    ("9112 §7", "an empty coding", b"Transfer-Encoding:\r\n", 400),
    ("9112 §7", "identity", b"Transfer-Encoding: identity\r\n", 400),
    ("9112 §7", "gzip alone", b"Transfer-Encoding: gzip\r\n", 400),
    ("9112 §7", "gzip before chunked", b"Transfer-Encoding: gzip, chunked\r\n", 400),
    ("9112 §6.3", "chunked before gzip", b"Transfer-Encoding: chunked, gzip\r\n", 400),
    ("9112 §7", "chunked and identity", b"Transfer-Encoding: chunked, identity\r\n", 400),
    ("9112 §7.1", "chunked twice in a list", b"Transfer-Encoding: chunked, chunked\r\n", 400),
    ("9112 §7.1", "chunked twice", b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", 400),
    ("9112 §6.1", "chunked and another coding", b"Transfer-Encoding: chunked\r\nTransfer-Encoding: x\r\n", 400),
    ("9112 §7", "nearly chunked", b"Transfer-Encoding: xchunked\r\n", 400),
    ("9112 §7", "chunked and more", b"Transfer-Encoding: chunkedx\r\n", 400),
    ("9112 §7", "chunked after a comma", b"Transfer-Encoding: , chunked\r\n", 400),
    ("9112 §7", "chunked before a comma", b"Transfer-Encoding: chunked,\r\n", 400),
    ("9112 §7", "chunked with a parameter", b"Transfer-Encoding: chunked;q=1\r\n", 400),
    ("9112 §7", "chunked in quotes", b"Transfer-Encoding: \"chunked\"\r\n", 400),
    ("9112 §7", "chunked after a vertical tab", b"Transfer-Encoding: \x0bchunked\r\n", 400),
    ("9112 §7", "chunked before NUL", b"Transfer-Encoding: chunked\0\r\n", 400),
    ("9112 §7", "chunked with a Kelvin sign", "Transfer-Encoding: chun\u{212a}ed\r\n".as_bytes(), 400),
    ("9112 §5.1", "a coding with a space before the colon", b"Transfer-Encoding : chunked\r\n", 400),
    ("9112 §5.1", "a coding with a tab before the colon", b"Transfer-Encoding\t: chunked\r\n", 400),
    ("9112 §5.2", "a folded coding", b"Transfer-Encoding:\r\n chunked\r\n", 400),
    ("9112 §2.2", "a coding after a bare CR", b"X: y\rTransfer-Encoding: chunked\r\nContent-Length: 5\r\n", 400),
    ("9112 §11.2", "Transfer_Encoding", b"Transfer_Encoding: chunked\r\n", 400),
    ("9112 §11.2", "Content_Length", b"Content_Length: 5\r\n", 400),
    ("9112 §11.2", "Content_Length beside a length", b"Content-Length: 5\r\ncontent_length: 6\r\n", 400),
    ("9112 §11.2", "Transfer.Encoding", b"Transfer.Encoding: chunked\r\n", 400),
    ("9112 §11.2", "Content~Length", b"Content~Length: 5\r\n", 400),
    ("9112 §5", "a coding without a colon", b"Transfer-Encoding chunked\r\n", 400),
    ("9112 §5.1", "a coding behind a space", b" Transfer-Encoding: chunked\r\n", 400),
];

/// Heads of HTTP/1.0.
const OLD: &[Refused] = &[
    (
        "9112 §6.1",
        "chunks in HTTP/1.0",
        b"POST / HTTP/1.0\r\nHost: a.example\r\nTransfer-Encoding: chunked\r\n\r\n",
        400,
    ),
    (
        "9112 §6.1",
        "chunks and a length in HTTP/1.0",
        b"POST / HTTP/1.0\r\nHost: a.example\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
        400,
    ),
    ("9112 §6.1", "identity in HTTP/1.0", b"POST / HTTP/1.0\r\nTransfer-Encoding: identity\r\n\r\n", 400),
    ("9112 §3.2", "two Hosts in HTTP/1.0", b"GET / HTTP/1.0\r\nHost: a.example\r\nHost: b.example\r\n\r\n", 400),
    ("9112 §6.3", "two lengths in HTTP/1.0", b"POST / HTTP/1.0\r\nContent-Length: 0\r\nContent-Length: 5\r\n\r\n", 400),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_head_that_leaves_a_doubt_where_the_message_ends_is_refused() {
    let mut bench = Bench::new().await;
    let post = |fields: &[u8]| [b"POST / HTTP/1.1\r\nHost: a.example\r\n", fields, b"\r\n0\r\n\r\n"].concat();
    refuse(&mut bench, FRAMING, post).await;
    refuse(&mut bench, OLD, <[u8]>::to_vec).await;
    bench.finish(FRAMING.len() + OLD.len(), 60);
}
