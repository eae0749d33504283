//! Where one request ends and the next begins: what hides behind a request is seen only if it is one.

use super::{Bench, statuses, to_the_end};

/// Section, what it is, the bytes, the statuses of the answers, the targets of the requests at the origin.
type Pipeline = (&'static str, &'static str, &'static [u8], &'static [u16], &'static [&'static str]);

const PIPELINES: &[Pipeline] = &[
    (
        "9112 §9.3.2",
        "a doubtful request between two good ones",
        b"GET /1 HTTP/1.1\r\nHost: a\r\n\r\nGET /2 HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\nGET /3 HTTP/1.1\r\nHost: a\r\n\r\n",
        &[200, 400],
        &["/1"],
    ),
    (
        "9112 §6.3",
        "bytes behind a length, which are no request",
        b"POST /1 HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello\0\0\0\r\n\r\n",
        &[200, 400],
        &["/1"],
    ),
    (
        "9112 §6.3",
        "a request within a body of that length",
        b"POST /1 HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 35\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n",
        &[200],
        &["/1"],
    ),
    (
        "9112 §7.1",
        "a request within a chunk",
        b"POST /1 HTTP/1.1\r\nHost: a\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n23\r\nGET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n\r\n0\r\n\r\n",
        &[200],
        &["/1"],
    ),
    (
        "9112 §6.3",
        "a GET with a body that looks like a request",
        b"GET /1 HTTP/1.1\r\nHost: a\r\nContent-Length: 35\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: a\r\n\r\nGET /2 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
        &[200, 200],
        &["/1", "/2"],
    ),
    (
        "9112 §6.1",
        "CL.TE: length and chunks",
        b"POST /1 HTTP/1.1\r\nHost: a\r\nContent-Length: 40\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n",
        &[400],
        &[],
    ),
    (
        "9112 §6.1",
        "TE.CL: chunks and length",
        b"POST /1 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n28\r\nGET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n\r\n0\r\n\r\n",
        &[400],
        &[],
    ),
    (
        "9112 §7",
        "TE.TE: the second coding disguised",
        b"POST /1 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTransfer-encoding: cow\r\n\r\n0\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n",
        &[400],
        &[],
    ),
    (
        "9112 §6.3",
        "CL.CL: two lengths",
        b"POST /1 HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\nContent-Length: 35\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n",
        &[400],
        &[],
    ),
    (
        "9112 §6.3",
        "CL.0: a length on GET, and nothing else",
        b"GET /1 HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\nGET /2 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
        &[200, 200],
        &["/1", "/2"],
    ),
    (
        "9112 §6.1",
        "a body of HTTP/1.0 in chunks (CVE-2026-2835)",
        b"POST /1 HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n0\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n",
        &[400],
        &[],
    ),
    (
        "9112 §9.3",
        "a body of HTTP/1.0 without a length (CVE-2026-2835)",
        b"POST /1 HTTP/1.0\r\nHost: a\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n",
        &[200],
        &["/1"],
    ),
    (
        "9112 §9.3",
        "a request behind one of HTTP/1.0",
        b"GET /1 HTTP/1.0\r\nHost: a\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n",
        &[200],
        &["/1"],
    ),
    (
        "9112 §9.6",
        "a request behind one that closes",
        b"GET /1 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n",
        &[200],
        &["/1"],
    ),
    (
        "9110 §7.8",
        "bytes behind an upgrade that is declined (CVE-2026-2833)",
        b"GET /1 HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n\x81\x05hello\r\n\r\n",
        &[200, 400],
        &["/1"],
    ),
    (
        "9110 §7.8",
        "a request behind an upgrade that is declined (CVE-2026-2833)",
        b"GET /1 HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: foo\r\n\r\nGET /2 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
        &[200, 200],
        &["/1", "/2"],
    ),
    (
        "9110 §7.8",
        "an upgrade with a body that hides a request (CVE-2026-2833)",
        b"POST /1 HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: foo\r\nContent-Length: 35\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n",
        &[400],
        &[],
    ),
    (
        "9113 §3.1",
        "HTTP/2 frames behind an offer of h2c",
        b"GET /1 HTTP/1.1\r\nHost: a\r\nConnection: upgrade, http2-settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n\r\n\0\0\0\x04\0\0\0\0\0",
        &[200, 400],
        &["/1"],
    ),
    (
        "9113 §3.4",
        "a preface of HTTP/2 behind a request",
        b"GET /1 HTTP/1.1\r\nHost: a\r\n\r\nPRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        &[200, 505],
        &["/1"],
    ),
    (
        "9110 §9.3.6",
        "CONNECT and what would go through it",
        b"CONNECT a:80 HTTP/1.1\r\nHost: a:80\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n",
        &[405],
        &[],
    ),
    (
        "9112 §7.1.2",
        "a request within the trailers",
        b"POST /1 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nGET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n",
        &[400],
        &[],
    ),
    (
        "9110 §10.1.1",
        "a body that did not wait for 100, and a request behind",
        b"POST /1 HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\nhelloGET /2 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
        &[200, 200],
        &["/1", "/2"],
    ),
    (
        "9112 §2.2",
        "one empty line between two requests",
        b"POST /1 HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello\r\nGET /2 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
        &[200, 200],
        &["/1", "/2"],
    ),
    (
        "9110 §9.3.2",
        "HEAD with a body that looks like a request",
        b"HEAD /1 HTTP/1.1\r\nHost: a\r\nContent-Length: 35\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: a\r\n\r\nGET /2 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
        &[200, 200],
        &["/1", "/2"],
    ),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_hides_behind_a_request_is_seen_only_if_it_is_one() {
    let mut bench = Bench::new().await;
    for (rfc, name, bytes, expected, targets) in PIPELINES {
        let mut wire = bench.gateway.wire().await;
        wire.send(bytes).await;
        match to_the_end(&mut wire).await {
            Some(answers) if statuses(&answers) == *expected => {}
            other => bench.wrong(rfc, name, format!("not {expected:?} and the end but {other:?}")),
        }
        let heard = bench.heard(rfc, name).await;
        let seen: Vec<_> = heard.whole.iter().map(|message| target(message)).collect();
        if seen != *targets || !heard.broken.is_empty() {
            bench.wrong(rfc, name, format!("the origin was asked for {seen:?}, and sent {:?}", heard.broken));
        }
    }
    bench.finish(PIPELINES.len(), 20);
}

/// The second word of a request.
fn target(message: &[u8]) -> String {
    String::from_utf8_lossy(message).split(' ').nth(1).unwrap_or_default().to_owned()
}
