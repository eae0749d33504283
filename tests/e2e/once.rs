//! One life of a request: whatever shape it has and however it ends, its filters run once, and it is logged once.

use std::collections::HashMap;

use bytes::Bytes;
use futures::{StreamExt, stream};
use http::Request;
use portreeve_tests::{Beat, Gateway, Origin, at, until, within};

use crate::admin::lines;
use crate::plugins::{Count, take_ledger};
use crate::trailers::http2;

/// How often each shape is asked for, in an order of chance.
const TIMES: usize = 4;
/// So many at a time.
const AT_ONCE: usize = 8;

/// How a request goes out, and what its client does then.
#[derive(Debug, Clone, Copy)]
enum Shape {
    /// These bytes, the last on their connection; the answer is read to the end.
    Http1(&'static str),
    /// The same, and the client says that nothing more will come.
    Cut(&'static str),
    /// The same, and once these bytes have come the client resets its connection.
    Left(&'static str, &'static str),
    /// The same, and the client resets its connection once the target has the request.
    Gone(&'static str),
    /// With this method, and a body if there is one.
    Http2(&'static str, Option<&'static str>),
    /// Begun, and reset by its client once the target has it.
    Http2Gone,
}

use Shape::{Cut, Gone, Http1, Http2, Http2Gone, Left};

/// By the path that each is asked for.
const SHAPES: [(&str, Shape); 25] = [
    ("/http10", Http1("GET /http10 HTTP/1.0\r\n\r\n")),
    ("/http11", Http1("GET /http11 HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")),
    ("/head", Http1("HEAD /head HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")),
    ("/absolute", Http1("GET http://x/absolute HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")),
    ("/length", Http1("POST /length HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: 2\r\n\r\nok")),
    (
        "/chunks",
        Http1(
            "PUT /chunks HTTP/1.1\r\nhost: x\r\nconnection: close\r\ntransfer-encoding: chunked\r\n\r\n\
             2\r\nok\r\n0\r\nx-sum: 1\r\n\r\n",
        ),
    ),
    (
        "/expect",
        Http1(
            "POST /expect HTTP/1.1\r\nhost: x\r\nconnection: close\r\nexpect: 100-continue\r\ncontent-length: 2\r\n\r\nok",
        ),
    ),
    ("/too-long", Http1("POST /too-long HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: 4000000\r\n\r\n")),
    ("/half", Cut("POST /half HTTP/1.1\r\nhost: x\r\ncontent-length: 9\r\n\r\nhell")),
    ("/upgrade", Http1("GET /upgrade HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n")),
    (
        "/upgrade/left",
        Left("GET /upgrade/left HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n", "hello"),
    ),
    (
        "/upgrade/no",
        Http1("GET /upgrade/no HTTP/1.1\r\nhost: x\r\nconnection: upgrade, close\r\nupgrade: websocket\r\n\r\n"),
    ),
    ("/broken", Http1("GET /broken HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")),
    ("/odd", Http1("GET /odd HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")),
    ("/reset", Http1("GET /reset HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")),
    ("/hints", Http1("GET /hints HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")),
    ("/stream", Left("GET /stream HTTP/1.1\r\nhost: x\r\n\r\n", "hello")),
    ("/silent", Gone("GET /silent HTTP/1.1\r\nhost: x\r\n\r\n")),
    ("/dead", Http1("GET /dead HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")),
    ("/second", Http1("GET /second HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")),
    ("/here", Http1("GET /here HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")),
    ("/nowhere", Http1("GET /nowhere HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")),
    ("/http2", Http2("GET", None)),
    ("/http2/body", Http2("POST", Some("ok"))),
    ("/silent/http2", Http2Gone),
];

/// Refused before there is a request that a filter could see.
const REFUSED: [&str; 4] = [
    "GET / HTTP/1.1\r\nhost: x\r\nhost: y\r\n\r\n",
    "GET / HTTP/1.1\r\nhost: x\r\nx : y\r\n\r\n",
    "POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
    "SSH-2.0-OpenSSH_9.9\r\n\r\n",
];

const YAML: &str = r#"
access_log: { to: "file:FOLDER/access.log" }
listeners: [{ name: public, bind: "127.0.0.1:0", plugins: [count: { tag: door, ledger: once }] }]
upstreams:
  a: { targets: ["@a"] }
  dead: { targets: ["@dead"] }
  second: { targets: ["@dead", { address: "@a", weight: 1 }], retry: { attempts: 2, on: [connect], budget: 100% } }
routes:
  - { name: dead, match: { path: /dead }, public: true, plugins: [count: { tag: route, ledger: once }], upstream: dead }
  - { name: second, match: { path: /second }, public: true, plugins: [count: { tag: route, ledger: once }], upstream: second }
  - { name: here, match: { path: /here }, public: true, plugins: [count: { tag: route, ledger: once }], respond: { status: 200, body: ok } }
  - { name: nowhere, match: { path: /nowhere }, public: true, plugins: [count: { tag: route, ledger: once }], respond: { status: 404, body: no } }
  - { name: all, match: { path: "/**" }, public: true, plugins: [count: { tag: route, ledger: once }], upstream: a }
"#;

/// What the target does with a request, by its path.
fn script(path: &str) -> Vec<Beat> {
    let switch =
        Beat::write("HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\nhello");
    match path {
        "/upgrade" => vec![switch, Beat::Close],
        "/upgrade/left" => vec![switch, Beat::Await(1)],
        "/upgrade/no" => vec![Beat::answer(403, &[], "no")],
        "/broken" => vec![Beat::write("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhell"), Beat::Close],
        "/odd" => vec![Beat::write("HTTP/1.1 200 OK\r\nx : y\r\n\r\n"), Beat::Close],
        "/reset" => vec![Beat::Reset],
        "/hints" => vec![Beat::write("HTTP/1.1 103 Early Hints\r\n\r\n"), Beat::answer(200, &[], "ok")],
        "/stream" => vec![Beat::write("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhello"), Beat::Await(1)],
        "/silent" | "/silent/http2" => vec![Beat::Await(1)],
        "/head" => vec![Beat::answer(200, &[], "")],
        _ => vec![Beat::answer(200, &[], "ok")],
    }
}

/// Waits until the target has been asked for this.
async fn seen(a: &Origin, target: &str) {
    let has_come = || a.seen().iter().any(|received| received.target() == target).then_some(());
    until("the target has the request", async || has_come()).await;
}

/// Asks once; `number` tells it from others of its shape.
async fn ask(gateway: &Gateway, a: &Origin, path: &str, shape: Shape, number: usize) {
    let target = format!("{path}?{number}");
    let numbered = |bytes: &str| bytes.replacen(path, &target, 1);
    match shape {
        Http1(bytes) => {
            let mut wire = gateway.wire().await;
            wire.send(numbered(bytes)).await;
            wire.rest().await;
        }
        Cut(bytes) => {
            let mut wire = gateway.wire().await;
            wire.send(numbered(bytes)).await;
            wire.finish().await;
            wire.rest().await;
        }
        Left(bytes, until) => {
            let mut wire = gateway.wire().await;
            wire.send(numbered(bytes)).await;
            wire.read_until(until).await;
            wire.reset();
        }
        Gone(bytes) => {
            let mut wire = gateway.wire().await;
            wire.send(numbered(bytes)).await;
            seen(a, &target).await;
            wire.reset();
        }
        Http2(method, body) => {
            let mut sender = within("a stream", http2(gateway).await.ready()).await.unwrap();
            let request = Request::builder().method(method).uri(format!("http://x{target}")).body(()).unwrap();
            let (answer, mut sending) = sender.send_request(request, body.is_none()).unwrap();
            if let Some(body) = body {
                sending.send_data(Bytes::from_static(body.as_bytes()), true).unwrap();
            }
            let mut body = within("an answer", answer).await.unwrap().into_body();
            while within("a body", body.data()).await.is_some() {}
        }
        Http2Gone => {
            let mut sender = within("a stream", http2(gateway).await.ready()).await.unwrap();
            let request = Request::get(format!("http://x{target}")).body(()).unwrap();
            let (answer, mut sending) = sender.send_request(request, true).unwrap();
            seen(a, &target).await;
            sending.send_reset(h2::Reason::CANCEL);
            within("an end", answer).await.unwrap_err();
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_request_of_every_shape_is_filtered_once_and_logged_once() {
    let folder = tempfile::tempdir().unwrap();
    let a = Origin::start("a").await.playing(|received| script(received.target().split('?').next().unwrap()));
    let dead = Origin::dead("dead").await;
    let yaml = YAML.replace("FOLDER", folder.path().to_str().unwrap());
    let gateway = Gateway::with_plugin::<Count>().spawn(&at(&[&a, &dead], &yaml)).await;
    let mut asked: Vec<_> = std::iter::repeat_n(SHAPES, TIMES).flatten().collect();
    fastrand::shuffle(&mut asked);
    stream::iter(asked.into_iter().enumerate())
        .for_each_concurrent(AT_ONCE, async |(number, (path, shape))| ask(&gateway, &a, path, shape, number).await)
        .await;
    for bytes in REFUSED {
        let mut wire = gateway.wire().await;
        wire.send(bytes).await;
        wire.rest().await;
    }
    until("every connection has ended", async || {
        (gateway.admin().metric("portreeve_connections").await == Some(0.0)).then_some(())
    })
    .await;

    let lines = lines(&folder.path().join("access.log"), SHAPES.len() * TIMES + REFUSED.len()).await;
    let mut ledger = take_ledger("once");
    let mut logged = HashMap::<String, usize>::new();
    let mut refused = Vec::new();
    for line in &lines {
        if line["path"] == "" {
            refused.push(line["error"].to_string());
            continue;
        }
        *logged.entry(line["path"].as_str().unwrap().to_owned()).or_default() += 1;
        let id = line["request_id"].as_str().unwrap();
        let mut of = |tag: &str| ledger.remove(&(id.to_owned(), tag.to_owned())).unwrap_or_default();
        let (door, route) = (of("door"), of("route"));
        assert_eq!((door.request, door.log), (1, 1), "{door:?} {line}");
        // What is too long is refused at the door.
        let passed = u32::from(line["path"] != "/too-long");
        assert_eq!((route.request, route.log), (passed, passed), "{route:?} {line}");
    }
    assert_eq!(refused.len(), REFUSED.len(), "{refused:?}");
    assert!(ledger.is_empty(), "filtered and not logged: {ledger:?}");
    for (path, _) in SHAPES {
        assert_eq!(logged.remove(path), Some(TIMES), "{path}");
    }
    assert!(logged.is_empty(), "nobody asked for these: {logged:?}");
}
