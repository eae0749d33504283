//! What plugins narrow for one request: its body, its time, and how many others it may have beside it.

use std::future::IntoFuture;
use std::time::Duration;

use portreeve_tests::{Beat, Gateway, Origin, at, until};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_is_held_to_the_smaller_bound_of_route_and_step_also_by_counting() {
    let a = Origin::start("a").await;
    let yaml = r#"
upstreams: { a: { targets: ["@a"] } }
routes:
  - name: all
    match: { path: "/**" }
    public: true
    plugins:
      - request-size: { max: 512B }
        when: not has(request.headers.x-large)
    upstream: a
"#;
    let gateway = Gateway::spawn(&at(&[&a], yaml)).await;
    assert_eq!(gateway.ask("POST", "/").body("x".repeat(513)).await.status, 413);
    assert_eq!(a.count(), 0);
    assert_eq!(gateway.ask("POST", "/").body("x".repeat(512)).await.status, 200);
    let chunk = format!("180\r\n{}\r\n", "x".repeat(384));
    let head = "POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n";
    assert_eq!(gateway.raw(format!("{head}\r\n{chunk}0\r\n\r\n")).await.status, 200);
    assert_eq!(gateway.raw(format!("{head}\r\n{chunk}{chunk}0\r\n\r\n")).await.status, 413);
    assert_eq!(gateway.raw(format!("{head}x-large: 1\r\n\r\n{chunk}{chunk}0\r\n\r\n")).await.status, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_is_held_to_the_smaller_time_of_route_and_step() {
    let a = Origin::start("a").await;
    a.play(|_| vec![Beat::Await(1), Beat::answer(200, &[], b"late")]);
    let yaml = r#"
upstreams: { a: { targets: ["@a"] } }
routes:
  - name: all
    match: { path: "/**" }
    public: true
    timeout: 60s
    plugins: [request-deadline: { within: 200ms }]
    upstream: a
"#;
    let gateway = Gateway::spawn(&at(&[&a], yaml)).await;
    let answer = tokio::time::timeout(Duration::from_secs(20), gateway.get("/").into_future()).await.unwrap();
    assert_eq!(answer.status, 504);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn places_are_given_back_when_an_answer_is_sent_or_its_client_is_gone() {
    let a = Origin::start("a").await;
    a.play(|_| vec![Beat::Await(1), Beat::answer(200, &[], b"late")]);
    let yaml = r#"
upstreams: { a: { targets: ["@a"] } }
routes:
  - name: all
    match: { path: "/**" }
    public: true
    plugins: [concurrency-limit: { by: all, limit: 1 }]
    upstream: a
"#;
    let gateway = Gateway::spawn(&at(&[&a], yaml)).await;
    let mut first = gateway.wire().await;
    first.send("GET / HTTP/1.1\r\nhost: x\r\n\r\n").await;
    until("the first is under way", async || (a.count() == 1).then_some(())).await;
    assert_eq!(gateway.get("/").await.status, 429);
    // Its client goes away.
    drop(first);
    let next = async {
        loop {
            let status = gateway.get("/").await.status;
            if status != 429 {
                break status;
            }
        }
    };
    let cue = async {
        until("another is under way", async || (a.count() == 2).then_some(())).await;
        a.cue();
    };
    assert_eq!(tokio::join!(next, cue).0, 200);
    // And with the answer the place is free.
    a.echo();
    assert_eq!(gateway.get("/").await.status, 200);
}
