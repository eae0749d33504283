//! The circuit breaker of an upstream: what opens it, who is told what while it is open, and how it closes.

use std::time::Duration;

use portreeve_tests::{Beat, Gateway, Origin, RawOrigin, at, until};
use serde_json::{Value, json};

use crate::admin::lines;

/// One upstream with one target; `breaker` and `more` are its settings.
fn before(breaker: &str, more: &str) -> String {
    format!(
        "upstreams: {{ pool: {{ targets: ['@a'], retry: {{ attempts: 1 }}, circuit_breaker: {{ {breaker} }}, {more} }} }}
routes: [{{ name: all, match: {{ path: '/**' }}, public: true, upstream: pool }}]"
    )
}

async fn circuit(gateway: &Gateway) -> Value {
    gateway.admin().json("/api/v1/upstreams").await[0]["circuit"].clone()
}

fn failing(_: &portreeve_tests::Received) -> Vec<Beat> {
    vec![Beat::answer(500, &[], "")]
}

const STATE: &str = "portreeve_upstream_circuit_state{upstream=\"pool\"}";
const OPENINGS: &str = "portreeve_upstream_circuit_openings_total{upstream=\"pool\"}";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upstream_of_which_everything_fails_is_asked_no_more_and_says_when_to_come_back() {
    let folder = tempfile::tempdir().unwrap();
    let a = Origin::start("a").await.playing(failing);
    let yaml = format!(
        "access_log: {{ to: 'file:{}/access.log' }}\n{}",
        folder.path().display(),
        before("minimum: 5, open_for: 1m", "limits: { requests: 100 }")
    );
    let gateway = Gateway::spawn(&at(&[&a], &yaml)).await;
    assert_eq!(
        (circuit(&gateway).await["state"].clone(), gateway.admin().metric(STATE).await),
        (json!("closed"), Some(0.0))
    );
    assert_eq!(gateway.admin().count(OPENINGS).await, Some(0));
    let mut statuses = Vec::new();
    for _ in 0..10 {
        let answer = gateway.get("/").await;
        statuses.push(answer.status);
        if answer.status == 503 {
            assert!(answer.is_problem(), "{answer:?}");
            let after: u64 = answer.header("retry-after").unwrap().parse().unwrap();
            assert!((30..=60).contains(&after), "{after}");
        }
    }
    assert_eq!(statuses, [500, 500, 500, 500, 500, 503, 503, 503, 503, 503]);
    assert_eq!(a.count(), 5, "nobody asks it any more");
    let told = circuit(&gateway).await;
    assert_eq!(
        (&told["state"], &told["attempts"], &told["failures"], &told["openings"]),
        (&json!("open"), &5.into(), &5.into(), &1.into())
    );
    assert!(told["retry_after_ms"].as_u64().is_some_and(|left| left <= 60_000), "{told}");
    assert_eq!((gateway.admin().metric(STATE).await, gateway.admin().count(OPENINGS).await), (Some(2.0), Some(1)));
    let reason = "portreeve_upstream_failures_total{reason=\"circuit_open\",upstream=\"pool\"}";
    assert_eq!(gateway.admin().count(reason).await, Some(5));
    let logged = lines(&folder.path().join("access.log"), 10).await;
    let reasons: Vec<_> = logged.iter().map(|line| line["reason"].as_str()).collect();
    assert_eq!(
        reasons[4..],
        [
            None,
            Some("circuit_open"),
            Some("circuit_open"),
            Some("circuit_open"),
            Some("circuit_open"),
            Some("circuit_open")
        ]
    );
    assert_eq!((&logged[9]["attempts"], &logged[9]["target"]), (&0.into(), &Value::Null));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_few_probes_show_whether_it_is_well_again() {
    let a = Origin::start("a").await.playing(failing);
    let gateway = Gateway::spawn(&at(&[&a], &before("minimum: 3, open_for: 300ms, probes: 2", ""))).await;
    for expected in [500, 500, 500, 503] {
        assert_eq!(gateway.get("/").await.status, expected);
    }
    let half_open = async || {
        let told = circuit(&gateway).await;
        (told["state"] == "half_open").then_some(())
    };
    until("it is half open", half_open).await;
    assert_eq!(gateway.admin().metric(STATE).await, Some(1.0));
    // One probe fails: it is open for another while.
    assert_eq!((gateway.get("/").await.status, gateway.get("/").await.status), (500, 503));
    assert_eq!((a.count(), gateway.admin().count(OPENINGS).await), (4, Some(2)));
    until("it is half open", half_open).await;
    // Two may go there at once, and no other before they have come back.
    a.play(|_| vec![Beat::Await(1), Beat::answer(200, &[], "")]);
    let probe = async || gateway.get("/").await.status;
    let others = async {
        until("both are there", async || (a.count() == 6).then_some(())).await;
        let refused = gateway.get("/").await;
        assert_eq!((refused.status, refused.header("retry-after")), (503, Some("1")));
        a.cue();
    };
    let (one, two, ()) = tokio::join!(probe(), probe(), others);
    assert_eq!((one, two, circuit(&gateway).await["state"].clone()), (200, 200, json!("closed")));
    assert_eq!(gateway.get("/").await.status, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_stays_open_through_a_reload() {
    let a = Origin::start("a").await.playing(failing);
    let yaml = at(&[&a], &before("minimum: 2, open_for: 1h", ""));
    let gateway = Gateway::spawn(&yaml).await;
    for expected in [500, 500, 503] {
        assert_eq!(gateway.get("/").await.status, expected);
    }
    // Another pool of the same name, with other settings of the breaker as well.
    let other = yaml.replace("minimum: 2", "minimum: 3").replace("attempts: 1", "attempts: 2");
    gateway.reload(&other).await.unwrap();
    assert_eq!((gateway.get("/").await.status, a.count()), (503, 2));
    // Without a breaker it is asked, and one that comes later knows nothing.
    gateway.reload(&other.replace("circuit_breaker: { minimum: 3, open_for: 1h },", "")).await.unwrap();
    assert_eq!((gateway.get("/").await.status, circuit(&gateway).await), (500, Value::Null));
    gateway.reload(&other).await.unwrap();
    assert_eq!(gateway.get("/").await.status, 500);
}

/// A client that leaves says nothing of the target, and as a probe makes room for another.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_that_leave_are_no_failures_and_hold_no_probe() {
    let origin = RawOrigin::start().await;
    let yaml = before("minimum: 2, open_for: 200ms, probes: 1", "").replace("@a", &origin.address().to_string());
    let gateway = Gateway::spawn(&yaml).await;
    let leave = async || {
        let mut client = gateway.wire().await;
        client.send("GET / HTTP/1.1\r\nhost: x\r\n\r\n").await;
        let (mut target, _) = origin.request().await;
        client.reset();
        target.rest().await;
    };
    for _ in 0..4 {
        leave().await;
    }
    assert_eq!(circuit(&gateway).await["attempts"], 0);
    let fail = async || {
        let answered = async {
            let (mut target, _) = origin.request().await;
            target.send("HTTP/1.1 502 Bad Gateway\r\ncontent-length: 0\r\nconnection: close\r\n\r\n").await;
        };
        let (answer, ()) = tokio::join!(async { gateway.get("/").await }, answered);
        assert_eq!(answer.status, 502);
    };
    fail().await;
    fail().await;
    until("it is half open", async || (circuit(&gateway).await["state"] == "half_open").then_some(())).await;
    // The only probe is given up, again and again.
    leave().await;
    leave().await;
    fail().await;
    assert_eq!(gateway.admin().count(OPENINGS).await, Some(2));
}

/// With an open circuit there is no retry: the client is told what the target said.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_attempt_that_opens_it_is_not_followed_by_another() {
    let (a, b) = (Origin::start("a").await, Origin::start("b").await);
    let yaml = "
upstreams:
  pool:
    targets: ['@a', '@b']
    retry: { attempts: 2, on: [503], budget: 100% }
    circuit_breaker: { minimum: 3, open_for: 1m }
routes: [{ name: all, match: { path: '/**' }, public: true, upstream: pool }]";
    let gateway = Gateway::spawn(&at(&[&a, &b], yaml)).await;
    for origin in [&a, &b] {
        origin.play(|_| vec![Beat::answer(503, &[], "not now")]);
    }
    for expected in [2, 3] {
        let answer = gateway.get("/").await;
        assert_eq!((answer.status, answer.text().as_str()), (503, "not now"));
        assert_eq!(a.count() + b.count(), expected);
    }
    let answer = gateway.get("/").await;
    assert!(answer.status == 503 && answer.is_problem(), "{answer:?}");
    assert_eq!(a.count() + b.count(), 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_to_an_upstream_whose_circuit_is_open_has_its_fallback_at_once() {
    let (a, b) = (Origin::start("a").await, Origin::start("b").await);
    a.play(|_| vec![Beat::answer(200, &[("content-type", "application/json")], "7")]);
    b.play(failing);
    let yaml = "
upstreams:
  users: { targets: ['@a'] }
  orders: { targets: ['@b'], circuit_breaker: { minimum: 2, open_for: 1m } }
routes:
  - name: page
    match: { path: /page }
    public: true
    plugins:
      - aggregate:
          timeout: 5s
          calls:
            user: { upstream: users, path: / }
            orders: { upstream: orders, path: /, optional: true, fallback: [] }
          body: { user: '${calls.user}', orders: '${calls.orders}' }
  - name: strict
    match: { path: /strict }
    public: true
    plugins:
      - aggregate: { timeout: 5s, calls: { orders: { upstream: orders, path: / } }, body: { orders: '${calls.orders}' } }";
    let gateway = Gateway::spawn(&at(&[&a, &b], yaml)).await;
    for _ in 0..4 {
        let answer = gateway.get("/page").await;
        assert_eq!((answer.status, answer.json()), (200, json!({ "user": 7, "orders": [] })));
    }
    assert_eq!((a.count(), b.count()), (4, 2));
    assert_eq!((gateway.get("/strict").await.status, b.count()), (503, 2));
}

/// Who gets which share of a route is decided without looking at who is well: a new version that fails is seen to fail.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_share_of_an_upstream_whose_circuit_is_open_does_not_go_to_another() {
    let (a, b) = (Origin::start("a").await, Origin::start("b").await);
    b.play(failing);
    let yaml = "
upstreams: { old: { targets: ['@a'] }, new: { targets: ['@b'], circuit_breaker: { minimum: 1, open_for: 1m } } }
routes:
  - name: all
    match: { path: '/**' }
    public: true
    upstream: [{ name: old }, { name: new, when: 'has(request.headers.x-new)' }]";
    let gateway = Gateway::spawn(&at(&[&a, &b], yaml)).await;
    let with = async || gateway.ask("GET", "/").header("x-new", "1").await.status;
    assert_eq!((with().await, with().await, with().await), (500, 503, 503));
    assert_eq!(gateway.get("/").await.status, 200);
    assert_eq!((a.count(), b.count()), (1, 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_that_waits_for_its_turn_when_the_circuit_opens_is_told_when_it_has_it() {
    let a = Origin::start("a").await.playing(|_| vec![Beat::Await(1), Beat::answer(500, &[], "")]);
    let settings = "limits: { requests: 1, queue: 5, queue_timeout: 20s }";
    let gateway = Gateway::spawn(&at(&[&a], &before("minimum: 1, open_for: 1m", settings))).await;
    let waiting = async {
        until("the first is there", async || (a.count() == 1).then_some(())).await;
        let answer = async { gateway.get("/").await };
        let open = async {
            until("the second waits", async || {
                let limits = gateway.admin().json("/api/v1/upstreams").await[0]["limits"].clone();
                (limits["waiting"] == 1).then_some(())
            })
            .await;
            a.cue();
        };
        tokio::join!(answer, open).0.status
    };
    let (first, second) = tokio::join!(async { gateway.get("/").await.status }, waiting);
    assert_eq!((first, second, a.count()), (500, 503, 1));
}

/// A pool that asks `a` first and `b` only beside it.
fn hedged(a: &Origin, b: &Origin, after: &str, breaker: &str) -> String {
    format!(
        "upstreams:
  pool:
    targets: ['{}', {{ address: '{}', priority: 1 }}]
    hedge: {{ after: {after}, budget: 100% }}
    retry: {{ attempts: 1 }}
    circuit_breaker: {{ {breaker} }}
routes: [{{ name: all, match: {{ path: '/**' }}, public: true, upstream: pool }}]",
        a.address(),
        b.address()
    )
}

/// `/slow` is answered after a while, and anything else fails.
fn slow_or_failing(asked: &portreeve_tests::Received) -> Vec<Beat> {
    match asked.target() {
        "/slow" => vec![Beat::Pause(Duration::from_millis(2_500)), Beat::answer(200, &[], "slow")],
        _ => failing(asked),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_is_asked_beside_a_slow_target_while_the_circuit_is_open() {
    let (a, b) = (Origin::start("a").await.playing(slow_or_failing), Origin::start("b").await);
    let gateway = Gateway::spawn(&hedged(&a, &b, "1s", "minimum: 3, open_for: 1m")).await;
    // As long as it is closed, somebody is; and the one that is overtaken says nothing.
    assert_eq!((gateway.get("/slow").await.origin().as_str(), b.count()), ("b", 1));
    assert_eq!(circuit(&gateway).await["attempts"], 1);
    let fail = async {
        until("the slow one is asked", async || (a.count() == 2).then_some(())).await;
        assert_eq!((gateway.get("/").await.status, gateway.get("/").await.status), (500, 500));
        circuit(&gateway).await["state"].clone()
    };
    let (slow, state) = tokio::join!(async { gateway.get("/slow").await }, fail);
    assert_eq!((state, slow.status, slow.text().as_str()), (json!("open"), 200, "slow"));
    assert_eq!(b.count(), 1, "nobody was asked beside it");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_probe_that_is_overtaken_makes_room_for_another() {
    let (a, b) = (Origin::start("a").await.playing(failing), Origin::start("b").await);
    let gateway = Gateway::spawn(&hedged(&a, &b, "20ms", "minimum: 1, open_for: 200ms, probes: 2")).await;
    assert_eq!(gateway.get("/").await.status, 500);
    until("it is half open", async || (circuit(&gateway).await["state"] == "half_open").then_some(())).await;
    a.play(slow_or_failing);
    // Both are probes: the second is heard, and the first gives its place back.
    assert_eq!(gateway.get("/slow").await.origin(), "b");
    assert_eq!(circuit(&gateway).await["state"], "half_open");
    // There is room for one more, and so for nobody beside it.
    assert_eq!(gateway.get("/slow").await.text(), "slow");
    assert_eq!((circuit(&gateway).await["state"].clone(), b.count()), (json!("closed"), 1));
}

/// What comes of copies counts, for the upstream that they go to; the requests know nothing of it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn copies_to_an_upstream_whose_circuit_is_open_are_not_made_and_cost_the_request_nothing() {
    let (a, shadow) = (Origin::start("a").await, Origin::start("shadow").await.playing(failing));
    let yaml = "
upstreams:
  shadow: { targets: ['@shadow'], circuit_breaker: { minimum: 2, open_for: 1m } }
  main: { targets: ['@a'], circuit_breaker: { minimum: 1, open_for: 1m } }
routes: [{ name: all, match: { path: '/**' }, public: true, upstream: main, mirror: { upstream: shadow } }]";
    let gateway = Gateway::spawn(&at(&[&a, &shadow], yaml)).await;
    let copies = async |outcome: &str, count: u64| {
        let metric = format!("portreeve_mirrored_requests_total{{outcome=\"{outcome}\",route=\"all\"}}");
        until(outcome, async || (gateway.admin().count(&metric).await == Some(count)).then_some(())).await;
    };
    for (outcome, count) in [("sent", 1), ("sent", 2), ("failed", 1), ("failed", 2)] {
        assert_eq!(gateway.get("/").await.origin(), "a");
        copies(outcome, count).await;
    }
    assert_eq!((a.count(), shadow.count()), (4, 2));
    let states: Vec<_> = gateway.admin().json("/api/v1/upstreams").await.as_array().unwrap().clone();
    let state = |name: &str| states.iter().find(|pool| pool["name"] == name).unwrap()["circuit"]["state"].clone();
    assert_eq!((state("shadow"), state("main")), (json!("open"), json!("closed")));
}

/// What calls find out holds for requests, and the other way round.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_and_calls_of_plugins_share_a_circuit() {
    let b = Origin::start("b").await.playing(failing);
    let yaml = "
upstreams: { orders: { targets: ['@b'], circuit_breaker: { minimum: 2, open_for: 1m } } }
routes:
  - { name: direct, match: { path: /orders }, public: true, upstream: orders }
  - name: page
    match: { path: /page }
    public: true
    plugins:
      - aggregate: { timeout: 5s, calls: { orders: { upstream: orders, path: / } }, body: { orders: '${calls.orders}' } }";
    for (first, second) in [("/orders", "/page"), ("/page", "/orders")] {
        let gateway = Gateway::spawn(&at(&[&b], yaml)).await;
        let before = b.count();
        assert!(gateway.get(first).await.status >= 500 && gateway.get(second).await.status >= 500);
        assert_eq!(b.count(), before + 2);
        assert_eq!((gateway.get(first).await.status, gateway.get(second).await.status), (503, 503));
        assert_eq!(b.count(), before + 2, "{first}, then {second}");
    }
}
