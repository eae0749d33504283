//! No way around the chain: whatever shape a request has, it passes every plugin exactly once, or it reaches nothing.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use futures::{StreamExt, stream};
use portreeve_tests::{Beat, Gateway, Origin, Wire, at, until};
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::{Config, TestRunner};

use crate::plugins::{Count, take_ledger};

/// Connections with random requests on them.
const CONNECTIONS: usize = 600;
/// So many at a time.
const AT_ONCE: usize = 48;
/// A connection on which nothing has come for so long has told all it will.
const QUIET: Duration = Duration::from_millis(150);

fn method() -> impl Strategy<Value = &'static str> {
    let usual = proptest::sample::select(vec!["GET", "POST", "HEAD", "OPTIONS", "PUT", "DELETE"]);
    let odd = vec!["get", "CONNECT", "TRACE", "PRI", "FOO", "G\tT", "G@T", "", "GET GET"];
    prop_oneof![6 => usual, 1 => proptest::sample::select(odd)]
}

fn target() -> impl Strategy<Value = String> {
    let odd = vec![
        "/",
        "",
        "*",
        "//",
        "///a",
        "/..;/admin",
        "/a/..;/b",
        "/a/../b",
        "/%2e%2e/a",
        "/a%2fb",
        "/a%5cb",
        "/a\\b",
        "/%",
        "/%zz",
        "/a%00",
        "/?",
        "/?a=%0d%0ax:y",
        "/a?b?c#d",
        "#",
        "a",
        "http://x/abs",
        "http://other/abs",
        "HTTP://X",
        "https://x:1/a",
        "ws://x/a",
        "x:80",
        "example.com:443",
        "//evil/a",
        "/\u{e4}",
        "/a b",
        "/\t",
        "/a;b=c",
        "/.%2e/..",
        "/public/../a",
        "/.",
        "/%c0%af",
        "@x",
        "/@",
        "http://u:p@x/",
    ];
    prop_oneof![
        3 => "/[a-z0-9._~;=?/-]{0,12}",
        2 => proptest::sample::select(odd).prop_map(str::to_owned),
        1 => "[ -~]{0,8}",
    ]
}

fn header() -> impl Strategy<Value = String> {
    proptest::sample::select(vec![
        "Host: x",
        "Host: y",
        "host:x",
        "Host : x",
        "Host:",
        " Host: x",
        "Host: x, y",
        "Host: u@x",
        "Connection: close",
        "Connection: keep-alive",
        "Connection: Upgrade",
        "Upgrade: websocket",
        "Upgrade: h2c",
        "Upgrade: foo/1",
        "HTTP2-Settings: AAMAAABkAAQAAP__",
        "Sec-WebSocket-Version: 13",
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
        "Transfer-Encoding: chunked",
        "transfer-encoding: Chunked",
        "Transfer-Encoding: gzip, chunked",
        "Transfer-Encoding: chunked, identity",
        "Transfer-Encoding: xchunked",
        "Transfer-Encoding:\tchunked",
        "Transfer-Encoding : chunked",
        "Content-Length: 5",
        "Content-Length: 0",
        "Content-Length: +5",
        "Content-Length: 5, 5",
        "Content-Length: -1",
        "Content-Length: 99999999999999999999",
        "Content-Length: 6",
        "Expect: 100-continue",
        "TE: trailers",
        "Trailer: x-counted-door",
        "Connection: x-counted-door, x-counted-route",
        "Connection: close, x-counted-route",
        "Connection: content-length",
        "Connection: host",
        "X-Counted-Other: 1",
        "X-HTTP-Method-Override: DELETE",
        "X-Original-URL: /admin",
        "Range: bytes=0-1",
        "Accept: text/event-stream",
        "Proxy-Connection: keep-alive",
        "Keep-Alive: timeout=1",
        "x: a\r\n b",
        "novalue",
        ": empty",
        "x\0y: z",
    ])
    .prop_map(str::to_owned)
}

