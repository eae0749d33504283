//! What a request is sent by: keys of hashing, and canaries, from every part of it and from whoever sends it.

use std::collections::{BTreeMap, BTreeSet};

use portreeve_tests::{Ask, Gateway, Origin, SECRET, at, hs256};
use serde_json::json;

const YAML: &str = r#"
upstreams:
  cookie: { targets: ["@a", "@b", "@c"], balance: { hash: "${request.cookies.cart:-none}" } }
  path: { targets: ["@a", "@b", "@c"], balance: { hash: "${params.id}" } }
  consumer: { targets: ["@a", "@b", "@c"], balance: { hash: "${consumer.id}" } }
  stable: { targets: ["@a"] }
  canary: { targets: ["@b"] }
chains:
  known:
    - jwt:
        issuer: https://issuer.example/
        audience: api
        algorithms: [HS256]
        keys: [{ secret: "file:FOLDER/secret" }]
        consumer: { id: "${claims.sub}" }
routes:
  - { name: cookie, match: { path: /cookie }, public: true, upstream: cookie }
  - { name: path, match: { path: "/users/{id}/**" }, public: true, upstream: path }
  - { name: consumer, match: { path: /consumer }, plugins: [use: known], upstream: consumer }
  - name: split
    match: { path: /split }
    plugins: [use: known]
    upstream: [{ name: stable }, { name: canary, when: "claims.beta == true" }]
"#;

async fn gateway(origins: &[&Origin]) -> (Gateway, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("secret"), SECRET).unwrap();
    let yaml = YAML.replace("FOLDER", folder.path().to_str().unwrap());
    (Gateway::spawn(&at(origins, &yaml)).await, folder)
}

/// Asks for each key several times: each always has the same target, and not all have the same one.
async fn stay_apart(what: &str, ask: impl Fn(u32, u32) -> Ask) {
    let mut owners = BTreeMap::new();
    for round in 0..3 {
        for key in 0..20 {
            let answer = ask(key, round).await;
            assert_eq!(answer.status, 200, "{what}: {answer:?}");
            let owner = owners.entry(key).or_insert_with(|| answer.origin());
            assert_eq!(*owner, answer.origin(), "{what}: {key} has moved");
        }
    }
    assert_eq!(owners.values().collect::<BTreeSet<_>>().len(), 3, "{what}: {owners:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cookies_path_parameters_and_consumers_have_their_own_targets() {
    let (a, b, c) = (Origin::start("a").await, Origin::start("b").await, Origin::start("c").await);
    let (gateway, _folder) = gateway(&[&a, &b, &c]).await;
    // What is not the key is another each time.
    let of_cookie = |key, round| gateway.get("/cookie").header("cookie", &format!("cart={key}; round={round}"));
    stay_apart("cookie", of_cookie).await;
    stay_apart("path", |key, round| gateway.get(&format!("/users/{key}/orders/{round}"))).await;
    let of_consumer =
        |key, round| gateway.get("/consumer").bearer(&hs256(json!({ "sub": format!("u{key}"), "n": round })));
    stay_apart("consumer", of_consumer).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_claim_brings_its_consumers_to_the_canary_and_nobody_else() {
    let (a, b, c) = (Origin::start("a").await, Origin::start("b").await, Origin::start("c").await);
    let (gateway, _folder) = gateway(&[&a, &b, &c]).await;
    for _ in 0..5 {
        for (claims, origin) in [
            (json!({ "sub": "ada", "beta": true }), "b"),
            (json!({ "sub": "bob", "beta": false }), "a"),
            (json!({ "sub": "eve" }), "a"),
        ] {
            assert_eq!(gateway.get("/split").bearer(&hs256(claims.clone())).await.origin(), origin, "{claims}");
        }
        // A header is no claim.
        let forged = gateway.get("/split").bearer(&hs256(json!({ "sub": "eve" }))).header("beta", "true").await;
        assert_eq!(forged.origin(), "a");
    }
}
