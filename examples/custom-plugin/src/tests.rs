//! What `maintenance` refuses, whom it lets pass and what it tells, through the test kit.

use portreeve_plugin::testing::{Probe, conformance};
use serde_json::json;

use super::*;

fn staff() -> Consumer {
    Consumer { groups: vec!["staff".to_owned()], ..Consumer::new("ada") }
}

#[test]
fn it_keeps_the_contract() {
    conformance::<Maintenance>(
        json!({ "lasts": "1h", "exempt_groups": ["staff"], "message": "Sorry, ${consumer.id}." }),
    );
}

#[test]
fn a_write_is_refused_and_told_when_to_come_back() {
    let probe = Probe::<Maintenance>::new(json!({ "lasts": "10m" }));
    let refused = probe.request(Method::POST, "/orders").send().refused();
    assert_eq!((refused.status, refused.header("retry-after")), (StatusCode::SERVICE_UNAVAILABLE, Some("600")));
    assert_eq!(refused.json()["detail"], SORRY);
}

#[test]
fn reading_goes_on() {
    let probe = Probe::<Maintenance>::new(json!({ "lasts": "10m" }));
    let sent = probe.get("/orders").send();
    assert_eq!(sent.respond(200, &[], "[]").header("x-maintenance"), None);
}

#[test]
fn the_staff_passes_and_is_told_so() {
    let probe = Probe::<Maintenance>::new(json!({ "lasts": "10m", "exempt_groups": ["staff"] }));
    let sent = probe.request(Method::DELETE, "/orders/7").consumer(staff()).send();
    assert_eq!(sent.respond(204, &[], "").header("x-maintenance"), Some("exempt"));
    assert!(sent.fact::<Exempt>().is_some());
    assert!(probe.metrics().contains("portreeve_plugin_maintenance_exempted_total{step=\"probe/maintenance\"} 1"));
}

#[test]
fn the_wait_counts_down_but_never_to_nothing() {
    let probe = Probe::<Maintenance>::new(json!({ "lasts": "10m" }));
    let wait = || probe.request(Method::PUT, "/").send().refused().header("retry-after").map(str::to_owned);
    probe.advance(Duration::from_millis(60_500));
    assert_eq!(wait().as_deref(), Some("540"));
    probe.advance(Duration::from_hours(1));
    assert_eq!(wait().as_deref(), Some("30"));
}

#[test]
fn a_reload_does_not_start_it_again() {
    let probe = Probe::<Maintenance>::new(json!({ "lasts": "10m" }));
    probe.advance(Duration::from_mins(4));
    let reloaded = probe.reload(json!({ "lasts": "20m" })).unwrap();
    let refused = reloaded.request(Method::POST, "/").send().refused();
    assert_eq!(refused.header("retry-after"), Some("960"));
}

#[test]
fn a_message_without_a_value_falls_back() {
    let probe = Probe::<Maintenance>::new(json!({ "lasts": "10m", "message": "Sorry, ${consumer.id}." }));
    let detail = |refused: portreeve_plugin::testing::Answered| refused.json()["detail"].clone();
    assert_eq!(detail(probe.request(Method::POST, "/").send().refused()), SORRY);
    let named = probe.request(Method::POST, "/").consumer(Consumer::new("bob")).send();
    assert_eq!(detail(named.refused()), "Sorry, bob.");
}

#[test]
fn what_is_wrong_is_said_with_its_place() {
    let error = |settings| Probe::<Maintenance>::try_new(settings).unwrap_err().to_string();
    assert_eq!(
        error(json!({ "lasts": "10m", "exempt_groups": ["staff", ""] })),
        "exempt_groups[1]: a group has a name"
    );
    assert!(error(json!({ "lasts": 10 })).starts_with("lasts: "));
    assert!(error(json!({ "lasts": "1h", "methods": ["post"] })).contains("methods are written in capitals: POST"));
}
