//! What `key-auth` does to requests and answers, through the test kit.

use portreeve_plugin::testing::{Probe, Setup, conformance_in};
use serde_json::{Value, json};

use crate::KeyAuth;

fn setup() -> Setup<KeyAuth> {
    Probe::setup().consumer("ada", Some("free"), &["key-1", "key-2"]).consumer("bob", None, &["key-3"])
}

fn probe(settings: Value) -> Probe<KeyAuth> {
    setup().build(settings)
}

#[test]
fn it_conforms() {
    conformance_in::<KeyAuth>(setup, json!({ "header": "x-api-key", "query": "key", "forward_key": false }));
}

#[test]
fn a_known_key_says_who_calls_and_goes_no_further() {
    let probe = probe(json!({}));
    for (key, owner, which) in
        [("key-1", "ada", "env:KEY_0"), ("key-2", "ada", "env:KEY_1"), ("key-3", "bob", "env:KEY_0")]
    {
        let sent = probe.get("/").header("x-api-key", key).send();
        assert_eq!(sent.forwarded().header("x-api-key"), None);
        let consumer = sent.consumer().unwrap();
        assert_eq!((&*consumer.id, consumer.tier.is_some()), (owner, owner == "ada"));
        assert_eq!((consumer.method.as_deref(), consumer.credential.as_deref()), (Some("key-auth"), Some(which)));
    }
}

#[test]
fn no_key_and_a_wrong_key_are_challenged_alike() {
    let probe = probe(json!({}));
    let none = probe.get("/").send();
    let wrong = probe.get("/").header("x-api-key", "key-4").send();
    assert_eq!((none.refused().status.as_u16(), wrong.refused().status.as_u16()), (401, 401));
    assert_eq!(none.refused().header("www-authenticate"), Some("ApiKey realm=\"api\""));
    assert_eq!((none.refused().headers, none.refused().body), (wrong.refused().headers, wrong.refused().body));
    assert_eq!((&*none.decisions()[0].why, &*wrong.decisions()[0].why), ("there is no key", "the key is nobody's"));
    assert!(wrong.consumer().is_none());
}

#[test]
fn odd_keys_are_refused() {
    let probe = probe(json!({}));
    for odd in [&b""[..], b"key-", b"key-11", b"KEY-1", b"key-1 key-2", b"\xff"] {
        assert_eq!(probe.get("/").header("x-api-key", odd).send().refused().status, 401);
    }
    assert_eq!(probe.get("/").header("x-api-key", "key-1").header("x-api-key", "key-1").send().refused().status, 401);
}

#[test]
fn a_key_in_the_query_is_taken_out_of_it_however_it_is_spelt() {
    let probe = probe(json!({ "query": "key" }));
    assert_eq!(probe.get("/a?x=%20&key=key-1&y").send().forwarded().uri, "/a?x=%20&y");
    assert_eq!(probe.get("/a?%6bey=key%2D1").send().forwarded().uri, "/a");
    assert_eq!(probe.get("/a?key=key-1&k%65y=key-1").send().refused().status, 401);
    // Some server takes `;` for `&`, or `key[]` for `key`: no other key stands beside the one that was looked at.
    for other in ["/a?key=key-1&x=1;key=key-3", "/a?x=1;key=key-3&key=key-1", "/a?key=key-1&key[]=key-3"] {
        assert_eq!(probe.get(other).send().refused().status, 401, "{other}");
    }
    assert_eq!(probe.get("/a?x=1;key=key-1&y").send().forwarded().uri, "/a?x=1&y");
    assert_eq!(probe.get("/a").header("x-api-key", "key-1").send().refused().status, 401);
}

#[test]
fn with_both_the_header_comes_first_and_both_are_removed() {
    let probe = probe(json!({ "header": "x-api-key", "query": "key" }));
    let sent = probe.get("/?key=key-3").header("x-api-key", "key-1").send();
    assert_eq!(&*sent.consumer().unwrap().id, "ada");
    assert_eq!((sent.forwarded().uri.to_string().as_str(), sent.forwarded().header("x-api-key")), ("/", None));
    assert_eq!(probe.get("/?key=key-3").header("x-api-key", "wrong").send().refused().status, 401);
}

#[test]
fn the_key_is_forwarded_only_if_asked() {
    let probe = probe(json!({ "header": "x-key", "forward_key": true }));
    assert_eq!(probe.get("/").header("x-key", "key-1").send().forwarded().header("x-key"), Some("key-1"));
}

#[test]
fn a_file_without_keys_or_with_the_same_key_twice_is_refused() {
    let none = Probe::<KeyAuth>::setup().consumer("ada", None, &[]).try_build(json!({})).unwrap_err();
    assert!(none.to_string().starts_with("no consumer of this file has a key"), "{none}");
    let twice = setup().consumer("eve", None, &["key-1"]).try_build(json!({})).unwrap_err();
    assert_eq!(twice.to_string(), "consumers \"ada\" and \"eve\" have the same key");
}
