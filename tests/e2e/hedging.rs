//! A second target is asked when the first is slow: who is heard, what it costs, and what is left behind.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use portreeve_tests::{Beat, Clogged, Gateway, Origin, at, until};

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
        gateway.admin().is_quiet("pool", origin.address()).await;
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
    let (first, second) = (Origin::start("first").await, Origin::start("second").await);
    first.play(|_| vec![Beat::Pause(Duration::from_millis(200)), Beat::answer(200, &[], "good")]);
    second.play(|_| vec![Beat::Reset]);
    let gateway = one_after_the_other(first.address(), second.address(), "").await;
    for _ in 0..3 {
        assert_eq!(gateway.get("/").await.status, 200);
    }
    assert_eq!((second.count(), hedges(&gateway, "lost").await), (3, 3));
    first.play(|_| vec![Beat::Pause(Duration::from_millis(100)), Beat::Reset]);
    second.play(|_| vec![Beat::Pause(Duration::from_millis(300)), Beat::answer(200, &[], "good")]);
    for _ in 0..3 {
        assert_eq!(gateway.get("/").await.status, 200);
    }
    assert_eq!(hedges(&gateway, "won").await, 3);
    all_is_quiet(&gateway, &[&first, &second]).await;
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
    // Each worker keeps its own.
    assert!(b.connections() <= 2, "{} connections for ten answers", b.connections());
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

/// A gateway that asks `first` first, and whoever is `second` only beside it.
async fn one_after_the_other(first: SocketAddr, second: SocketAddr, settings: &str) -> Gateway {
    let targets = format!("targets: [\"{first}\", {{ address: \"{second}\", priority: 1 }}]");
    let hedge = "hedge: { after: 20ms, budget: 100% }, retry: { attempts: 1 }";
    Gateway::spawn(&format!("upstreams: {{ pool: {{ {targets}, {hedge}, {settings} }} }}{ROUTE}")).await
}

async fn failures(gateway: &Gateway, reason: &str) -> u64 {
    let metric = format!("portreeve_upstream_failures_total{{reason=\"{reason}\",upstream=\"pool\"}}");
    gateway.admin().count(&metric).await.unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_cannot_be_connected_to_in_time_is_overtaken_and_not_blamed() {
    let (clogged, b) = (Clogged::start().await, Origin::start("b").await);
    let settings = "timeouts: { connect: 20s }, outlier: { consecutive_failures: 1 }";
    let gateway = one_after_the_other(clogged.address(), b.address(), settings).await;
    let begun = Instant::now();
    for _ in 0..10 {
        assert_eq!(gateway.get("/").await.origin(), "b");
    }
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
    assert_eq!((b.count(), hedges(&gateway, "won").await, hedges(&gateway, "lost").await), (10, 10, 0));
    assert_eq!(failures(&gateway, "connect_timeout").await, 0);
    for address in [clogged.address(), b.address()] {
        gateway.admin().is_quiet("pool", address).await;
        assert_eq!(gateway.admin().target("pool", address).await["ejected"], false);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_connected_to_late_is_heard_when_the_other_refuses() {
    let (clogged, dead) = (Clogged::start().await, Origin::dead("dead").await);
    let address = clogged.address();
    let gateway = one_after_the_other(address, dead.address(), "timeouts: { connect: 20s }").await;
    let mut client = gateway.wire().await;
    client.send("GET /late HTTP/1.1\r\nhost: x\r\n\r\n").await;
    until("the other one was asked", async || (failures(&gateway, "connect_refused").await == 1).then_some(())).await;
    let origin = clogged.clear().await;
    let (mut target, head) = origin.request().await;
    assert!(head.starts_with("GET /late "), "{head}");
    target.send("HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nlate").await;
    assert_eq!(client.answer().await.text(), "late");
    assert_eq!((hedges(&gateway, "won").await, hedges(&gateway, "lost").await), (0, 1));
    for address in [address, dead.address()] {
        gateway.admin().is_quiet("pool", address).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_nobody_can_be_connected_to_the_request_ends_in_time() {
    let (first, second) = (Clogged::start().await, Clogged::start().await);
    let gateway = one_after_the_other(first.address(), second.address(), "timeouts: { connect: 400ms }").await;
    let begun = Instant::now();
    assert_eq!(gateway.get("/").await.status, 504);
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
    assert_eq!((failures(&gateway, "connect_timeout").await, hedges(&gateway, "lost").await), (2, 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_leaves_while_two_are_connected_to_leaves_nothing_behind() {
    let (first, second) = (Clogged::start().await, Clogged::start().await);
    let gateway = one_after_the_other(first.address(), second.address(), "timeouts: { connect: 50s }").await;
    let mut client = gateway.wire().await;
    client.send("GET / HTTP/1.1\r\nhost: x\r\n\r\n").await;
    until("both are tried", async || {
        let at = async |address| gateway.admin().target("pool", address).await["in_flight"] == 1;
        (at(first.address()).await && at(second.address()).await).then_some(())
    })
    .await;
    drop(client);
    for address in [first.address(), second.address()] {
        gateway.admin().is_quiet("pool", address).await;
    }
    assert_eq!(hedges(&gateway, "lost").await, 1);
}
