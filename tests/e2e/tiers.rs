//! Tiers that change, and costs that an upstream makes up, under load.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use portreeve_tests::{Beat, Counting, Gateway, Origin, at, servers, until};

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
    let yaml = format!(
        "upstreams: {{ a: {{ targets: ['@a'] }} }}
routes:
  - name: all
    match: {{ path: '/**' }}
    public: true
    plugins:
      - rate-limit:
          by: '${{request.headers.x-who}}'
          limit: [{{ rate: 1/day, burst: 300 }}, {{ rate: 400/h }}, {{ quota: 500/month }}]
          cost: {{ response_header: x-cost }}
          store: {{ redis: {{ url: 'redis://{}', timeout: 5s }} }}
          on_store_error: closed
    upstream: a
",
        redis.address()
    );
    let gateway = Arc::new(Gateway::spawn(&at(&[&a], &yaml)).await);
    let clients: Vec<_> = (0..40)
        .map(|_| {
            let gateway = gateway.clone();
            tokio::spawn(async move { gateway.get("/").header("x-who", "ada").await.status })
        })
        .collect();
    until("all are under way", async || (a.count() == 40).then_some(())).await;
    a.cue();
    for client in clients {
        assert_eq!(client.await.unwrap(), 200);
    }
    let refused = gateway.get("/").header("x-who", "ada").await;
    let after: u64 = refused.header("retry-after").unwrap().parse().unwrap();
    assert!(refused.status == 429 && after > 3_000_000_000, "{after}");
    // Asked at the store itself: the node's own count goes first.
    let told = gateway.admin().json("/api/v1/limits?step=all/rate-limit&key=ada").await;
    assert_eq!(told[0]["limits"][0]["remaining"], 0, "{told}");
    assert_eq!(gateway.get("/").header("x-who", "eve").await.status, 200);
    for (name, wanted) in [("store_up", 1), ("store_failures_total", 0), ("store_fallbacks_total", 0)] {
        let name = format!("portreeve_plugin_rate_limit_{name}{{step=\"all/rate-limit\"}}");
        assert_eq!(gateway.admin().count(&name).await, Some(wanted), "{name}");
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
