//! Interim answers (RFC 9110 §15.2), targets that die around them, and kept connections that were dead already.

use std::time::Duration;

use portreeve_tests::{Beat, Gateway, Origin, RawOrigin, at};
use serde_json::json;

const GET: &str = "GET / HTTP/1.1\r\nhost: x\r\n\r\n";
const HINTS: &str = "HTTP/1.1 103 Early Hints\r\nlink: </style.css>; rel=preload\r\n\r\n";

async fn before(origins: &[&Origin], settings: &str) -> Gateway {
    let targets = origins.iter().map(|origin| format!("\"{}\"", origin.address())).collect::<Vec<_>>().join(", ");
    let yaml = format!(
        "upstreams: {{ pool: {{ targets: [{targets}], {settings} }} }}
routes: [{{ name: all, match: {{ path: '/**' }}, public: true, upstream: pool }}]"
    );
    Gateway::setup().workers(1).spawn(&yaml).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn early_hints_pass_before_the_answer_is_there() {
    let a = Origin::start("a").await.playing(|_| {
        let hints = [Beat::write(HINTS), Beat::write(HINTS), Beat::Await(1)];
        hints.into_iter().chain([Beat::answer(200, &[], "whole")]).collect()
    });
    let gateway = before(&[&a], "").await;
    let mut wire = gateway.wire().await;
    wire.send(GET).await;
    for _ in 0..2 {
        let hints = wire.answer().await;
        assert_eq!((hints.status, hints.header("link")), (103, Some("</style.css>; rel=preload")));
    }
    a.cue();
    let answer = wire.answer().await;
    assert_eq!((answer.status, answer.text().as_str()), (200, "whole"));
    a.echo();
    wire.send(GET).await;
    assert_eq!(wire.answer().await.origin(), "a");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_that_waits_for_100_continue_is_sent_once_the_target_wants_it() {
    let origin = RawOrigin::start().await;
    let yaml = r#"
upstreams: { raw: { targets: ["@raw"] } }
routes: [{ name: all, match: { path: "/**" }, public: true, upstream: raw }]
"#;
    let gateway = Gateway::spawn(&yaml.replace("@raw", &origin.address().to_string())).await;
    let mut client = gateway.wire().await;
    client.send("POST / HTTP/1.1\r\nhost: x\r\nexpect: 100-continue\r\ncontent-length: 5\r\n\r\n").await;
    let (mut target, head) = origin.request().await;
    assert!(head.to_ascii_lowercase().contains("\r\nexpect: 100-continue\r\n"), "{head}");
    target.send("HTTP/1.1 100 Continue\r\n\r\n").await;
    assert_eq!(client.answer().await.status, 100);
    client.send("hello").await;
    assert_eq!(target.read_until("hello").await, "hello");
    target.send("HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nread").await;
    assert_eq!(client.answer().await.text(), "read");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_target_that_hints_and_dies_is_a_clean_502() {
    let a = Origin::start("a").await.playing(|_| vec![Beat::write(HINTS), Beat::Close]);
    let gateway = before(&[&a], "").await;
    let mut wire = gateway.wire().await;
    // The client's connection is none the worse for it.
    for request in [GET, "GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"] {
        wire.send(request).await;
        assert_eq!(wire.answer().await.status, 103);
        let answer = wire.answer().await;
        assert_eq!(answer.status, 502);
        assert!(answer.is_problem(), "{answer:?}");
    }
    assert_eq!(String::from_utf8_lossy(&wire.rest().await), "");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_target_that_hints_and_falls_silent_is_left_for_another() {
    let a = Origin::start("a").await.playing(|_| vec![Beat::write(HINTS), Beat::Await(1)]);
    let b = Origin::start("b").await.playing(|_| vec![Beat::write(HINTS), Beat::Await(1)]);
    let settings = "timeouts: { first_byte: 200ms }, retry: { attempts: 2, on: [timeout] }";
    let gateway = before(&[&a, &b], settings).await;
    let mut wire = gateway.wire().await;
    wire.send(GET).await;
    assert_eq!(wire.answer().await.status, 103);
    // Whichever was not asked first is better now.
    a.echo();
    b.echo();
    let mut answer = wire.answer().await;
    if answer.status == 103 {
        answer = wire.answer().await;
    }
    assert_eq!(answer.status, 200);
    assert_eq!((a.count(), b.count()), (1, 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_of_a_plugin_reads_past_interim_answers() {
    let hinting = |body: &'static str| {
        move |_: &_| {
            vec![Beat::write("HTTP/1.1 100 Continue\r\n\r\n"), Beat::write(HINTS), Beat::answer(200, &[], body)]
        }
    };
    let a = Origin::start("a").await.playing(hinting("{\"name\":\"ada\"}"));
    let yaml = r#"
upstreams: { a: { targets: ["@a"] } }
routes:
  - name: whole
    match: { path: / }
    public: true
    plugins: [aggregate: { timeout: 5s, calls: { user: { upstream: a, path: /user } }, body: { user: "${calls.user}" } }]
"#;
    let gateway = Gateway::setup().workers(1).spawn(&at(&[&a], yaml)).await;
    for _ in 0..3 {
        let answer = gateway.get("/").await;
        assert_eq!((answer.status, answer.json()), (200, json!({ "user": { "name": "ada" } })));
    }
}

/// Makes the gateway keep so many connections to the origin.
async fn keep(gateway: &Gateway, origin: &Origin, connections: u64) {
    origin.play(move |_| vec![Beat::Await(1), Beat::answer(200, &[], "kept")]);
    let mut wires = Vec::new();
    for asked in 1..=connections {
        let mut wire = gateway.wire().await;
        wire.send(GET).await;
        portreeve_tests::until("the request arrives", async || (origin.count() as u64 == asked).then_some(())).await;
        wires.push(wire);
    }
    origin.cue();
    for wire in &mut wires {
        assert_eq!(wire.answer().await.text(), "kept");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_get_does_not_notice_that_the_kept_connections_of_the_only_target_were_dead() {
    for dead in 1..=3 {
        let a = Origin::start("a").await;
        let gateway = before(&[&a], "").await;
        keep(&gateway, &a, dead).await;
        let left = std::sync::atomic::AtomicU64::new(dead);
        a.play(move |_| {
            use std::sync::atomic::Ordering::SeqCst;
            let stale = left.fetch_update(SeqCst, SeqCst, |left| left.checked_sub(1)).is_ok();
            vec![if stale { Beat::Close } else { Beat::answer(200, &[], "fresh") }]
        });
        let answer = gateway.get("/").await;
        assert_eq!((answer.status, answer.text().as_str()), (200, "fresh"), "{dead} dead connections");
        assert_eq!(a.count() as u64, 2 * dead + 1);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restart_of_the_only_target_between_requests_is_not_noticed() {
    let mut a = Origin::start("a").await;
    let gateway = before(&[&a], "").await;
    for _ in 0..5 {
        keep_once(&gateway, &mut a).await;
        let asked = (0..8).map(|_| async { gateway.get("/").await.status });
        assert_eq!(futures::future::join_all(asked).await, [200; 8]);
    }
}

/// Eight kept connections, all closed by a restart.
async fn keep_once(gateway: &Gateway, origin: &mut Origin) {
    origin.play(|_| vec![Beat::Pause(Duration::from_millis(20)), Beat::answer(200, &[], "kept")]);
    let asked = (0..8).map(|_| async { gateway.get("/").await.status });
    assert_eq!(futures::future::join_all(asked).await, [200; 8]);
    origin.die().await;
    origin.revive().await;
}
