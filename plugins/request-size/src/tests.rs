//! Bodies that announce their length; what comes without is counted by the engine, and tried end to end.

use portreeve_plugin::testing::{Probe, conformance};
use serde_json::json;

use super::*;

fn probe() -> Probe<RequestSize> {
    Probe::new(json!({ "max": "10B" }))
}

#[test]
fn it_keeps_the_contract() {
    conformance::<RequestSize>(json!({ "max": "64KiB" }));
}

#[test]
fn a_body_that_announces_too_much_is_refused_before_it_is_read() {
    let probe = probe();
    let sent = probe.request(Method::POST, "/").header("content-length", "11").send();
    assert_eq!(sent.refused().status, 413);
    assert_eq!(sent.refused().json()["detail"], "The body is longer than 10B.");
    probe.request(Method::POST, "/").header("content-length", "10").send().forwarded();
}
