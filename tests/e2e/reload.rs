//! Reloads: all or nothing, and what survives one.

use portreeve_tests::{Gateway, Origin, RawOrigin, at, until};
use tokio::net::TcpStream;

fn saying(body: &str) -> String {
    format!(
        "routes: [{{ name: all, match: {{ path: '/**' }}, public: true, respond: {{ status: 200, body: {body} }} }}]"
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_good_file_takes_effect_at_once() {
    let gateway = Gateway::spawn(&saying("old")).await;
    assert_eq!(gateway.get("/").await.text(), "old");
    assert_eq!(gateway.reload(&saying("new")).await, Ok(2));
    assert_eq!(gateway.get("/").await.text(), "new");
    assert_eq!(gateway.admin().metric("portreeve_config_generation").await, Some(2.0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bad_file_changes_nothing_and_is_told_by_metric_and_status_page() {
    let gateway = Gateway::spawn(&saying("old")).await;
    let bad_yaml = saying("[unclosed");
    let bad_name = "routes: [{ name: all, match: { path: '/**' }, public: true, upstream: nobody }]";
    let bad_plugin = "routes: [{ name: all, match: { path: '/**' }, public: true, plugins: [ip-filter: { allow: [nonsense] }], respond: { status: 200 } }]";
    let bad_chain = "upstreams: { a: { targets: ['127.0.0.1:1'] } }\nroutes: [{ name: all, match: { path: '/**' }, plugins: [jwt: { algorithms: [HS256], keys: [{ secret: 'env:PORTREEVE_TESTS_NOT_SET' }] }], upstream: a }]";
    for (bad, says) in [
        (bad_yaml.as_str(), "gateway.yaml:"),
        (bad_name, "nobody"),
        (bad_plugin, "nonsense"),
        (bad_chain, "PORTREEVE_TESTS_NOT_SET"),
    ] {
        let error = gateway.reload(bad).await.unwrap_err();
        assert!(error.contains(says), "{error}");
        assert_eq!(gateway.get("/").await.text(), "old");
        assert_eq!(gateway.admin().metric("portreeve_config_last_reload_success").await, Some(0.0));
        let status = gateway.admin().json("/api/v1/status").await;
        assert_eq!((&status["generation"], &status["last_reload"]["success"]), (&1.into(), &false.into()), "{status}");
        assert!(status["last_reload"]["error"].as_str().unwrap().contains(says), "{status}");
    }
    assert_eq!(gateway.reload(&saying("new")).await, Ok(2));
    assert_eq!(gateway.admin().metric("portreeve_config_last_reload_success").await, Some(1.0));
    assert_eq!(gateway.get("/").await.text(), "new");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_admin_port_reloads_as_well_and_says_why_not() {
    let gateway = Gateway::spawn(&saying("old")).await;
    let answer = gateway.admin().post("/api/v1/reload").await;
    assert_eq!((answer.status, &answer.json()["generation"]), (200, &2.into()));
    std::fs::write(gateway.file(), "version: 1\nroutes: what").unwrap();
    let answer = gateway.admin().post("/api/v1/reload").await;
    assert_eq!(answer.status, 422);
    assert!(answer.text().contains("gateway.yaml:2:"), "{answer:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reload_adds_and_removes_listeners() {
    let one = "listeners: [{ name: one, bind: '127.0.0.1:0' }]\n".to_owned() + &saying("ok");
    let two = "listeners: [{ name: one, bind: '127.0.0.1:0' }, { name: two, bind: '127.0.0.1:0' }]\n".to_owned()
        + &saying("ok");
    let gateway = Gateway::spawn(&one).await;
    gateway.reload(&two).await.unwrap();
    assert_eq!(gateway.listener("one"), gateway.address());
    let added = gateway.listener("two");
    assert_eq!(gateway.ask_at(added, "GET", "/").await.text(), "ok");
    let mut kept = portreeve_tests::Wire::connect(added).await;
    kept.send("GET / HTTP/1.1\r\nhost: x\r\n\r\n").await;
    assert_eq!(kept.answer().await.status, 200);
    gateway.reload(&one).await.unwrap();
    until("the removed listener is closed", async || TcpStream::connect(added).await.is_err().then_some(())).await;
    assert_eq!(gateway.get("/").await.text(), "ok");
    // Whoever was connected is told: the chain of that listener is not there any more to be passed.
    kept.send("GET / HTTP/1.1\r\nhost: x\r\n\r\n").await;
    assert_eq!(kept.answer().await.status, 421);
    assert!(kept.rest().await.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_listener_whose_port_is_taken_refuses_the_whole_reload() {
    let gateway = Gateway::spawn(&saying("old")).await;
    let taken = Origin::start("taken").await;
    let yaml = at(&[&taken], "listeners: [{ name: public, bind: '127.0.0.1:0' }, { name: two, bind: '@taken' }]\n")
        + &saying("new");
    let error = gateway.reload(&yaml).await.unwrap_err();
    assert!(error.contains(&taken.address().to_string()), "{error}");
    assert_eq!(gateway.get("/").await.text(), "old");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn limiter_counts_survive_a_reload() {
    let limited = |body: &str| {
        let plugins = "plugins: [rate-limit: { by: all, limit: { rate: 3/h } }]";
        saying(body).replace("public: true,", &format!("public: true, {plugins},"))
    };
    let gateway = Gateway::spawn(&limited("old")).await;
    for _ in 0..2 {
        assert_eq!(gateway.get("/").await.status, 200);
    }
    gateway.reload(&limited("new")).await.unwrap();
    assert_eq!(gateway.get("/").await.text(), "new");
    assert_eq!(gateway.get("/").await.status, 429);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn target_health_survives_a_reload() {
    let dead = Origin::dead("dead").await;
    let yaml = |body: &str| {
        let upstream = "upstreams: { a: { targets: [\"@dead\"], health: { tcp: true, interval: 50ms, unhealthy_after: 1, healthy_after: 100 } } }";
        at(
            &[&dead],
            &format!(
                "{upstream}\nroutes:\n  - {{ name: all, match: {{ path: / }}, public: true, upstream: a }}\n  - {{ name: own, match: {{ path: /own }}, public: true, respond: {{ status: 200, body: {body} }} }}"
            ),
        )
    };
    let gateway = Gateway::spawn(&yaml("old")).await;
    let before = until("the target is out", async || {
        Some(gateway.admin().target("a", dead.address()).await).filter(|target| target["healthy"] == false)
    })
    .await;
    gateway.reload(&yaml("new")).await.unwrap();
    assert_eq!(gateway.get("/own").await.text(), "new");
    let after = gateway.admin().target("a", dead.address()).await;
    assert_eq!((&after["healthy"], &after["since"]), (&before["healthy"], &before["since"]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_of_events_goes_on_through_reloads_that_leave_neither_its_route_nor_its_upstream() {
    let origin = RawOrigin::start().await;
    let yaml = "upstreams: { raw: { targets: ['@raw'] } }\nroutes: [{ name: all, match: { path: '/**' }, public: true, upstream: raw, timeouts: { idle: 1m } }]";
    let gateway = Gateway::spawn(&yaml.replace("@raw", &origin.address().to_string())).await;
    let mut client = gateway.wire().await;
    client.send("GET / HTTP/1.1\r\nhost: x\r\naccept: text/event-stream\r\n\r\n").await;
    let (mut target, _) = origin.request().await;
    target.send("HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n").await;
    client.read_until("\r\n\r\n").await;
    for round in 0..3_u64 {
        assert_eq!(gateway.reload(&saying(&format!("new{round}"))).await, Ok(round + 2));
        assert_eq!(gateway.get("/").await.text(), format!("new{round}"));
        target.send("a\r\ndata: on\n\n\r\n").await;
        client.read_until("data: on\n\n").await;
    }
    target.send("0\r\n\r\n").await;
    client.read_until("0\r\n\r\n").await;
}
