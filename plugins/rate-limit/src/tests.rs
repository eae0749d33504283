//! What `rate-limit` does to requests and answers, through the test kit.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use portreeve_plugin::testing::{Mode, Probe, Setup, conformance, conformance_in};
use serde_json::{Value, json};

use super::*;

mod keys_and_costs;
mod oracle;
mod settings;
mod table;

fn by_client(limit: Value) -> Value {
    json!({ "by": "${request.client_ip}", "limit": limit })
}

fn tiers() -> Setup<RateLimit> {
    Probe::setup().tier("free", "2/min").tier("paid", "4/min")
}

fn consumer(id: &str, tier: Option<&str>) -> Consumer {
    Consumer { tier: tier.map(Arc::from), ..Consumer::new(id) }
}

fn status(probe: &Probe<RateLimit>, consumer: Consumer) -> u16 {
    probe.get("/").consumer(consumer).send().answered().map_or(200, |answered| answered.status.as_u16())
}

fn is_admitted(probe: &Probe<RateLimit>) -> bool {
    probe.get("/").send().answered().is_none()
}

#[test]
fn it_keeps_the_contract() {
    conformance::<RateLimit>(by_client(json!({ "rate": "10/min" })));
    conformance::<RateLimit>(by_client(json!({ "rate": "10/s", "burst": 30 })));
    conformance::<RateLimit>(json!({
        "by": ["${request.host}", { "client_network": { "v4": 24, "v6": 64 } }],
        "limit": [{ "rate": ["10/s", "100/min"] }, { "quota": { "of": "20000/month", "time_zone": "Europe/Zurich" } }],
        "cost": { "response_header": "x-cost" },
        "exempt": { "networks": ["10.0.0.0/8"], "consumers": ["ada"], "groups": ["staff"] },
        "share": "all",
        "headers": "both",
    }));
    conformance::<RateLimit>(
        json!({ "by": "all", "limit": { "rate": "10/s" }, "cost": "${request.headers.x-weight:-1}" }),
    );
    conformance_in::<RateLimit>(tiers, json!({ "by": "${consumer.id}", "limit": "tier" }));
}

#[test]
fn a_window_admits_its_count_at_once_and_the_next_exactly_when_the_oldest_leaves() {
    let probe = Probe::<RateLimit>::new(by_client(json!({ "rate": "3/min" })));
    assert!(is_admitted(&probe));
    probe.advance(Duration::from_secs(10));
    assert!(is_admitted(&probe) && is_admitted(&probe));
    assert!(!is_admitted(&probe));
    probe.advance(Duration::from_secs(50) - Duration::from_nanos(1));
    assert!(!is_admitted(&probe));
    probe.advance(Duration::from_nanos(1));
    assert!(is_admitted(&probe));
    assert!(!is_admitted(&probe));
}

