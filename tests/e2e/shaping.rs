//! Where a route's requests go when it has several upstreams, and what goes to another one as a copy.

use std::collections::BTreeMap;
use std::time::Duration;

use portreeve_tests::{Beat, Gateway, Origin, at, until};

async fn of_user(gateway: &Gateway, user: u32) -> String {
    gateway.get("/").header("x-user", &format!("user-{user}")).await.origin()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_split_is_stable_for_each_user_and_a_growing_canary_keeps_those_it_had() {
    let (a, b) = (Origin::start("a").await, Origin::start("b").await);
    let split = |stable: u32, canary: u32| {
        let yaml = r#"
upstreams: { stable: { targets: ["@a"] }, canary: { targets: ["@b"] } }
routes:
  - name: all
    match: { path: "/**" }
    public: true
    upstream: [{ name: stable, weight: STABLE }, { name: canary, weight: CANARY }]
    split_by: "${request.headers.x-user}"
"#;
        at(&[&a, &b], &yaml.replace("STABLE", &stable.to_string()).replace("CANARY", &canary.to_string()))
    };
    let gateway = Gateway::spawn(&split(80, 20)).await;
    let mut first = BTreeMap::new();
    for user in 0..60 {
        let origin = of_user(&gateway, user).await;
        assert_eq!(of_user(&gateway, user).await, origin);
        first.insert(user, origin);
    }
    let canary = first.values().filter(|origin| *origin == "b").count();
    assert!((1..=30).contains(&canary), "{canary}");
    gateway.reload(&split(60, 40)).await.unwrap();
    let mut grown = 0;
    for (user, before) in first {
        let now = of_user(&gateway, user).await;
        assert!(now == before || now == "b", "user {user} went from {before} to {now}");
        grown += usize::from(now == "b");
    }
    assert!(grown > canary, "{grown} of {canary}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upstream_takes_the_requests_of_its_expression_and_of_the_rest_only_its_weight() {
    let (a, b, c) = (Origin::start("a").await, Origin::start("b").await, Origin::start("c").await);
    let yaml = r#"
upstreams: { stable: { targets: ["@a"] }, canary: { targets: ["@b"] }, staff: { targets: ["@c"] } }
routes:
  - name: all
    match: { path: "/**" }
    public: true
    upstream:
      - { name: stable }
      - { name: staff, when: "request.headers.x-team == 'us'" }
      - { name: canary, when: "has(request.headers.x-canary)" }
"#;
    let gateway = Gateway::spawn(&at(&[&a, &b, &c], yaml)).await;
    for _ in 0..10 {
        assert_eq!(gateway.get("/").await.origin(), "a");
        assert_eq!(gateway.get("/").header("x-canary", "1").await.origin(), "b");
        assert_eq!(gateway.get("/").header("x-team", "us").await.origin(), "c");
        // The first of the list goes first.
        assert_eq!(gateway.get("/").header("x-team", "us").header("x-canary", "1").await.origin(), "c");
    }
}

async fn outcome(gateway: &Gateway, outcome: &str) -> Option<f64> {
    let metric = format!("portreeve_mirrored_requests_total{{outcome=\"{outcome}\",route=\"all\"}}");
    gateway.admin().metric(&metric).await
}

fn mirrored(main: &Origin, shadow: &Origin, mirror: &str) -> String {
    let yaml = r#"
upstreams: { main: { targets: ["@main"] }, shadow: { targets: ["@shadow"], timeouts: { first_byte: 20s } } }
routes:
  - name: all
    match: { path: "/open/**" }
    public: true
    plugins: [headers: { request: { set: { x-of-chain: "yes" } } }]
    upstream: main
    mirror: { upstream: shadow, MIRROR }
  - name: closed
    match: { path: /closed }
    plugins: [key-auth: { header: x-api-key }]
    upstream: main
    mirror: { upstream: shadow }
consumers: [{ name: ada, keys: ["env:PATH"] }]
"#;
    at(&[main, shadow], &yaml.replace("MIRROR", mirror))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_copy_is_what_went_to_the_target_and_says_that_it_is_one() {
    let (main, shadow) = (Origin::start("main").await, Origin::start("shadow").await);
    shadow.play(|_| vec![Beat::answer(500, &[("set-cookie", "of=shadow")], "nobody reads this")]);
    let gateway = Gateway::spawn(&mirrored(&main, &shadow, "concurrency: 8")).await;
    let answer =
        gateway.ask("POST", "/open/users?a=b").header("x-mirrored", "forged").header("x-y", "1").body("hello").await;
    assert_eq!((answer.status, answer.origin().as_str()), (200, "main"));
    until("the copy", async || (shadow.count() == 1).then_some(())).await;
    let (sent, copy) = (main.last(), shadow.last());
    assert_eq!((copy.method(), copy.target(), copy.body.as_slice()), ("POST", "/open/users?a=b", &b"hello"[..]));
    for name in ["host", "x-of-chain", "x-y", "x-forwarded-for", "content-length", "via"] {
        assert!(copy.header(name).is_some(), "{name}");
        assert_eq!(copy.header(name), sent.header(name), "{name}");
    }
    assert_eq!((sent.header("x-mirrored"), copy.header("x-mirrored")), (None, Some("true")));
    gateway.get("/open/again").await;
    until("both are counted", async || (outcome(&gateway, "sent").await == Some(2.0)).then_some(())).await;
    assert_eq!(shadow.last().method(), "GET");
    // What the chain refuses is not copied.
    assert_eq!(gateway.get("/closed").await.status, 401);
    gateway.get("/open/last").await;
    until("the next copy", async || (shadow.count() == 3).then_some(())).await;
    assert!(shadow.seen().iter().all(|copy| copy.target() != "/closed"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_shadow_that_is_behind_or_dead_or_sent_too_much_costs_the_request_nothing() {
    let (main, mut shadow) = (Origin::start("main").await, Origin::start("shadow").await);
    shadow.play(|_| vec![Beat::Await(1), Beat::answer(200, &[], "late")]);
    let gateway = Gateway::spawn(&mirrored(&main, &shadow, "concurrency: 2, max_body: 1KiB")).await;
    let begun = std::time::Instant::now();
    for _ in 0..10 {
        assert_eq!(gateway.get("/open/a").await.origin(), "main");
    }
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
    until("the shadow has two", async || (shadow.count() == 2).then_some(())).await;
    assert_eq!(outcome(&gateway, "behind").await, Some(8.0));
    shadow.cue();
    until("they end", async || (outcome(&gateway, "sent").await == Some(2.0)).then_some(())).await;
    let large = "x".repeat(100_000);
    assert_eq!(gateway.ask("PUT", "/open/b").body(large.clone()).await.json()["body"], large);
    assert_eq!(outcome(&gateway, "too_large").await, Some(1.0));
    shadow.die().await;
    assert_eq!(gateway.get("/open/c").await.origin(), "main");
    until("a failure is counted", async || (outcome(&gateway, "failed").await == Some(1.0)).then_some(())).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sample_of_nothing_copies_nothing_and_a_retried_request_is_copied_once() {
    let (main, shadow) = (Origin::start("main").await, Origin::start("shadow").await);
    let gateway = Gateway::spawn(&mirrored(&main, &shadow, "sample: 0%")).await;
    for _ in 0..20 {
        assert_eq!(gateway.get("/open/a").await.status, 200);
    }
    let (sick, yaml) = (
        Origin::start("sick").await.playing(|_| vec![Beat::answer(503, &[], "")]),
        mirrored(&main, &shadow, "sample: 100%"),
    );
    let both =
        format!("main: {{ targets: [\"{}\", \"{}\"], retry: {{ on: [503] }} }},", sick.address(), main.address());
    let one = format!("main: {{ targets: [\"{}\"] }},", main.address());
    assert!(yaml.contains(&one));
    gateway.reload(&yaml.replace(&one, &both)).await.unwrap();
    for body in 0..4 {
        assert_eq!(gateway.ask("PUT", "/open/a").body(format!("{body}")).await.status, 200);
    }
    assert!(sick.count() > 0);
    until("the copies", async || (outcome(&gateway, "sent").await == Some(4.0)).then_some(())).await;
    let mut bodies: Vec<_> = shadow.seen().into_iter().map(|copy| copy.body).collect();
    bodies.sort();
    assert_eq!(bodies, [b"0", b"1", b"2", b"3"]);
}
