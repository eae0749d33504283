//! Balancing through a real gateway: groups, zones, stickiness, ejections and slow start, while targets die and come back.

use std::collections::BTreeMap;
use std::time::Duration;

use portreeve_tests::{Beat, Gateway, Origin, at, until};

const ONE_ROUTE: &str = "\nroutes: [{ name: all, match: { path: '/**' }, public: true, upstream: pool }]\n";

fn pool(origins: &[&Origin], targets: &str, settings: &str) -> String {
    at(origins, &format!("upstreams: {{ pool: {{ targets: {targets}, {settings} }} }}{ONE_ROUTE}"))
}

/// Who answered so many GETs, all with 200.
async fn answered(gateway: &Gateway, requests: usize) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for _ in 0..requests {
        let answer = gateway.get("/").await;
        assert_eq!(answer.status, 200, "{answer:?}");
        *counts.entry(answer.origin()).or_default() += 1;
    }
    counts
}

fn only(name: &str, requests: usize) -> BTreeMap<String, usize> {
    BTreeMap::from([(name.to_owned(), requests)])
}

async fn health_becomes(gateway: &Gateway, origin: &Origin, healthy: bool) {
    let what = format!("{origin:?} becomes healthy: {healthy}");
    let admin = gateway.admin();
    until(&what, async || (admin.target("pool", origin.address()).await["healthy"] == healthy).then_some(())).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_word_of_balance_serves_by_weight_or_by_key() {
    let (a, b) = (Origin::start("a").await, Origin::start("b").await);
    let targets = "[{ address: \"@a\", weight: 3 }, \"@b\"]";
    for balance in ["round_robin", "least_connections", "random_two"] {
        let gateway = Gateway::spawn(&pool(&[&a, &b], targets, &format!("balance: {balance}"))).await;
        let counts = answered(&gateway, 200).await;
        // One request at a time: the weights alone decide. Seven deviations of 200 independent draws.
        assert!(counts["a"].abs_diff(150) < 43, "{balance}: {counts:?}");
    }
    for balance in ["ip_hash", "{ hash: \"${request.headers.x-key:-none}\" }"] {
        let gateway = Gateway::spawn(&pool(&[&a, &b], targets, &format!("balance: {balance}"))).await;
        assert_eq!(answered(&gateway, 20).await.len(), 1, "{balance}");
    }
    let gateway = Gateway::spawn(&pool(&[&a, &b], targets, "balance: { hash: \"${request.headers.x-key}\" }")).await;
    let mut owners = BTreeMap::new();
    for round in 0..3 {
        for key in 0..30 {
            let owner = gateway.get("/").header("x-key", &format!("key-{key}")).await.origin();
            let first = owners.entry(key).or_insert_with(|| owner.clone());
            assert_eq!(*first, owner, "round {round}");
        }
    }
    assert!(owners.values().any(|owner| owner == "a") && owners.values().any(|owner| owner == "b"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn least_time_turns_to_the_fast_target_and_tells_what_it_expects() {
    let (slow, fast) = (Origin::start("slow").await, Origin::start("fast").await);
    slow.play(|_| vec![Beat::Pause(Duration::from_secs(2)), Beat::answer(200, &[], "late")]);
    let gateway = Gateway::spawn(&pool(&[&slow, &fast], "[\"@slow\", \"@fast\"]", "balance: least_time")).await;
    for _ in 0..40 {
        assert_eq!(gateway.get("/").await.status, 200);
    }
    // Each has its first try, and on a busy machine the fast one may seem slow for a moment, though not for seconds.
    assert!((1..10).contains(&slow.count()), "{} went to the slow one", slow.count());
    let told = gateway.admin().target("pool", slow.address()).await;
    assert!(told["latency_ms"].as_f64().unwrap() > 100.0, "{told}");
    let metric =
        format!("portreeve_upstream_target_latency_seconds{{target=\"{}\",upstream=\"pool\"}}", slow.address());
    assert!(gateway.admin().metric(&metric).await.unwrap() > 0.1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_standby_takes_over_and_gives_back() {
    let (mut first, standby) = (Origin::start("first").await, Origin::start("standby").await);
    let targets = "[\"@first\", { address: \"@standby\", priority: 1 }]";
    let settings = "health: { tcp: true, interval: 20ms, timeout: 5s, unhealthy_after: 1, healthy_after: 1 }";
    let gateway = Gateway::spawn(&pool(&[&first, &standby], targets, settings)).await;
    health_becomes(&gateway, &first, true).await;
    assert_eq!(answered(&gateway, 20).await, only("first", 20));
    first.die().await;
    // Also before the check has noticed: the retry goes to the next group.
    assert_eq!(answered(&gateway, 5).await, only("standby", 5));
    health_becomes(&gateway, &first, false).await;
    assert_eq!(answered(&gateway, 20).await, only("standby", 20));
    first.revive().await;
    health_becomes(&gateway, &first, true).await;
    assert_eq!(answered(&gateway, 20).await, only("first", 20));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_weak_group_spills_a_part_of_its_requests() {
    let (a, mut b, standby) = (Origin::start("a").await, Origin::start("b").await, Origin::start("standby").await);
    let targets = "[\"@a\", \"@b\", { address: \"@standby\", priority: 1 }]";
    let settings = "failover: { spill_below: 100% }, \
                    health: { tcp: true, interval: 20ms, timeout: 5s, unhealthy_after: 1, healthy_after: 1 }";
    let gateway = Gateway::spawn(&pool(&[&a, &b, &standby], targets, settings)).await;
    health_becomes(&gateway, &b, true).await;
    assert!(!answered(&gateway, 40).await.contains_key("standby"));
    b.die().await;
    health_becomes(&gateway, &b, false).await;
    let counts = answered(&gateway, 200).await;
    // Half of the group is left, so half of the requests go on. Seven deviations.
    assert!(counts["a"].abs_diff(100) < 50 && counts["standby"].abs_diff(100) < 50, "{counts:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_gateways_own_zone_goes_first_and_the_others_help_out() {
    let (mut near, far) = (Origin::start("near").await, Origin::start("far").await);
    let targets = "[{ address: \"@far\", zone: us-1, weight: 9 }, { address: \"@near\", zone: eu-1 }]";
    let settings = "failover: { zone: eu-1 }, \
                    health: { tcp: true, interval: 20ms, timeout: 5s, unhealthy_after: 1, healthy_after: 1 }";
    let gateway = Gateway::spawn(&pool(&[&near, &far], targets, settings)).await;
    health_becomes(&gateway, &near, true).await;
    assert_eq!(answered(&gateway, 20).await, only("near", 20));
    assert_eq!(gateway.admin().target("pool", far.address()).await["zone"], "us-1");
    near.die().await;
    health_becomes(&gateway, &near, false).await;
    assert_eq!(answered(&gateway, 20).await, only("far", 20));
    near.revive().await;
    health_becomes(&gateway, &near, true).await;
    assert_eq!(answered(&gateway, 20).await, only("near", 20));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn in_a_panic_failing_checks_are_disbelieved() {
    let (a, b) = (Origin::start("a").await, Origin::start("b").await);
    for origin in [&a, &b] {
        origin.play(|received| vec![Beat::answer(if received.target() == "/up" { 500 } else { 200 }, &[], "served")]);
    }
    let settings = "failover: { panic_below: 50% }, health: { http: /up, interval: 20ms, unhealthy_after: 1 }";
    let gateway = Gateway::spawn(&pool(&[&a, &b], "[\"@a\", \"@b\"]", settings)).await;
    health_becomes(&gateway, &a, false).await;
    health_becomes(&gateway, &b, false).await;
    for _ in 0..10 {
        assert_eq!(gateway.get("/").await.text(), "served");
    }
    assert!(a.count() > 0 && b.count() > 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_with_the_cookie_stays_until_its_target_is_out() {
    let (mut a, mut b) = (Origin::start("a").await, Origin::start("b").await);
    let settings = |retry: &str| {
        format!(
            "sticky: {{ cookie: sid, ttl: 1h }}, retry: {retry}, \
             health: {{ tcp: true, interval: 20ms, timeout: 5s, unhealthy_after: 1, healthy_after: 1 }}"
        )
    };
    let targets = "[\"@a\", \"@b\"]";
    let yaml = pool(&[&a, &b], targets, &settings("{ attempts: 2 }"));
    let gateway = Gateway::spawn(&yaml).await;
    let first = gateway.get("/").await;
    let field = first.header("set-cookie").unwrap().to_owned();
    let (cookie, attributes) = field.split_once("; ").unwrap();
    assert_eq!(attributes, "Path=/; Max-Age=3600; HttpOnly; SameSite=Lax");
    assert!(!cookie.contains("127") && cookie.len() == "sid=".len() + 22, "{cookie}");
    let mine = format!("other=1; {cookie}; last=2");
    let stays = async |gateway: &Gateway| {
        for _ in 0..10 {
            let answer = gateway.get("/").header("cookie", &mine).await;
            assert_eq!((answer.origin(), answer.header("set-cookie")), (first.origin(), None));
            assert_eq!(answer.json()["headers"]["cookie"], "other=1; last=2");
        }
    };
    stays(&gateway).await;
    // The pool is another after this, and the cookies hold.
    gateway.reload(&pool(&[&a, &b], targets, &settings("{ attempts: 3 }"))).await.unwrap();
    stays(&gateway).await;
    // Nobody can make one.
    let forged = gateway.get("/").header("cookie", "sid=AAAAAAAAAAAAAAAAAAAAAA").await;
    assert!(forged.header("set-cookie").is_some(), "{forged:?}");
    let (home, away) = if first.origin() == "a" { (&mut a, "b") } else { (&mut b, "a") };
    home.die().await;
    health_becomes(&gateway, home, false).await;
    let moved = gateway.get("/").header("cookie", &mine).await;
    assert_eq!(moved.origin(), away);
    assert!(moved.header("set-cookie").is_some_and(|field| !field.starts_with(cookie)), "{moved:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn gateways_of_one_key_know_each_others_cookies() {
    let (a, b) = (Origin::start("a").await, Origin::start("b").await);
    let keyed = |folder: &str| {
        let settings = format!("sticky: {{ cookie: sid, key: \"file:{folder}/key\" }}");
        pool(&[&a, &b], "[\"@a\", \"@b\"]", &settings)
    };
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("key"), "one key for the whole fleet").unwrap();
    let yaml = keyed(folder.path().to_str().unwrap());
    let (one, two) = (Gateway::spawn(&yaml).await, Gateway::spawn(&yaml).await);
    for _ in 0..4 {
        let first = one.get("/").await;
        let cookie = first.header("set-cookie").unwrap().split(';').next().unwrap().to_owned();
        let again = two.get("/").header("cookie", &cookie).await;
        assert_eq!((again.origin(), again.header("set-cookie")), (first.origin(), None));
    }
    std::fs::write(folder.path().join("key"), "short").unwrap();
    let refused = one.reload(&yaml).await.unwrap_err();
    assert!(refused.contains("sticky.key: a key of fewer than 16 bytes"), "{refused}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_target_that_answers_500_is_ejected_and_comes_back_by_itself() {
    let (a, b) = (Origin::start("a").await, Origin::start("b").await);
    a.play(|_| vec![Beat::answer(500, &[], "broken")]);
    let settings = "outlier: { consecutive_failures: 3, eject_for: 2s }";
    let gateway = Gateway::spawn(&pool(&[&a, &b], "[\"@a\", \"@b\"]", settings)).await;
    let begun = std::time::Instant::now();
    let mut statuses = Vec::new();
    while a.count() < 3 {
        statuses.push(gateway.get("/").await.status);
    }
    assert_eq!(statuses.iter().filter(|status| **status == 500).count(), 3, "{statuses:?}");
    let told = gateway.admin().target("pool", a.address()).await;
    let metric = async |what: &str| {
        let metric = format!("portreeve_upstream_target_{what}{{target=\"{}\",upstream=\"pool\"}}", a.address());
        gateway.admin().metric(&metric).await
    };
    let shown = [metric("ejected").await, metric("ejections").await];
    let out = metric("changed_timestamp_seconds").await.unwrap();
    let through = answered(&gateway, 10).await;
    // All of this takes milliseconds; only a machine that stood still for two seconds would not see it.
    if begun.elapsed() < Duration::from_secs(2) {
        assert_eq!((&told["ejected"], &told["ejections"], shown), (&true.into(), &1.into(), [Some(1.0); 2]));
        assert_eq!(through, only("b", 10));
    }
    a.echo();
    until("the target is asked again", async || (answered(&gateway, 2).await.len() == 2).then_some(())).await;
    let told = gateway.admin().target("pool", a.address()).await;
    assert_eq!(told["ejected"], false);
    // Two seconds later, rounded to seconds.
    assert!(told["since"].as_f64().unwrap() > out, "{told} {out}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_target_that_hangs_up_or_refuses_is_ejected_as_well_but_never_the_last() {
    let (a, mut b) = (Origin::start("a").await, Origin::start("b").await);
    a.play(|_| vec![Beat::Close]);
    let settings = "retry: { attempts: 1 }, outlier: { consecutive_failures: 2, eject_for: 1h, max_eject_for: 1h, max_ejected: 100% }";
    let gateway = Gateway::spawn(&pool(&[&a, &b], "[\"@a\", \"@b\"]", settings)).await;
    let ejected = async |origin: &Origin| gateway.admin().target("pool", origin.address()).await["ejected"] == true;
    until("the one that hangs up is out", async || {
        gateway.get("/").await;
        ejected(&a).await.then_some(())
    })
    .await;
    assert_eq!(answered(&gateway, 10).await, only("b", 10));
    b.die().await;
    for _ in 0..6 {
        assert_eq!(gateway.get("/").await.status, 502);
    }
    assert!(!ejected(&b).await, "the last one stays");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ejections_survive_a_reload_that_changes_the_upstream() {
    let (a, b) = (Origin::start("a").await, Origin::start("b").await);
    a.play(|_| vec![Beat::answer(503, &[], "broken")]);
    let yaml = |attempts: u32| {
        let settings = format!(
            "retry: {{ attempts: {attempts} }}, \
             outlier: {{ consecutive_failures: 2, eject_for: 1h, max_eject_for: 1h }}"
        );
        pool(&[&a, &b], "[\"@a\", \"@b\"]", &settings)
    };
    let gateway = Gateway::spawn(&yaml(1)).await;
    until("it is ejected", async || {
        gateway.get("/").await;
        (gateway.admin().target("pool", a.address()).await["ejected"] == true).then_some(())
    })
    .await;
    gateway.reload(&yaml(2)).await.unwrap();
    assert_eq!(answered(&gateway, 10).await, only("b", 10));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_target_that_comes_back_starts_slowly() {
    let (a, mut b) = (Origin::start("a").await, Origin::start("b").await);
    let settings = "slow_start: 3s, \
                    health: { tcp: true, interval: 20ms, timeout: 5s, unhealthy_after: 1, healthy_after: 1 }";
    let gateway = Gateway::spawn(&pool(&[&a, &b], "[\"@a\", \"@b\"]", settings)).await;
    health_becomes(&gateway, &b, true).await;
    // Both are new, so neither is held back.
    assert_eq!(answered(&gateway, 20).await.len(), 2);
    b.die().await;
    health_becomes(&gateway, &b, false).await;
    let begun = std::time::Instant::now();
    while begun.elapsed() < Duration::from_secs(3) {
        assert_eq!(answered(&gateway, 5).await, only("a", 5));
    }
    b.revive().await;
    health_becomes(&gateway, &b, true).await;
    let back = std::time::Instant::now();
    let counts = answered(&gateway, 80).await;
    // A tenth of its weight in the first 300 ms, a third after a second: 7 to 20 requests, where its turn would be 40.
    if back.elapsed() < Duration::from_secs(1) {
        assert!(counts.get("b").is_none_or(|count| *count < 30), "{counts:?}");
    }
    until("it has its whole share again", async || (answered(&gateway, 10).await.get("b") == Some(&5)).then_some(()))
        .await;
}
