//! Tokens that are not what they say.

use jsonwebtoken::Algorithm;
use proptest::prelude::*;
use serde_json::json;

use super::sign::{Signer, claims};
use super::{counted, probe, send, settings, setup, why};

#[test]
fn a_token_without_a_signature_is_refused() {
    let probe = probe(json!({}));
    for alg in ["none", "None", "NONE", "rs256", ""] {
        let token = Signer::rsa().raw(&json!({ "alg": alg }).to_string(), &claims(json!({})).to_string());
        assert_eq!(why(&probe, &token), "the token's algorithm is none that can be allowed");
        let (signed, _) = token.rsplit_once('.').unwrap();
        why(&probe, &format!("{signed}."));
    }
}

#[test]
fn a_public_key_is_never_taken_for_a_secret() {
    let pem = include_bytes!("../../tests/keys/rsa.pub.pem");
    let secret = json!({ "secret": "file:secret.txt" });
    let both = settings(json!({ "algorithms": ["RS256", "HS256"], "keys": [{ "pem": "file:rsa.pub.pem" }, secret] }));
    for probe in [probe(json!({})), setup().build(both)] {
        for secret in [pem.as_slice(), pem.trim_ascii()] {
            why(&probe, &Signer::secret(Algorithm::HS256, secret).token(&claims(json!({}))));
        }
    }
}

#[test]
fn an_algorithm_that_is_not_named_is_refused() {
    let probe = probe(json!({}));
    for algorithm in [Algorithm::RS384, Algorithm::RS512, Algorithm::PS256, Algorithm::ES256, Algorithm::HS256] {
        let why = why(&probe, &Signer::new(algorithm).token(&claims(json!({}))));
        assert_eq!(why, format!("{algorithm:?} is not among `algorithms`"));
    }
}

#[test]
fn odd_headers_are_refused() {
    let probe = probe(json!({}));
    let with = |header: &str| Signer::rsa().raw(header, &claims(json!({})).to_string());
    why(&probe, &with(r#"{"alg":"RS256","crit":["exp"],"exp":1}"#));
    why(&probe, &with(r#"{"alg":"RS256","crit":[]}"#));
    why(&probe, &with(r#"{"alg":"HS256","alg":"RS256"}"#));
    why(&probe, &with(r#"{"alg":"RS256","enc":"A128GCM"}"#));
    why(&probe, &with(r#"{"alg":["RS256"]}"#));
    why(&probe, &with(r#"{"typ":"JWT"}"#));
    why(&probe, &with(r#"["RS256"]"#));
    why(&probe, &with(""));
    send(&probe, &with(r#"{"alg":"RS256"}"#)).forwarded();
    send(&probe, &with(r#"{"alg":"RS256","typ":"at+jwt","x5c":["AA"],"jku":"https://evil.example/"}"#)).forwarded();
}

#[test]
fn odd_shapes_are_refused() {
    let probe = probe(json!({}));
    let token = Signer::rsa().token(&claims(json!({})));
    for odd in [
        "x",
        ".",
        "..",
        "...",
        &format!("{token}.x"),
        &format!("{token}="),
        &format!(".{token}"),
        token.trim_start_matches('e'),
    ] {
        why(&probe, odd);
    }
    why(&probe, &Signer::rsa().raw(r#"{"alg":"RS256"}"#, "[]"));
    why(&probe, &Signer::rsa().raw(r#"{"alg":"RS256"}"#, "not json"));
    let long = Signer::rsa().token(&claims(json!({ "x": "y".repeat(8 * 1024) })));
    assert_eq!(why(&probe, &long), "the token is longer than 8 KiB");
    probe.get("/").header("authorization", b"Bearer \xff\xfe.\xff.\xff").send().refused();
    probe.get("/").header("authorization", "Bearer").send().refused();
    probe.get("/").header("authorization", "Bearer  ").send().refused();
}

#[test]
fn tokens_that_do_not_hold_are_not_remembered() {
    let probe = probe(json!({}));
    let token = Signer::rsa_other().token(&claims(json!({})));
    assert_eq!(why(&probe, &token), "the signature does not match");
    assert_eq!(why(&probe, &token), "the signature does not match");
    assert_eq!(counted(&probe, "cache_hits_total"), "0");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_change_of_one_byte_is_refused(place in any::<prop::sample::Index>(), byte in 0x21_u8..0x7f, warm in any::<bool>()) {
        let probe = probe(json!({}));
        let token = Signer::rsa().token(&claims(json!({})));
        if warm {
            send(&probe, &token).forwarded();
        }
        let mut changed = token.clone().into_bytes();
        let place = place.index(changed.len());
        prop_assume!(changed[place] != byte);
        changed[place] = byte;
        let sent = probe.get("/").header("authorization", [b"Bearer ", changed.as_slice()].concat()).send();
        prop_assert_eq!(sent.refused().status, 401);
        prop_assert!(sent.consumer().is_none());
    }

    #[test]
    fn no_bytes_make_it_fail(bytes in proptest::collection::vec(any::<u8>().prop_filter("a header", |b| !b.is_ascii_control()), 0..200)) {
        let probe = probe(json!({}));
        let sent = probe.get("/").header("authorization", [b"Bearer ", bytes.as_slice()].concat()).send();
        prop_assert_eq!(sent.refused().status, 401);
    }
}
