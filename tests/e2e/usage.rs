//! What consumers have used, as the admin port and the exported lines tell it.

use std::path::Path;
use std::time::Duration;

use portreeve_plugin::prelude::*;
use portreeve_tests::{Beat, Gateway, Origin, Process, at, until};
use serde_json::{Value, json};

const YAML: &str = r#"
upstreams: { one: { targets: ["@a"] }, two: { targets: ["@a"] } }
tiers: { free: { rate: 3/h }, paid: { rate: 1000/h, cost: 2 } }
consumers:
  - { name: ada, tier: free, keys: ["file:ada.key"] }
  - { name: bob, tier: paid, keys: ["file:bob.key"] }
chains:
  api:
    - key-auth: { header: x-api-key }
    - rate-limit: { by: "${consumer.id}", limit: tier }
routes:
  - name: orders
    match: { path: "/{version}/orders" }
    plugins:
      - use: api
      - versioning: { from: [{ path: version }], versions: { v1: { upstream: one }, v2: { upstream: two } } }
  - { name: broken, match: { path: /broken }, plugins: [use: api], upstream: one }
"#;

/// A folder with the keys of ada and bob, for gateways that are started anew.
fn keys(yaml: &str, folder: &Path) -> String {
    for who in ["ada", "bob"] {
        std::fs::write(folder.join(format!("{who}.key")), format!("{who}-has-a-key-of-some-length")).unwrap();
    }
    yaml.replace("file:", &format!("file:{}/", folder.display()))
}

async fn ask(gateway: &Gateway, who: &str, path: &str) -> u16 {
    gateway.get(path).header("x-api-key", &format!("{who}-has-a-key-of-some-length")).await.status
}

async fn usage(gateway: &Gateway, query: &str) -> Value {
    gateway.admin().json(&format!("/api/v1/usage?{query}")).await
}

/// Log hooks run after the last byte: what was answered may be counted a moment later.
async fn counted(gateway: &Gateway, requests: u64) -> Value {
    until("all requests are counted", async || {
        let page = usage(gateway, "").await;
        (page["total"]["requests"] == requests).then_some(page)
    })
    .await
}

