//! The policy on its own: what is retried, how often, after what pause, and what a route changes of it.

use serde_json::{Value, json};

use super::*;

fn policy(yaml: Value) -> Retries {
    Retries::new(&serde_json::from_value(yaml).unwrap())
}

fn failed(number: u32, cause: Cause) -> Failed<'static> {
    Failed { number, cause, answer: None }
}

fn take(terms: RetryPolicy<'_>, failed: Failed<'_>) -> Result<Duration, NoRetry> {
    let now = Instant::now();
    terms.take(failed, now, now + Duration::from_mins(1))
}

#[test]
fn only_the_named_causes_are_retried_and_only_so_often() {
    let retries = policy(json!({ "attempts": 2, "on": ["connect", 503] }));
    let take = |number, cause| take(retries.terms(None), failed(number, cause)).is_ok();
    assert!(take(1, Cause::Connect));
    assert!(take(1, Cause::Status(503)));
    for cause in [Cause::Status(502), Cause::Timeout, Cause::Reset] {
        assert!(!take(1, cause), "{cause:?}");
    }
    assert!(!take(2, Cause::Connect));
}

#[test]
fn a_request_that_nobody_got_costs_no_budget() {
    let retries = policy(json!({ "attempts": 2, "on": ["connect", "reset"], "budget": "0%" }));
    assert!((0..1_000).all(|_| take(retries.terms(None), failed(1, Cause::Connect)).is_ok()));
    assert_eq!(take(retries.terms(None), failed(1, Cause::Reset)), Err(NoRetry::Budget));
}

#[test]
fn pauses_are_drawn_below_a_bound_that_doubles_up_to_the_longest() {
    let backoff = json!({ "base": "25ms", "max": "60ms" });
    let retries = policy(json!({ "attempts": 10, "on": ["connect", "reset"], "budget": "100%", "backoff": backoff }));
    for (number, bound) in [(1, 25), (2, 50), (3, 60), (9, 60)] {
        let pauses = (0..200).map(|_| {
            retries.earn();
            take(retries.terms(None), failed(number, Cause::Reset)).unwrap()
        });
        let pauses: Vec<_> = pauses.collect();
        let bound = Duration::from_millis(bound);
        assert!(pauses.iter().all(|pause| *pause <= bound), "{number}: {pauses:?}");
        // Full jitter: drawn from the whole span, not about its end.
        assert!(pauses.iter().any(|pause| *pause < bound / 4) && pauses.iter().any(|pause| *pause > bound * 3 / 4));
    }
    assert_eq!(take(retries.terms(None), failed(1, Cause::Connect)), Ok(Duration::ZERO));
}

#[test]
fn a_pause_that_reaches_beyond_the_deadline_is_no_retry_and_costs_nothing() {
    let backoff = json!({ "base": "25ms", "max": "250ms" });
    let retries = policy(json!({ "on": [429], "budget": "100%", "backoff": backoff }));
    let (terms, now) = (retries.terms(None), Instant::now());
    let headers = HeaderMap::from_iter([(header::RETRY_AFTER, "5".parse().unwrap())]);
    let busy = Failed { number: 1, cause: Cause::Status(429), answer: Some(&headers) };
    for _ in 0..20 {
        assert_eq!(terms.take(busy, now, now + Duration::from_secs(5)), Err(NoRetry::Policy));
    }
    assert_eq!(terms.take(busy, now, now + Duration::from_secs(6)), Ok(Duration::from_secs(5)));
}

#[test]
fn what_a_503_says_of_its_own_target_does_not_hold_up_another() {
    let retries = policy(json!({ "on": [503] }));
    let headers = HeaderMap::from_iter([(header::RETRY_AFTER, "120".parse().unwrap())]);
    let gone = Failed { number: 1, cause: Cause::Status(503), answer: Some(&headers) };
    assert!(take(retries.terms(None), gone).unwrap() <= Duration::from_millis(25));
}

#[test]
fn a_post_is_repeated_only_where_it_was_asked_for_and_can_be_known_again() {
    let keyed = HeaderMap::from_iter([(IDEMPOTENCY_KEY.clone(), "a1".parse().unwrap())]);
    let (never, asked) = (policy(json!({})), policy(json!({ "methods": ["POST"] })));
    let (none, never, asked) = (HeaderMap::new(), never.terms(None), asked.terms(None));
    for method in [Method::GET, Method::HEAD, Method::PUT, Method::DELETE, Method::OPTIONS] {
        assert!(never.repeats(&method, &none), "{method}");
    }
    assert!(!never.repeats(&Method::POST, &keyed) && !asked.repeats(&Method::POST, &none));
    assert!(asked.repeats(&Method::POST, &keyed));
    assert!(!asked.repeats(&Method::PATCH, &keyed));
}

#[test]
fn a_route_changes_what_it_names_and_shares_the_budget() {
    let retries = policy(json!({ "attempts": 2, "on": ["connect"], "budget": "1%" }));
    let route: RouteRetry = serde_json::from_value(json!({ "attempts": 3, "on": ["reset"] })).unwrap();
    let route = Override::new(&route);
    let of_route = retries.terms(Some(&route));
    assert!(of_route.cover(Cause::Reset) && !of_route.cover(Cause::Connect));
    let taken = (0..100).filter(|_| take(of_route, failed(2, Cause::Reset)).is_ok()).count();
    assert_eq!(taken, 10);
    let nothing = Override::new(&RouteRetry::default());
    assert!(retries.terms(Some(&nothing)).cover(Cause::Connect));
}
