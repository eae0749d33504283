//! Tiers that change, and costs that an upstream makes up, under load.

use std::fmt::Write as _;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use portreeve_tests::{Beat, Counting, Gateway, Origin, SECRET, hs256, servers, until};
use serde_json::json;

fn tiered(folder: &Path, tier: &str) -> String {
    std::fs::write(folder.join("ada.key"), "ada-has-a-key-of-some-length").unwrap();
    format!(
        "tiers: {{ free: {{ {tier} }}, paid: {{ extends: free, rate: 1000/h }} }}
consumers: [{{ name: ada, tier: free, keys: ['file:{}/ada.key'] }}]
routes:
  - name: all
    match: {{ path: '/**' }}
    plugins: [{{ key-auth: {{ header: x-api-key }} }}, {{ rate-limit: {{ by: '${{consumer.id}}', limit: tier }} }}]
    respond: {{ status: 200 }}
",
        folder.display()
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tier_that_changes_under_load_is_in_effect_at_the_swap_and_forgets_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let gateway = Arc::new(Gateway::spawn(&tiered(folder.path(), "rate: 30/h")).await);
    let (admitted, refused) = (Arc::<AtomicU64>::default(), Arc::<AtomicU64>::default());
    let is_over = Arc::<AtomicBool>::default();
    let clients: Vec<_> = (0..4)
        .map(|_| {
            let (gateway, admitted, refused, is_over) =
                (gateway.clone(), admitted.clone(), refused.clone(), is_over.clone());
            tokio::spawn(async move {
                while !is_over.load(Ordering::Relaxed) {
                    match gateway.get("/").header("x-api-key", "ada-has-a-key-of-some-length").await.status {
                        200 => admitted.fetch_add(1, Ordering::Relaxed),
                        429 => refused.fetch_add(1, Ordering::Relaxed),
                        other => panic!("{other}"),
                    };
                }
            })
        })
        .collect();
    // Whatever a limit becomes, what was used is used: other counts, other spans, other kinds, less and more.
    for (tier, in_all) in [
        ("rate: 30/h", 30),
        ("rate: 50/h", 50),
        ("rate: 10/h", 50),
        ("rate: [1000/s, 60/h]", 60),
        ("quota: 70/day", 70),
        ("rate: 1/h, burst: 75", 75),
        ("rate: 30/h, quota: 70/day", 75),
        ("rate: 80/h", 80),
    ] {
        gateway.reload(&tiered(folder.path(), tier)).await.unwrap();
        until(tier, async || (admitted.load(Ordering::Relaxed) >= in_all).then_some(())).await;
        let before = refused.load(Ordering::Relaxed);
        until(tier, async || (refused.load(Ordering::Relaxed) > before + 50).then_some(())).await;
        assert_eq!(admitted.load(Ordering::Relaxed), in_all, "{tier}");
    }
    is_over.store(true, Ordering::Relaxed);
    for client in clients {
        client.await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cost_beyond_all_measure_is_its_keys_own_trouble() {
    let (redis, a) = (servers::redis().await, Origin::start("a").await);
    // All of them are let in before the first is charged.
    a.play(|_| vec![Beat::Await(1), Beat::answer(200, &[("x-cost", "4294967295")], "dear")]);
    let gateway = Arc::new(
        Counting::charging(
            &a,
            &format!("url: 'redis://{}', timeout: 5s", redis.address()),
            "[{ rate: 1/day, burst: 300 }, { rate: 400/h }, { quota: 500/month }]",
            "on_store_error: closed",
        )
        .await,
    );
    let clients: Vec<_> = (0..40)
        .map(|_| {
            let gateway = gateway.clone();
            tokio::spawn(async move { gateway.status("ada").await })
        })
        .collect();
    until("all are under way", async || (a.count() == 40).then_some(())).await;
    a.cue();
    for client in clients {
        assert_eq!(client.await.unwrap(), 200);
    }
    let refused = gateway.ask("ada").await;
    let after: u64 = refused.header("retry-after").unwrap().parse().unwrap();
    assert!(refused.status == 429 && after > 3_000_000_000, "{after}");
    // Asked at the store itself: the node's own count goes first.
    let told = gateway.told("ada").await;
    assert_eq!(told[0]["remaining"], 0, "{told}");
    assert_eq!(gateway.status("eve").await, 200);
    for (name, wanted) in [("store_up", 1), ("store_failures_total", 0), ("store_fallbacks_total", 0)] {
        assert_eq!(gateway.metric(name).await, Some(wanted), "{name}");
    }
}

/// Names at random must not buy room from those who are over their limit, nor memory, nor the store's attention.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_of_names_fills_the_table_and_gives_nobody_a_new_start() {
    let redis = servers::redis().await;
    let url = format!("url: 'redis://{}', timeout: 5s", redis.address());
    for more in ["", "lease: 50%"] {
        let gateway = Counting::spawn(&url, "2/h", &format!("{more}\n          max_keys: 100")).await;
        let who = format!("ada{}", more.len());
        let mut statuses = Vec::new();
        for _ in 0..3 {
            statuses.push(gateway.status(&who).await);
        }
        assert_eq!(statuses, [200, 200, 429]);
        let mut full = 0;
        for name in 0..300 {
            full += u32::from(gateway.status(&format!("flood-{}-{name}", more.len())).await == 503);
        }
        assert!((195..=201).contains(&full), "{full}");
        assert_eq!(gateway.status(&who).await, 429);
        assert_eq!(gateway.metric("store_fallbacks_total").await, Some(0));
    }
    let keys = redis.say("DBSIZE").await;
    let keys: u32 = keys.lines().next().unwrap().trim_start_matches(':').parse().unwrap();
    assert!(keys <= 200, "{keys}");
}

/// As many as nobody writes by hand: each has its own limit, and what a token says beyond them is nobody's.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_tiers_are_told_apart_and_a_token_gets_none_that_it_makes_up() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("secret"), SECRET).unwrap();
    let mut yaml = "listeners: [{ name: public, bind: '127.0.0.1:0', limits: { head_size: 256KiB } }]
routes:
  - name: all
    match: { path: '/**' }
    plugins:
      - jwt:
          issuer: https://issuer.example/
          audience: api
          algorithms: [HS256]
          keys: [{ secret: 'file:FOLDER/secret' }]
          consumer: { id: '${claims.sub}', tier: '${claims.plan}' }
      - rate-limit: { by: '${consumer.id}', limit: tier }
    respond: { status: 200 }
tiers:
  t0: { quota: 1000/day }
"
    .replace("FOLDER", folder.path().to_str().unwrap());
    for n in 1..10_000 {
        writeln!(yaml, "  t{n}: {{ extends: t{}, rate: {}/h }}", n / 16 * 16 % n, n % 7 + 1).unwrap();
    }
    let gateway = Gateway::spawn(&yaml).await;
    let status =
        async |who: &str, plan: &str| gateway.get("/").bearer(&hs256(json!({ "sub": who, "plan": plan }))).await.status;
    for n in [1, 5_000, 9_999] {
        for _ in 0..=(n % 7) {
            assert_eq!(status(&format!("u{n}"), &format!("t{n}")).await, 200, "t{n}");
        }
        assert_eq!(status(&format!("u{n}"), &format!("t{n}")).await, 429, "t{n}");
    }
    for stranger in ["", "t10000", "T1", &"t".repeat(5_000)] {
        assert_eq!(status("eve", stranger).await, 403, "{} bytes", stranger.len());
    }
    // Longer than any token may be.
    assert_eq!(status("eve", &"t".repeat(64 * 1024)).await, 401);
}

/// Two routes that count together, each at its own price, here and in Redis.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_limit_that_routes_share_is_one_limit_with_a_price_for_each() {
    let redis = servers::redis().await;
    for store in [String::new(), format!(", store: {{ redis: {{ url: 'redis://{}', timeout: 5s }} }}", redis.address())]
    {
        let route = |name: &str, cost: u32| {
            let step = format!("by: all, limit: {{ rate: 10/h }}, share: api, cost: {cost}{store}");
            format!(
                "  - {{ name: {name}, match: {{ path: /{name} }}, public: true, plugins: [{{ rate-limit: {{ {step} }} }}], respond: {{ status: 200 }} }}\n"
            )
        };
        let yaml = format!("routes:\n{}{}", route("cheap", 1), route("dear", 4));
        let gateway = Gateway::spawn(&yaml).await;
        let mut statuses = Vec::new();
        for path in ["/dear", "/cheap", "/dear", "/dear", "/cheap", "/cheap"] {
            statuses.push(gateway.get(path).await.status);
        }
        assert_eq!(statuses, [200, 200, 200, 429, 200, 429], "{store}");
    }
}
