//! A second target is asked when the first is slow: who is heard, what it costs, and what is left behind.

use std::time::{Duration, Instant};

use portreeve_tests::{Beat, Gateway, Origin, at, until};

const ROUTE: &str = "\nroutes: [{ name: all, match: { path: '/**' }, public: true, upstream: pool }]\n";
/// Longer than any test may take.
const SLOW: Duration = Duration::from_secs(30);

async fn pool(origins: &[&Origin], settings: &str) -> Gateway {
    let targets = "targets: [\"@a\", \"@b\"]";
    Gateway::spawn(&at(origins, &format!("upstreams: {{ pool: {{ {targets}, {settings} }} }}{ROUTE}"))).await
}

async fn hedges(gateway: &Gateway, outcome: &str) -> u64 {
    let metric = format!("portreeve_upstream_hedges_total{{outcome=\"{outcome}\",upstream=\"pool\"}}");
    gateway.admin().count(&metric).await.unwrap_or_default()
}

/// Nothing is in flight at any of them.
async fn all_is_quiet(gateway: &Gateway, origins: &[&Origin]) {
    for origin in origins {
        let admin = gateway.admin();
        let what = format!("nothing is in flight at {origin:?}");
        until(&what, async || (admin.target("pool", origin.address()).await["in_flight"] == 0).then_some(())).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_slow_target_makes_no_request_slow_and_is_not_blamed() {
    let (a, b) = (Origin::start("a").await, Origin::start("b").await);
    a.play(|_| vec![Beat::Pause(SLOW), Beat::answer(200, &[], "late")]);
    let settings = "hedge: { after: 20ms, budget: 100% }, outlier: { consecutive_failures: 1 }";
    let gateway = pool(&[&a, &b], settings).await;
    let begun = Instant::now();
    for _ in 0..20 {
        let answer = gateway.get("/").await;
        assert_eq!((answer.status, answer.origin()), (200, "b".to_owned()));
    }
    assert!(begun.elapsed() < SLOW / 2, "{:?}", begun.elapsed());
    let slow = a.count();
    assert!(slow >= 5, "the slow one was asked {slow} times");
    assert_eq!(hedges(&gateway, "won").await, slow as u64);
    assert_eq!((hedges(&gateway, "lost").await, hedges(&gateway, "over_budget").await), (0, 0));
    assert_eq!(gateway.admin().target("pool", a.address()).await["available"], true, "being slow is no failure");
    all_is_quiet(&gateway, &[&a, &b]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_budget_bounds_what_is_asked_twice() {
    let (a, b) = (Origin::start("a").await, Origin::start("b").await);
    for origin in [&a, &b] {
        origin.play(|_| vec![Beat::Pause(Duration::from_millis(300)), Beat::answer(200, &[], "slow")]);
    }
    let gateway = pool(&[&a, &b], "hedge: { after: 5ms, budget: 1% }").await;
    let begun = Instant::now();
    let answers = futures::future::join_all((0..60).map(|_| async { gateway.get("/").await.status })).await;
    assert_eq!(answers, [200; 60]);
    // Ten are saved up, one is earned each second, and 60 requests earn not even one.
    let most = 11 + usize::try_from(begun.elapsed().as_secs()).unwrap();
    let twice = a.count() + b.count() - 60;
    assert!((1..=most).contains(&twice), "{twice} were asked twice");
    assert!(hedges(&gateway, "over_budget").await > 0);
    all_is_quiet(&gateway, &[&a, &b]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_that_is_no_good_is_not_preferred_to_one_that_is_slow() {
    let (a, b) = (Origin::start("a").await, Origin::start("b").await);
    a.play(|_| vec![Beat::Pause(Duration::from_millis(200)), Beat::answer(200, &[], "good")]);
    b.play(|_| vec![Beat::answer(503, &[], "busy")]);
    let gateway = pool(&[&a, &b], "hedge: { after: 10ms, budget: 100% }, retry: { attempts: 1 }").await;
    let mut statuses = Vec::new();
    for _ in 0..6 {
        statuses.push(gateway.get("/").await.status);
    }
    // Those that went to the busy one at once were answered at once.
    assert_eq!(statuses.iter().filter(|status| **status == 200).count(), a.count());
    assert!(a.count() > 0 && hedges(&gateway, "lost").await > 0);
    all_is_quiet(&gateway, &[&a, &b]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_that_breaks_off_costs_nothing_and_a_first_that_does_is_made_good() {
    let (a, b) = (Origin::start("a").await, Origin::start("b").await);
    a.play(|_| vec![Beat::Pause(Duration::from_millis(200)), Beat::answer(200, &[], "good")]);
    b.play(|_| vec![Beat::Reset]);
    let gateway = pool(&[&a, &b], "hedge: { after: 10ms, budget: 100% }").await;
    for _ in 0..6 {
        assert_eq!(gateway.get("/").await.status, 200);
    }
    a.play(|_| vec![Beat::Pause(Duration::from_millis(100)), Beat::Reset]);
    b.play(|_| vec![Beat::Pause(Duration::from_millis(300)), Beat::answer(200, &[], "good")]);
    for _ in 0..4 {
        assert_eq!(gateway.get("/").await.status, 200);
    }
    all_is_quiet(&gateway, &[&a, &b]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_changes_something_or_has_a_body_is_never_asked_twice() {
    let (a, b) = (Origin::start("a").await, Origin::start("b").await);
    for origin in [&a, &b] {
        origin.play(|_| vec![Beat::Pause(Duration::from_millis(60)), Beat::answer(200, &[], "slow")]);
    }
    let gateway = pool(&[&a, &b], "hedge: { after: 5ms, budget: 100% }").await;
    for method in ["POST", "PUT", "DELETE", "PATCH"] {
        assert_eq!(gateway.ask(method, "/").await.status, 200);
    }
    assert_eq!(gateway.get("/").body("with a body").await.status, 200);
    assert_eq!(a.count() + b.count(), 5);
    assert_eq!(gateway.ask("HEAD", "/").await.status, 200);
    assert_eq!(gateway.ask("OPTIONS", "/").await.status, 200);
    assert_eq!(a.count() + b.count(), 9);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_leaves_leaves_nothing_behind_at_either() {
    let (a, b) = (Origin::start("a").await, Origin::start("b").await);
    for origin in [&a, &b] {
        origin.play(|_| vec![Beat::Pause(SLOW), Beat::answer(200, &[], "late")]);
    }
    let gateway = pool(&[&a, &b], "hedge: { after: 5ms, budget: 100% }").await;
    let mut clients = Vec::new();
    for _ in 0..5 {
        let mut wire = gateway.wire().await;
        wire.send("GET / HTTP/1.1\r\nhost: x\r\n\r\n").await;
        clients.push(wire);
    }
    until("both are asked by each", async || (a.count() + b.count() == 10).then_some(())).await;
    drop(clients);
    all_is_quiet(&gateway, &[&a, &b]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_connection_of_the_one_that_was_heard_is_kept() {
    let (a, b) = (Origin::start("a").await, Origin::start("b").await);
    a.play(|_| vec![Beat::Pause(SLOW), Beat::answer(200, &[], "late")]);
    let gateway = pool(&[&a, &b], "hedge: { after: 20ms, budget: 100% }").await;
    let large = "x".repeat(100_000);
    let body = large.clone();
    b.play(move |_| vec![Beat::answer(200, &[], &body)]);
    for _ in 0..10 {
        assert_eq!(gateway.get("/").await.text(), large, "whole, whichever way it was heard");
    }
    all_is_quiet(&gateway, &[&a, &b]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_has_its_target_is_not_moved_because_that_is_slow() {
    let (a, b) = (Origin::start("a").await, Origin::start("b").await);
    let gateway = pool(&[&a, &b], "hedge: { after: 20ms, budget: 100% }, sticky: { cookie: sid }").await;
    let cookie = until("somebody is sent to a", async || {
        let answer = gateway.get("/").await;
        let set = answer.header("set-cookie").and_then(|set| Some(set.split(';').next()?.to_owned()));
        set.filter(|_| answer.origin() == "a")
    })
    .await;
    a.play(|_| vec![Beat::Pause(Duration::from_millis(200)), Beat::answer(200, &[], "slow")]);
    let before = hedges(&gateway, "won").await;
    for _ in 0..3 {
        let answer = gateway.get("/").header("cookie", &cookie).await;
        assert_eq!((answer.text().as_str(), answer.header("set-cookie")), ("slow", None));
    }
    assert_eq!(hedges(&gateway, "won").await, before);
}
