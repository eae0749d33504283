//! Keys from a URL: fetched in the background, refreshed, rotated, and missing.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use jsonwebtoken::Algorithm;
use portreeve_plugin::testing::{Probe, answer};
use portreeve_plugin::{Addresses, CallError};
use serde_json::{Value, json};

use super::sign::{Signer, claims, set};
use super::{counted, send, setup, why};
use crate::Jwt;

const URL: &str = "https://idp.example.com/jwks.json";

fn settings() -> Value {
    json!({ "algorithms": ["RS256"], "jwks": { "url": URL, "refresh": "10m", "stale_for": "1h" } })
}

/// An issuer that serves these texts one after the other, then the last for ever; an empty one is a failure.
fn issuer(texts: Vec<String>) -> Probe<Jwt> {
    let served = Arc::new(AtomicUsize::new(0));
    let probe = setup().fetch(move |_| {
        let turn = served.fetch_add(1, Ordering::Relaxed).min(texts.len() - 1);
        let text = texts[turn].clone();
        if text.is_empty() { Err(CallError::TimedOut(Duration::from_secs(5))) } else { Ok(answer(200, text)) }
    });
    let probe = probe.build(settings());
    probe.run_background();
    probe
}

fn token(signer: &Signer) -> String {
    signer.token(&claims(json!({ "exp": 2_000_000_000 })))
}

#[test]
fn a_set_is_fetched_in_the_background_and_again_after_a_while() {
    let probe = issuer(vec![set(&[&Signer::rsa()])]);
    assert_eq!(probe.fetched(), [URL]);
    send(&probe, &token(&Signer::rsa())).forwarded();
    probe.advance(Duration::from_mins(8));
    assert_eq!(probe.fetched().len(), 1);
    probe.advance(Duration::from_mins(2));
    assert_eq!(probe.fetched().len(), 2);
    // The same set again: what was verified stays verified.
    send(&probe, &token(&Signer::rsa())).forwarded();
    assert_eq!(counted(&probe, "cache_hits_total"), "1");
}

#[test]
fn without_any_set_nothing_is_let_through_and_clients_may_come_again() {
    let probe = issuer(vec![String::new()]);
    let sent = send(&probe, &token(&Signer::rsa()));
    assert_eq!((sent.refused().status.as_u16(), sent.refused().header("retry-after")), (503, Some("5")));
    let unbuilt = setup().build(settings());
    assert_eq!(send(&unbuilt, &token(&Signer::rsa())).refused().status, 503);
}

#[test]
fn a_failed_fetch_is_tried_again_soon_and_less_and_less_often() {
    let probe = issuer(vec![String::new(), String::new(), set(&[&Signer::rsa()])]);
    assert_eq!(probe.fetched().len(), 1);
    probe.advance(Duration::from_secs(1));
    assert_eq!(probe.fetched().len(), 2);
    probe.advance(Duration::from_secs(2));
    assert_eq!(probe.fetched().len(), 3);
    send(&probe, &token(&Signer::rsa())).forwarded();
    assert_eq!(counted(&probe, "jwks_fetch_failures_total"), "2");
}

#[test]
fn an_unknown_kid_brings_the_new_key_at_once() {
    let (old, new) = (Signer::rsa().kid("old"), Signer::rsa_other().kid("new"));
    let probe = issuer(vec![set(&[&old]), set(&[&old, &new])]);
    probe.advance(Duration::from_secs(11));
    send(&probe, &token(&new)).forwarded();
    assert_eq!(probe.fetched().len(), 2);
}

#[test]
fn unknown_kids_do_not_make_it_fetch_all_the_time() {
    let probe = issuer(vec![set(&[&Signer::rsa().kid("a")])]);
    let stranger = token(&Signer::rsa_other().kid("b"));
    assert_eq!(why(&probe, &stranger), "no key has the token's `kid` \"b\"");
    assert_eq!(probe.fetched().len(), 1);
    probe.advance(Duration::from_secs(11));
    for _ in 0..20 {
        why(&probe, &stranger);
    }
    assert_eq!(probe.fetched().len(), 2);
}

