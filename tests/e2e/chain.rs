//! The chain over the real wire: order, gateway answers, failures, bodies.

use portreeve_tests::{Answer, Beat, Gateway, Origin, Wire, at};

use crate::plugins::{Faulty, Shout, Trail};

/// All values of `x-trail`, as they came.
fn trail(answer: &Answer) -> Vec<&str> {
    answer.head.all("x-trail").collect()
}

async fn with_trail(origins: &[&Origin], yaml: &str) -> Gateway {
    Gateway::with_plugin::<Trail>().with_plugin::<Faulty>().spawn(&at(origins, yaml)).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_pass_the_steps_in_the_order_written_and_answers_in_reverse() {
    let a = Origin::start("a").await;
    let yaml = r#"
listeners: [{ name: public, bind: "127.0.0.1:0", plugins: [trail: { tag: listener }] }]
upstreams: { a: { targets: ["@a"] } }
chains:
  api: [trail: { tag: first }, use: inner, trail: { tag: last }]
  inner: [trail: { tag: inner }]
routes:
  - { name: all, match: { path: "/**" }, public: true, plugins: [use: api, trail: { tag: own }], upstream: a }
"#;
    let gateway = with_trail(&[&a], yaml).await;
    let answer = gateway.get("/").await;
    assert_eq!(trail(&answer), ["own", "last", "inner", "first", "listener"]);
    assert_eq!(a.last().head.all("x-trail").collect::<Vec<_>>(), ["listener", "first", "inner", "last", "own"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answering_step_ends_the_chain_and_its_answer_passes_only_the_steps_it_had_entered() {
    let a = Origin::start("a").await;
    let yaml = r#"
upstreams: { a: { targets: ["@a"] } }
routes:
  - name: all
    match: { path: "/**" }
    public: true
    plugins: [trail: { tag: before }, trail: { tag: answers, answer: 418 }, trail: { tag: after }]
    upstream: a
"#;
    let gateway = with_trail(&[&a], yaml).await;
    let answer = gateway.get("/").await;
    assert_eq!((answer.status, trail(&answer)), (418, vec!["answers", "before"]));
    assert_eq!(a.count(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cors_decorates_a_401_of_a_later_step() {
    let yaml = r#"
consumers: [{ name: ada, keys: ["env:PATH"] }]
routes:
  - name: all
    match: { path: "/**" }
    plugins: [cors: { origins: ["https://app.example.com"] }, key-auth]
    respond: { status: 200, body: ok }
"#;
    let gateway = with_trail(&[], yaml).await;
    let answer = gateway.get("/").header("origin", "https://app.example.com").await;
    assert_eq!(answer.status, 401);
    assert!(answer.is_problem(), "{answer:?}");
    assert_eq!(answer.header("access-control-allow-origin"), Some("https://app.example.com"));
    let preflight = gateway.ask("OPTIONS", "/").header("origin", "https://app.example.com");
    let preflight = preflight.header("access-control-request-method", "POST").await;
    assert_eq!(preflight.status, 204);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_answer_the_gateway_makes_passes_the_response_hooks() {
    let (dead, silent) = (Origin::dead("dead").await, Origin::start("silent").await);
    silent.play(|_| vec![Beat::Await(1)]);
    let yaml = r#"
listeners: [{ name: public, bind: "127.0.0.1:0", plugins: [trail: { tag: listener }] }]
upstreams:
  dead: { targets: ["@dead"] }
  silent: { targets: ["@silent"], timeouts: { first_byte: 50ms } }
chains: { api: [trail: { tag: route }] }
routes:
  - { name: own, match: { path: /own }, public: true, plugins: [use: api], respond: { status: 200, body: ok } }
  - { name: moved, match: { path: /moved }, public: true, plugins: [use: api], redirect: { status: 302, to: "https://x.example/" } }
  - { name: dead, match: { path: /dead }, public: true, plugins: [use: api], upstream: dead }
  - { name: silent, match: { path: /silent }, public: true, plugins: [use: api], upstream: silent }
  - { name: broken, match: { path: /broken }, public: true, plugins: [use: api, faulty: { at: request }], respond: { status: 200, body: ok } }
  - { name: sent, match: { path: /sent, methods: [POST] }, public: true, plugins: [use: api], upstream: dead, limits: { body: 4B } }
"#;
    let gateway = with_trail(&[&dead, &silent], yaml).await;
    for (path, status) in [("/own", 200), ("/moved", 302), ("/dead", 502), ("/silent", 504), ("/broken", 500)] {
        let answer = gateway.get(path).await;
        assert_eq!((answer.status, trail(&answer)), (status, vec!["route", "listener"]), "{path}");
        assert!(status < 400 || answer.is_problem(), "{path}: {answer:?}");
    }
    // Those were answered before the route's chain was entered.
    for (method, path, status) in [("GET", "/nowhere", 404), ("GET", "/sent", 405), ("POST", "/sent", 413)] {
        let answer = gateway.ask(method, path).body("too long").await;
        assert_eq!((answer.status, trail(&answer)), (status, vec!["listener"]), "{path}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_observing_step_decides_but_does_not_act() {
    let a = Origin::start("a").await;
    let yaml = r#"
upstreams: { a: { targets: ["@a"] } }
routes:
  - name: all
    match: { path: "/**" }
    public: true
    plugins: [{ trail: { tag: shadow, answer: 403 }, mode: observe }, trail: { tag: real }]
    upstream: a
"#;
    let gateway = with_trail(&[&a], yaml).await;
    let answer = gateway.get("/").await;
    assert_eq!((answer.status, trail(&answer)), (200, vec!["real"]));
    assert_eq!(a.last().head.all("x-trail").collect::<Vec<_>>(), ["real"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_step_runs_only_when_its_condition_holds() {
    let yaml = r#"
routes:
  - name: all
    match: { path: "/**" }
    public: true
    plugins: [{ trail: { tag: staff, answer: 403 }, when: "request.headers.x-team == 'red'" }]
    respond: { status: 200, body: ok }
"#;
    let gateway = with_trail(&[], yaml).await;
    assert_eq!(gateway.get("/").await.status, 200);
    assert_eq!(gateway.get("/").header("x-team", "red").await.status, 403);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failing_step_fails_its_request_closed_unless_it_says_skip() {
    let a = Origin::start("a").await;
    let yaml = r#"
upstreams: { a: { targets: ["@a"] } }
routes:
  - { name: strict, match: { path: "/strict" }, public: true, plugins: [faulty: { at: request }], upstream: a }
  - name: lax
    match: { path: "/lax" }
    public: true
    plugins: [{ faulty: { at: request }, on_error: skip }, trail: { tag: after }]
    upstream: a
"#;
    let gateway = with_trail(&[&a], yaml).await;
    let strict = gateway.get("/strict").await;
    assert_eq!(strict.status, 500);
    assert!(strict.is_problem() && !strict.text().contains("failure of the plugin"), "{strict:?}");
    assert_eq!(a.count(), 0);
    let lax = gateway.get("/lax").await;
    assert_eq!((lax.status, trail(&lax)), (200, vec!["after"]));
}

/// `when`, `mode` and `on_error` beside `use`, also where a chain is used within another.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_stands_beside_use_holds_for_every_step_of_its_chain() {
    let yaml = r#"
chains:
  two: [trail: { tag: one }, trail: { tag: two }]
  red: [{ use: two, when: "request.headers.x-team == 'red'" }]
  closed: [trail: { tag: before }, trail: { tag: closed, answer: 403 }]
  broken: [faulty: { at: request }, trail: { tag: after }]
routes:
  - { name: when, match: { path: /when }, public: true, plugins: [{ use: red, when: "request.query.on == '1'" }, trail: { tag: own }], respond: { status: 200 } }
  - { name: observe, match: { path: /observe }, public: true, plugins: [{ use: closed, mode: observe }, trail: { tag: own }], respond: { status: 200 } }
  - { name: enforce, match: { path: /enforce }, public: true, plugins: [use: closed, trail: { tag: own }], respond: { status: 200 } }
  - { name: skip, match: { path: /skip }, public: true, plugins: [{ use: broken, on_error: skip }, trail: { tag: own }], respond: { status: 200 } }
  - { name: fail, match: { path: /fail }, public: true, plugins: [use: broken, trail: { tag: own }], respond: { status: 200 } }
"#;
    let gateway = with_trail(&[], yaml).await;
    for (path, team, status, steps) in [
        ("/when?on=1", "red", 200, &["own", "two", "one"][..]),
        ("/when?on=1", "blue", 200, &["own"]),
        ("/when?on=0", "red", 200, &["own"]),
        ("/observe", "red", 200, &["own"]),
        ("/enforce", "red", 403, &["closed", "before"]),
        ("/skip", "red", 200, &["own", "after"]),
        ("/fail", "red", 500, &["faulty"][..0]),
    ] {
        let answer = gateway.get(path).header("x-team", team).await;
        assert_eq!((answer.status, trail(&answer)), (status, steps.to_vec()), "{path} {team}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_panic_in_any_hook_ends_its_request_alone() {
    let a = Origin::start("a").await;
    let yaml = r#"
upstreams: { a: { targets: ["@a"] } }
routes:
  - { name: fine, match: { path: "/fine" }, public: true, upstream: a }
  - { name: request, match: { path: "/request" }, public: true, plugins: [faulty: { at: request, panics: true }], upstream: a }
  - { name: body, match: { path: "/body" }, public: true, plugins: [faulty: { at: request_body, panics: true }], upstream: a }
  - { name: upstream, match: { path: "/upstream" }, public: true, plugins: [faulty: { at: upstream_request, panics: true }], upstream: a }
  - { name: response, match: { path: "/response" }, public: true, plugins: [faulty: { at: response, panics: true }], upstream: a }
  - { name: log, match: { path: "/log" }, public: true, plugins: [faulty: { at: log, panics: true }], upstream: a }
"#;
    let gateway = with_trail(&[&a], yaml).await;
    for (path, status) in [("/request", 500), ("/body", 500), ("/upstream", 500), ("/response", 500), ("/log", 200)] {
        for _ in 0..3 {
            let answer = gateway.ask("POST", path).body("some body").await;
            assert_eq!(answer.status, status, "{path}");
            assert!(!answer.text().contains("a bug of the plugin"), "{path}");
            assert_eq!(gateway.get("/fine").await.status, 200);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failure_after_the_head_cuts_the_answer_off_instead_of_ending_it_well() {
    let a = Origin::start("a").await;
    let yaml = r#"
upstreams: { a: { targets: ["@a"] } }
routes:
  - { name: all, match: { path: "/**" }, public: true, plugins: [faulty: { at: response_body }], upstream: a }
"#;
    let gateway = with_trail(&[&a], yaml).await;
    let mut wire = gateway.wire().await;
    wire.send("GET / HTTP/1.1\r\nhost: x\r\n\r\n").await;
    // Either nothing had been sent and it is a 500, or the client can tell that the answer is not whole.
    let answer = wire.try_answer("GET").await;
    assert!(answer.as_ref().map_or(true, |answer| answer.status == 500), "{answer:?}");
}

async fn shouting(origin: &Origin, settings: &str) -> Gateway {
    let yaml = r#"
upstreams: { a: { targets: ["@a"] } }
routes:
  - { name: all, match: { path: "/**" }, public: true, plugins: [shout: SETTINGS], upstream: a }
"#;
    Gateway::with_plugin::<Shout>().spawn(&at(&[origin], yaml).replace("SETTINGS", settings)).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_streamed_request_body_is_changed_chunk_by_chunk_and_framed_anew() {
    let a = Origin::start("a").await;
    let gateway = shouting(&a, "{ request: true }").await;
    let answer = gateway.ask("POST", "/").body("hello").await;
    assert_eq!(answer.json()["body"], "HELLO");
    let received = a.last();
    assert_eq!((received.header("content-length"), received.header("transfer-encoding")), (None, Some("chunked")));
    let answer = gateway
        .raw("POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n")
        .await;
    assert_eq!(answer.json()["body"], "ABCDE");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_buffered_request_body_comes_whole_and_one_that_is_too_long_is_413() {
    let a = Origin::start("a").await;
    let gateway = shouting(&a, "{ request: true, whole: 10 }").await;
    let answer = gateway
        .raw("POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n")
        .await;
    assert_eq!(answer.json()["body"], "[ABCDE]");
    let long =
        "POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n8\r\nabcdefgh\r\n8\r\nabcdefgh\r\n0\r\n\r\n";
    let answer = gateway.raw(long).await;
    assert_eq!(answer.status, 413);
    assert!(answer.is_problem(), "{answer:?}");
    let answer = gateway.ask("POST", "/").body("x".repeat(11)).await;
    assert_eq!(answer.status, 413);
    assert!(a.seen().iter().all(|received| received.body == b"[ABCDE]"), "{:?}", a.seen());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_hook_may_refuse_the_request() {
    let a = Origin::start("a").await;
    let gateway = shouting(&a, "{ request: true, whole: 100 }").await;
    let answer = gateway.ask("POST", "/").body("a forbidden word").await;
    assert_eq!(answer.status, 422);
    assert!(answer.is_problem() && answer.text().contains("must not be said"), "{answer:?}");
    assert_eq!(gateway.ask("POST", "/").body("a good word").await.json()["body"], "[A GOOD WORD]");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_response_body_is_changed_and_framed_anew_also_for_http_1_0_and_head() {
    let a = Origin::start("a").await.playing(|received| match received.method() {
        "HEAD" => vec![Beat::write("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n")],
        _ => vec![Beat::answer(200, &[], "hello")],
    });
    let gateway = shouting(&a, "{ response: true, whole: 100 }").await;
    let answer = gateway.raw("GET / HTTP/1.1\r\nhost: x\r\n\r\n").await;
    assert_eq!((answer.text().as_str(), answer.header("content-length")), ("[HELLO]", None));
    assert_eq!(answer.header("transfer-encoding"), Some("chunked"));
    let mut old = gateway.wire().await;
    old.send("GET / HTTP/1.0\r\nhost: x\r\n\r\n").await;
    let answer = old.answer().await;
    assert_eq!((answer.text().as_str(), answer.header("transfer-encoding")), ("[HELLO]", None));
    let mut head = Wire::connect(gateway.address()).await;
    head.send("HEAD / HTTP/1.1\r\nhost: x\r\n\r\n").await;
    assert_eq!(head.try_answer("HEAD").await.unwrap().status, 200);
    head.send("GET / HTTP/1.1\r\nhost: x\r\n\r\n").await;
    assert_eq!(head.answer().await.text(), "[HELLO]");
}

/// RFC 9110 §8.6, §9.3.2: a GET would not have had them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_to_head_and_304_say_nothing_of_a_body_that_plugins_may_change() {
    const FACTS: &str = "content-length: 5\r\netag: \"x\"\r\nlast-modified: Sun, 06 Nov 1994 08:49:37 GMT\r\n\
        accept-ranges: bytes\r\ncontent-digest: sha-256=:x:\r\n";
    let a = Origin::start("a").await.playing(|received| match (received.method(), received.target()) {
        ("HEAD", _) => vec![Beat::write(format!("HTTP/1.1 200 OK\r\n{FACTS}vary: x\r\n\r\n"))],
        (_, "/304") => vec![Beat::write(format!("HTTP/1.1 304 Not Modified\r\n{FACTS}vary: x\r\n\r\n"))],
        _ => vec![Beat::write(format!("HTTP/1.1 200 OK\r\n{FACTS}vary: x\r\n\r\nhello"))],
    });
    for settings in ["{ response: true }", "{ response: true, whole: 3 }", "{ request: true }"] {
        let gateway = shouting(&a, settings).await;
        let changes = settings.contains("response");
        for (method, target) in [("HEAD", "/"), ("GET", "/304"), ("HEAD", "/304"), ("GET", "/")] {
            if settings.contains("whole") && (method, target) == ("GET", "/") {
                continue;
            }
            let mut wire = gateway.wire().await;
            wire.send(format!("{method} {target} HTTP/1.1\r\nhost: x\r\n\r\n")).await;
            let answer = wire.try_answer(method).await.unwrap();
            assert_eq!(answer.header("vary"), Some("x"), "{settings} {method} {target}");
            for name in ["content-length", "etag", "last-modified", "accept-ranges", "content-digest"] {
                assert_eq!(answer.header(name).is_none(), changes, "{settings} {method} {target} {name}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_that_is_longer_than_a_plugin_holds_is_502() {
    let a = Origin::start("a").await.playing(|_| vec![Beat::answer(200, &[], "x".repeat(1_000))]);
    let gateway = shouting(&a, "{ response: true, whole: 500 }").await;
    let answer = gateway.get("/").await;
    // The problem document has passed the plugin too.
    assert_eq!((answer.status, answer.header("content-type")), (502, Some("application/problem+json")));
    assert!(answer.text().starts_with("[{") && answer.text().contains("BAD GATEWAY"), "{answer:?}");
}
