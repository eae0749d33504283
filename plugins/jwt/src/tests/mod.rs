//! The plugin as a client meets it.

mod claims;
mod fetched;
mod keys;
mod mutated;
mod sign;
mod tokens;

use portreeve_plugin::testing::{Probe, Sent, Setup, conformance_in};
use serde_json::{Value, json};

use self::sign::{Signer, claims, now};
use crate::Jwt;

/// The folder of the test keys.
const KEYS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/keys");

fn setup() -> Setup<Jwt> {
    Probe::setup().folder(KEYS).at(now())
}

/// Settings with an RSA key, changed by `with`.
fn settings(with: Value) -> Value {
    let mut settings = json!({ "algorithms": ["RS256"], "keys": [{ "pem": "file:rsa.pub.pem" }] });
    let (Value::Object(all), Value::Object(more)) = (&mut settings, with) else { panic!("settings are objects") };
    all.extend(more);
    settings
}

fn probe(with: Value) -> Probe<Jwt> {
    setup().build(settings(with))
}

fn refuses(with: Value) -> String {
    setup().try_build(with).expect_err("these settings cannot work").to_string()
}

fn send<'p>(probe: &'p Probe<Jwt>, token: &str) -> Sent<'p> {
    probe.get("/").header("authorization", format!("Bearer {token}")).send()
}

/// The value of one of this plugin's counters.
fn counted(probe: &Probe<Jwt>, name: &str) -> String {
    probe.metric(&format!("portreeve_plugin_jwt_{name}")).to_string()
}

/// Sends a token that must be refused with 401; gives the operator's reason.
#[track_caller]
fn why(probe: &Probe<Jwt>, token: &str) -> String {
    let sent = send(probe, token);
    assert_eq!(sent.refused().status, 401);
    assert!(sent.consumer().is_none());
    sent.decisions().last().expect("a refusal is a decision").why.to_string()
}

#[test]
fn it_conforms() {
    conformance_in::<Jwt>(
        || setup().tier("free", "100/min"),
        json!({
            "issuer": "https://idp.example.com/",
            "audience": ["api"],
            "algorithms": ["RS256"],
            "keys": [{ "pem": "file:rsa.pub.pem" }],
            "consumer": { "id": "${claims.sub}", "tier": "${claims.plan}", "default_tier": "free" },
        }),
    );
}

#[test]
fn a_valid_token_says_who_calls_and_goes_no_further() {
    let consumer = json!({ "id": "${claims.sub}", "tier": "${claims.plan}", "groups": "${claims.scope}" });
    let probe = setup().tier("paid", "1000/min").build(settings(json!({ "consumer": consumer })));
    let token = Signer::rsa().token(&claims(json!({ "plan": "paid", "scope": "read write", "jti": "token-7" })));
    let sent = send(&probe, &token);
    assert_eq!(sent.forwarded().header("authorization"), None);
    let consumer = sent.consumer().unwrap();
    assert_eq!((&*consumer.id, consumer.tier.as_deref()), ("ada", Some("paid")));
    assert_eq!(consumer.groups, ["read", "write"]);
    assert_eq!(consumer.claims.as_ref().unwrap()["plan"], "paid");
    assert_eq!(consumer.scopes, ["read", "write"]);
    assert_eq!((consumer.method.as_deref(), consumer.credential.as_deref()), (Some("jwt"), Some("token-7")));
}

#[test]
fn what_a_token_does_not_say_of_itself_and_an_id_without_end_are_left_out() {
    let probe = setup().build(settings(json!({})));
    for (told, scopes) in [
        (json!({}), &[][..]),
        (json!({ "scp": ["a", "b"], "jti": "x".repeat(129) }), &["a", "b"]),
        (json!({ "scope": 7, "jti": 7 }), &[]),
    ] {
        let sent = send(&probe, &Signer::rsa().token(&claims(told)));
        let consumer = sent.consumer().unwrap();
        assert_eq!(consumer.scopes, scopes);
        assert_eq!(consumer.credential, None);
    }
}

#[test]
fn the_token_is_forwarded_only_if_asked() {
    let probe = probe(json!({ "forward_token": true }));
    let token = Signer::rsa().token(&claims(json!({})));
    assert_eq!(send(&probe, &token).forwarded().header("authorization"), Some(&*format!("Bearer {token}")));
}

#[test]
fn a_request_without_a_token_is_challenged_without_an_error() {
    let probe = probe(json!({ "realm": "users" }));
    let answer = probe.get("/").send().refused();
    assert_eq!((answer.status.as_u16(), answer.header("www-authenticate")), (401, Some("Bearer realm=\"users\"")));
    let basic = probe.get("/").header("authorization", "Basic YTpi").send().refused();
    assert_eq!(basic.header("www-authenticate"), Some("Bearer realm=\"users\""));
}

#[test]
fn a_refusal_tells_the_client_little() {
    let probe = probe(json!({}));
    let expired = send(&probe, &Signer::rsa().token(&claims(json!({ "exp": 1 })))).refused();
    let forged = send(&probe, &Signer::rsa_other().token(&claims(json!({})))).refused();
    let challenge = "Bearer realm=\"api\", error=\"invalid_token\", error_description=\"the token is not valid\"";
    assert_eq!(expired.header("www-authenticate"), Some(challenge));
    assert_eq!((expired.headers, expired.body), (forged.headers, forged.body));
}

#[test]
fn another_header_may_hold_the_token_alone() {
    let probe = probe(json!({ "header": "x-token" }));
    let token = Signer::rsa().token(&claims(json!({})));
    assert_eq!(probe.get("/").header("x-token", &token).send().forwarded().header("x-token"), None);
    probe.get("/").header("x-token", format!("Bearer {token}")).send().forwarded();
    assert_eq!(send(&probe, &token).refused().status, 401);
}

#[test]
fn two_authorization_fields_are_refused() {
    let probe = probe(json!({}));
    let token = format!("Bearer {}", Signer::rsa().token(&claims(json!({}))));
    let sent = probe.get("/").header("authorization", &token).header("authorization", &token).send();
    assert_eq!(sent.refused().status, 401);
}

#[test]
fn the_scheme_is_case_insensitive() {
    let token = Signer::rsa().token(&claims(json!({})));
    probe(json!({})).get("/").header("authorization", format!("bEARER  {token}")).send().forwarded();
}
