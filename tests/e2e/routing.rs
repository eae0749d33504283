//! Which route a request takes, and what becomes of it when it takes none.

use std::collections::BTreeMap;

use portreeve_tests::{Gateway, Origin, at};
use serde_json::json;

async fn origins() -> (Origin, Origin) {
    (Origin::start("a").await, Origin::start("b").await)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn host_path_method_header_and_query_choose_the_route() {
    let (a, b) = origins().await;
    let gateway = Gateway::spawn(&at(
        &[&a, &b],
        r#"
upstreams:
  a: { targets: ["@a"] }
  b: { targets: ["@b"] }
routes:
  - { name: any, match: { path: "/things/**" }, public: true, upstream: a }
  - { name: host, match: { host: "*.example.com", path: "/things/**" }, public: true, upstream: b }
  - { name: exact, match: { path: "/things/7" }, public: true, upstream: b }
  - { name: posted, match: { path: "/method" , methods: [POST] }, public: true, upstream: b }
  - { name: read, match: { path: "/method", methods: [GET] }, public: true, upstream: a }
  - { name: plain, match: { path: "/more" }, public: true, upstream: a }
  - { name: canary, match: { path: "/more", headers: { x-canary: "yes" } }, public: true, upstream: b }
  - { name: asked, match: { path: "/asked" }, public: true, upstream: a }
  - { name: debug, match: { path: "/asked", query: { debug: { present: true } } }, public: true, upstream: b }
"#,
    ))
    .await;
    assert_eq!(gateway.get("/things/8").await.origin(), "a");
    assert_eq!(gateway.get("/things/8").header("host", "eu.example.com").await.origin(), "b");
    assert_eq!(gateway.get("/things/8").header("host", "example.com").await.origin(), "a");
    assert_eq!(gateway.get("/things/7").await.origin(), "b");
    assert_eq!(gateway.ask("POST", "/method").await.origin(), "b");
    assert_eq!(gateway.get("/method").await.origin(), "a");
    assert_eq!(gateway.get("/more").await.origin(), "a");
    assert_eq!(gateway.get("/more").header("x-canary", "yes").await.origin(), "b");
    assert_eq!(gateway.get("/asked?debug").await.origin(), "b");
    assert_eq!(gateway.get("/asked?verbose").await.origin(), "a");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_path_without_a_route_is_404_and_a_method_without_one_is_405_with_allow() {
    let gateway = Gateway::spawn(
        r#"
routes:
  - { name: read, match: { path: "/users/{id}", methods: [GET] }, public: true, respond: { status: 200, body: one } }
  - { name: write, match: { path: "/users/{id}", methods: [PUT] }, public: true, respond: { status: 200, body: two } }
"#,
    )
    .await;
    let nowhere = gateway.get("/nowhere").await;
    assert_eq!(nowhere.status, 404);
    assert!(nowhere.is_problem(), "{nowhere:?}");
    let wrong = gateway.ask("DELETE", "/users/7").await;
    assert_eq!(wrong.status, 405);
    assert!(wrong.is_problem(), "{wrong:?}");
    let allow = wrong.header("allow").expect("Allow");
    assert!(allow.contains("GET") && allow.contains("PUT") && !allow.contains("DELETE"), "{allow}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_matched_is_what_is_forwarded() {
    let (a, b) = origins().await;
    let gateway = Gateway::spawn(&at(
        &[&a, &b],
        r#"
upstreams:
  a: { targets: ["@a"] }
  b: { targets: ["@b"] }
routes:
  - { name: files, match: { path: "/files/**" }, public: true, upstream: a }
  - { name: secret, match: { path: "/secret/**" }, public: true, upstream: b }
"#,
    ))
    .await;
    for (asked, answered, forwarded) in [
        ("/files/./x//%7ey?q=%2F..%2f&r=//", "a", "/files/x/~y?q=%2F..%2f&r=//"),
        ("/files/../secret/x", "b", "/secret/x"),
        ("/files/%2e%2e/secret/x", "b", "/secret/x"),
        ("//files//a%c3%a4", "a", "/files/a%C3%A4"),
        ("/secret/all%3adelete/%40me%2c%3D", "b", "/secret/all:delete/@me,="),
        ("/files/a%2bb+c/%3b;d=%2C;e", "a", "/files/a%2Bb+c/%3B;d=%2C;e"),
    ] {
        let answer = gateway.raw(format!("GET {asked} HTTP/1.1\r\nhost: x\r\n\r\n")).await;
        assert_eq!(
            (answer.origin().as_str(), answer.json()["target"].as_str()),
            (answered, Some(forwarded)),
            "{asked}"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_spelling_of_a_path_or_a_host_gets_around_a_protected_route() {
    let (a, b) = origins().await;
    let gateway = Gateway::spawn(&at(
        &[&a, &b],
        r#"
upstreams:
  a: { targets: ["@a"] }
  b: { targets: ["@b"] }
routes:
  - { name: delete, match: { path: "/items/all:delete" }, public: true, respond: { status: 403 } }
  - { name: me, match: { path: "/@me/**" }, public: true, respond: { status: 403 } }
  - { name: plus, match: { path: "/a+b" }, public: true, respond: { status: 403 } }
  - { name: admin, match: { path: "/admin/**" }, public: true, respond: { status: 403 } }
  - { name: inner, match: { host: inner.example }, public: true, respond: { status: 403 } }
  - { name: not-inner, match: { path: "/by-host", if: "request.host == 'other.example'" }, public: true, upstream: b }
  - { name: all, match: { path: "/**" }, public: true, upstream: a }
"#,
    ))
    .await;
    let ask =
        async |path: &str, host: &str| gateway.raw(format!("GET {path} HTTP/1.1\r\nhost: {host}\r\n\r\n")).await.status;
    for path in ["/items/all:delete", "/items/all%3Adelete", "/items/all%3adelete", "/%40me/x", "/a%2Bb", "/admin/x;y"]
    {
        assert_eq!(ask(path, "x").await, 403, "{path}");
    }
    for path in ["/admin;a/x", "/admin%3Ba/x", "/;/admin/x", "/x/..;/admin", "/x/..%3B/admin", "/%2e%2e%3b/admin"] {
        assert_eq!(ask(path, "x").await, 400, "{path}");
    }
    for host in ["inner.example", "inner.example.", "INNER.example.:80"] {
        assert_eq!(ask("/", host).await, 403, "{host}");
    }
    assert_eq!((ask("/", "inner.example..").await, a.count(), b.count()), (400, 0, 0));
    assert_eq!(ask("/map;v=1/x;y=2", "x").await, 200, "who cuts and who does not read a path of the same route");
    assert_eq!(a.last().target(), "/map;v=1/x;y=2");
    assert_eq!((ask("/by-host", "other.example.").await, b.last().header("host")), (200, Some("other.example.")));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_encoded_slash_a_backslash_and_a_nul_are_refused_unless_the_route_allows_the_slash() {
    let a = Origin::start("a").await;
    let gateway = Gateway::spawn(&at(
        &[&a],
        r#"
upstreams:
  a: { targets: ["@a"] }
routes:
  - { name: files, match: { path: "/files/{name}" }, public: true, upstream: a }
  - { name: keys, match: { path: "/keys/{key}" }, public: true, upstream: a, allow_encoded_slash: true }
"#,
    ))
    .await;
    for path in ["/files/a%2Fb", "/files/a%5Cb", "/files/a%00b", "/keys/a%5Cb", "/keys/a%00b", "/%2e%2e/%2e%2e/etc"] {
        let answer = gateway.raw(format!("GET {path} HTTP/1.1\r\nhost: x\r\n\r\n")).await;
        assert_eq!(answer.status, 400, "{path}");
        assert!(answer.is_problem(), "{path}: {answer:?}");
    }
    assert_eq!(a.count(), 0);
    let answer = gateway.raw("GET /keys/a%2fb HTTP/1.1\r\nhost: x\r\n\r\n").await;
    assert_eq!(answer.json()["target"], "/keys/a%2Fb");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_route_may_answer_or_redirect_by_itself() {
    let gateway = Gateway::spawn(
        r#"
routes:
  - { name: health, match: { path: /healthz }, public: true, respond: { status: 200, body: ok } }
  - name: tea
    match: { path: "/tea/{who}" }
    public: true
    respond: { status: 418, headers: { content-type: application/json, x-who: "${params.who}" }, body: '{"for":"${params.who}"}' }
  - { name: old, match: { path: "/old/**" }, public: true, redirect: { status: 308, to: "https://new.example/x?from=${request.path}" } }
"#,
    )
    .await;
    let health = gateway.get("/healthz").await;
    assert_eq!((health.status, health.text().as_str()), (200, "ok"));
    let head = gateway.ask("HEAD", "/healthz").await;
    assert_eq!((head.status, head.header("content-length"), head.body.len()), (200, Some("2"), 0));
    let tea = gateway.get("/tea/ada").await;
    assert_eq!(
        (tea.status, tea.header("content-type"), tea.header("x-who")),
        (418, Some("application/json"), Some("ada"))
    );
    assert_eq!(tea.json(), json!({ "for": "ada" }));
    let moved = gateway.get("/old/a").await;
    assert_eq!(moved.status, 308);
    let to = moved.header("location").unwrap();
    assert!(to.starts_with("https://new.example/x?from="), "{to}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_weighted_list_splits_the_requests_by_weight() {
    let (a, b) = origins().await;
    let gateway = Gateway::spawn(&at(
        &[&a, &b],
        r#"
upstreams:
  a: { targets: ["@a"] }
  b: { targets: ["@b"] }
routes:
  - { name: split, match: { path: "/**" }, public: true, upstream: [{ name: a, weight: 3 }, { name: b, weight: 1 }] }
"#,
    ))
    .await;
    let mut counts = BTreeMap::<String, u32>::new();
    for _ in 0..400 {
        *counts.entry(gateway.get("/").await.origin()).or_default() += 1;
    }
    // Each request draws: 300 of 400 are expected, and five standard deviations are 43.
    assert!((257..=343).contains(&counts["a"]) && counts["a"] + counts["b"] == 400, "{counts:?}");
}
