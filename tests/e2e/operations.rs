//! What an operator does with single targets through the admin port.

use portreeve_tests::{Beat, Gateway, Origin, at, until};
use serde_json::Value;

const YAML: &str = r#"
upstreams: { pool: { targets: ["@a", "@b"], health: { http: /up, interval: 1h } }, other: { targets: ["@a"] } }
routes: [{ name: all, match: { path: "/**" }, public: true, upstream: pool }]
"#;

async fn origins(gateway: &Gateway, requests: usize) -> Vec<String> {
    let mut origins = Vec::new();
    for _ in 0..requests {
        let answer = gateway.get("/").await;
        assert_eq!(answer.status, 200, "{answer:?}");
        origins.push(answer.origin());
    }
    origins.sort();
    origins
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_target_is_drained_without_a_failed_request_and_shows_when_it_is_empty() {
    let (a, b) = (Origin::start("a").await, Origin::start("b").await);
    a.play(|received| match received.target() {
        "/slow" => vec![Beat::Await(1), Beat::answer(200, &[], "{\"origin\": \"a\"}")],
        _ => vec![Beat::answer(200, &[], "{\"origin\": \"a\"}")],
    });
    let gateway = Gateway::spawn(&at(&[&a, &b], YAML)).await;
    let admin = gateway.admin();
    assert_eq!(origins(&gateway, 4).await, ["a", "a", "b", "b"]);
    // Round robin: one of two is a's, and stays there.
    let (slow, other) = (gateway.get("/slow").send(), gateway.get("/slow").send());
    let (slow, other) = (tokio::spawn(slow), tokio::spawn(other));
    until("a request is in flight at a", async || {
        (admin.target("pool", a.address()).await["in_flight"] == 1).then_some(())
    })
    .await;
    let now: Value = admin.order("pool", a.address(), "drain").await.json();
    assert_eq!((&now["state"], &now["in_flight"], &now["available"]), (&"draining".into(), &1.into(), &false.into()));
    assert_eq!((&now["operator"]["state"], &now["operator"]["by"]), (&"draining".into(), &"127.0.0.1".into()));
    assert!(now["operator"]["at"].as_u64().unwrap() > 1_700_000_000 && now["healthy"] == true);
    assert_eq!(origins(&gateway, 6).await, ["b"; 6]);
    a.cue();
    for asked in [slow, other] {
        assert_eq!(asked.await.unwrap().unwrap().status, 200);
    }
    until("a is empty", async || (admin.target("pool", a.address()).await["state"] == "drained").then_some(())).await;
    // Of one upstream only: another that has the target goes on.
    assert_eq!(admin.target("other", a.address()).await["state"], "up");
    let now: Value = admin.order("pool", a.address(), "enable").await.json();
    assert_eq!((&now["state"], now.get("operator")), (&"up".into(), None));
    assert_eq!(origins(&gateway, 4).await, ["a", "a", "b", "b"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_drain_goes_on_through_reloads_and_is_told_to_its_end() {
    let (a, b) = (Origin::start("a").await, Origin::start("b").await);
    a.play(|received| {
        let answer = Beat::answer(200, &[], "{\"origin\": \"a\"}");
        if received.target() == "/up" { vec![answer] } else { vec![Beat::Await(1), answer] }
    });
    let yaml = at(&[&a, &b], YAML);
    let gateway = Gateway::spawn(&yaml).await;
    let admin = gateway.admin();
    let slow: Vec<_> = (0..2).map(|_| tokio::spawn(gateway.get("/").send())).collect();
    until("a request is at a", async || (a.count() == 1).then_some(())).await;
    assert_eq!(admin.order("pool", a.address(), "drain").await.json()["state"], "draining");
    // Of the pool itself, of how it checks, and without a change.
    for (was, is) in [("health:", "timeouts: { connect: 2s }, health:"), ("1h", "2h"), ("", "")] {
        gateway.reload(&yaml.replacen(was, is, 1)).await.unwrap();
        let now = admin.target("pool", a.address()).await;
        assert_eq!((&now["state"], &now["available"]), (&"draining".into(), &false.into()), "{is}: {now}");
        assert_eq!(origins(&gateway, 4).await, ["b"; 4]);
    }
    a.cue();
    for asked in slow {
        assert_eq!(asked.await.unwrap().unwrap().status, 200);
    }
    until("a is empty", async || (admin.target("pool", a.address()).await["state"] == "drained").then_some(())).await;
    assert_eq!(a.count(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_order_outlives_reloads_until_the_file_changes_that_target() {
    let (a, b) = (Origin::start("a").await, Origin::start("b").await);
    let yaml = at(&[&a, &b], YAML);
    let gateway = Gateway::spawn(&yaml).await;
    let admin = gateway.admin();
    assert_eq!(admin.order("pool", a.address(), "disable").await.status, 200);
    assert_eq!(admin.weigh("pool", b.address(), "5").await.json()["weight"], 5);
    gateway.reload(&yaml).await.unwrap();
    gateway.reload(&yaml.replace("health:", "timeouts: { connect: 2s }, health:")).await.unwrap();
    assert_eq!(admin.target("pool", a.address()).await["state"], "disabled");
    let of_b = admin.target("pool", b.address()).await;
    assert_eq!(
        (&of_b["weight"], &of_b["written_weight"], &of_b["operator"]["weight"]),
        (&5.into(), &1.into(), &5.into())
    );
    assert_eq!(origins(&gateway, 4).await, ["b"; 4]);
    let full = format!("{{ address: \"{}\", weight: 2 }}", a.address());
    let changed = yaml.replacen(&format!("\"{}\"", a.address()), &full, 1);
    gateway.reload(&changed).await.unwrap();
    let of_a = admin.target("pool", a.address()).await;
    assert_eq!((&of_a["state"], &of_a["weight"]), (&"up".into(), &2.into()), "{of_a}");
    assert_eq!(admin.target("pool", b.address()).await["weight"], 5, "the other one is as it was");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_disabled_target_is_not_checked_until_it_is_enabled() {
    let (a, b) = (Origin::start("a").await, Origin::start("b").await);
    let gateway = Gateway::spawn(&at(&[&a, &b], &YAML.replace("1h", "20ms"))).await;
    let admin = gateway.admin();
    let now: Value = admin.order("pool", b.address(), "disable").await.json();
    assert_eq!((&now["state"], now.get("last_check")), (&"disabled".into(), None));
    // A check may be on its way still; of a, many more come.
    let (of_a, of_b) = (a.checks(), b.checks());
    until("a is checked on", async || (a.checks() > of_a + 10).then_some(())).await;
    assert!(b.checks() <= of_b + 1, "{} and {of_b}", b.checks());
    admin.order("pool", b.address(), "enable").await;
    until("b proves itself", async || (admin.target("pool", b.address()).await["state"] == "up").then_some(())).await;
    assert!(b.checks() > of_b);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_done_says_what_could() {
    let (a, b) = (Origin::start("a").await, Origin::start("b").await);
    let gateway = Gateway::spawn(&at(&[&a, &b], YAML)).await;
    let admin = gateway.admin();
    let nobody = admin.order("users", a.address(), "drain").await;
    assert_eq!((nobody.status, nobody.text()), (404, "no upstream \"users\"; known are other, pool\n".to_owned()));
    let nowhere = admin.post("/api/v1/upstreams/other/targets/10.0.0.1:80/drain").await;
    let expected = format!("the upstream other has no target 10.0.0.1:80; it has {}\n", a.address());
    assert_eq!((nowhere.status, nowhere.text()), (404, expected));
    assert_eq!(admin.post("/api/v1/upstreams/other/targets/10.0.0.1:80/explode").await.status, 404);
    for weight in ["-1", "65536", "\"3\"", "1.5"] {
        let refused = admin.weigh("pool", a.address(), weight).await;
        assert!(refused.status == 400 && refused.text().contains("0 to 65535"), "{weight}: {}", refused.text());
    }
    let bare = admin.order("pool", a.address(), "weight").header("content-type", "application/json").body("{}").await;
    assert_eq!(bare.status, 400, "{}", bare.text());
    assert_eq!(admin.weigh("pool", a.address(), "null").await.status, 200);
    // All of them drained is an order like any other, and 503.
    for origin in [&a, &b] {
        assert_eq!(admin.order("pool", origin.address(), "drain").await.status, 200);
    }
    assert_eq!(gateway.get("/").await.status, 503);
    let gauge = format!("portreeve_upstream_target_available{{target=\"{}\",upstream=\"pool\"}}", a.address());
    assert_eq!(admin.metric(&gauge).await, Some(0.0));
    let healthy = gauge.replace("available", "healthy");
    assert_eq!(admin.metric(&healthy).await, Some(1.0), "drained is not ill");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_web_page_of_somebody_else_drains_nobody() {
    let (a, b) = (Origin::start("a").await, Origin::start("b").await);
    let gateway = Gateway::spawn(&at(&[&a, &b], YAML)).await;
    let admin = gateway.admin();
    let refused = admin.order("pool", a.address(), "drain").header("origin", "https://evil.example").await;
    assert_eq!(refused.status, 403);
    assert_eq!(admin.target("pool", a.address()).await["state"], "up");
}