#[test]
fn a_refusal_says_when_to_come_back_and_names_the_limit() {
    let probe = tiers().build(json!({ "by": "${consumer.id}", "limit": "tier" }));
    let ada = || consumer("ada", Some("free"));
    assert_eq!(status(&probe, ada()), 200);
    probe.advance(Duration::from_millis(1500));
    assert_eq!(status(&probe, ada()), 200);
    let sent = probe.get("/").consumer(ada()).send();
    let refused = sent.refused();
    assert_eq!(refused.status, 429);
    assert_eq!(refused.header("retry-after"), Some("59"));
    assert_eq!(refused.header("ratelimit-policy"), Some(r#""free";q=2;w=60"#));
    assert_eq!(refused.header("ratelimit"), Some(r#""free";r=0;t=59"#));
    assert_eq!(refused.json()["detail"], "The limit of 2/min is used up.");
    assert_eq!(sent.decisions()[0].why, r#"limit "free" of 2/min is used up"#);
}

#[test]
fn an_answer_to_an_admitted_request_tells_what_is_left_beside_what_others_told() {
    let probe = Probe::<RateLimit>::new(by_client(json!({ "rate": "10/s" })));
    let answered = probe.get("/").send().respond(200, &[("ratelimit", r#""theirs";r=5"#)], "");
    assert_eq!(answered.header_all("ratelimit"), [r#""theirs";r=5"#, r#""probe/rate-limit";r=9;t=1"#]);
    assert_eq!(answered.header("ratelimit-policy"), Some(r#""probe/rate-limit";q=10;w=1"#));
}

#[test]
fn each_consumer_has_the_limit_of_its_tier_and_counts_alone() {
    let probe = tiers().build(json!({ "by": "${consumer.id}", "limit": "tier" }));
    let statuses = |id: &str, tier: &str| (0..5).map(|_| status(&probe, consumer(id, Some(tier)))).collect::<Vec<_>>();
    assert_eq!(statuses("ada", "free"), [200, 200, 429, 429, 429]);
    assert_eq!(statuses("bob", "free"), [200, 200, 429, 429, 429]);
    assert_eq!(statuses("eve", "paid"), [200, 200, 200, 200, 429]);
    // What was used on one tier counts on another of the same span.
    assert_eq!(statuses("ada", "paid"), [200, 200, 429, 429, 429]);
}

#[test]
fn nobody_without_a_tier_of_the_file_gets_through() {
    let probe = tiers().build(json!({ "by": "all", "limit": "tier" }));
    for (who, why) in [
        (Some(consumer("ada", None)), r#"consumer "ada" has no tier"#),
        (Some(consumer("ada", Some("gold"))), r#"the tier of consumer "ada" is not one of the file's"#),
        (None, "nobody is authenticated, so there is no tier"),
    ] {
        let request = probe.get("/");
        let sent = who.map_or(probe.get("/"), |who| request.consumer(who)).send();
        assert_eq!(sent.refused().status, 403);
        assert_eq!(sent.decisions()[0].why, why);
    }
}

#[test]
fn a_request_without_the_key_is_refused_unless_the_template_has_a_default() {
    let limit = json!({ "rate": "1/min" });
    let probe = Probe::<RateLimit>::new(json!({ "by": "${request.headers.x-team}", "limit": limit }));
    assert_eq!(probe.get("/").send().refused().status, 403);
    probe.get("/").header("x-team", "a").send().forwarded();
    let probe = Probe::<RateLimit>::new(json!({ "by": "${request.headers.x-team:-none}", "limit": limit }));
    probe.get("/").send().forwarded();
    assert_eq!(probe.get("/").send().refused().status, 429);
}

#[test]
fn a_burst_is_a_bucket_that_refills_at_its_rate() {
    let probe = Probe::<RateLimit>::new(by_client(json!({ "rate": "10/s", "burst": 3 })));
    let first = probe.get("/").send().respond(200, &[], "");
    assert_eq!(first.header("ratelimit-policy"), Some(r#""probe/rate-limit";q=3;w=1"#));
    assert_eq!(first.header("ratelimit"), Some(r#""probe/rate-limit";r=2;t=1"#));
    assert_eq!((0..4).map(|_| is_admitted(&probe)).collect::<Vec<_>>(), [true, true, false, false]);
    assert_eq!(probe.get("/").send().refused().header("retry-after"), Some("1"));
    probe.advance(Duration::from_millis(100));
    assert_eq!((0..2).map(|_| is_admitted(&probe)).collect::<Vec<_>>(), [true, false]);
    probe.advance(Duration::from_mins(1));
    assert_eq!((0..4).map(|_| is_admitted(&probe)).collect::<Vec<_>>(), [true, true, true, false]);
}

#[test]
fn what_was_used_survives_a_reload_also_one_that_changes_the_count() {
    let first = Probe::<RateLimit>::new(by_client(json!({ "rate": "3/min" })));
    assert!(is_admitted(&first) && is_admitted(&first));
    let more = first.reload(by_client(json!({ "rate": "4/min" }))).unwrap();
    assert!(is_admitted(&more) && is_admitted(&more) && !is_admitted(&more));
    let fewer = more.reload(by_client(json!({ "rate": "2/min" }))).unwrap();
    assert!(!is_admitted(&fewer));
    fewer.advance(Duration::from_mins(1));
    assert!(is_admitted(&fewer) && is_admitted(&fewer) && !is_admitted(&fewer));
}

#[test]
fn a_limit_of_another_kind_knows_what_was_used_of_the_one_before() {
    let first = Probe::<RateLimit>::new(by_client(json!({ "rate": "2/min" })));
    assert!(is_admitted(&first) && is_admitted(&first) && !is_admitted(&first));
    for limit in [json!({ "rate": "2/h" }), json!({ "rate": "2/min", "burst": 2 }), json!({ "quota": "2/day" })] {
        assert!(!is_admitted(&first.reload(by_client(limit)).unwrap()));
    }
}

#[test]
fn an_observing_step_counts_and_lets_through() {
    let settings = by_client(json!({ "rate": "1/min" }));
    let probe = Probe::<RateLimit>::setup().mode(Mode::Observe).build(settings);
    assert!(is_admitted(&probe) && is_admitted(&probe));
}

#[test]
fn a_full_table_turns_new_keys_away_and_goes_on_serving_the_old() {
    let mut settings = by_client(json!({ "rate": "2/min" }));
    settings["max_keys"] = json!(1);
    let probe = Probe::<RateLimit>::new(settings);
    probe.get("/").client("192.0.2.1").send().forwarded();
    let refused = probe.get("/").client("192.0.2.2").send().refused();
    assert_eq!((refused.status.as_u16(), refused.header("retry-after")), (503, Some("1")));
    probe.get("/").client("192.0.2.1").send().forwarded();
    probe.advance(Duration::from_mins(1));
    probe.get("/").client("192.0.2.2").send().forwarded();
}

#[test]
fn settings_that_mean_nothing_are_refused() {
    let error = |limit| Probe::<RateLimit>::try_new(by_client(limit)).unwrap_err().to_string();
    assert_eq!(
        error(json!("tier")),
        "limit: the file has no `tiers`; declare them, or give a limit such as { rate: 100/min }"
    );
    assert_eq!(
        error(json!({ "rate": "1/day", "burst": 367 })),
        "limit.burst: at 1/day a bucket of 367 takes more than 366 days to fill"
    );
}
