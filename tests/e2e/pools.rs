//! Upstreams: who is picked, who is out, what is tried again, and which failure the client is told of.

use std::collections::BTreeMap;

use portreeve_tests::{Beat, Gateway, Origin, at, until};

/// The origins that answered so many GETs, all with 200.
async fn answered(gateway: &Gateway, requests: usize) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for _ in 0..requests {
        let answer = gateway.get("/").await;
        assert_eq!(answer.status, 200, "{answer:?}");
        *counts.entry(answer.origin()).or_default() += 1;
    }
    counts
}

const ONE_ROUTE: &str = "\nroutes: [{ name: all, match: { path: '/**' }, public: true, upstream: pool }]\n";

async fn pool(origins: &[&Origin], settings: &str) -> Gateway {
    let targets = origins.iter().map(|origin| format!("\"{}\"", origin.address())).collect::<Vec<_>>().join(", ");
    Gateway::spawn(&format!("upstreams: {{ pool: {{ targets: [{targets}], {settings} }} }}{ONE_ROUTE}")).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn round_robin_honours_weights_exactly() {
    let (a, b) = (Origin::start("a").await, Origin::start("b").await);
    let yaml = "upstreams: { pool: { targets: [\"@a\", { address: \"@b\", weight: 3 }] } }".to_owned() + ONE_ROUTE;
    let gateway = Gateway::spawn(&at(&[&a, &b], &yaml)).await;
    assert_eq!(answered(&gateway, 40).await, BTreeMap::from([("a".into(), 10), ("b".into(), 30)]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_way_of_balancing_serves_and_hashing_stays_with_one_target() {
    let (a, b) = (Origin::start("a").await, Origin::start("b").await);
    for balance in ["round_robin", "least_connections", "random_two"] {
        let gateway = pool(&[&a, &b], &format!("balance: {balance}")).await;
        let counts = answered(&gateway, 60).await;
        assert_eq!(counts.len(), 2, "{balance}: {counts:?}");
    }
    for balance in ["ip_hash", "{ hash: \"${request.headers.x-key:-none}\" }"] {
        let gateway = pool(&[&a, &b], &format!("balance: {balance}")).await;
        let counts = answered(&gateway, 20).await;
        assert_eq!(counts.len(), 1, "{balance}: {counts:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_target_that_refuses_connections_is_not_noticed() {
    let (mut a, b) = (Origin::start("a").await, Origin::start("b").await);
    let gateway = pool(&[&a, &b], "").await;
    assert_eq!(answered(&gateway, 10).await.len(), 2);
    a.die().await;
    assert_eq!(answered(&gateway, 200).await, BTreeMap::from([("b".into(), 200)]));
    // Nothing was sent to the dead one, so a POST may go elsewhere as well.
    for _ in 0..10 {
        assert_eq!(gateway.ask("POST", "/").body("once").await.origin(), "b");
    }
    a.revive().await;
    assert_eq!(answered(&gateway, 10).await.len(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_request_fails_when_a_target_dies_under_load() {
    let (mut a, b) = (Origin::start("a").await, Origin::start("b").await);
    let gateway = pool(&[&a, &b], "").await;
    let load = futures::future::join_all((0..8).map(|_| answered(&gateway, 100)));
    let (counts, ()) = tokio::join!(load, async {
        until("the origin is busy", async || (a.count() > 50).then_some(())).await;
        a.die().await;
    });
    assert_eq!(counts.iter().flat_map(|counts| counts.values()).sum::<usize>(), 800);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_kept_connection_that_the_target_had_closed_costs_no_get() {
    let a = Origin::start("a").await;
    let gateway = pool(&[&a], "").await;
    assert_eq!(gateway.get("/").await.status, 200);
    // Takes the next request on the kept connection and hangs up; then it answers again.
    let hang_up = std::sync::atomic::AtomicBool::new(true);
    a.play(move |_| {
        if hang_up.swap(false, std::sync::atomic::Ordering::SeqCst) {
            vec![Beat::Close]
        } else {
            vec![Beat::answer(200, &[], "again")]
        }
    });
    let mut answers = Vec::new();
    for _ in 0..4 {
        answers.push(gateway.get("/").await.status);
    }
    assert_eq!(answers, [200; 4]);
}

async fn health(kind: &str) {
    let (mut a, b) = (Origin::start("a").await, Origin::start("b").await);
    let settings = format!("health: {{ {kind}, interval: 20ms, timeout: 5s, unhealthy_after: 2, healthy_after: 2 }}");
    let gateway = pool(&[&a, &b], &settings).await;
    let becomes = async |healthy: bool| {
        let what = format!("{kind}: the target becomes healthy: {healthy}");
        let admin = gateway.admin();
        until(&what, async || (admin.target("pool", a.address()).await["healthy"] == healthy).then_some(())).await;
    };
    becomes(true).await;
    assert_eq!(answered(&gateway, 20).await.len(), 2);
    a.die().await;
    let gauge = format!("portreeve_upstream_target_healthy{{target=\"{}\",upstream=\"pool\"}}", a.address());
    until("the gauge falls", async || (gateway.admin().metric(&gauge).await == Some(0.0)).then_some(())).await;
    assert_eq!(answered(&gateway, 20).await, BTreeMap::from([("b".into(), 20)]));
    a.revive().await;
    until("the gauge rises", async || (gateway.admin().metric(&gauge).await == Some(1.0)).then_some(())).await;
    assert_eq!(answered(&gateway, 20).await.len(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_http_check_takes_a_target_out_and_brings_it_back() {
    health("http: /healthz").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tcp_check_takes_a_target_out_and_brings_it_back() {
    health("tcp: true").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_http_check_wants_the_status_it_was_told() {
    let a = Origin::start("a").await;
    a.play(|received| vec![Beat::answer(if received.target() == "/healthz" { 500 } else { 200 }, &[], "")]);
    let gateway = pool(&[&a], "health: { http: /healthz, interval: 20ms, unhealthy_after: 2, healthy_after: 1 }").await;
    until("no target is left: 503", async || (gateway.get("/").await.status == 503).then_some(())).await;
    a.echo();
    until("the target is back", async || (gateway.get("/").await.status == 200).then_some(())).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_connection_is_502_no_target_is_503_and_no_answer_in_time_is_504() {
    let (dead, sick, silent) = (Origin::dead("dead").await, Origin::dead("sick").await, Origin::start("silent").await);
    let (hasty, odd) = (Origin::start("hasty").await, Origin::start("odd").await);
    silent.play(|_| vec![Beat::Await(1)]);
    hasty.play(|_| vec![Beat::Close]);
    odd.play(|_| vec![Beat::write("EHLO mail\r\n\r\n"), Beat::Close]);
    let yaml = r#"
upstreams:
  dead: { targets: ["@dead"] }
  sick: { targets: ["@sick"], health: { tcp: true, interval: 10ms, unhealthy_after: 1 } }
  silent: { targets: ["@silent"], timeouts: { first_byte: 50ms } }
  hasty: { targets: ["@hasty"] }
  odd: { targets: ["@odd"] }
routes:
  - { name: dead, match: { path: /dead }, public: true, upstream: dead }
  - { name: sick, match: { path: /sick }, public: true, upstream: sick }
  - { name: silent, match: { path: /silent }, public: true, upstream: silent }
  - { name: hasty, match: { path: /hasty }, public: true, upstream: hasty }
  - { name: odd, match: { path: /odd }, public: true, upstream: odd }
  - { name: short, match: { path: /short }, public: true, upstream: silent, timeout: 30ms }
"#;
    let gateway = Gateway::spawn(&at(&[&dead, &sick, &silent, &hasty, &odd], yaml)).await;
    for (path, status) in [("/dead", 502), ("/silent", 504), ("/short", 504), ("/hasty", 502), ("/odd", 502)] {
        let answer = gateway.get(path).await;
        assert_eq!(answer.status, status, "{path}");
        assert!(answer.is_problem() && !answer.text().contains("127.0.0.1"), "{path}: {answer:?}");
    }
    let none =
        until("no target is left", async || Some(gateway.get("/sick").await).filter(|answer| answer.status == 503))
            .await;
    assert!(none.is_problem() && none.header("retry-after").is_some(), "{none:?}");
    for (upstream, result) in [("dead", "connect_failed"), ("silent", "timed_out"), ("sick", "no_target")] {
        let metric = format!("portreeve_upstream_attempts_total{{result=\"{result}\",upstream=\"{upstream}\"}}");
        assert!(gateway.admin().metric(&metric).await > Some(0.0), "{metric}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_503_is_tried_elsewhere_for_get_but_not_for_post() {
    let (a, b) = (Origin::start("a").await, Origin::start("b").await);
    a.play(|_| vec![Beat::answer(503, &[], "busy")]);
    let gateway = pool(&[&a, &b], "retry: { attempts: 2, on: [connect, 503], budget: 100% }").await;
    assert_eq!(answered(&gateway, 20).await, BTreeMap::from([("b".into(), 20)]));
    assert!(a.count() > 0, "the busy one was never asked");
    let mut posted = Vec::new();
    for _ in 0..4 {
        posted.push(gateway.ask("POST", "/").body("once").await.status);
    }
    posted.sort_unstable();
    assert_eq!(posted, [200, 200, 503, 503]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_answer_of_the_last_target_is_passed_on_when_nobody_else_is_left() {
    let a = Origin::start("a").await;
    a.play(|_| vec![Beat::answer(503, &[("x-why", "busy")], "busy")]);
    let gateway = pool(&[&a], "retry: { attempts: 3, on: [503] }").await;
    let answer = gateway.get("/").await;
    assert_eq!((answer.status, answer.header("x-why"), answer.text().as_str()), (503, Some("busy"), "busy"));
    assert_eq!(a.count(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_silent_target_is_given_up_for_another_if_the_policy_says_so() {
    let (a, b) = (Origin::start("a").await, Origin::start("b").await);
    a.play(|_| vec![Beat::Await(1)]);
    let gateway = pool(&[&a, &b], "timeouts: { first_byte: 50ms }, retry: { on: [timeout], budget: 100% }").await;
    assert_eq!(answered(&gateway, 4).await, BTreeMap::from([("b".into(), 4)]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_name_is_resolved_and_served() {
    let a = Origin::start("a").await;
    let port = a.address().port();
    let gateway =
        Gateway::spawn(&format!("upstreams: {{ pool: {{ targets: [\"localhost:{port}\"] }} }}{ONE_ROUTE}")).await;
    // `localhost` may be two addresses, of which one refuses.
    assert_eq!(answered(&gateway, 10).await, BTreeMap::from([("a".into(), 10)]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn in_flight_returns_to_zero_however_requests_end() {
    let a = Origin::start("a").await;
    a.play(|received| match received.target() {
        "/hang-up" => vec![Beat::Close],
        "/wait" => vec![Beat::Await(1), Beat::answer(200, &[], "late")],
        _ => vec![Beat::answer(200, &[], "ok")],
    });
    let gateway = pool(&[&a], "timeouts: { first_byte: 5s }").await;
    let in_flight = async |wanted: u64| {
        let admin = gateway.admin();
        let what = format!("{wanted} in flight");
        until(&what, async || (admin.target("pool", a.address()).await["in_flight"] == wanted).then_some(())).await;
    };
    let (mut leaving, mut staying) = (gateway.wire().await, gateway.wire().await);
    for wire in [&mut leaving, &mut staying] {
        wire.send("GET /wait HTTP/1.1\r\nhost: x\r\n\r\n").await;
    }
    in_flight(2).await;
    drop(leaving);
    in_flight(1).await;
    a.cue();
    assert_eq!(staying.answer().await.text(), "late");
    in_flight(0).await;
    assert_eq!(gateway.get("/hang-up").await.status, 502);
    assert_eq!(gateway.get("/").await.status, 200);
    in_flight(0).await;
}
