//! What `request-id` does to requests and answers, through the test kit.

use portreeve_plugin::testing::{Mode, Probe, conformance};
use serde_json::{Value, json};

use crate::RequestId;

fn probe(settings: Value) -> Probe<RequestId> {
    Probe::new(settings)
}

#[test]
fn it_conforms() {
    conformance::<RequestId>(json!({ "header": "x-request-id", "trust_incoming": true }));
}

#[test]
fn upstream_client_and_logs_see_the_same_id() {
    let probe = probe(json!({}));
    let sent = probe.get("/").send();
    let id = sent.request_id().unwrap();
    assert_eq!(id.len(), 32);
    assert_eq!(sent.forwarded().header_all("x-request-id"), [&*id]);
    assert_eq!(sent.respond(200, &[("x-request-id", "the upstream's own")], "").header_all("x-request-id"), [&*id]);
    assert_ne!(probe.get("/").send().request_id(), Some(id));
}

#[test]
fn a_strangers_id_is_replaced() {
    let probe = probe(json!({}));
    let sent = probe.get("/").header("x-request-id", "forged").header("x-request-id", "twice").send();
    assert_eq!(sent.forwarded().header_all("x-request-id"), [&*sent.request_id().unwrap()]);
    assert_ne!(&*sent.request_id().unwrap(), "forged");
}

#[test]
fn a_trusted_id_is_kept_if_it_is_well_formed() {
    let probe = probe(json!({ "trust_incoming": true, "header": "x-trace" }));
    let longest = "x".repeat(128);
    for id in ["a", "0af7651916cd43dd-8448/eb;211c", &longest] {
        let sent = probe.get("/").header("x-trace", id).send();
        assert_eq!((&*sent.request_id().unwrap(), sent.forwarded().header("x-trace")), (id, Some(id)));
        assert_eq!(sent.respond(204, &[], "").header("x-trace"), Some(id));
    }
    for odd in [&b""[..], b"two words", b"tab\there", b"\xff", &[b'x'; 129]] {
        let sent = probe.get("/").header("x-trace", odd).send();
        assert_eq!(sent.request_id().unwrap().len(), 32);
        assert_eq!(sent.forwarded().header_all("x-trace"), [&*sent.request_id().unwrap()]);
    }
    let twice = probe.get("/").header("x-trace", "a").header("x-trace", "b").send();
    assert_eq!(twice.forwarded().header_all("x-trace"), [&*twice.request_id().unwrap()]);
}

#[test]
fn an_observer_changes_nothing() {
    let probe = Probe::<RequestId>::setup().mode(Mode::Observe).build(json!({}));
    let sent = probe.get("/").send();
    assert_eq!(sent.forwarded().header("x-request-id"), None);
    assert_eq!(sent.respond(200, &[], "").header("x-request-id"), None);
}