async fn origin() -> Origin {
    Origin::start("a").await.playing(|received| match received.target() {
        "/broken" => vec![Beat::answer(500, &[], "no")],
        _ => vec![Beat::answer(200, &[], "12345")],
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn usage_is_told_by_consumer_tier_route_and_version() {
    let (a, folder) = (origin().await, tempfile::tempdir().unwrap());
    let gateway = Gateway::spawn(&keys(&at(&[&a], YAML), folder.path())).await;
    for wanted in [200, 200, 200, 429] {
        assert_eq!(ask(&gateway, "ada", "/v1/orders").await, wanted);
    }
    assert_eq!(ask(&gateway, "bob", "/v2/orders").await, 200);
    assert_eq!(ask(&gateway, "bob", "/broken").await, 500);
    assert_eq!(gateway.get("/v1/orders").await.status, 401);
    assert_eq!(gateway.get("/nowhere").await.status, 404);
    let page = counted(&gateway, 8).await;
    let row = |consumer: Value, tier: Value, route: Value, version: Value| {
        let key = json!({ "consumer": consumer, "tier": tier, "route": route, "version": version });
        let rows = page["usage"].as_array().unwrap().iter();
        let is_it = |row: &&Value| key.as_object().unwrap().iter().all(|(name, value)| row[name] == *value);
        let row = rows.into_iter().find(is_it).unwrap_or_else(|| panic!("{key} in {page}"));
        ["requests", "errors", "refused", "cost", "bytes_out"].map(|name| row[name].as_u64().unwrap())
    };
    let (free, paid) = (json!("free"), json!("paid"));
    assert_eq!(row(json!("ada"), free.clone(), json!("orders"), json!("v1")), [3, 0, 0, 3, 15]);
    // Refused before it came to the version.
    assert_eq!(row(json!("ada"), free, json!("orders"), Value::Null)[..4], [1, 0, 1, 0]);
    assert_eq!(row(json!("bob"), paid.clone(), json!("orders"), json!("v2")), [1, 0, 0, 2, 5]);
    assert_eq!(row(json!("bob"), paid, json!("broken"), Value::Null)[..4], [1, 1, 0, 2]);
    assert_eq!(row(Value::Null, Value::Null, json!("orders"), Value::Null)[..4], [1, 0, 1, 0]);
    assert_eq!(row(Value::Null, Value::Null, Value::Null, Value::Null)[..4], [1, 0, 1, 0]);

    let page = usage(&gateway, "group_by=consumer&tier=free").await;
    assert_eq!(page["usage"].as_array().unwrap().len(), 1);
    assert_eq!((&page["usage"][0]["consumer"], &page["usage"][0]["requests"]), (&json!("ada"), &json!(4)));
    assert!(page["total"]["latency_ms"]["p99"].as_f64().unwrap() > 0.0);
    let wrong = gateway.admin().get("/api/v1/usage?group_by=path").await;
    assert_eq!(
        (wrong.status, wrong.text().as_str()),
        (400, "group_by=\"path\": expected some of consumer, tier, route, version\n")
    );
    let metrics = gateway.admin().get("/metrics").await.text();
    assert!(!metrics.contains("ada") && !metrics.contains("consumer="), "consumers are no labels");
}

/// Says what a request is for and what it costs, as any plugin may.
#[derive(Debug)]
struct Meter;

#[derive(Debug, Deserialize, JsonSchema)]
struct NoSettings {}

#[async_trait]
impl Plugin for Meter {
    async fn on_request(&self, cx: &mut RequestCx<'_>) -> Result<Flow> {
        cx.set_consumer(std::sync::Arc::new(Consumer::new("eve")));
        cx.set_version("2026".into());
        cx.charge(5);
        Ok(Flow::Continue)
    }

    async fn on_response(&self, cx: &mut ResponseCx<'_>) -> Result<()> {
        let tokens = cx.header(&HeaderName::from_static("x-tokens")).and_then(|text| text.parse().ok());
        cx.charge(tokens.unwrap_or(0));
        Ok(())
    }
}

impl Build for Meter {
    const NAME: &'static str = "meter";
    type Config = NoSettings;

    fn build(_: NoSettings, _: &Host) -> Result<Self, BuildError> {
        Ok(Self)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_strangers_plugin_says_version_and_cost_like_those_of_the_house() {
    let a = Origin::start("a").await.playing(|received| match received.target() {
        "/dear" => vec![Beat::answer(200, &[("x-tokens", "70")], "")],
        _ => vec![Beat::answer(200, &[], "")],
    });
    let yaml = "upstreams: { a: { targets: ['@a'] } }
routes: [{ name: all, match: { path: '/**' }, public: true, plugins: [meter: {}], upstream: a }]
";
    let gateway = Gateway::with_plugin::<Meter>().spawn(&at(&[&a], yaml)).await;
    for path in ["/cheap", "/dear"] {
        assert_eq!(gateway.get(path).await.status, 200);
    }
    let page = counted(&gateway, 2).await;
    let row = &page["usage"][0];
    assert_eq!((&row["consumer"], &row["version"], &row["cost"]), (&json!("eve"), &json!("2026"), &json!(75)));
}

fn kept(a: &Origin, folder: &Path, more: &str) -> String {
    let usage = format!(
        "usage: {{ path: '{0}/usage', export: {{ path: '{0}/out.jsonl', every: 1m }} {more} }}\n",
        folder.display()
    );
    usage + &keys(&at(&[a], YAML), folder)
}

/// Requests in all lines; fails if a line is there twice.
fn exported(folder: &Path) -> u64 {
    let text = std::fs::read_to_string(folder.join("out.jsonl")).unwrap_or_default();
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let numbers: Vec<u64> = lines.iter().map(|line| line["number"].as_u64().unwrap()).collect();
    assert_eq!(numbers, (1..=numbers.len() as u64).collect::<Vec<_>>(), "each line once, and none is missing: {text}");
    lines.iter().map(|line| line["requests"].as_u64().unwrap()).sum()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn usage_survives_a_restart_and_a_reload_and_every_request_is_exported_once() {
    let (a, folder) = (origin().await, tempfile::tempdir().unwrap());
    let first = Gateway::spawn(&kept(&a, folder.path(), "")).await;
    for _ in 0..5 {
        ask(&first, "bob", "/v1/orders").await;
    }
    counted(&first, 5).await;
    first.reload(&kept(&a, folder.path(), ", max_keys: 200")).await.unwrap();
    ask(&first, "bob", "/v1/orders").await;
    counted(&first, 6).await;
    let moved = kept(&a, folder.path(), "").replace("/usage'", "/elsewhere'");
    let refused = first.reload(&moved).await.unwrap_err();
    assert!(refused.contains("usage.path: the folder of usage changes only with a restart"), "{refused}");
    first.running().stop(Duration::ZERO, Duration::from_secs(5)).await;
    assert_eq!(exported(folder.path()), 6, "the end does not wait for the minute");

    let second = Gateway::spawn(&kept(&a, folder.path(), "")).await;
    assert_eq!(usage(&second, "window=2h").await["total"]["requests"], 6, "known as soon as it serves");
    ask(&second, "bob", "/v1/orders").await;
    counted(&second, 7).await;
    second.running().stop(Duration::ZERO, Duration::from_secs(5)).await;
    assert_eq!(exported(folder.path()), 7);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gateway_takes_over_the_usage_of_the_one_before_it_when_that_has_ended() {
    let (a, folder) = (origin().await, tempfile::tempdir().unwrap());
    let yaml = kept(&a, folder.path(), "");
    let (before, next) = (Gateway::spawn(&yaml).await, Gateway::spawn(&yaml).await);
    ask(&before, "bob", "/v1/orders").await;
    ask(&next, "bob", "/v1/orders").await;
    ask(&next, "bob", "/v1/orders").await;
    counted(&before, 1).await;
    counted(&next, 2).await;
    assert!(next.admin().count("portreeve_usage_failures_total{stage=\"lock\"}").await.unwrap() >= 1);
    before.running().stop(Duration::ZERO, Duration::from_secs(5)).await;
    counted(&next, 3).await;
    next.running().stop(Duration::ZERO, Duration::from_secs(5)).await;
    assert_eq!(exported(folder.path()), 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_folder_that_cannot_be_written_is_counted_and_requests_are_served() {
    let (a, folder) = (origin().await, tempfile::tempdir().unwrap());
    std::fs::write(folder.path().join("usage"), "a file where the folder should be").unwrap();
    let gateway = Gateway::spawn(&kept(&a, folder.path(), "")).await;
    assert_eq!(ask(&gateway, "bob", "/v1/orders").await, 200);
    counted(&gateway, 1).await;
    assert!(gateway.admin().count("portreeve_usage_failures_total{stage=\"save\"}").await.unwrap() >= 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_disk_that_hangs_holds_up_neither_requests_nor_the_end() {
    let (a, folder) = (origin().await, tempfile::tempdir().unwrap());
    let head = "version: 1\nlisteners: [{ name: public, bind: '127.0.0.1:0' }]\nadmin: { bind: '127.0.0.1:0' }\n";
    let path = folder.path().join("gateway.yaml");
    std::fs::write(&path, format!("{head}{}", kept(&a, folder.path(), ""))).unwrap();
    // Opening a pipe that nobody reads waits, as a disk that is gone does.
    std::fs::create_dir(folder.path().join("usage")).unwrap();
    let pipe = folder.path().join("usage/state.new");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let program = env!("CARGO_BIN_EXE_portreeve-under-test");
    let gateway = Process::start(program, &["run", "-c", path.to_str().unwrap(), "--no-watch", "--grace", "1ms"]);
    let url = format!("http://{}/v1/orders", gateway.listener("public").await);
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let answer = client.get(&url).header("x-api-key", "bob-has-a-key-of-some-length").send().await.unwrap();
    assert_eq!(answer.status(), 200);
    let told = client.get(format!("http://{}/api/v1/usage", gateway.admin().await)).send().await.unwrap();
    assert_eq!(told.status(), 503);
    gateway.signal("TERM").await;
    let exit = gateway.exit().await;
    assert_eq!(exit.code, Some(0), "{}", exit.log);
    assert!(exit.log.contains("The disk of usage does not answer; what was counted"), "{}", exit.log);
}
