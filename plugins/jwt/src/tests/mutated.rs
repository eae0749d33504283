//! Tokens and key sets that are nearly right: nothing panics, no changed token passes, nothing runs away.

use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::sign::{Signer, claims};
use super::{send, setup};
use crate::fuzzing;

const SET: &str = r#"{"keys":[
    {"kty":"OKP","crv":"Ed25519","kid":"a","use":"sig","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"},
    {"kty":"EC","crv":"P-256","alg":"ES256","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"},
    {"kty":"oct","k":"AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow","alg":"HS256"},
    {"kty":"RSA","n":"0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw","e":"AQAB"}
]}"#;

/// A place, how many bytes are cut out there, and what is put in.
type Change = (prop::sample::Index, usize, Vec<u8>);

fn change() -> impl Strategy<Value = Change> {
    let put_in = prop_oneof![
        proptest::collection::vec(any::<u8>(), 0..4),
        prop::sample::select(vec![
            "{", "}", "[", "]", "\"", ",", ":", "null", "-1", "1e999", ".", "=", "\\u0000", "[[[["
        ])
        .prop_map(|text| text.as_bytes().to_vec()),
    ];
    (any::<prop::sample::Index>(), 0..5_usize, put_in)
}

fn changed(text: &[u8], changes: Vec<Change>) -> Vec<u8> {
    changes.into_iter().fold(text.to_vec(), |mut text, (at, cut, put_in)| {
        let at = at.index(text.len() + 1);
        let end = (at + cut).min(text.len());
        text.splice(at..end, put_in);
        text
    })
}

fn changes() -> impl Strategy<Value = Vec<Change>> {
    proptest::collection::vec(change(), 1..6)
}

/// Any JSON, most of it as claims have it.
fn some_claims() -> impl Strategy<Value = Value> {
    let date = prop_oneof![
        any::<u64>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(|number| json!(number)),
        "\\PC{0,4}".prop_map(Value::from),
        Just(Value::Null),
        Just(json!([])),
    ];
    proptest::collection::btree_map(prop::sample::select(vec!["exp", "nbf", "iat", "iss", "aud", "sub"]), date, 0..6)
        .prop_map(|map| json!(map))
}

/// Nothing that a stranger sends may take longer, in a build without optimisation.
const LONG: Duration = Duration::from_secs(5);

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

    #[test]
    fn a_changed_key_set_is_read_without_a_panic_and_without_end(changes in changes()) {
        let begun = Instant::now();
        if let Some((keys, complaints)) = fuzzing::key_set(&changed(SET.as_bytes(), changes)) {
            prop_assert!(keys <= 100 && complaints <= 101);
        }
        prop_assert!(begun.elapsed() < LONG);
    }

    #[test]
    fn a_token_put_together_by_nobody_never_passes(
        header in changes(), payload in changes(), signature in proptest::collection::vec(any::<u8>(), 0..80), outer in proptest::collection::vec(change(), 0..2),
    ) {
        let header = changed(br#"{"alg":"EdDSA","kid":"a","typ":"JWT"}"#, header);
        let payload = changed(br#"{"iss":"https://idp.example.com/","aud":"api","sub":"ada","exp":1700000100}"#, payload);
        let parts = [header, payload, signature].map(|part| URL_SAFE_NO_PAD.encode(part));
        let token = changed(parts.join(".").as_bytes(), outer);
        let begun = Instant::now();
        prop_assert!(!fuzzing::token(&token, SET.as_bytes()));
        prop_assert!(begun.elapsed() < LONG);
    }

    #[test]
    fn claims_of_any_kind_pass_only_before_they_expire(claims in some_claims(), now in any::<u64>(), leeway in 0..3600_u64) {
        let passes = fuzzing::claims(&claims, now, leeway);
        let expires = claims.get("exp").and_then(Value::as_f64);
        // Beyond 2^53 a float cannot tell neighbours apart; a difference of that size is no second.
        #[expect(clippy::cast_precision_loss, reason = "close is enough")]
        let alive = expires.is_some_and(|expires| (now as f64) <= (expires + leeway as f64) * 1.000_001 + 1.0);
        prop_assert!(!passes || alive, "{claims} at {now}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn a_signed_token_that_was_changed_is_refused(changes in changes()) {
        let token = Signer::rsa().token(&claims(json!({})));
        let other = changed(token.as_bytes(), changes);
        let is_text = other.iter().all(u8::is_ascii_graphic);
        prop_assume!(other != token.as_bytes() && is_text);
        let probe = setup().build(json!({ "algorithms": ["RS256"], "keys": [{ "pem": "file:rsa.pub.pem" }] }));
        let sent = send(&probe, std::str::from_utf8(&other).unwrap());
        prop_assert_eq!(sent.refused().status, 401);
    }
}