#[test]
fn a_key_that_is_taken_out_of_the_set_verifies_nothing_any_more() {
    let (old, new) = (Signer::rsa().kid("old"), Signer::rsa_other().kid("new"));
    let probe = issuer(vec![set(&[&old]), set(&[&new])]);
    send(&probe, &token(&old)).forwarded();
    send(&probe, &token(&old)).forwarded();
    probe.advance(Duration::from_mins(10));
    send(&probe, &token(&new)).forwarded();
    why(&probe, &token(&old));
}

#[test]
fn the_last_good_set_outlives_an_outage_but_not_for_ever() {
    let probe = issuer(vec![set(&[&Signer::rsa()]), String::new()]);
    for _ in 0..50 {
        probe.advance(Duration::from_mins(1));
    }
    send(&probe, &token(&Signer::rsa())).forwarded();
    for _ in 0..20 {
        probe.advance(Duration::from_mins(1));
    }
    assert_eq!(send(&probe, &token(&Signer::rsa())).refused().status, 503);
}

#[test]
fn nonsense_does_not_replace_a_good_set() {
    let probe = issuer(vec![set(&[&Signer::rsa()]), "<html>".to_owned(), "{}".to_owned()]);
    probe.advance(Duration::from_mins(10));
    probe.advance(Duration::from_mins(1));
    assert!(probe.fetched().len() > 2);
    send(&probe, &token(&Signer::rsa())).forwarded();
}

/// What each word means is `crates/upstream`'s to hold; that nobody gets more than was said is held here.
#[test]
fn a_name_may_have_the_addresses_that_are_said_and_of_a_network_alone_where_nothing_is() {
    let of = |text: &str| {
        let jwks: crate::config::Jwks = serde_json::from_value(serde_json::from_str(text).unwrap()).unwrap();
        Addresses::from(jwks.addresses.unwrap_or_default())
    };
    assert_eq!(of(r#"{ "url": "https://idp.test/" }"#), Addresses::Network);
    for (word, meant) in [("network", Addresses::Network), ("public", Addresses::Public), ("any", Addresses::Any)] {
        assert_eq!(of(&format!(r#"{{ "url": "https://idp.test/", "addresses": "{word}" }}"#)), meant);
    }
}

#[test]
fn a_set_counts_only_where_the_status_is_200() {
    for status in [203, 206, 302, 404, 500] {
        let text = set(&[&Signer::rsa()]);
        let probe = setup().fetch(move |_| Ok(answer(status, text.clone()))).build(settings());
        probe.run_background();
        assert_eq!(send(&probe, &token(&Signer::rsa())).refused().status, 503, "{status}");
    }
}

#[test]
fn a_bad_key_is_passed_over_and_a_published_secret_is_one() {
    let good = Signer::rsa().kid("good");
    let secret = json!({ "kty": "oct", "k": "c2VjcmV0", "kid": "s" });
    let mut encrypting = Signer::rsa_other().kid("enc").jwk();
    encrypting["use"] = json!("enc");
    let mut other = Signer::rsa().kid("alg").jwk();
    other["alg"] = json!("RS512");
    let keys =
        json!({ "keys": [1, {}, { "kty": "RSA", "n": "AQAB", "e": "AQAB" }, secret, encrypting, other, good.jwk()] });
    let probe = issuer(vec![keys.to_string()]);
    send(&probe, &token(&good)).forwarded();
    assert_eq!(counted(&probe, "jwks_keys"), "2");
    why(&probe, &token(&Signer::rsa_other().kid("enc")));
    why(&probe, &token(&Signer::secret(Algorithm::HS256, b"secret").kid("s")));
    assert_eq!(why(&probe, &token(&Signer::rsa().kid("alg"))), "no key of this token's `kid` can be used with RS256");
}

#[test]
fn the_set_survives_a_reload_and_is_fetched_once_for_all() {
    let probe = issuer(vec![set(&[&Signer::rsa()]), String::new()]);
    send(&probe, &token(&Signer::rsa())).forwarded();
    let other = probe.reload(settings()).unwrap();
    other.run_background();
    send(&other, &token(&Signer::rsa())).forwarded();
    assert_eq!(probe.fetched().len(), 1);
    drop(other);
    probe.advance(Duration::from_mins(10));
    assert_eq!(probe.fetched().len(), 2);
}
