//! How somebody stands with their limits, and giving back what they have used, through the admin port.

use portreeve_plugin::prelude::*;
use portreeve_plugin::{Account, Limits, NoAccount, Standing, Subject};
use portreeve_tests::{Gateway, servers};
use serde_json::{Value, json};

fn yaml(folder: &std::path::Path, store: &str) -> String {
    std::fs::write(folder.join("ada.key"), "ada-has-a-key-of-some-length").unwrap();
    format!(
        "tiers: {{ free: {{ rate: 3/h, quota: 100/day }} }}
consumers: [{{ name: ada, tier: free, keys: ['file:{}/ada.key'] }}]
routes:
  - name: mine
    match: {{ path: /mine }}
    plugins: [{{ key-auth: {{ header: x-api-key }} }}, {{ rate-limit: {{ by: '${{consumer.id}}', limit: tier {store} }} }}]
    respond: {{ status: 200 }}
  - name: open
    match: {{ path: /open }}
    public: true
    plugins: [{{ rate-limit: {{ by: ['${{request.headers.x-team}}', {{ client_network: {{ v4: 24 }} }}], limit: {{ rate: 2/h }} }} }}]
    respond: {{ status: 200 }}
",
        folder.display()
    )
}

async fn mine(gateway: &Gateway) -> u16 {
    gateway.get("/mine").header("x-api-key", "ada-has-a-key-of-some-length").await.status
}

/// What one step tells.
async fn told(gateway: &Gateway, query: &str, step: &str) -> Value {
    let all = gateway.admin().json(&format!("/api/v1/limits?{query}")).await;
    all.as_array().unwrap().iter().find(|row| row["step"] == step).cloned().unwrap()
}

fn numbers(row: &Value) -> Vec<(String, u64, u64)> {
    let number = |limit: &Value, name: &str| limit[name].as_u64().unwrap();
    let limits = row["limits"].as_array().unwrap_or_else(|| panic!("{row}")).iter();
    limits
        .map(|limit| (limit["limit"].as_str().unwrap().to_owned(), number(limit, "used"), number(limit, "remaining")))
        .collect()
}

