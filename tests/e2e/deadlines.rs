//! Waits that somebody would like to have no end.

use std::time::{Duration, Instant};

use portreeve_tests::{Beat, Gateway, Origin, at};

use crate::plugins::Wait;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_plugin_that_waits_past_the_routes_timeout_is_504_at_that_time() {
    let a = Origin::start("a").await;
    let yaml = r#"
upstreams: { a: { targets: ["@a"] } }
routes: [{ name: all, match: { path: "/**" }, public: true, timeout: 300ms, plugins: [wait: {}], upstream: a }]
"#;
    let gateway = Gateway::with_plugin::<Wait>().spawn(&at(&[&a], yaml)).await;
    for more in ["", "accept: text/event-stream\r\n", "connection: upgrade\r\nupgrade: websocket\r\n"] {
        let begun = Instant::now();
        let answer = gateway.raw(format!("GET / HTTP/1.1\r\nhost: x\r\n{more}\r\n")).await;
        let took = begun.elapsed();
        assert_eq!(answer.status, 504, "{more}");
        assert!(answer.is_problem(), "{answer:?}");
        assert!(took >= Duration::from_millis(290) && took < Duration::from_secs(3), "{more} {took:?}");
    }
    assert_eq!(a.count(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answers_head_that_trickles_is_504_at_the_routes_timeout() {
    let a = Origin::start("a").await.playing(|_| {
        let bytes = b"HTTP/1.1 200 OK\r\nx-slow: ".iter().copied().chain(std::iter::repeat_n(b'x', 100));
        bytes.flat_map(|byte| [Beat::write([byte]), Beat::Pause(Duration::from_millis(50))]).collect()
    });
    let yaml = r#"
upstreams: { a: { targets: ["@a"], timeouts: { first_byte: 400ms } } }
routes: [{ name: all, match: { path: "/**" }, public: true, timeout: 500ms, upstream: a }]
"#;
    let gateway = Gateway::spawn(&at(&[&a], yaml)).await;
    let begun = Instant::now();
    let answer = gateway.get("/").await;
    assert_eq!(answer.status, 504);
    assert!(begun.elapsed() < Duration::from_secs(3), "{:?}", begun.elapsed());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answers_head_beyond_all_measure_is_502() {
    let a = Origin::start("a").await.playing(|received| {
        let length = received.target().trim_start_matches('/').parse().unwrap();
        let huge = "x".repeat(length);
        vec![Beat::answer(200, &[("x-huge", &huge)], "ok"), Beat::Close]
    });
    let yaml = r#"
upstreams: { a: { targets: ["@a"], timeouts: { first_byte: 2s } } }
routes: [{ name: all, match: { path: "/**" }, public: true, upstream: a }]
"#;
    let gateway = Gateway::spawn(&at(&[&a], yaml)).await;
    let large = gateway.get("/30000").await;
    assert_eq!((large.status, large.header("x-huge").map(str::len)), (200, Some(30_000)));
    let huge = gateway.get("/10000000").await;
    assert_eq!(huge.status, 502);
    assert!(huge.is_problem(), "{huge:?}");
    assert_eq!(gateway.get("/1").await.status, 200);
}
