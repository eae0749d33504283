//! 502, 503 and 504 told apart: in the access log and the metrics, never to the client.

use std::collections::BTreeMap;

use portreeve_tests::{Beat, Gateway, Origin, RawOrigin, at, until};
use serde_json::Value;

use crate::admin::lines;

const YAML: &str = r#"
access_log: { to: "file:FOLDER/access.log" }
upstreams:
  dead: { targets: ["@dead"] }
  resets: { targets: ["@resets"] }
  odd: { targets: ["@odd"] }
  busy: { targets: ["@busy"] }
  silent: { targets: ["@silent"], timeouts: { first_byte: 100ms } }
  slow: { targets: ["@silent"], timeouts: { per_try: 100ms } }
  late: { targets: ["@silent"] }
  half: { targets: ["@half"] }
  unproven: { targets: ["RAW"], tls: { sni: users.test }, timeouts: { connect: 10s } }
  mute: { targets: ["MUTE"], tls: { sni: users.test }, timeouts: { connect: 100ms } }
  sick: { targets: ["@sick"], health: { http: /up, interval: 50ms, unhealthy_after: 1 } }
routes:
  - { name: dead, match: { path: /dead }, public: true, upstream: dead }
  - { name: resets, match: { path: /resets }, public: true, upstream: resets }
  - { name: odd, match: { path: /odd }, public: true, upstream: odd }
  - { name: busy, match: { path: /busy }, public: true, upstream: busy }
  - { name: silent, match: { path: /silent }, public: true, upstream: silent }
  - { name: slow, match: { path: /slow }, public: true, upstream: slow }
  - { name: late, match: { path: /late }, public: true, upstream: late, timeout: 100ms }
  - { name: half, match: { path: /half }, public: true, upstream: half }
  - { name: unproven, match: { path: /unproven }, public: true, upstream: unproven }
  - { name: mute, match: { path: /mute }, public: true, upstream: mute }
  - { name: sick, match: { path: /sick }, public: true, upstream: sick }
"#;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_failure_has_its_reason_in_log_and_metrics_and_the_client_is_told_the_status_only() {
    let folder = tempfile::tempdir().unwrap();
    let dead = Origin::dead("dead").await;
    let resets = Origin::start("resets").await.playing(|_| vec![Beat::Reset]);
    let odd = Origin::start("odd").await.playing(|_| vec![Beat::write("SSH-2.0-OpenSSH_9.9\r\n\r\n"), Beat::Close]);
    let busy = Origin::start("busy").await.playing(|_| vec![Beat::answer(503, &[], "a busy target's own words")]);
    let silent = Origin::start("silent").await.playing(|_| vec![Beat::Await(1)]);
    let half = Origin::start("half").await.playing(|_| {
        vec![Beat::write("HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf"), Beat::Await(1), Beat::Close]
    });
    let sick = Origin::start("sick").await.playing(|_| vec![Beat::answer(500, &[], "")]);
    // One speaks no TLS, and one says nothing at all.
    let (plain, mute) = (RawOrigin::start().await, RawOrigin::start().await);
    let yaml = YAML
        .replace("FOLDER", folder.path().to_str().unwrap())
        .replace("RAW", &plain.address().to_string())
        .replace("MUTE", &mute.address().to_string());
    tokio::spawn(async move { plain.accept().await.send("HTTP/1.1 400 Bad Request\r\n\r\n").await });
    let gateway = Gateway::spawn(&at(&[&dead, &resets, &odd, &busy, &silent, &half, &sick], &yaml)).await;
    until("no target is left", async || {
        let healthy = gateway.admin().target("sick", sick.address()).await["healthy"].clone();
        (healthy == Value::Bool(false)).then_some(())
    })
    .await;
    let expected = [
        ("dead", 502, "connect_refused"),
        ("resets", 502, "reset"),
        ("odd", 502, "bad_answer"),
        ("busy", 503, "upstream_status"),
        ("silent", 504, "answer_timeout"),
        ("slow", 504, "per_try_timeout"),
        ("late", 504, "deadline"),
        ("unproven", 502, "tls_failed"),
        ("mute", 504, "connect_timeout"),
        ("sick", 503, "no_target"),
    ];
    for (name, status, reason) in expected {
        let answer = gateway.get(&format!("/{name}")).await;
        assert_eq!(answer.status, status, "{name}");
        let told = format!("{answer:?}");
        assert!(!told.contains(reason) && !told.contains("127.0.0.1"), "{told}");
    }
    let mut wire = gateway.wire().await;
    wire.send("GET /half HTTP/1.1\r\nhost: x\r\n\r\n").await;
    wire.read_until("half").await;
    half.cue();
    assert!(wire.closed().await.is_ok());
    let lines = lines(&folder.path().join("access.log"), expected.len() + 1).await;
    let logged: BTreeMap<_, _> = lines
        .iter()
        .map(|line| (line["route"].as_str().unwrap(), line["reason"].as_str().unwrap_or_default()))
        .collect();
    let wanted = expected.iter().map(|(name, _, reason)| (*name, *reason)).chain([("half", "answer_broken")]);
    assert_eq!(logged, wanted.clone().collect());
    // Where it was to go is told, also where no target could be tried.
    for line in &lines {
        assert_eq!(line["upstream"], line["route"], "{line}");
    }
    for (name, reason) in wanted {
        let metric = format!("portreeve_upstream_failures_total{{reason=\"{reason}\",upstream=\"{name}\"}}");
        assert_eq!(gateway.admin().metric(&metric).await, Some(1.0), "{metric}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_that_was_served_in_the_end_has_no_reason() {
    let folder = tempfile::tempdir().unwrap();
    let (a, b) = (Origin::start("a").await.playing(|_| vec![Beat::Reset]), Origin::start("b").await);
    let yaml = r#"
access_log: { to: "file:FOLDER/access.log" }
upstreams: { pool: { targets: ["@a", "@b"] } }
routes: [{ name: all, match: { path: "/**" }, public: true, upstream: pool }]
"#;
    let yaml = yaml.replace("FOLDER", folder.path().to_str().unwrap());
    let gateway = Gateway::spawn(&at(&[&a, &b], &yaml)).await;
    for _ in 0..2 {
        assert_eq!(gateway.get("/").await.origin(), "b");
    }
    let lines = lines(&folder.path().join("access.log"), 2).await;
    assert!(lines.iter().any(|line| line["attempts"] == 2) && lines.iter().all(|line| line["reason"].is_null()));
    assert!(a.count() > 0);
}
