//! `exp`, `nbf`, `iss`, `aud`, required claims, and the consumer.

use std::time::Duration;

use serde_json::json;

use super::sign::{Signer, TODAY, claims};
use super::{counted, probe, refuses, send, settings, setup, why};

#[test]
fn an_expired_token_is_refused_from_its_last_second_on() {
    let probe = probe(json!({}));
    let with = |exp| Signer::rsa().token(&claims(json!({ "exp": exp })));
    send(&probe, &with(json!(TODAY + 1))).forwarded();
    assert_eq!(why(&probe, &with(json!(TODAY))), "the token expired 0 s ago");
    assert_eq!(why(&probe, &with(json!(TODAY - 5))), "the token expired 5 s ago");
    assert_eq!(why(&probe, &with(json!(null))), "there is no `exp`");
    for odd in [json!("tomorrow"), json!(-1), json!([1]), json!(1e300)] {
        assert_eq!(why(&probe, &with(odd)), "`exp` is not a date in seconds since 1970");
    }
    send(&probe, &with(json!(f64::from(2_000_000_000) + 0.5))).forwarded();
}

#[test]
fn a_token_is_refused_before_its_time() {
    let probe = probe(json!({}));
    let with = |nbf| Signer::rsa().token(&claims(json!({ "nbf": nbf })));
    send(&probe, &with(json!(TODAY))).forwarded();
    assert_eq!(why(&probe, &with(json!(TODAY + 9))), "the token is not valid for another 9 s (`nbf`)");
    assert_eq!(why(&probe, &with(json!("now"))), "`nbf` is not a date in seconds since 1970");
}

#[test]
fn leeway_widens_both_ends() {
    let probe = probe(json!({ "leeway": "30s" }));
    send(&probe, &Signer::rsa().token(&claims(json!({ "exp": TODAY - 29, "nbf": TODAY + 30 })))).forwarded();
    why(&probe, &Signer::rsa().token(&claims(json!({ "exp": TODAY - 30 }))));
    why(&probe, &Signer::rsa().token(&claims(json!({ "nbf": TODAY + 31 }))));
    assert_eq!(refuses(settings(json!({ "leeway": "6m" }))), "leeway: more than 5m would let expired tokens live on");
}

#[test]
fn the_issuer_must_be_one_of_those_named() {
    let probe = probe(json!({ "issuer": ["https://a/", "https://b/"] }));
    send(&probe, &Signer::rsa().token(&claims(json!({ "iss": "https://b/" })))).forwarded();
    assert_eq!(
        why(&probe, &Signer::rsa().token(&claims(json!({ "iss": "https://c/" })))),
        "the issuer (`iss`) is another"
    );
    for odd in [json!(null), json!(["https://a/"]), json!(1)] {
        assert_eq!(why(&probe, &Signer::rsa().token(&claims(json!({ "iss": odd })))), "there is no issuer (`iss`)");
    }
}

#[test]
fn the_audience_must_name_one_of_those_named() {
    let probe = probe(json!({ "audience": "api" }));
    send(&probe, &Signer::rsa().token(&claims(json!({ "aud": ["other", "api"] })))).forwarded();
    let other = "the token is for another audience (`aud`)";
    assert_eq!(why(&probe, &Signer::rsa().token(&claims(json!({ "aud": "apis" })))), other);
    assert_eq!(why(&probe, &Signer::rsa().token(&claims(json!({ "aud": [] })))), other);
    assert_eq!(why(&probe, &Signer::rsa().token(&claims(json!({ "aud": null })))), "there is no audience (`aud`)");
}

#[test]
fn required_claims_must_be_there() {
    let probe = probe(json!({ "required_claims": ["email"] }));
    send(&probe, &Signer::rsa().token(&claims(json!({ "email": false })))).forwarded();
    assert_eq!(why(&probe, &Signer::rsa().token(&claims(json!({})))), "the required claim `email` is missing");
}

#[test]
fn a_token_that_names_nobody_is_refused() {
    let nobody = "the token has no claim that names its consumer";
    for sub in [json!(null), json!(""), json!(7)] {
        assert_eq!(why(&probe(json!({})), &Signer::rsa().token(&claims(json!({ "sub": sub })))), nobody);
    }
    let probe = probe(json!({ "consumer": { "id": "${claims.client.id}" } }));
    let consumer = send(&probe, &Signer::rsa().token(&claims(json!({ "client": { "id": 7 } })))).consumer();
    assert_eq!(&*consumer.unwrap().id, "7");
}

#[test]
fn a_tier_that_the_file_does_not_declare_counts_as_none() {
    let consumer = json!({ "tier": "${claims.plan}", "default_tier": "free" });
    let probe = setup().tier("free", "1/s").tier("paid", "9/s").build(settings(json!({ "consumer": consumer })));
    let tier = |plan| {
        let consumer = send(&probe, &Signer::rsa().token(&claims(json!({ "plan": plan })))).consumer();
        consumer.unwrap().tier.as_deref().map(str::to_owned)
    };
    assert_eq!(tier(json!("paid")).as_deref(), Some("paid"));
    assert_eq!(tier(json!("gold")).as_deref(), Some("free"));
    assert_eq!(tier(json!(null)).as_deref(), Some("free"));
}

#[test]
fn a_consumer_is_made_from_claims_alone() {
    let error = refuses(settings(json!({ "consumer": { "id": "${request.headers.x-user}" } })));
    assert!(error.starts_with("consumer.id: request.headers.x-user is not known here"), "{error}");
}

#[test]
fn a_verified_token_is_remembered_until_it_expires() {
    let probe = probe(json!({}));
    let token = Signer::rsa().token(&claims(json!({ "exp": TODAY + 60 })));
    send(&probe, &token).forwarded();
    send(&probe, &token).forwarded();
    assert_eq!(counted(&probe, "cache_hits_total"), "1");
    probe.advance(Duration::from_secs(59));
    send(&probe, &token).forwarded();
    assert_eq!(counted(&probe, "cache_hits_total"), "2");
    probe.advance(Duration::from_secs(1));
    assert_eq!(why(&probe, &token), "the token expired 0 s ago");
}

#[test]
fn verified_tokens_survive_a_reload_that_changes_nothing() {
    let probe = probe(json!({}));
    let token = Signer::rsa().token(&claims(json!({})));
    send(&probe, &token).forwarded();
    let same = probe.reload(settings(json!({}))).unwrap();
    send(&same, &token).forwarded();
    assert_eq!(counted(&probe, "cache_misses_total"), "1");
    let other = probe.reload(settings(json!({ "keys": [{ "pem": "file:rsa-other.pub.pem" }] }))).unwrap();
    assert_eq!(why(&other, &token), "the signature does not match");
    let stricter = probe.reload(settings(json!({ "audience": "other" }))).unwrap();
    why(&stricter, &token);
}

#[test]
fn plain_text_makes_no_consumer_of_the_whole_world() {
    let error = refuses(settings(json!({ "consumer": { "id": "claims.sub" } })));
    assert!(error.contains("consumer.id: \"claims.sub\" is plain text"), "{error}");
    assert!(error.contains("did you mean \"${claims.sub}\"?"), "{error}");
    assert!(refuses(settings(json!({ "consumer": { "id": "ada" } }))).contains("the same for every request"));
    let error = refuses(settings(json!({ "consumer": { "tier": "claims.plan" } })));
    assert!(error.starts_with("consumer.tier: ") && error.contains("${claims.plan}"), "{error}");
}