async fn a_consumer_is_given_back_what_it_has_used(store: &str, word: &str) {
    let folder = tempfile::tempdir().unwrap();
    let gateway = Gateway::spawn(&yaml(folder.path(), store)).await;
    let (admin, step) = (gateway.admin(), "mine/rate-limit");
    assert_eq!(
        numbers(&told(&gateway, "consumer=ada", step).await),
        [("3/h".into(), 0, 3), ("100/day".into(), 0, 100)]
    );
    assert_eq!(
        [mine(&gateway).await, mine(&gateway).await, mine(&gateway).await, mine(&gateway).await],
        [200, 200, 200, 429]
    );
    let row = told(&gateway, "consumer=ada", step).await;
    assert_eq!(numbers(&row), [("3/h".into(), 3, 0), ("100/day".into(), 3, 97)]);
    assert_eq!((&row["store"], &row["plugin"]), (&json!(word), &json!("rate-limit")));
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    let resets_at = row["limits"][0]["resets_at"].as_u64().unwrap();
    assert!((now + 3500..=now + 3601).contains(&resets_at), "{resets_at} is not an hour from {now}");
    // Asking has taken nothing, and whose key is another's is untouched.
    assert_eq!(numbers(&told(&gateway, "consumer=bob&tier=free", step).await)[0].1, 0);
    let other = admin.post("/api/v1/limits/reset?consumer=bob&tier=free").await;
    assert_eq!((other.status, mine(&gateway).await), (200, 429));
    let done = admin.post("/api/v1/limits/reset?consumer=ada").await;
    assert_eq!((done.status, &done.json()[0]["reset"]), (200, &json!(true)));
    assert_eq!(numbers(&told(&gateway, "consumer=ada", step).await)[0].1, 0);
    assert_eq!(
        [mine(&gateway).await, mine(&gateway).await, mine(&gateway).await, mine(&gateway).await],
        [200, 200, 200, 429]
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_consumer_is_given_back_what_it_has_used_on_this_node() {
    a_consumer_is_given_back_what_it_has_used("", "local").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_consumer_is_given_back_what_it_has_used_in_redis() {
    let redis = servers::redis().await;
    let store = format!(", store: {{ redis: {{ url: 'redis://{}', timeout: 2s }} }}", redis.address());
    a_consumer_is_given_back_what_it_has_used(&store, "redis").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_that_is_not_a_consumers_is_asked_for_by_its_parts() {
    let folder = tempfile::tempdir().unwrap();
    let gateway = Gateway::spawn(&yaml(folder.path(), "")).await;
    let (admin, step) = (gateway.admin(), "open/rate-limit");
    for wanted in [200, 200, 429] {
        assert_eq!(gateway.get("/open").header("x-team", "blue").await.status, wanted);
    }
    let row = told(&gateway, "consumer=ada", step).await;
    assert!(row["not_counted"].as_str().unwrap().contains("give key"), "{row}");
    let query = "step=open/rate-limit&key=blue&key=127.0.0.9";
    assert_eq!(numbers(&told(&gateway, query, step).await), [("2/h".into(), 2, 0)], "an address of the same network");
    assert_eq!(admin.post(&format!("/api/v1/limits/reset?{query}")).await.status, 200);
    assert_eq!(gateway.get("/open").header("x-team", "blue").await.status, 200);
    let short = admin.get("/api/v1/limits?step=open/rate-limit&key=blue").await.json();
    assert_eq!(short[0]["not_counted"], "its key has 2 parts, and 1 are given");
    assert_eq!(admin.post("/api/v1/limits/reset?step=open/rate-limit&key=blue").await.status, 404, "nothing was reset");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_query_that_makes_no_sense_changes_nothing_and_is_told_why() {
    let folder = tempfile::tempdir().unwrap();
    let gateway = Gateway::spawn(&yaml(folder.path(), "")).await;
    let admin = gateway.admin();
    let answer = admin.get("/api/v1/limits").await;
    assert_eq!((answer.status, answer.text().as_str()), (400, "say whose: consumer, or key and step\n"));
    assert_eq!(admin.post("/api/v1/limits/reset?key=blue").await.status, 400);
    assert_eq!(admin.get("/api/v1/limits?consumer=ada&step=none").await.status, 404);
    assert_eq!(admin.get("/api/v1/limits/reset?consumer=ada").await.status, 405);
    let theirs = admin.post("/api/v1/limits/reset?consumer=ada").header("origin", "https://evil.example").await;
    assert_eq!(theirs.status, 403);
    let row = told(&gateway, "consumer=carol", "mine/rate-limit").await;
    assert_eq!(row["not_counted"], "consumer \"carol\" has no tier; give tier");
}

/// Counts in a way of its own, and tells of it as any plugin may.
#[derive(Debug)]
struct Purse(std::sync::Arc<std::sync::atomic::AtomicU64>);

#[derive(Debug, Deserialize, JsonSchema)]
struct NoSettings {}

#[async_trait]
impl Plugin for Purse {
    async fn on_request(&self, _: &mut RequestCx<'_>) -> Result<Flow> {
        self.0.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        Ok(Flow::Continue)
    }

    fn limits(&self) -> Option<&dyn Limits> {
        Some(self)
    }
}

#[async_trait]
impl Limits for Purse {
    async fn account(&self, subject: &Subject) -> Result<Account, NoAccount> {
        assert!(&*subject.consumer.id != "panic", "as asked");
        let used = self.0.load(std::sync::atomic::Ordering::Relaxed);
        let limit = Standing { limit: "10 coins".into(), most: 10, used, remaining: 10 - used, resets_at: None };
        Ok(Account { store: "purse", limits: vec![limit] })
    }

    async fn reset(&self, _: &Subject) -> Result<(), NoAccount> {
        self.0.store(0, std::sync::atomic::Ordering::Relaxed);
        Ok(())
    }
}

impl Build for Purse {
    const NAME: &'static str = "purse";
    type Config = NoSettings;

    fn build(_: NoSettings, _: &Host) -> Result<Self, BuildError> {
        Ok(Self(std::sync::Arc::default()))
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_strangers_plugin_offers_its_accounts_and_a_panic_in_it_is_its_own() {
    let yaml = "routes: [{ name: all, match: { path: '/**' }, public: true, plugins: [purse: {}], respond: { status: 200 } }]\n";
    let gateway = Gateway::with_plugin::<Purse>().spawn(yaml).await;
    gateway.get("/").await;
    gateway.get("/").await;
    let row = told(&gateway, "consumer=ada", "all/purse").await;
    assert_eq!((numbers(&row), &row["store"]), (vec![("10 coins".into(), 2, 8)], &json!("purse")));
    let row = told(&gateway, "consumer=panic", "all/purse").await;
    assert!(row["error"].as_str().unwrap().contains("as asked"), "{row}");
    assert_eq!(gateway.admin().post("/api/v1/limits/reset?consumer=ada").await.status, 200);
    assert_eq!(numbers(&told(&gateway, "consumer=ada", "all/purse").await)[0].1, 0);
}
