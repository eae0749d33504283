//! Chunked bodies that are not: refused with the head when they come with it, and never whole at the origin when they come
//! after it.

use portreeve_tests::until;

use super::{Refused, refuse};
use crate::wire::{Bench, to_the_end};

const HEAD: &[u8] = b"POST / HTTP/1.1\r\nHost: a.example\r\nTransfer-Encoding: chunked\r\n\r\n";

/// Bodies.
const BODIES: &[Refused] = &[
    ("9112 §7.1", "an empty size", b"\r\nhello\r\n0\r\n\r\n", 400),
    ("9112 §7.1", "a size that is no number", b"x\r\nhello\r\n0\r\n\r\n", 400),
    ("9112 §7.1", "a size with 0x", b"0x5\r\nhello\r\n0\r\n\r\n", 400),
    ("9112 §7.1", "a size with a plus", b"+5\r\nhello\r\n0\r\n\r\n", 400),
    ("9112 §7.1", "a negative size", b"-5\r\nhello\r\n0\r\n\r\n", 400),
    ("9112 §7.1", "a negative last size", b"-0\r\n\r\n", 400),
    ("9112 §7.1", "a space before the size", b" 5\r\nhello\r\n0\r\n\r\n", 400),
    ("9112 §7.1", "a space after the size", b"5 \r\nhello\r\n0\r\n\r\n", 400),
    ("9112 §7.1", "a tab after the size", b"5\t\r\nhello\r\n0\r\n\r\n", 400),
    ("9112 §7.1", "an underscore in the size", b"0_5\r\nhello\r\n0\r\n\r\n", 400),
    ("9112 §7.1", "a size with a fraction", b"5.0\r\nhello\r\n0\r\n\r\n", 400),
    ("9112 §7.1", "a comma after the size", b"5,5\r\nhello\r\n0\r\n\r\n", 400),
    ("9112 §7.1", "a size of 17 digits", b"00000000000000005\r\nhello\r\n0\r\n\r\n", 400),
    ("9112 §7.1", "a size beyond 64 bits", b"1ffffffffffffffff\r\nhello\r\n0\r\n\r\n", 400),
    ("9112 §7.1", "NUL after the size", b"5\0\r\nhello\r\n0\r\n\r\n", 400),
    ("9112 §2.2", "a size that ends in bare LF", b"5\nhello\r\n0\r\n\r\n", 400),
    ("9112 §2.2", "a size that ends in bare CR", b"5\rhello\r\n0\r\n\r\n", 400),
    ("9112 §2.2", "a last size that ends in bare LF", b"0\n\r\n", 400),
    ("9112 §2.2", "an end that is a bare LF", b"0\r\n\n", 400),
    ("9112 §7.1", "a chunk longer than its size", b"5\r\nhello!\r\n0\r\n\r\n", 400),
    ("9112 §7.1", "a chunk shorter than its size", b"6\r\nhello\r\n0\r\n\r\n", 400),
    ("9112 §7.1", "a chunk that ends in bare LF", b"5\r\nhello\n0\r\n\r\n", 400),
    ("9112 §7.1", "a chunk that ends in bare CR", b"5\r\nhello\r0\r\n\r\n", 400),
    ("9112 §7.1", "a chunk without an end", b"5\r\nhello0\r\n\r\n", 400),
    ("9112 §7.1", "a chunk that ends in XX", b"5\r\nhelloXX0\r\n\r\n", 400),
    ("9112 §7.1.1", "an extension without a name", b"5;\r\nhello\r\n0\r\n\r\n", 400),
    ("9112 §7.1.1", "an extension without a value", b"5;a=\r\nhello\r\n0\r\n\r\n", 400),
    ("9112 §7.1.1", "an open quote in an extension", b"5;a=\"b\r\nhello\r\n0\r\n\r\n", 400),
    ("9112 §7.1.1", "something behind a quote", b"5;a=\"b\"c\r\nhello\r\n0\r\n\r\n", 400),
    ("9112 §7.1.1", "a bare LF in an extension", b"5;a\nb\r\nhello\r\n0\r\n\r\n", 400),
    ("9112 §7.1.1", "a bare CR in an extension", b"5;a\rb\r\nhello\r\n0\r\n\r\n", 400),
    ("9112 §7.1.1", "NUL in an extension", b"5;a=\"\0\"\r\nhello\r\n0\r\n\r\n", 400),
    ("9112 §7.1.1", "an extension of 300 bytes", &LONG_EXTENSION, 400),
    ("9112 §7.1.2", "a trailer without a colon", b"0\r\nNothing\r\n\r\n", 400),
    ("9112 §5.2", "a folded trailer", b"0\r\nX-A: b\r\n c\r\n\r\n", 400),
    ("9112 §5.1", "a trailer with a space before the colon", b"0\r\nX-A : b\r\n\r\n", 400),
    ("9110 §5.5", "NUL in a trailer", b"0\r\nX-A: b\0\r\n\r\n", 400),
    ("9110 §6.5.1", "Content-Length in the trailers", b"0\r\nContent-Length: 5\r\n\r\n", 400),
    ("9110 §6.5.1", "Transfer-Encoding in the trailers", b"0\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
    ("9110 §6.5.1", "Host in the trailers", b"0\r\nHost: b.example\r\n\r\n", 400),
    ("9110 §6.5.1", "Authorization in the trailers", b"0\r\nAuthorization: Basic YTpi\r\n\r\n", 400),
    ("9110 §6.5.1", "X-Forwarded-For in the trailers", b"0\r\nX-Forwarded-For: 10.0.0.1\r\n\r\n", 400),
    ("9112 §11.2", "Content_Length in the trailers", b"0\r\nContent_Length: 5\r\n\r\n", 400),
];

const LONG_EXTENSION: [u8; 322] = {
    let mut body = [b'a'; 322];
    let (start, end) = (*b"5;", *b"\r\nhello\r\n0\r\n\r\n");
    (body[0], body[1]) = (start[0], start[1]);
    let mut at = 0;
    while at < end.len() {
        body[body.len() - end.len() + at] = end[at];
        at += 1;
    }
    body
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_malformed_body_that_comes_with_its_head_is_refused() {
    let mut bench = Bench::new().await;
    refuse(&mut bench, BODIES, |body| [HEAD, body].concat()).await;
    bench.finish(BODIES.len(), 40);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_malformed_body_that_comes_after_its_head_never_becomes_a_whole_request() {
    let mut bench = Bench::new().await;
    for (rfc, name, body, status) in BODIES {
        let mut wire = bench.gateway.wire().await;
        wire.send(HEAD).await;
        until("the head at the origin", async || (bench.origin.begun() > 0).then_some(())).await;
        // A good chunk first, so that the origin is in the middle of a body.
        wire.send(b"3\r\nabc\r\n").await;
        wire.send([body, &b"GET /smuggled HTTP/1.1\r\nHost: a.example\r\n\r\n"[..]].concat()).await;
        match wire.try_answer("POST").await {
            Ok(answer) if answer.status == *status && answer.header("connection") == Some("close") => {}
            other => bench.wrong(rfc, name, format!("not {status} and close but {other:?}")),
        }
        // The gateway waits a little for a client that is still sending, so that it does not lose the answer.
        wire.finish().await;
        if to_the_end(&mut wire).await.as_deref() != Some("") {
            bench.wrong(rfc, name, "something behind the answer, or no end");
        }
        let heard = bench.heard(rfc, name).await;
        if !heard.whole.is_empty() || heard.broken.len() > 1 {
            bench.wrong(rfc, name, format!("the origin was sent {heard:?}"));
        }
    }
    bench.finish(BODIES.len(), 40);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_that_breaks_off_never_becomes_a_whole_request() {
    let mut bench = Bench::new().await;
    let length = b"POST / HTTP/1.1\r\nHost: a.example\r\nContent-Length: 50\r\n\r\n";
    let rows: [(&str, &[u8], &[u8]); 6] = [
        ("nothing of a length", length, b""),
        ("a part of a length", length, b"hello"),
        ("no chunk", HEAD, b""),
        ("a part of a chunk", HEAD, b"5\r\nhel"),
        ("no last chunk", HEAD, b"5\r\nhello\r\n"),
        ("no end of the trailers", HEAD, b"5\r\nhello\r\n0\r\nX-A: b\r\n"),
    ];
    for (name, head, part) in rows {
        let mut wire = bench.gateway.wire().await;
        wire.send([head, part].concat()).await;
        until("the head at the origin", async || (bench.origin.begun() > 0).then_some(())).await;
        wire.finish().await;
        if to_the_end(&mut wire).await.is_none() {
            bench.wrong("9112 §8", name, "the connection is left open");
        }
        let heard = bench.heard("9112 §8", name).await;
        if !heard.whole.is_empty() {
            bench.wrong("9112 §8", name, format!("the origin was sent {heard:?}"));
        }
    }
    bench.finish(rows.len(), 6);
}
