//! Questions and their answers, and what is said of questions that make no sense.

use std::sync::Arc;
use std::time::Duration as Span;

use serde_json::{Value, json};

use super::*;
use crate::{Asked, Event, Keep, Outcome, Settings, Usage};

/// Noon of a day.
const NOON: i64 = 1_795_348_800;

fn usage(max_keys: usize) -> Usage {
    let usage = Usage::new(NOON);
    usage.follow(Some(Settings { max_keys, keep: Keep { hours: 3, days: 3 }, path: None, export: None }));
    usage
}

fn count(usage: &Usage, consumer: &str, route: &str, outcome: Outcome, cost: u64) {
    let (consumer, route): (Arc<str>, Arc<str>) = (consumer.into(), route.into());
    let asked = Asked { consumer: Some(&consumer), route: Some(&route), ..Asked::default() };
    let duration = Span::from_millis(100);
    usage.record(&asked, &Event { outcome, bytes_in: 1, bytes_out: 2, cost, duration });
}

fn ask(usage: &Usage, query: &[(&str, &str)], now: i64) -> Value {
    serde_json::to_value(usage.page(&Query::parse(query.iter().copied(), now).unwrap(), now)).unwrap()
}

#[test]
fn usage_is_told_by_key_with_totals_and_the_rest() {
    let usage = usage(1600);
    for _ in 0..3 {
        count(&usage, "ada", "orders", Outcome::Served, 2);
    }
    count(&usage, "ada", "users", Outcome::Error, 1);
    count(&usage, "bob", "orders", Outcome::Refused, 0);
    let page = ask(&usage, &[("window", "1h")], NOON + 60);
    assert_eq!(page["since"], "2026-11-22T12:00:00Z");
    assert_eq!(page["until"], "2026-11-22T12:01:00Z");
    assert_eq!(page["total"]["requests"], 5);
    let first = &page["usage"][0];
    assert_eq!((&first["consumer"], &first["route"], &first["tier"]), (&json!("ada"), &json!("orders"), &Value::Null));
    assert_eq!((&first["requests"], &first["cost"], &first["bytes_out"]), (&json!(3), &json!(6), &json!(6)));
    let p50 = first["latency_ms"]["p50"].as_f64().unwrap();
    assert!((97.0..=103.0).contains(&p50), "{p50}");
    assert_eq!(page["rest"]["requests"], 0);

    let page = ask(&usage, &[("group_by", "consumer"), ("top", "1"), ("sort", "requests")], NOON + 60);
    assert_eq!(page["usage"], json!([page["usage"][0]]));
    assert_eq!((&page["usage"][0]["consumer"], &page["usage"][0]["requests"]), (&json!("ada"), &json!(4)));
    assert!(page["usage"][0].get("route").is_none());
    assert_eq!((&page["rest"]["requests"], &page["rest"]["refused"]), (&json!(1), &json!(1)));

    let page = ask(&usage, &[("consumer", "ada"), ("group_by", "")], NOON + 60);
    assert_eq!((&page["total"]["requests"], &page["total"]["errors"]), (&json!(4), &json!(1)));
    assert_eq!(ask(&usage, &[("consumer", "")], NOON + 60)["total"]["requests"], 0, "everybody is somebody here");
    assert_eq!(ask(&usage, &[("version", "")], NOON + 60)["total"]["requests"], 5, "nothing has a version");
}

#[test]
fn keys_that_are_not_told_apart_are_in_the_totals_of_their_route() {
    let usage = usage(16);
    for number in 0..200 {
        count(&usage, &format!("c{number}"), if number % 2 == 0 { "even" } else { "odd" }, Outcome::Served, 1);
    }
    let page = ask(&usage, &[("route", "even"), ("top", "10000")], NOON);
    assert_eq!(page["total"]["requests"], 100);
    let listed: u64 = page["usage"].as_array().unwrap().iter().map(|row| row["requests"].as_u64().unwrap()).sum();
    assert_eq!(listed + page["rest"]["requests"].as_u64().unwrap(), 100);
    assert_eq!(page["unattributed_requests"], page["rest"]["requests"]);
    let page = ask(&usage, &[("consumer", "nobody")], NOON);
    assert_eq!(page["total"]["requests"], 0);
    assert!(page["unattributed_requests"].as_u64().unwrap() > 100, "some of these may be nobody's");
}

#[test]
fn hours_and_days_are_kept_as_many_as_was_said() {
    let usage = usage(160);
    for hour in 0..30 {
        count(&usage, "ada", "orders", Outcome::Served, 1);
        assert!(usage.tick(NOON + hour * HOUR + HOUR).is_empty());
    }
    let now = NOON + 30 * HOUR;
    let page = ask(&usage, &[("per", "hour"), ("since", "2026-11-01")], now);
    let hours: Vec<_> = page["usage"].as_array().unwrap().iter().map(|row| row["period"].as_str().unwrap()).collect();
    assert_eq!(hours, ["2026-11-23T16:00:00Z", "2026-11-23T17:00:00Z"], "the current one is empty");
    let page = ask(&usage, &[("per", "day"), ("since", "2026-11-01")], now);
    let days: Vec<_> =
        page["usage"].as_array().unwrap().iter().map(|row| (row["period"].clone(), row["requests"].clone())).collect();
    assert_eq!(days, [(json!("2026-11-22T00:00:00Z"), json!(12)), (json!("2026-11-23T00:00:00Z"), json!(18))]);
    assert_eq!(ask(&usage, &[("window", "30d")], now)["total"]["requests"], 30, "from days, where hours are gone");
    assert_eq!(ask(&usage, &[("window", "1h")], now)["total"]["requests"], 1);
    assert_eq!(ask(&usage, &[("since", "2026-11-22"), ("until", "2026-11-23")], now)["total"]["requests"], 12);
}

#[test]
fn a_question_that_makes_no_sense_is_told_why() {
    let error = |query: &[(&str, &str)]| Query::parse(query.iter().copied(), NOON).unwrap_err();
    let all = PARAMETERS;
    assert_eq!(error(&[("consumers", "a")]), format!("there is no parameter \"consumers\"; there are: {all}"));
    assert_eq!(error(&[("tier", "a"), ("tier", "b")]), "tier is given twice");
    assert_eq!(error(&[("window", "1d"), ("since", "2026-11-01")]), "window ends now; give it without since and until");
    assert_eq!(error(&[("window", "day")]), "window=\"day\": expected a duration such as 24h");
    let expected = "expected a time such as 2026-11-22T08:00:00Z, or a date";
    assert_eq!(error(&[("since", "yesterday")]), format!("since=\"yesterday\": {expected}"));
    assert_eq!(error(&[("until", "2026-13-01")]), format!("until=\"2026-13-01\": {expected}"));
    assert_eq!(error(&[("since", "2026-11-02"), ("until", "2026-11-01")]), "since is not before until");
    assert_eq!(
        error(&[("group_by", "consumer,host")]),
        "group_by=\"host\": expected some of consumer, tier, route, version"
    );
    assert_eq!(error(&[("group_by", "tier,tier")]), "group_by has tier twice");
    assert_eq!(error(&[("per", "minute")]), "per=\"minute\": expected hour or day");
    assert_eq!(error(&[("top", "0")]), "top=\"0\": expected a whole number from 1 to 10000");
    assert!(
        error(&[("sort", "latency")]).ends_with("expected one of requests, errors, refused, bytes_in, bytes_out, cost")
    );
    assert!(error(&[("top", &"9".repeat(9_000))]).len() < 200);
}