/// Fields that are odd but well-formed: with them a request goes on.
fn tame() -> impl Strategy<Value = String> {
    proptest::sample::select(vec![
        "Connection: close",
        "Connection: Upgrade\r\nUpgrade: websocket",
        "Upgrade: h2c\r\nConnection: Upgrade, HTTP2-Settings\r\nHTTP2-Settings: AAMAAABkAAQAAP__",
        "Transfer-Encoding:\tchunked",
        "Content-Length: 5",
        "Content-Length: 0",
        "TE: trailers",
        "Trailer: x-counted-door",
        "Connection: x-counted-door, x-counted-route",
        "Connection: close, x-counted-route",
        "X-Counted-Other: 1",
        "X-HTTP-Method-Override: DELETE",
        "X-Original-URL: /admin",
        "Range: bytes=0-1",
        "Accept: text/event-stream",
        "Proxy-Connection: keep-alive",
        "Keep-Alive: timeout=1",
    ])
    .prop_map(str::to_owned)
}

fn body() -> impl Strategy<Value = &'static str> {
    let smuggled = "0\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n";
    let plain = "GET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n";
    prop_oneof![
        4 => Just(""),
        2 => Just("hello"),
        2 => Just("5\r\nhello\r\n0\r\n\r\n"),
        1 => Just("5;x=y\r\nhello\r\n0\r\nx-counted-door: 1\r\n\r\n"),
        1 => Just("ffffffffffffffff\r\n"),
        1 => Just(smuggled),
        1 => Just(plain),
    ]
}

fn request() -> impl Strategy<Value = String> {
    let version = prop_oneof![
        14 => Just(" HTTP/1.1"), 3 => Just(" HTTP/1.0"), 1 => Just(" HTTP/2.0"), 1 => Just(" HTTP/0.9"), 1 => Just(""), 1 => Just(" http/1.1"), 1 => Just(" HTTP/1.2"),
    ];
    let wild = proptest::collection::vec(header(), 0..5);
    let tame = proptest::collection::vec(tame(), 0..3);
    let headers = prop_oneof![1 => wild, 2 => tame];
    // Most have the one field that every request needs, or none would ever come through.
    let host = proptest::bool::weighted(0.8);
    let end = prop_oneof![19 => Just("\r\n"), 1 => Just("\n")];
    let shaped = (method(), target(), version, host, headers, body(), end).prop_map(
        |(method, target, version, host, mut headers, body, end)| {
            if host {
                headers.push("Host: x".to_owned());
            }
            let headers: String = headers.iter().flat_map(|header| [header, end]).collect();
            format!("{method} {target}{version}{end}{headers}{end}{body}")
        },
    );
    let preface = Just("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0".to_owned());
    prop_oneof![30 => shaped, 1 => preface, 1 => "[ -~\r\n]{0,40}"]
}

