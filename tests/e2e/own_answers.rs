//! Answers of the gateway itself, as a web page of another origin sees them: without CORS headers it is told nothing at all.

use portreeve_tests::{Answer, Beat, Gateway, Origin, at, until};

use crate::plugins::Wait;

const PAGE: &str = "https://app.example.com";

fn is_readable(answer: &Answer) -> bool {
    answer.header("access-control-allow-origin") == Some(PAGE)
}

async fn preflight(gateway: &Gateway, path: &str, method: &str) -> Answer {
    let asks = format!("origin: {PAGE}\r\naccess-control-request-method: {method}\r\n");
    gateway.raw(format!("OPTIONS {path} HTTP/1.1\r\nhost: x\r\n{asks}\r\n")).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_preflight_is_answered_by_cors_on_a_route_that_does_not_take_options() {
    let a = Origin::start("a").await;
    let yaml = r#"
upstreams: { a: { targets: ["@a"] } }
chains: { pages: [cors: { origins: ["https://app.example.com"], methods: [GET, POST] }] }
routes:
  - { name: order, match: { path: "/orders/{id}", methods: [POST] }, public: true, plugins: [use: pages], upstream: a }
  - { name: read, match: { path: "/orders/{id}", methods: [GET] }, public: true, upstream: a }
"#;
    let gateway = Gateway::spawn(&at(&[&a], yaml)).await;
    let answer = preflight(&gateway, "/orders/7", "POST").await;
    assert_eq!((answer.status, answer.body.len()), (204, 0));
    assert!(is_readable(&answer), "{answer:?}");
    assert_eq!(answer.header("access-control-allow-methods"), Some("GET, POST"));
    // The route of the method that was announced decides, and this one has no `cors`.
    let answer = preflight(&gateway, "/orders/7", "GET").await;
    assert_eq!(answer.status, 405);
    assert!(answer.is_problem() && !is_readable(&answer), "{answer:?}");
    let mut allowed: Vec<_> = answer.header("allow").unwrap().split(", ").collect();
    allowed.sort_unstable();
    assert_eq!(allowed, ["GET", "HEAD", "POST"]);
    // No route takes this one, and a path without a route stays one.
    assert_eq!(preflight(&gateway, "/orders/7", "DELETE").await.status, 405);
    assert_eq!(preflight(&gateway, "/nowhere", "POST").await.status, 404);
    // Half a preflight is an ordinary OPTIONS.
    let half = gateway.raw(format!("OPTIONS /orders/7 HTTP/1.1\r\nhost: x\r\norigin: {PAGE}\r\n\r\n")).await;
    assert_eq!(half.status, 405);
    assert_eq!(a.count(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_refusal_of_a_route_can_be_read_by_the_page_that_asked() {
    let (dead, silent, sick) = (Origin::dead("dead").await, Origin::start("silent").await, Origin::start("sick").await);
    silent.play(|_| vec![Beat::Await(1)]);
    sick.play(|_| vec![Beat::Close]);
    let yaml = r#"
consumers: [{ name: ada, keys: ["env:PATH"] }]
upstreams:
  dead: { targets: ["@dead"] }
  sick: { targets: ["@sick"] }
  none: { targets: ["@dead"], health: { tcp: true, interval: 20ms, unhealthy_after: 1 } }
  silent: { targets: ["@silent"], timeouts: { first_byte: 50ms } }
chains: { pages: [cors: { origins: ["https://app.example.com"] }] }
routes:
  - { name: key, match: { path: /401 }, plugins: [use: pages, key-auth], upstream: dead }
  - name: version
    match: { path: "/{version}/404" }
    public: true
    plugins: [use: pages, versioning: { from: [{ path: version }], versions: { v1: { upstream: dead } } }]
  - { name: missing, match: { path: /404 }, public: true, plugins: [use: pages], respond: { status: 404, body: none } }
  - { name: long, match: { path: /413 }, public: true, plugins: [use: pages], upstream: silent, limits: { body: 4B } }
  - { name: rate, match: { path: /429 }, public: true, plugins: [use: pages, rate-limit: { by: all, limit: { rate: 1/h } }], respond: { status: 200 } }
  - { name: dead, match: { path: /502 }, public: true, plugins: [use: pages], upstream: dead }
  - { name: sick, match: { path: /502/late }, public: true, plugins: [use: pages], upstream: sick }
  - { name: none, match: { path: /503 }, public: true, plugins: [use: pages], upstream: none }
  - { name: silent, match: { path: /504 }, public: true, plugins: [use: pages], upstream: silent }
  - { name: waits, match: { path: /504/early }, public: true, timeout: 100ms, plugins: [use: pages, wait: {}], upstream: silent }
"#;
    let gateway = Gateway::with_plugin::<Wait>().spawn(&at(&[&dead, &silent, &sick], yaml)).await;
    let ask = async |path: &str| gateway.get(path).header("origin", PAGE).await;
    assert_eq!(ask("/429").await.status, 200);
    until("no target is left", async || (ask("/503").await.status == 503).then_some(())).await;
    let paths = ["/401", "/v9/404", "/404", "/429", "/502", "/502/late", "/503", "/504", "/504/early"];
    for path in paths {
        let answer = ask(path).await;
        assert!(path.contains(&answer.status.to_string()) && is_readable(&answer), "{path}: {answer:?}");
    }
    // Counted while it is sent: the length is not announced.
    let chunked = format!(
        "POST /413 HTTP/1.1\r\nhost: x\r\norigin: {PAGE}\r\ntransfer-encoding: chunked\r\n\r\n8\r\ntoo long\r\n"
    );
    let answer = gateway.raw(chunked).await;
    assert_eq!(answer.status, 413);
    assert!(is_readable(&answer), "{answer:?}");
}
