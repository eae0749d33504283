//! The built-in plugins on the wire: each once through a real gateway. Their details are tested beside them.

use std::sync::Arc;

use parking_lot::Mutex;
use portreeve_tests::{Beat, Gateway, Origin, RsaIssuer, SECRET, at, hs256, hs256_with, until};
use serde_json::json;
use tempfile::TempDir;

/// A folder with the tests' secret in a file.
fn secret_folder() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("secret"), SECRET).unwrap();
    folder
}

fn in_folder(folder: &TempDir, yaml: &str) -> String {
    yaml.replace("FOLDER", folder.path().to_str().unwrap())
}

const JWT: &str = r#"
upstreams: { a: { targets: ["@a"] } }
tiers: { free: { rate: 2/min }, paid: { rate: 100/min } }
chains:
  api:
    - jwt:
        issuer: https://issuer.example/
        audience: api
        algorithms: [HS256]
        keys: [{ secret: "file:FOLDER/secret" }]
        consumer: { id: "${claims.sub}", tier: "${claims.plan}", default_tier: free }
    - rate-limit: { by: "${consumer.id}", limit: tier }
    - headers: { request: { set: { x-user-id: "${consumer.id}" } }, response: { remove: [server] } }
routes: [{ name: all, match: { path: "/**" }, plugins: [use: api], upstream: a }]
"#;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_good_token_passes_names_its_consumer_and_stays_here() {
    let (folder, a) = (secret_folder(), Origin::start("a").await);
    let gateway = Gateway::spawn(&at(&[&a], &in_folder(&folder, JWT))).await;
    let answer =
        gateway.get("/").bearer(&hs256(json!({ "sub": "ada", "plan": "paid" }))).header("x-user-id", "mallory").await;
    assert_eq!((answer.status, answer.header("server")), (200, None));
    let received = a.last();
    assert_eq!((received.header("x-user-id"), received.header("authorization")), (Some("ada"), None));
    assert_eq!(received.header("x-forwarded-for"), Some("127.0.0.1"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_that_is_missing_forged_or_expired_is_401_with_a_challenge() {
    let (folder, a) = (secret_folder(), Origin::start("a").await);
    let gateway = Gateway::spawn(&at(&[&a], &in_folder(&folder, JWT))).await;
    let bad = [
        String::new(),
        hs256_with("another-secret-with-just-as-many-bytes", json!({ "sub": "ada" })),
        hs256(json!({ "sub": "ada", "exp": 1 })),
        hs256(json!({ "sub": "ada", "aud": "another" })),
        hs256(json!({ "sub": "ada", "iss": "https://other.example/" })),
    ];
    for token in bad {
        let answer = gateway.get("/").bearer(&token).await;
        assert_eq!(answer.status, 401, "{token}");
        assert!(answer.is_problem() && answer.header("www-authenticate").unwrap().starts_with("Bearer"), "{answer:?}");
    }
    assert_eq!(a.count(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tier_limits_each_consumer_by_itself_and_says_so() {
    let (folder, a) = (secret_folder(), Origin::start("a").await);
    let gateway = Gateway::spawn(&at(&[&a], &in_folder(&folder, JWT))).await;
    let (fred, gina) = (hs256(json!({ "sub": "fred" })), hs256(json!({ "sub": "gina" })));
    for _ in 0..2 {
        let answer = gateway.get("/").bearer(&fred).await;
        assert_eq!(answer.status, 200);
        assert!(answer.header("ratelimit").is_some() && answer.header("ratelimit-policy").is_some(), "{answer:?}");
    }
    let refused = gateway.get("/").bearer(&fred).await;
    assert_eq!(refused.status, 429);
    assert!(refused.is_problem() && refused.header("ratelimit").is_some(), "{refused:?}");
    let after: u64 = refused.header("retry-after").unwrap().parse().unwrap();
    assert!((1..=60).contains(&after), "{after}");
    assert_eq!(gateway.get("/").bearer(&gina).await.status, 200);
    assert_eq!(a.count(), 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_issuers_keys_are_fetched_and_followed_when_they_change() {
    let (one, two) = (RsaIssuer::new(1), RsaIssuer::new(2));
    let published = Arc::new(Mutex::new(one.jwks()));
    let shown = published.clone();
    let idp = Origin::start("idp").await.playing(move |_| vec![Beat::answer(200, &[], shown.lock().as_bytes())]);
    let yaml = r#"
routes:
  - name: all
    match: { path: "/**" }
    plugins: [jwt: { algorithms: [RS256], jwks: { url: "http://@idp/jwks.json", refresh: 1s } }]
    respond: { status: 200, body: "${consumer.id}" }
"#;
    let gateway = Gateway::spawn(&at(&[&idp], yaml)).await;
    let token = |issuer: &RsaIssuer| issuer.token(json!({ "sub": "ada" }));
    // The first request may come before the first fetch has ended, and waits for it.
    let answer = gateway.get("/").bearer(&token(&one)).await;
    assert_eq!((answer.status, answer.text().as_str()), (200, "ada"));
    assert_eq!(gateway.get("/").bearer(&token(&two)).await.status, 401);
    *published.lock() = two.jwks();
    until("the new key is known", async || (gateway.get("/").bearer(&token(&two)).await.status == 200).then_some(()))
        .await;
    assert_eq!(gateway.get("/").bearer(&token(&one)).await.status, 401);
    assert!(idp.count() < 30, "{} fetches", idp.count());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_set_is_not_fetched_where_a_redirect_leads_nor_from_an_address_that_a_name_may_not_have() {
    let issuer = RsaIssuer::new(1);
    let published = issuer.jwks();
    let elsewhere =
        Origin::start("elsewhere").await.playing(move |_| vec![Beat::answer(200, &[], published.as_bytes())]);
    let location = format!("http://{}/jwks.json", elsewhere.address());
    let idp = Origin::start("idp").await;
    idp.play(move |_| vec![Beat::answer(302, &[("location", &location)], "")]);
    let local = format!("http://localhost:{}/jwks.json", elsewhere.address().port());
    let yaml = r#"
routes:
  - name: redirected
    match: { path: /redirected }
    plugins: [jwt: { algorithms: [RS256], jwks: { url: "http://@idp/jwks.json", refresh: 1s } }]
    respond: { status: 200, body: ok }
  - name: public
    match: { path: /public }
    plugins: [jwt: { algorithms: [RS256], jwks: { url: "LOCAL", refresh: 1s, addresses: public } }]
    respond: { status: 200, body: ok }
  - name: local
    match: { path: /local }
    plugins: [jwt: { algorithms: [RS256], jwks: { url: "LOCAL", refresh: 1s } }]
    respond: { status: 200, body: ok }
"#;
    let gateway = Gateway::spawn(&at(&[&idp], &yaml.replace("LOCAL", &local))).await;
    let token = issuer.token(json!({ "sub": "ada" }));
    for path in ["/redirected", "/public"] {
        assert_eq!(gateway.get(path).bearer(&token).await.status, 503, "{path}");
    }
    let seen = |origin: &Origin| origin.seen().iter().filter(|asked| asked.target() == "/jwks.json").count();
    until("the issuer was asked", async || (seen(&idp) > 0).then_some(())).await;
    // `localhost` says by itself that it is this machine.
    until("the key is known", async || (gateway.get("/local").bearer(&token).await.status == 200).then_some(())).await;
    for path in ["/redirected", "/public"] {
        assert_eq!(gateway.get(path).bearer(&token).await.status, 503, "{path}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_declared_key_names_its_consumer_and_is_not_forwarded() {
    let (folder, a) = (secret_folder(), Origin::start("a").await);
    let yaml = r#"
upstreams: { a: { targets: ["@a"] } }
consumers: [{ name: ada, keys: ["file:FOLDER/secret"] }]
routes: [{ name: all, match: { path: "/**" }, plugins: [key-auth, headers: { request: { set: { x-user-id: "${consumer.id}" } } }], upstream: a }]
"#;
    let gateway = Gateway::spawn(&at(&[&a], &in_folder(&folder, yaml))).await;
    assert_eq!(gateway.get("/").await.status, 401);
    assert_eq!(gateway.get("/").header("x-api-key", "wrong").await.status, 401);
    assert_eq!(gateway.get("/").header("x-api-key", SECRET).await.status, 200);
    assert_eq!((a.last().header("x-user-id"), a.last().header("x-api-key"), a.count()), (Some("ada"), None, 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn versions_go_to_their_upstreams_by_path_and_by_header() {
    let (one, two) = (Origin::start("one").await, Origin::start("two").await);
    let yaml = r#"
upstreams: { one: { targets: ["@one"] }, two: { targets: ["@two"] } }
routes:
  - name: users
    match: { path: ["/{version}/users/**", "/users/**"] }
    public: true
    plugins:
      - versioning:
          from: [{ path: version }, { header: accept-version }]
          default: v2
          versions: { v1: { upstream: one, deprecated: 2026-01-01, sunset: 2027-06-30 }, v2: { upstream: two } }
"#;
    let gateway = Gateway::spawn(&at(&[&one, &two], yaml)).await;
    let old = gateway.get("/v1/users/7?x=1").await;
    assert_eq!((old.origin().as_str(), &old.json()["target"]), ("one", &"/users/7?x=1".into()));
    assert_eq!(old.header("sunset"), Some("Wed, 30 Jun 2027 00:00:00 GMT"));
    assert_eq!(old.header("deprecation"), Some("@1767225600"));
    let new = gateway.get("/v2/users/7").await;
    assert_eq!((new.origin().as_str(), new.header("sunset"), new.header("deprecation")), ("two", None, None));
    assert_eq!(gateway.get("/users/7").await.origin(), "two");
    assert_eq!(gateway.get("/users/7").header("accept-version", "v1").await.origin(), "one");
    assert_eq!(gateway.get("/v9/users/7").await.status, 404);
    assert_eq!(gateway.get("/users/7").header("accept-version", "v9").await.status, 400);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_aggregate_answers_from_several_upstreams_and_does_without_the_optional_ones() {
    let (user, mut orders) = (Origin::start("user").await, Origin::start("orders").await);
    let mut extras = Origin::start("extras").await;
    user.play(|received| vec![Beat::answer(200, &[], json!({ "asked": received.target() }).to_string())]);
    orders.play(|received| vec![Beat::answer(200, &[], json!([received.target()]).to_string())]);
    extras.play(|_| vec![Beat::answer(200, &[], "[1]")]);
    let yaml = r#"
upstreams: { user: { targets: ["@user"] }, orders: { targets: ["@orders"] }, extras: { targets: ["@extras"] } }
routes:
  - name: dashboard
    match: { path: "/dashboard/{id}" }
    public: true
    plugins:
      - aggregate:
          timeout: 5s
          calls:
            user: { upstream: user, path: "/users/${params.id}" }
            orders: { upstream: orders, path: "/orders?user=${params.id}" }
            extras: { upstream: extras, path: /extras, timeout: 2s, optional: true, fallback: [] }
          body: { user: "${calls.user.asked}", orders: "${calls.orders}", extras: "${calls.extras}" }
"#;
    let gateway = Gateway::spawn(&at(&[&user, &orders, &extras], yaml)).await;
    let whole = gateway.get("/dashboard/7").await;
    assert_eq!(whole.json(), json!({ "user": "/users/7", "orders": ["/orders?user=7"], "extras": [1] }));
    assert_eq!(whole.header("x-partial"), None);
    extras.play(|_| vec![Beat::Await(1)]);
    let without = gateway.get("/dashboard/7").await;
    assert_eq!(
        (without.status, &without.json()["extras"], without.header("x-partial")),
        (200, &json!([]), Some("extras"))
    );
    extras.die().await;
    assert_eq!(gateway.get("/dashboard/7").await.header("x-partial"), Some("extras"));
    orders.play(|_| vec![Beat::answer(500, &[], "{}")]);
    assert_eq!(gateway.get("/dashboard/7").await.status, 502);
    orders.die().await;
    let broken = gateway.get("/dashboard/7").await;
    assert_eq!(broken.status, 502);
    assert!(broken.is_problem() && !broken.text().contains("orders"), "{broken:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_address_that_is_not_allowed_is_403() {
    let yaml = r"
routes:
  - { name: in, match: { path: /in }, public: true, plugins: [ip-filter: { allow: [127.0.0.0/8] }], respond: { status: 200, body: ok } }
  - { name: out, match: { path: /out }, public: true, plugins: [ip-filter: { deny: [127.0.0.1] }], respond: { status: 200, body: ok } }
  - { name: both, match: { path: /both }, public: true, plugins: [ip-filter: { allow: [127.0.0.0/8], deny: [127.0.0.1] }], respond: { status: 200, body: ok } }
  - { name: but, match: { path: /but }, public: true, plugins: [ip-filter: { allow: [127.0.0.0/8], deny: [127.0.0.2] }], respond: { status: 200, body: ok } }
";
    let gateway = Gateway::spawn(yaml).await;
    assert_eq!(gateway.get("/in").await.status, 200);
    assert_eq!(gateway.get("/both").await.status, 403, "`deny` wins");
    assert_eq!(gateway.get("/but").await.status, 200);
    // A stranger's word for its address counts for nothing.
    assert_eq!(gateway.get("/out").header("x-forwarded-for", "10.0.0.1").await.status, 403);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_id_is_the_same_for_origin_and_client_and_another_each_time() {
    let a = Origin::start("a").await;
    let yaml = r#"
upstreams: { a: { targets: ["@a"] } }
routes: [{ name: all, match: { path: "/**" }, public: true, plugins: [request-id], upstream: a }]
"#;
    let gateway = Gateway::spawn(&at(&[&a], yaml)).await;
    let (first, second) = (gateway.get("/").header("x-request-id", "mine").await, gateway.get("/").await);
    let id = first.header("x-request-id").unwrap();
    assert_eq!(a.seen()[0].header("x-request-id"), Some(id));
    assert!(id != "mine" && Some(id) != second.header("x-request-id"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rewritten_target_is_what_the_origin_gets() {
    let a = Origin::start("a").await;
    let yaml = r#"
upstreams: { a: { targets: ["@a"] } }
routes: [{ name: all, match: { path: "/old/{id}" }, public: true, plugins: [rewrite: { path: "/new/${params.id}" }], upstream: a }]
"#;
    let gateway = Gateway::spawn(&at(&[&a], yaml)).await;
    assert_eq!(gateway.get("/old/7?q=1").await.json()["target"], "/new/7?q=1");
}