fn connections() -> Vec<String> {
    // The same connections in every run: a failure is found again.
    let mut runner = TestRunner::new_with_rng(
        Config::default(),
        proptest::test_runner::TestRng::deterministic_rng(proptest::test_runner::RngAlgorithm::ChaCha),
    );
    // Pipelined: all that a connection asks is sent at once.
    let connection = proptest::collection::vec(request(), 1..4).prop_map(|requests| requests.concat());
    (0..CONNECTIONS).map(|_| connection.new_tree(&mut runner).unwrap().current()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_request_that_reaches_an_origin_has_passed_each_plugin_exactly_once() {
    let a = Origin::start("a").await.playing(|received| {
        let body = if received.method() == "HEAD" { "" } else { "ok" };
        vec![Beat::answer(200, &[], body)]
    });
    let yaml = r#"
listeners: [{ name: public, bind: "127.0.0.1:0", plugins: [count: { tag: door, ledger: around }] }]
upstreams: { a: { targets: ["@a"] } }
routes: [{ name: all, match: { path: "/**" }, public: true, plugins: [count: { tag: route, ledger: around }], upstream: a }]
"#;
    let gateway = Gateway::with_plugin::<Count>().spawn(&at(&[&a], yaml)).await;
    let address = gateway.address();
    stream::iter(connections())
        .for_each_concurrent(AT_ONCE, async |bytes| {
            let mut wire = Wire::connect(address).await;
            wire.send(bytes).await;
            while tokio::time::timeout(QUIET, wire.next()).await.is_ok_and(|next| !next.is_empty()) {}
        })
        .await;
    let quiet = "portreeve_connections";
    until("every connection has ended", async || (gateway.admin().metric(quiet).await == Some(0.0)).then_some(()))
        .await;

    let seen = a.seen();
    let ledger = take_ledger("around");
    let mut ids = HashSet::new();
    for received in &seen {
        let by = |tag: &str| received.head.all(&format!("x-counted-{tag}")).map(str::to_owned).collect::<Vec<_>>();
        let (door, route) = (by("door"), by("route"));
        assert!(door.len() == 1 && door == route, "went around a plugin: {received:?}");
        assert!(ids.insert(door[0].clone()), "came twice: {received:?}");
        for tag in ["door", "route"] {
            let tally = &ledger[&(door[0].clone(), tag.to_owned())];
            // The client may have left before the answer came, so that its hooks had nothing to see.
            assert!(tally.response <= 1, "{tag}: {tally:?} {received:?}");
            assert_eq!([tally.request, tally.upstream_request, tally.log], [1, 1, 1], "{tag}: {received:?}");
        }
    }
    let mut passed = HashMap::<&str, usize>::new();
    for ((id, tag), tally) in &ledger {
        assert!(tally.request == 1 && tally.response <= 1 && tally.log <= 1, "{tag} of {id}: {tally:?}");
        // A body that never came whole is not a request to the origin, which has its head alone then.
        assert!(tally.upstream_request <= 1, "{tag} of {id}: {tally:?}");
        *passed.entry(tag).or_default() += 1;
    }
    // And the gateway lives.
    assert_eq!(gateway.get("/alive").await.status, 200);
    // The shapes are not so odd that nothing is tested.
    assert!(seen.len() > CONNECTIONS / 10 && passed["door"] >= seen.len(), "{} of {passed:?}", seen.len());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn shapes_that_would_tunnel_are_refused_or_routed_like_any_other() {
    let a = Origin::start("a").await;
    let yaml = r#"
upstreams: { a: { targets: ["@a"] } }
consumers: [{ name: ada, keys: ["env:PATH"] }]
routes: [{ name: all, match: { path: "/**" }, plugins: [key-auth], upstream: a }]
"#;
    let gateway = Gateway::spawn(&at(&[&a], yaml)).await;
    for request in [
        "GET / HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n",
        "GET / HTTP/1.1\r\nhost: x\r\nconnection: upgrade, http2-settings\r\nupgrade: h2c\r\nhttp2-settings: AAMAAABkAAQAAP__\r\n\r\n",
        "CONNECT example.com:443 HTTP/1.1\r\nhost: example.com:443\r\n\r\n",
        "GET http://x/ HTTP/1.1\r\nhost: x\r\n\r\n",
        "GET / HTTP/1.0\r\n\r\n",
        "OPTIONS * HTTP/1.1\r\nhost: x\r\n\r\n",
        "GET / HTTP/1.1\r\nhost: x\r\nhost: y\r\n\r\n",
        "GET / HTTP/1.1\r\n\r\n",
        "POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
    ] {
        let mut wire = gateway.wire().await;
        wire.send(request).await;
        let status = wire.try_answer("GET").await.map_or(0, |answer| answer.status);
        // What is asked of the server as a whole is answered here.
        let here = request.starts_with("OPTIONS *") && status == 204;
        assert!(here || matches!(status, 0 | 400..=405 | 501), "{status}: {request:?}");
    }
    assert_eq!(a.count(), 0);
}
