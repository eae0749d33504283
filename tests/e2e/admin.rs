//! The admin port and the access log: what an operator sees, and what nobody may.

use portreeve_tests::{Gateway, Origin, SECRET, at, hs256, log_line, until};
use serde_json::{Value, json};

/// Variables of the environment are shared by all tests of this process, so the test uses one that is there.
const FROM_ENVIRONMENT: &str = "PATH";

fn secret() -> String {
    std::env::var(FROM_ENVIRONMENT).unwrap()
}

const PAGES: [&str; 7] = [
    "/metrics",
    "/api/v1/status",
    "/api/v1/config",
    "/api/v1/routes",
    "/api/v1/upstreams",
    "/api/v1/consumers",
    "/api/v1/plugins",
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_page_answers() {
    let a = Origin::start("a").await;
    let yaml = r#"
upstreams: { a: { targets: ["@a"] } }
consumers: [{ name: ada, groups: [staff], keys: ["env:PATH"] }]
routes: [{ name: all, match: { path: "/**" }, plugins: [key-auth], upstream: a }]
"#;
    let gateway = Gateway::spawn(&at(&[&a], yaml)).await;
    assert_eq!(gateway.get("/x").header("x-api-key", &secret()).await.status, 200);
    let admin = gateway.admin();
    for page in PAGES.iter().chain(&["/livez", "/readyz"]) {
        assert_eq!(admin.get(page).await.status, 200, "{page}");
    }
    let status = admin.json("/api/v1/status").await;
    assert_eq!((&status["generation"], &status["ready"]), (&1.into(), &true.into()));
    assert_eq!(status["listeners"][0], json!({ "name": "public", "address": gateway.address().to_string() }));
    let routes = admin.json("/api/v1/routes").await;
    assert_eq!(
        (&routes[0]["name"], &routes[0]["chain"], &routes[0]["end"]),
        (&"all".into(), &json!(["key-auth"]), &"a".into())
    );
    assert!(routes[0]["place"].as_str().unwrap().contains("gateway.yaml:"), "{routes}");
    // The answer arrives a moment before the request is over.
    let target = until("nothing is in flight", async || {
        Some(admin.target("a", a.address()).await).filter(|target| target["in_flight"] == 0)
    });
    let target = target.await;
    assert_eq!((&target["healthy"], &target["weight"]), (&true.into(), &1.into()));
    assert_eq!(admin.json("/api/v1/consumers").await[0]["name"], "ada");
    let plugins = admin.json("/api/v1/plugins").await;
    assert!(plugins.as_array().unwrap().iter().any(|plugin| plugin["name"] == "jwt"));
    let metrics = admin.get("/metrics").await;
    assert!(metrics.header("content-type").unwrap().starts_with("text/plain; version=0.0.4"));
    let counted = until("the request is counted", async || {
        admin.metric("portreeve_requests_total{route=\"all\",status_class=\"2xx\"}").await.filter(|count| *count > 0.0)
    });
    assert!((counted.await - 1.0).abs() < f64::EPSILON);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_a_token_every_page_but_the_probes_wants_it() {
    let yaml = r#"
admin: { bind: "127.0.0.1:0", token: "env:PATH" }
routes: [{ name: all, match: { path: "/**" }, public: true, respond: { status: 200, body: ok } }]
"#;
    let gateway = Gateway::spawn(yaml).await;
    let admin = gateway.admin();
    for page in PAGES {
        let refused = admin.get(page).await;
        assert_eq!((refused.status, refused.header("www-authenticate")), (401, Some("Bearer")), "{page}");
        assert_eq!(admin.get(page).bearer("wrong").await.status, 401, "{page}");
        assert_eq!(admin.get(page).bearer(&secret()).await.status, 200, "{page}");
    }
    assert_eq!(admin.post("/api/v1/reload").await.status, 401);
    for probe in ["/livez", "/readyz"] {
        assert_eq!(admin.get(probe).await.status, 200, "{probe}");
    }
    // What there is is not told, either.
    assert_eq!(admin.get("/nowhere").await.status, 401);
    assert_eq!(admin.get("/nowhere").bearer(&secret()).await.status, 404);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_page_shows_a_secret_wherever_it_came_from() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("token"), SECRET).unwrap();
    let yaml = r#"
admin: { bind: "127.0.0.1:0", token: "file:FOLDER/token" }
consumers: [{ name: ada, keys: ["env:PATH"] }]
chains:
  api:
    - jwt: { algorithms: [HS256], keys: [{ secret: "file:FOLDER/token" }] }
    - headers: { request: { set: { x-internal: "${env.PATH}" } } }
routes: [{ name: all, match: { path: "/**" }, plugins: [use: api, key-auth], respond: { status: 200, body: "${env.PATH}" } }]
"#;
    let yaml = yaml.replace("FOLDER", folder.path().to_str().unwrap());
    let gateway = Gateway::spawn(&yaml).await;
    for page in PAGES {
        let shown = gateway.admin().get(page).bearer(SECRET).await;
        assert_eq!(shown.status, 200, "{page}");
        for hidden in [SECRET, &secret()] {
            assert!(!shown.text().contains(hidden), "{page} shows a secret: {}", shown.text());
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn metric_labels_come_from_the_configuration_alone() {
    let gateway = Gateway::spawn(
        "routes: [{ name: all, match: { path: '/a/**' }, public: true, respond: { status: 200, body: ok } }]",
    )
    .await;
    gateway.get("/a/from-a-request").header("host", "from-a-request").header("user-agent", "from-a-request").await;
    gateway.ask("FROM-A-REQUEST", "/from-a-request?from-a-request").await;
    let admin = gateway.admin();
    let unrouted = "portreeve_requests_total{route=\"(none)\",status_class=\"4xx\"}";
    until("both are counted", async || admin.metric(unrouted).await.filter(|count| *count > 0.0)).await;
    assert!(!admin.get("/metrics").await.text().to_lowercase().contains("from-a-request"));
}

/// The lines of an access log, once there are so many.
pub(crate) async fn lines(path: &std::path::Path, count: usize) -> Vec<Value> {
    until("the access log", async || {
        let text = std::fs::read_to_string(path).unwrap_or_default();
        let lines: Vec<Value> = text.split_inclusive('\n').filter(|line| line.ends_with('\n')).map(log_line).collect();
        (lines.len() >= count).then_some(lines)
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_request_is_one_line_of_json_without_its_query_and_its_credentials() {
    let (folder, a) = (tempfile::tempdir().unwrap(), Origin::start("a").await);
    std::fs::write(folder.path().join("secret"), SECRET).unwrap();
    let yaml = r#"
access_log: { to: "file:FOLDER/access.log" }
upstreams: { a: { targets: ["@a"] } }
tiers: { free: { rate: 100/min } }
routes:
  - name: users
    match: { path: "/users/{id}" }
    plugins: [jwt: { algorithms: [HS256], keys: [{ secret: "file:FOLDER/secret" }], consumer: { default_tier: free } }]
    upstream: a
"#;
    let gateway = Gateway::spawn(&at(&[&a], &yaml.replace("FOLDER", folder.path().to_str().unwrap()))).await;
    let token = hs256(json!({ "sub": "ada" }));
    let answer = gateway
        .ask("POST", "/users/7?token=confidential")
        .bearer(&token)
        .header("host", "api.example.com")
        .body("12345")
        .await;
    assert_eq!(answer.status, 200);
    assert_eq!(gateway.get("/users/7").await.status, 401);
    assert_eq!(gateway.get("/nowhere").await.status, 404);
    let path = folder.path().join("access.log");
    let lines = lines(&path, 3).await;
    let of = |status: u16| lines.iter().find(|line| line["status"] == status).unwrap();
    let (served, refused, lost) = (of(200), of(401), of(404));
    for (field, value) in [
        ("generation", json!(1)),
        ("client_ip", json!("127.0.0.1")),
        ("listener", json!("public")),
        ("method", json!("POST")),
        ("host", json!("api.example.com")),
        ("path", json!("/users/7")),
        ("route", json!("users")),
        ("consumer", json!("ada")),
        ("upstream", json!("a")),
        ("target", json!(a.address().to_string())),
        ("attempts", json!(1)),
        ("bytes_in", json!(5)),
        ("bytes_out", json!(answer.body.len())),
    ] {
        assert_eq!(served[field], value, "{field}: {served}");
    }
    assert!(
        served["duration_ms"].as_f64().unwrap() > 0.0 && served["time"].as_str().unwrap().ends_with('Z'),
        "{served}"
    );
    assert!(served["request_id"].as_str().unwrap().len() >= 16, "{served}");
    assert_eq!(
        (&refused["route"], &refused["upstream"], &refused["attempts"]),
        (&"users".into(), &Value::Null, &0.into())
    );
    let decision = &refused["decisions"][0];
    assert!(
        decision["place"].as_str().unwrap().contains("gateway.yaml:") && !decision["why"].as_str().unwrap().is_empty(),
        "{refused}"
    );
    assert_eq!(lost["route"], Value::Null);
    let text = std::fs::read_to_string(&path).unwrap();
    assert!(!text.contains("confidential") && !text.contains(&token) && !text.contains(SECRET), "{text}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_request_id_of_a_problem_is_the_one_in_the_log() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("access.log");
    let yaml = format!(
        "access_log: {{ to: \"file:{}\" }}\nroutes: [{{ name: one, match: {{ path: /one }}, public: true, respond: {{ status: 200, body: ok }} }}]",
        path.display()
    );
    let gateway = Gateway::spawn(&yaml).await;
    let answer = gateway.get("/two").await;
    assert_eq!(lines(&path, 1).await[0]["request_id"], answer.json()["request_id"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lines_that_cannot_be_written_are_counted_and_no_request_waits_for_them() {
    let yaml = "access_log: { to: \"file:/dev/full\" }\nroutes: [{ name: all, match: { path: '/**' }, public: true, respond: { status: 200, body: ok } }]";
    let gateway = Gateway::spawn(yaml).await;
    for _ in 0..10 {
        assert_eq!(gateway.get("/").await.status, 200);
    }
    let dropped = "portreeve_access_log_dropped_total";
    until("the lost lines are counted", async || gateway.admin().metric(dropped).await.filter(|count| *count > 0.0))
        .await;
}
