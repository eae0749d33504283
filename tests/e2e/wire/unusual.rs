//! Valid requests that hardly any client sends: each passes, as one clean request.

use super::{Bench, PATIENCE};
use tokio::time::timeout;

/// Section, what it is, the bytes, and what stands in the request at the origin: `+` must, `-` must not (any case of letters).
type Unusual = (&'static str, &'static str, &'static [u8], &'static [&'static str]);

const UNUSUAL: &[Unusual] = &[
    ("9112 §3.2.2", "a URI as the target", b"GET http://a.example/x?y HTTP/1.1\r\nHost: a.example\r\n\r\n", &["+get /x?y http/1.1\r\n", "+\r\nhost: a.example\r\n"]),
    ("9112 §3.2.2", "a URI in capitals", b"GET HTTP://A.EXAMPLE/x HTTP/1.1\r\nHost: A.EXAMPLE\r\n\r\n", &["+get /x http/1.1\r\n"]),
    ("9112 §3.2.2", "a URI with the port of its scheme", b"GET http://a.example:80/x HTTP/1.1\r\nHost: a.example:80\r\n\r\n", &["+get /x http/1.1\r\n"]),
    ("9112 §3.2.2", "a URI without a path", b"GET http://a.example HTTP/1.1\r\nHost: a.example\r\n\r\n", &["+get / http/1.1\r\n"]),
    ("9110 §9.1", "a method in small letters", b"get / HTTP/1.1\r\nHost: a.example\r\n\r\n", &["+get / http/1.1\r\n"]),
    ("9110 §9.1", "a method that nobody knows", b"M-SEARCH!# / HTTP/1.1\r\nHost: a.example\r\n\r\n", &["+m-search!# / http/1.1\r\n"]),
    ("9110 §9.3.2", "HEAD", b"HEAD / HTTP/1.1\r\nHost: a.example\r\n\r\n", &["+head / http/1.1\r\n"]),
    (
        "9110 §7.6.2",
        "OPTIONS that may be passed on twice",
        b"OPTIONS / HTTP/1.1\r\nHost: a.example\r\nMax-Forwards: 2\r\n\r\n",
        &["+\r\nmax-forwards: 1\r\n"],
    ),
    (
        "9110 §7.6.2",
        "Max-Forwards of another method",
        b"GET / HTTP/1.1\r\nHost: a.example\r\nMax-Forwards: 0\r\n\r\n",
        &["+\r\nmax-forwards: 0\r\n"],
    ),
    ("9110 §9.3.1", "GET with a body", b"GET / HTTP/1.1\r\nHost: a.example\r\nContent-Length: 5\r\n\r\nhello", &["+\r\n\r\nhello"]),
    ("9110 §9.3.5", "DELETE with a body", b"DELETE / HTTP/1.1\r\nHost: a.example\r\nContent-Length: 5\r\n\r\nhello", &["+\r\n\r\nhello"]),
    ("9110 §5.5", "an empty value", b"GET / HTTP/1.1\r\nHost: a.example\r\nX-A:\r\n\r\n", &["+\r\nx-a: \r\n"]),
    ("9110 §5.5", "a value of spaces", b"GET / HTTP/1.1\r\nHost: a.example\r\nX-A:   \t \r\n\r\n", &["+\r\nx-a: \r\n"]),
    ("9110 §5.5", "bytes beyond ASCII in a value", b"GET / HTTP/1.1\r\nHost: a.example\r\nX-A: \xff\xc3\xa4\x80\r\n\r\n", &["+\r\nx-a: \u{fffd}"]),
    ("9112 §5", "tabs and spaces around a value", b"GET / HTTP/1.1\r\nHost:\t a.example \t\r\nX-A:\tb\tc\t\r\n\r\n", &["+\r\nhost: a.example\r\n", "+\r\nx-a: b\tc\r\n"]),
    ("9112 §5", "no space before a value", b"GET / HTTP/1.1\r\nHost:a.example\r\nX-A:b\r\n\r\n", &["+\r\nx-a: b\r\n"]),
    ("9110 §5.1", "every character a name may have", b"GET / HTTP/1.1\r\nHost: a.example\r\nX!#$%&'*+-.^_`|~9: b\r\n\r\n", &["+\r\nx!#$%&'*+-.^_`|~9: b\r\n"]),
    ("9110 §5.1", "names in odd cases", b"GET / HTTP/1.1\r\nhOsT: a.example\r\nx-A: b\r\n\r\n", &["+\r\nhost: a.example\r\n", "+\r\nx-a: b\r\n"]),
    ("9110 §5.3", "a field twice", b"GET / HTTP/1.1\r\nHost: a.example\r\nX-A: b\r\nX-A: c\r\n\r\n", &["+x-a: b\r\n", "+x-a: c\r\n"]),
    ("9112 §2.2", "an empty line before the request", b"\r\nGET / HTTP/1.1\r\nHost: a.example\r\n\r\n", &["+get / http/1.1\r\n"]),
    ("9112 §7.1", "chunks", b"POST / HTTP/1.1\r\nHost: a.example\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n", &["+\r\ntransfer-encoding: chunked\r\n", "-content-length"]),
    ("9112 §7", "chunked in capitals", b"POST / HTTP/1.1\r\nHost: a.example\r\nTransfer-Encoding: CHUNKED\r\n\r\n3\r\nabc\r\n0\r\n\r\n", &["+\r\ntransfer-encoding: chunked\r\n", "+abc"]),
    ("9112 §7.1", "a size with leading zeros", b"POST / HTTP/1.1\r\nHost: a.example\r\nTransfer-Encoding: chunked\r\n\r\n000003\r\nabc\r\n00\r\n\r\n", &["+abc"]),
    ("9112 §7.1", "a size in capital letters", b"POST / HTTP/1.1\r\nHost: a.example\r\nTransfer-Encoding: chunked\r\n\r\nA\r\n0123456789\r\n0\r\n\r\n", &["+0123456789"]),
    ("9112 §7.1.1", "chunk extensions", b"POST / HTTP/1.1\r\nHost: a.example\r\nTransfer-Encoding: chunked\r\n\r\n3;a;b=c ; d = \"e;\\\"f\"\r\nabc\r\n0;last\r\n\r\n", &["+abc", "-;a", "-last"]),
    ("9112 §7.1.2", "trailers", b"POST / HTTP/1.1\r\nHost: a.example\r\nTrailer: X-Sum\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nX-Sum: 6\r\n\r\n", &["+\r\nabc\r\n0\r\nx-sum: 6\r\n\r\n", "-\r\ntrailer:"]),
    ("9112 §6.3", "an empty body by length", b"POST / HTTP/1.1\r\nHost: a.example\r\nContent-Length: 0\r\n\r\n", &["+\r\ncontent-length: 0\r\n"]),
    ("9112 §6.3", "an empty body in chunks", b"POST / HTTP/1.1\r\nHost: a.example\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", &["+post / http/1.1\r\n"]),
    ("9112 §6.3", "a POST without a body", b"POST / HTTP/1.1\r\nHost: a.example\r\n\r\n", &["+post / http/1.1\r\n"]),
    ("9112 §6.3", "a length with leading zeros", b"POST / HTTP/1.1\r\nHost: a.example\r\nContent-Length: 0005\r\n\r\nhello", &["+\r\n\r\nhello"]),
    ("9112 §9.3", "Connection: keep-alive, close", b"GET / HTTP/1.1\r\nHost: a.example\r\nConnection: keep-alive, close\r\n\r\n", &["-\r\nconnection:"]),
    ("9110 §7.6.1", "fields that Connection nominates", b"GET / HTTP/1.1\r\nHost: a.example\r\nConnection: X-Hop, keep-alive\r\nX-Hop: 1\r\nKeep-Alive: timeout=5\r\n\r\n", &["-x-hop", "-keep-alive"]),
    ("9110 §7.6.1", "fields of one hop", b"GET / HTTP/1.1\r\nHost: a.example\r\nTE: gzip\r\nProxy-Connection: keep-alive\r\nProxy-Authorization: Basic YTpi\r\n\r\n", &["-\r\nte:", "-proxy-"]),
    ("9110 §5.6.1", "empty elements in Connection", b"GET / HTTP/1.1\r\nHost: a.example\r\nConnection: , ,close,\r\n\r\n", &["-\r\nconnection:"]),
    ("9112 §9.3", "HTTP/1.0", b"GET / HTTP/1.0\r\nHost: a.example\r\n\r\n", &["+get / http/1.1\r\n"]),
    ("9112 §9.3", "HTTP/1.0 that would stay", b"GET / HTTP/1.0\r\nHost: a.example\r\nConnection: Keep-Alive\r\n\r\n", &["+get / http/1.1\r\n", "-keep-alive"]),
    ("9112 §9.3", "HTTP/1.0 with a body", b"POST / HTTP/1.0\r\nHost: a.example\r\nContent-Length: 5\r\n\r\nhello", &["+\r\n\r\nhello"]),
    ("9110 §10.1.1", "Expect: 100-continue", b"POST / HTTP/1.1\r\nHost: a.example\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\nhello", &["+\r\n\r\nhello"]),
    ("9110 §7.8", "an upgrade that is declined", b"GET / HTTP/1.1\r\nHost: a.example\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n", &["+\r\nupgrade: websocket\r\n"]),
    ("9110 §7.8", "an upgrade to one of two", b"GET / HTTP/1.1\r\nHost: a.example\r\nConnection: Upgrade\r\nUpgrade: websocket, foo/2\r\n\r\n", &[]),
    ("9113 §3.1", "an offer of h2c", b"GET / HTTP/1.1\r\nHost: a.example\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n\r\n", &["-upgrade", "-http2-settings"]),
    ("3986 §2.1", "escapes in the path", b"GET /%41%7e%c3%a4%20 HTTP/1.1\r\nHost: a.example\r\n\r\n", &["+get /a~%c3%a4%20 http/1.1\r\n"]),
    ("3986 §3.3", "every character a path may have", b"GET /a-._~!$&'()*+,;=:@9 HTTP/1.1\r\nHost: a.example\r\n\r\n", &["+get /a-._~!$&'()*+,;=:@9 http/1.1\r\n"]),
    ("3986 §3.4", "slashes and question marks in the query", b"GET /?a=/b?c:@%0d%0a HTTP/1.1\r\nHost: a.example\r\n\r\n", &["+get /?a=/b?c:@%0d%0a http/1.1\r\n"]),
    // Not RFC 3986, but what every browser sends (docs/adr/0016): what is forwarded is encoded.
    ("3986 §2.1", "bars and brackets as browsers send them", b"GET /a[1]|b?f[a]=b|c&d={e}^`\\ HTTP/1.1\r\nHost: a.example\r\n\r\n", &["+get /a%5b1%5d%7cb?f[a]=b|c&d={e}^`\\ http/1.1\r\n"]),
    ("3986 §3.4", "an empty query", b"GET /? HTTP/1.1\r\nHost: a.example\r\n\r\n", &["+get /? http/1.1\r\n"]),
    ("3986 §5.2.4", "dots and doubled slashes", b"GET //a/./b/../c HTTP/1.1\r\nHost: a.example\r\n\r\n", &["+get /a/c http/1.1\r\n"]),
    ("3986 §3.2.2", "a Host in IPv6 with a port", b"GET / HTTP/1.1\r\nHost: [2001:db8::1]:8080\r\n\r\n", &["+\r\nhost: [2001:db8::1]:8080\r\n"]),
    ("3986 §3.2.2", "a Host in IPv4", b"GET / HTTP/1.1\r\nHost: 192.0.2.1\r\n\r\n", &["+\r\nhost: 192.0.2.1\r\n"]),
    ("9110 §7.2", "a Host with a port", b"GET / HTTP/1.1\r\nHost: a.example:65535\r\n\r\n", &["+\r\nhost: a.example:65535\r\n"]),
    ("9112 §3.2", "a Host with a final dot, not in first place", b"GET / HTTP/1.1\r\nX-A: b\r\nHost: A.Example.\r\n\r\n", &["+\r\nhost: a.example.\r\n"]),
    ("9110 §7.6.3", "Via and forwarding fields of a stranger", b"GET / HTTP/1.1\r\nHost: a.example\r\nVia: 1.0 old, 1.1 other\r\nX-Forwarded-For: 10.0.0.1\r\nForwarded: for=10.0.0.1\r\nX-Real-IP: 10.0.0.1\r\nX_Forwarded_For: 10.0.0.1\r\n\r\n", &["+via: 1.0 old, 1.1 other, 1.1 portreeve\r\n", "-10.0.0.1"]),
    ("9110 §5.3", "several Cookie fields", b"GET / HTTP/1.1\r\nHost: a.example\r\nCookie: a=1\r\nCookie: b=2\r\n\r\n", &["+cookie: a=1; b=2\r\n"]),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_valid_request_passes_as_one_clean_message_however_unusual_it_is() {
    let mut bench = Bench::new().await;
    for (rfc, name, bytes, parts) in UNUSUAL {
        let mut wire = bench.gateway.wire().await;
        wire.send(bytes).await;
        let method = if bytes.starts_with(b"HEAD") { "HEAD" } else { "GET" };
        let answer = async {
            loop {
                match wire.try_answer(method).await {
                    Ok(answer) if answer.status < 200 => {}
                    other => return other.map(|answer| answer.status).unwrap_or_default(),
                }
            }
        };
        match timeout(PATIENCE, answer).await {
            Ok(200) => {}
            other => bench.wrong(rfc, name, format!("answered with {other:?}")),
        }
        let heard = bench.heard(rfc, name).await;
        let [message] = &heard.whole[..] else {
            bench.wrong(rfc, name, format!("not one request at the origin but {heard:?}"));
            continue;
        };
        let text = String::from_utf8_lossy(message).to_lowercase();
        for part in *parts {
            let (sign, part) = part.split_at(1);
            if text.contains(part) != (sign == "+") {
                bench.wrong(rfc, name, format!("{sign}{part:?} in {text:?}"));
            }
        }
    }
    bench.finish(UNUSUAL.len(), 45);
}

/// What needs more room than a row has, or more than one request.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn large_and_many_requests_within_the_bounds_pass() {
    let mut bench = Bench::new().await;
    let long = "a".repeat(8_191);
    let value = "b".repeat(500);
    let fields = (0..97).fold(String::new(), |fields, n| fields + &format!("X-{n}: {value}\r\n"));
    let rows = [
        ("9112 §3", "a target of 8 KiB", format!("GET /{long} HTTP/1.1\r\nHost: a.example\r\n\r\n"), 1),
        ("6585 §5", "98 fields in 50 KB", format!("GET / HTTP/1.1\r\nHost: a.example\r\n{fields}\r\n"), 1),
        ("9112 §9.3.2", "100 requests at once", "GET / HTTP/1.1\r\nHost: a.example\r\n\r\n".repeat(100), 100),
        (
            "9112 §7.1",
            "100 uploads at once",
            "POST / HTTP/1.1\r\nHost: a.example\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n1\r\nb\r\n0\r\n\r\n"
                .repeat(100),
            100,
        ),
        (
            "9112 §7.1",
            "a body of 1,000 chunks",
            format!(
                "POST / HTTP/1.1\r\nHost: a.example\r\nTransfer-Encoding: chunked\r\n\r\n{}0\r\n\r\n",
                "1\r\na\r\n".repeat(1_000)
            ),
            1,
        ),
    ];
    for (rfc, name, bytes, count) in &rows {
        let mut wire = bench.gateway.wire().await;
        wire.send(bytes).await;
        for _ in 0..*count {
            match timeout(PATIENCE, wire.try_answer("GET")).await {
                Ok(Ok(answer)) if answer.status == 200 => {}
                other => bench.wrong(rfc, name, format!("answered with {other:?}")),
            }
        }
        let heard = bench.heard(rfc, name).await;
        if heard.whole.len() != *count {
            bench.wrong(rfc, name, format!("{} requests at the origin", heard.whole.len()));
        }
    }
    // A head of which each byte comes alone.
    let mut wire = bench.gateway.wire().await;
    let chunked =
        "POST / HTTP/1.1\r\nHost: a.example\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nX-A: b\r\n\r\n";
    for byte in chunked.as_bytes() {
        wire.send([*byte]).await;
        tokio::task::yield_now().await;
    }
    assert_eq!(wire.answer().await.status, 200);
    assert_eq!(bench.heard("9112 §2.2", "byte by byte").await.whole.len(), 1);
    bench.finish(rows.len(), 5);
}
