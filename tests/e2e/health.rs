//! Active health checks on the wire: what is asked, what is taken for well, and why a target is out in words.

use std::time::{Duration, Instant};

use portreeve_tests::{Beat, Gateway, Origin, RawOrigin, at, servers, until};
use serde_json::Value;

use crate::rpc::RpcOrigin;

const ROUTE: &str = "\nroutes: [{ name: all, match: { path: '/**' }, public: true, upstream: pool }]\n";

/// A gateway with one pool of these targets, checked so.
async fn checked(targets: &[String], settings: &str) -> Gateway {
    let targets: Vec<_> = targets.iter().map(|target| format!("\"{target}\"")).collect();
    Gateway::spawn(&format!("upstreams: {{ pool: {{ targets: [{}], {settings} }} }}{ROUTE}", targets.join(", "))).await
}

/// The first target, once its first check has come out.
async fn first(gateway: &Gateway) -> Value {
    until("a check has come out", async || {
        let target = gateway.admin().json("/api/v1/upstreams").await[0]["targets"][0].clone();
        target.get("last_check").is_some().then_some(target)
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_request_goes_to_a_new_target_before_a_check_has_passed() {
    let (good, bad) = (Origin::start("good").await, Origin::start("bad").await);
    bad.play(|received| vec![Beat::answer(if received.target() == "/up" { 503 } else { 200 }, &[], "{}")]);
    let health = "health: { http: /up, interval: 1h, unhealthy_after: 100 }";
    let gateway = checked(&[good.address().to_string(), bad.address().to_string()], health).await;
    for _ in 0..20 {
        assert_eq!(gateway.get("/").await.status, 200);
    }
    assert_eq!((good.count(), bad.count(), good.checks(), bad.checks()), (20, 0, 1, 1));
    let target = gateway.admin().target("pool", bad.address()).await;
    assert_eq!((&target["state"], &target["why"]), (&"unproven".into(), &"503 instead of 200".into()));
    assert!(
        target["healthy"] == false && target["available"] == false && target["bars"] == serde_json::json!(["unproven"])
    );
    let check = &target["last_check"];
    assert!(check["passed"] == false && check["took_ms"].as_f64().unwrap() > 0.0 && check["at"].as_u64() > Some(1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reload_to_new_targets_waits_for_their_checks_and_costs_no_request() {
    let (a, b) = (Origin::start("a").await, Origin::start("b").await);
    b.play(|received| {
        let answer = Beat::answer(200, &[], "{\"origin\": \"b\"}");
        if received.target() == "/up" { vec![Beat::Pause(Duration::from_millis(200)), answer] } else { vec![answer] }
    });
    let yaml = |name: &str| {
        let pool = format!("upstreams: {{ pool: {{ targets: [\"@{name}\"], health: {{ http: /up }} }} }}{ROUTE}");
        at(&[&a, &b], &pool)
    };
    let gateway = Gateway::spawn(&yaml("a")).await;
    let (asking, moved) = (tokio::sync::watch::Sender::new(true), yaml("b"));
    let load = async {
        let mut last = String::new();
        while *asking.borrow() {
            let answer = gateway.get("/").await;
            assert_eq!(answer.status, 200, "{answer:?}");
            last = answer.origin();
        }
        last
    };
    let (_, reloaded) = tokio::join!(load, async {
        let reloaded = gateway.reload(&moved).await;
        asking.send_replace(false);
        reloaded
    });
    reloaded.unwrap();
    assert_eq!(gateway.get("/").await.origin(), "b");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_prober_asks_however_many_upstreams_and_generations_name_a_target() {
    let a = Origin::start("a").await;
    let pools = |connect: u32| {
        let pool = |n: u32| {
            format!(
                "  p{n}: {{ targets: [\"@a\"], timeouts: {{ connect: {connect}s }}, health: {{ http: /up, interval: 1h }} }}\n"
            )
        };
        let routes = "routes:\n  - { name: one, match: { path: /1 }, public: true, upstream: p1 }\n  - { name: two, match: { path: /2 }, public: true, upstream: p2 }\n";
        at(&[&a], &format!("upstreams:\n{}{}{}{routes}", pool(1), pool(2), pool(3)))
    };
    let gateway = Gateway::spawn(&pools(1)).await;
    for connect in 2..5 {
        gateway.reload(&pools(connect)).await.unwrap();
        assert_eq!((gateway.get("/1").await.status, gateway.get("/2").await.status), (200, 200));
    }
    assert_eq!(a.checks(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_nginx_answers_is_judged_by_status_and_body() {
    let nginx = servers::nginx().await;
    let told = async |health: &str| {
        let health = format!("health: {{ {health}, interval: 1h }}");
        let target = first(&checked(&[nginx.address().to_string()], &health).await).await;
        target["why"].as_str().map(str::to_owned)
    };
    let named = "http: /protocol, headers: { host: users.example.com, x-forwarded-for: probe }";
    for (health, why) in [
        ("http: /protocol".to_owned(), None),
        ("tcp: true".to_owned(), None),
        (format!("{named}, expect: {{ body: \"users.example.com probe\" }}"), None),
        (format!("{named}, expect: {{ body: \"regex:^HTTP/1\\\\.1 users\" }}"), None),
        (format!("{named}, expect: {{ body: orders }}"), Some("200, but the body does not hold \"orders\"")),
        ("http: /protocol, method: HEAD".to_owned(), None),
        ("http: /unavailable".to_owned(), Some("503 instead of 200")),
        ("http: /unavailable, expect: { status: [204, 500-599] }".to_owned(), None),
        // Where it points to is nobody's health.
        ("http: /moved, expect: { status: [200, 204] }".to_owned(), Some("302 instead of 200 or 204")),
        ("http: /moved, expect: { status: 300-399 }".to_owned(), None),
        ("http: /dropped".to_owned(), Some("the connection was closed before an answer")),
    ] {
        assert_eq!(told(&health).await.as_deref(), why, "{health}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_grpc_check_takes_serving_for_well_and_nothing_else() {
    let origin = RpcOrigin::start().await;
    for (service, why) in [
        ("\"\"", None),
        ("users.v1.Users", None),
        ("down", Some("NOT_SERVING instead of SERVING")),
        ("unknown", Some("the target does not know unknown")),
        ("broken", Some("an answer that is none of grpc.health.v1")),
    ] {
        let health = format!("protocol: http2, health: {{ grpc: {service}, interval: 1h, timeout: 5s }}");
        let target = first(&checked(&[origin.address().to_string()], &health).await).await;
        assert_eq!(target["why"].as_str(), why, "{service}");
    }
    let asked = origin.heads().pop().unwrap();
    assert_eq!((asked.uri.path(), asked.method.as_str()), ("/grpc.health.v1.Health/Check", "POST"));
    assert!(asked.headers["te"] == "trailers" && asked.headers["grpc-timeout"] == "5000m", "{asked:?}");
    assert_eq!(origin.connections(), 5, "each check on a connection of its own");
    // A server of HTTP/1.1 is told as what it is, not waited for.
    let nginx = servers::nginx().await;
    let health = "protocol: http2, health: { grpc: \"\", interval: 1h, timeout: 5s }";
    let target = first(&checked(&[nginx.address().to_string()], health).await).await;
    assert!(target["state"] == "unproven" && target["why"].is_string(), "{target}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_black_hole_a_refusal_and_a_dripping_target_are_told_apart_within_one_deadline() {
    let (hole, dead) = (RawOrigin::start().await, Origin::dead("dead").await);
    let drip = Origin::start("drip").await.playing(|_| {
        let byte = [Beat::write("x"), Beat::Pause(Duration::from_millis(50))];
        let head = [Beat::write("HTTP/1.1 200 OK\r\nx: ")];
        head.into_iter().chain(byte.into_iter().cycle().take(4_000)).collect()
    });
    let begun = Instant::now();
    let targets = [hole.address(), dead.address(), drip.address()].map(|address| address.to_string());
    let gateway = checked(&targets, "health: { http: /up, interval: 1h, timeout: 300ms }").await;
    assert!(begun.elapsed() < Duration::from_secs(10), "the start waits for one round, not for an answer");
    for (address, why) in [
        (hole.address(), "no answer within 300ms"),
        (dead.address(), "connection refused"),
        (drip.address(), "no answer within 300ms"),
    ] {
        let target = gateway.admin().target("pool", address).await;
        assert_eq!((&target["why"], &target["state"]), (&why.into(), &"unproven".into()), "{target}");
    }
    // Nobody is known to be well, so nobody is asked: better a clear 503 than a request for a target that may be none.
    assert_eq!(gateway.get("/").await.status, 503);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flapping_target_stays_as_it_is_until_enough_checks_agree() {
    let a = Origin::start("a").await;
    let checks = std::sync::atomic::AtomicUsize::new(0);
    a.play(move |received| {
        let is_check = received.target() == "/up";
        let bad = is_check && checks.fetch_add(1, std::sync::atomic::Ordering::SeqCst) % 2 == 1;
        vec![Beat::answer(if bad { 500 } else { 200 }, &[], "{\"origin\": \"a\"}")]
    });
    let health = "health: { http: /up, interval: 10ms, unhealthy_after: 2, healthy_after: 2 }";
    let gateway = checked(&[a.address().to_string()], health).await;
    while a.checks() < 30 {
        assert_eq!(gateway.get("/").await.status, 200);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_check_takes_an_answer_for_one_only_if_a_client_would_have_got_it() {
    let fields = "x: y\r\n".repeat(300);
    for (head, why) in [
        ("HTTP/1.1 200 OK\r\nx : y\r\n\r\n".to_owned(), "white space between a field name and the colon"),
        (
            "HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 3\r\n\r\n".to_owned(),
            "the target's answer is refused",
        ),
        (format!("HTTP/1.1 200 OK\r\n{fields}\r\n"), "the target's answer is refused"),
        ("HTTP/1.1 103 Early Hints\r\n\r\n".repeat(9), "nothing but interim answers"),
    ] {
        let odd = Origin::start("odd").await;
        odd.play(move |_| vec![Beat::write(&head), Beat::Close]);
        let target = first(&checked(&[odd.address().to_string()], "health: { http: /up, interval: 1h }").await).await;
        let told = target["why"].as_str().unwrap();
        assert!(told.starts_with("no answer: ") && told.contains(why), "{told}");
        assert_eq!(target["state"], "unproven");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_kind_of_check_says_that_it_is_the_gateways_own_where_targets_want_to_know() {
    for health in ["tcp: true", "http: /up"] {
        let origin = RawOrigin::start().await;
        let settings = format!("proxy_protocol: v1, health: {{ {health}, interval: 1h, timeout: 5s }}");
        let target = origin.address().to_string();
        let starting = tokio::spawn(async move { checked(&[target], &settings).await });
        let mut wire = origin.accept().await;
        wire.read_until("PROXY UNKNOWN\r\n").await;
        if health != "tcp: true" {
            wire.send("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await;
        }
        assert_eq!(first(&starting.await.unwrap()).await["healthy"], true, "{health}");
    }
}
