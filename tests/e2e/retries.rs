//! What is tried again, where, how often, after what pause, and until when.

use std::time::{Duration, Instant};

use portreeve_tests::{Beat, Gateway, Origin, at, until};

const ALL: &str = "routes: [{ name: all, match: { path: '/**' }, public: true, upstream: pool }]\n";

async fn pool(origins: &[&Origin], settings: &str) -> Gateway {
    Gateway::spawn(&(upstream(origins, settings) + ALL)).await
}

fn upstream(origins: &[&Origin], settings: &str) -> String {
    let targets = origins.iter().map(|origin| format!("\"{}\"", origin.address())).collect::<Vec<_>>().join(", ");
    format!("upstreams: {{ pool: {{ targets: [{targets}], {settings} }} }}\n")
}

/// How many of so many requests were served by this origin; the others brought these statuses.
async fn served(gateway: &Gateway, method: &str, headers: &[(&str, &str)], requests: usize) -> Vec<u16> {
    let mut statuses = Vec::new();
    for _ in 0..requests {
        let ask = headers.iter().fold(gateway.ask(method, "/"), |ask, (name, value)| ask.header(name, value));
        statuses.push(ask.body("once").await.status);
    }
    statuses.sort_unstable();
    statuses
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_that_is_lost_before_the_answer_costs_no_get_but_a_post() {
    let (a, b) = (Origin::start("a").await, Origin::start("b").await);
    a.play(|_| vec![Beat::Reset]);
    let gateway = pool(&[&a, &b], "retry: { budget: 100% }").await;
    assert_eq!(served(&gateway, "GET", &[], 20).await, [200; 20]);
    assert_eq!(served(&gateway, "PUT", &[], 4).await, [200; 4]);
    let before = a.count();
    assert!(before > 0, "the one that resets was never asked");
    assert_eq!(served(&gateway, "POST", &[], 4).await, [200, 200, 502, 502]);
    let of_pool = "{outcome=\"made\",upstream=\"pool\"}";
    let made = gateway.admin().metric(&format!("portreeve_upstream_retries_total{of_pool}")).await;
    assert!(made > Some(0.0), "{made:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_post_with_a_key_is_tried_again_where_the_file_says_so_and_keeps_its_body() {
    let (a, b) = (Origin::start("a").await, Origin::start("b").await);
    a.play(|_| vec![Beat::Reset]);
    let gateway = pool(&[&a, &b], "retry: { methods: [POST], budget: 100% }").await;
    assert_eq!(served(&gateway, "POST", &[("idempotency-key", "a1")], 10).await, [200; 10]);
    assert!(b.seen().iter().all(|received| received.body == b"once"));
    assert_eq!(served(&gateway, "POST", &[], 4).await, [200, 200, 502, 502]);
    assert_eq!(served(&gateway, "PATCH", &[("idempotency-key", "a1")], 4).await, [200, 200, 502, 502]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_route_may_retry_otherwise_than_its_upstream_says() {
    let (a, b) = (Origin::start("a").await, Origin::start("b").await);
    a.play(|_| vec![Beat::answer(500, &[], "sick")]);
    let routes = r"
routes:
  - { name: usual, match: { path: /usual }, public: true, upstream: pool }
  - { name: once, match: { path: /once }, public: true, upstream: pool, retry: { attempts: 1 } }
  - { name: more, match: { path: /more }, public: true, upstream: pool, retry: { on: [500] } }
";
    let upstream = upstream(&[&a, &b], "retry: { on: [connect, 503], budget: 100% }");
    let gateway = Gateway::spawn(&(upstream + routes)).await;
    let statuses = async |path: &str| {
        let mut statuses = Vec::new();
        for _ in 0..4 {
            statuses.push(gateway.get(path).await.status);
        }
        statuses.sort_unstable();
        statuses
    };
    assert_eq!(statuses("/usual").await, [200, 200, 500, 500]);
    assert_eq!(statuses("/more").await, [200; 4]);
    a.play(|_| vec![Beat::answer(503, &[], "sick")]);
    assert_eq!(statuses("/usual").await, [200; 4]);
    assert_eq!(statuses("/once").await, [200, 200, 503, 503]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_429_asks_for_is_waited_for_within_the_time_of_the_request_only() {
    let (a, b) = (Origin::start("a").await, Origin::start("b").await);
    let busy = |_: &_| vec![Beat::answer(429, &[("retry-after", "1")], "busy")];
    let routes = r"
routes:
  - { name: long, match: { path: /long }, public: true, upstream: pool }
  - { name: short, match: { path: /short }, public: true, upstream: pool, timeout: 900ms }
";
    let upstream = upstream(&[&a, &b], "retry: { on: [429], budget: 100% }");
    let gateway = Gateway::spawn(&(upstream + routes)).await;
    a.play(busy);
    b.play(busy);
    let begun = Instant::now();
    let answer = gateway.get("/short").await;
    assert_eq!((answer.status, answer.text().as_str()), (429, "busy"));
    assert!(a.count() + b.count() == 1, "an answer that could not be waited for was not passed on");
    let waited = gateway.get("/long").await;
    assert_eq!((waited.status, a.count() + b.count()), (429, 3));
    assert!(begun.elapsed() >= Duration::from_secs(1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_attempt_ends_after_its_own_time_however_its_answer_trickles() {
    let (a, b) = (Origin::start("a").await, Origin::start("b").await);
    let gateway =
        pool(&[&a, &b], "timeouts: { per_try: 300ms }, retry: { on: [timeout], budget: 100%, attempts: 2 }").await;
    let trickles = |_: &_| {
        let bytes = b"HTTP/1.1 200 OK\r\nx-slow: ".iter().copied().chain(std::iter::repeat_n(b'x', 400));
        bytes.flat_map(|byte| [Beat::write([byte]), Beat::Pause(Duration::from_millis(50))]).collect()
    };
    for sick in [&a, &b] {
        sick.play(trickles);
        for _ in 0..2 {
            let begun = Instant::now();
            let answer = gateway.ask("PUT", "/").body("whole").await;
            assert_eq!((answer.status, answer.json()["body"].as_str()), (200, Some("whole")));
            assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
        }
        sick.echo();
    }
    a.play(trickles);
    b.play(trickles);
    let begun = Instant::now();
    let answer = gateway.get("/").await;
    assert_eq!(answer.status, 504);
    assert!(answer.is_problem(), "{answer:?}");
    assert!(begun.elapsed() >= Duration::from_millis(600) && begun.elapsed() < Duration::from_secs(10));
    let metric = "portreeve_upstream_failures_total{reason=\"per_try_timeout\",upstream=\"pool\"}";
    assert!(gateway.admin().metric(metric).await >= Some(4.0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_time_of_an_attempt_does_not_cut_the_answer_it_brought() {
    let a = Origin::start("a").await.playing(|_| {
        let head = Beat::write("HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\n");
        let slow = b"slow".iter().flat_map(|byte| [Beat::Pause(Duration::from_millis(200)), Beat::write([*byte])]);
        [head].into_iter().chain(slow).collect()
    });
    let gateway = pool(&[&a], "timeouts: { per_try: 500ms }").await;
    assert_eq!(gateway.raw("GET / HTTP/1.1\r\nhost: x\r\n\r\n").await.text(), "slow");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_deadline_holds_over_all_tries_and_the_pauses_between_them() {
    let origins = [Origin::start("a").await, Origin::start("b").await, Origin::start("c").await];
    for origin in &origins {
        origin.play(|_| vec![Beat::Await(1)]);
    }
    let settings = "timeouts: { first_byte: 300ms }, \
         retry: { attempts: 3, on: [timeout], budget: 100%, backoff: { base: 5s, max: 5s } }";
    let upstream = upstream(&origins.each_ref(), settings);
    let routes = "routes: [{ name: all, match: { path: '/**' }, public: true, upstream: pool, timeout: 700ms }]";
    let gateway = Gateway::spawn(&(upstream + routes)).await;
    for _ in 0..4 {
        let begun = Instant::now();
        assert_eq!(gateway.get("/").await.status, 504);
        assert!(begun.elapsed() < Duration::from_secs(4), "{:?}", begun.elapsed());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_calls_of_a_plugin_end_with_the_time_of_the_route() {
    let a = Origin::start("a").await.playing(|_| vec![Beat::Await(1)]);
    let yaml = r#"
upstreams: { a: { targets: ["@a"] } }
routes:
  - name: both
    match: { path: /both }
    public: true
    timeout: 300ms
    plugins:
      - aggregate:
          timeout: 20s
          calls: { one: { upstream: a, path: /1 }, two: { upstream: a, path: /2, timeout: 10s } }
          body: { one: "${calls.one}", two: "${calls.two}" }
"#;
    let gateway = Gateway::spawn(&at(&[&a], yaml)).await;
    let begun = Instant::now();
    assert_eq!(gateway.get("/both").await.status, 504);
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    assert_eq!(a.count(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_budget_keeps_retries_from_doubling_the_load_of_an_upstream_that_fails() {
    let (a, b) = (Origin::start("a").await, Origin::start("b").await);
    for origin in [&a, &b] {
        origin.play(|_| vec![Beat::answer(503, &[], "down")]);
    }
    let gateway = pool(&[&a, &b], "retry: { on: [503], budget: 10%, backoff: { base: 1ms, max: 1ms } }").await;
    let begun = Instant::now();
    let requests: usize =
        futures::future::join_all((0..10).map(|_| served(&gateway, "GET", &[], 20))).await.iter().map(Vec::len).sum();
    let seconds = usize::try_from(begun.elapsed().as_secs()).unwrap() + 1;
    let retries = a.count() + b.count() - requests;
    assert!((10..=requests / 10 + 10 + seconds).contains(&retries), "{retries} of {requests}");
    let over = "portreeve_upstream_retries_total{outcome=\"over_budget\",upstream=\"pool\"}";
    assert!(gateway.admin().metric(over).await > Some(0.0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_leaves_during_a_pause_is_not_tried_for_any_more() {
    let (a, b) = (Origin::start("a").await, Origin::start("b").await);
    for origin in [&a, &b] {
        origin.play(|_| vec![Beat::answer(429, &[("retry-after", "20")], "busy")]);
    }
    let gateway = pool(&[&a, &b], "limits: { requests: 10 }, retry: { on: [429], budget: 100% }").await;
    let in_flight = async |wanted: f64| {
        let metric = "portreeve_upstream_in_flight_requests{upstream=\"pool\"}";
        until("in flight", async || (gateway.admin().metric(metric).await == Some(wanted)).then_some(())).await;
    };
    let mut wire = gateway.wire().await;
    wire.send("GET / HTTP/1.1\r\nhost: x\r\n\r\n").await;
    until("the first attempt", async || (a.count() + b.count() == 1).then_some(())).await;
    in_flight(1.0).await;
    drop(wire);
    in_flight(0.0).await;
    assert_eq!(a.count() + b.count(), 1);
}
