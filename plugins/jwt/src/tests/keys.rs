//! Keys in the file: every algorithm, and what is refused when the file is loaded.

use jsonwebtoken::Algorithm;
use serde_json::json;

use super::sign::{Signer, claims, set};
use super::{KEYS, refuses, send, settings, setup, why};
use crate::Jwt;
use portreeve_plugin::testing::Probe;

#[test]
fn every_algorithm_verifies_with_its_kind_of_key() {
    let public = [
        ("rsa.pub.pem", vec![Algorithm::RS256, Algorithm::RS384, Algorithm::RS512]),
        ("rsa.pub.pem", vec![Algorithm::PS256, Algorithm::PS384, Algorithm::PS512]),
        ("p256.pub.pem", vec![Algorithm::ES256]),
        ("p384.pub.pem", vec![Algorithm::ES384]),
        ("ed25519.pub.pem", vec![Algorithm::EdDSA]),
    ];
    for (file, algorithms) in public {
        let probe = setup().build(json!({ "algorithms": &algorithms, "keys": [{ "pem": format!("file:{file}") }] }));
        for algorithm in algorithms {
            send(&probe, &Signer::new(algorithm).token(&claims(json!({})))).forwarded();
        }
    }
    let secrets = [Algorithm::HS256, Algorithm::HS384, Algorithm::HS512];
    let probe = setup().build(json!({ "algorithms": secrets, "keys": [{ "secret": "file:secret.txt" }] }));
    for algorithm in secrets {
        send(&probe, &Signer::new(algorithm).token(&claims(json!({})))).forwarded();
        why(&probe, &Signer::secret(algorithm, b"another secret").token(&claims(json!({}))));
    }
}

#[test]
fn a_key_set_in_a_file_verifies_every_kind() {
    let algorithms = [Algorithm::RS256, Algorithm::ES256, Algorithm::ES384, Algorithm::EdDSA];
    let signers: Vec<Signer> = algorithms.into_iter().map(Signer::new).collect();
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("jwks.json"), set(&signers.iter().collect::<Vec<_>>())).unwrap();
    let settings = json!({ "algorithms": algorithms, "jwks": { "file": "jwks.json" } });
    let probe = Probe::<Jwt>::setup().folder(folder.path()).at(super::sign::now()).build(settings);
    for signer in signers {
        send(&probe, &signer.token(&claims(json!({})))).forwarded();
    }
}

#[test]
fn the_kid_chooses_the_key_and_a_key_without_one_takes_the_rest() {
    let named = json!({ "pem": "file:rsa.pub.pem", "kid": "a" });
    let keys = json!({ "keys": [named, { "pem": "file:rsa-other.pub.pem" }] });
    let probe = setup().build(settings(keys));
    send(&probe, &Signer::rsa().kid("a").token(&claims(json!({})))).forwarded();
    send(&probe, &Signer::rsa().token(&claims(json!({})))).forwarded();
    send(&probe, &Signer::rsa_other().kid("z").token(&claims(json!({})))).forwarded();
    assert_eq!(why(&probe, &Signer::rsa_other().kid("a").token(&claims(json!({})))), "the signature does not match");
    let strict = setup().build(settings(json!({ "keys": [named] })));
    assert_eq!(why(&strict, &Signer::rsa().kid("b").token(&claims(json!({})))), "no key has the token's `kid` \"b\"");
}

#[test]
fn keys_and_algorithms_that_cannot_go_together_are_refused_at_load() {
    let key = |algorithms: &[&str], key: serde_json::Value| refuses(json!({ "algorithms": algorithms, "keys": [key] }));
    assert_eq!(
        key(&["HS256"], json!({ "pem": "file:rsa.pub.pem" })),
        "keys[0]: an RSA key can be used with RS256, RS384, RS512, PS256, PS384, PS512, none of which is allowed"
    );
    assert_eq!(
        key(&["RS256", "HS256"], json!({ "pem": "file:rsa.pub.pem" })),
        "algorithms: there is no key that can be used with HS256"
    );
    assert_eq!(
        key(&["ES384"], json!({ "pem": "file:p256.pub.pem" })),
        "keys[0]: a P-256 key can be used with ES256, none of which is allowed"
    );
    assert_eq!(
        key(&["HS512"], json!({ "secret": "file:secret32.txt" })),
        "keys[0].secret: HS512 wants a secret of at least 64 bytes; this one has 32"
    );
    let published = json!({ "algorithms": ["HS256"], "jwks": { "url": "https://idp.example.com/jwks" } });
    assert_eq!(refuses(published), "algorithms: HS256 needs a secret; a set fetched from a URL holds public keys");
}

#[test]
fn what_is_no_usable_public_key_is_refused_at_load() {
    let pem = |file: &str| refuses(settings(json!({ "keys": [{ "pem": format!("file:{file}") }] })));
    assert!(pem("rsa.pem").contains("this is a private key"), "{}", pem("rsa.pem"));
    assert!(pem("rsa1024.pub.pem").contains("2048"), "{}", pem("rsa1024.pub.pem"));
    assert_eq!(pem("secp256k1.pub.pem"), "keys[0].pem: the curve is neither P-256 nor P-384");
    assert_eq!(pem("secret.txt"), "keys[0].pem: not a public key in PEM");
    assert!(pem("absent.pem").starts_with("keys[0].pem: cannot read"), "{}", pem("absent.pem"));
}

#[test]
fn settings_that_say_too_much_or_too_little_are_refused() {
    assert_eq!(refuses(json!({ "algorithms": ["RS256"] })), "wants either `jwks` or `keys`");
    let both = json!({ "keys": [{ "pem": "file:rsa.pub.pem", "secret": "file:secret.txt" }] });
    assert_eq!(refuses(settings(both)), "keys[0]: wants either `secret` or `pem`");
    assert_eq!(
        refuses(settings(json!({ "algorithms": [] }))),
        "algorithms: name at least one algorithm, such as RS256"
    );
    assert!(refuses(settings(json!({ "algorithms": ["none"] }))).contains("none"));
    assert_eq!(
        refuses(settings(json!({ "realm": "a\"b" }))),
        "realm: must be visible characters without quotes and backslashes"
    );
    let file = json!({ "algorithms": ["RS256"], "jwks": { "file": "rsa.pem" } });
    assert!(refuses(file).starts_with("jwks.file: not a JSON Web Key Set"), "{KEYS}");
}
