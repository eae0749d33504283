//! What `aggregate` does to requests and answers, through the test kit.

use std::sync::Arc;
use std::time::Duration;

use portreeve_plugin::testing::{Answered, Mode, Probe, Setup, answer, conformance_in};
use serde_json::{Value, json};

use super::*;

mod outcomes;

fn upstreams() -> Setup<Aggregate> {
    Probe::<Aggregate>::setup()
        .upstream("users", |call| Ok(answer(200, json!({ "path": call.target.as_str(), "name": "Ada" }).to_string())))
        .upstream("orders", |call| Ok(answer(200, json!([{ "path": call.target.as_str() }]).to_string())))
}

fn example() -> Value {
    json!({
        "timeout": "900ms",
        "calls": {
            "user": { "upstream": "users", "path": "/users/${params.id}" },
            "orders": {
                "upstream": "orders", "path": "/orders?user=${params.id}", "timeout": "300ms", "optional": true, "fallback": []
            },
        },
        "body": { "user": "${calls.user}", "orders": "${calls.orders}", "title": "Hello ${calls.user.name}" },
    })
}

fn one(call: Value) -> Value {
    json!({ "calls": { "it": call }, "body": { "it": "${calls.it}" } })
}

fn ask(probe: &Probe<Aggregate>, path: &str) -> Answered {
    probe.get(path).route("/dashboard/{id}").send().refused()
}

fn error(settings: Value) -> String {
    upstreams().try_build(settings).unwrap_err().to_string()
}

#[test]
fn it_keeps_the_contract() {
    conformance_in::<Aggregate>(upstreams, example());
}

#[test]
fn one_answer_is_put_together_from_several() {
    let answered = ask(&upstreams().build(example()), "/dashboard/7");
    assert_eq!((answered.status.as_u16(), answered.header("content-type")), (200, Some("application/json")));
    assert_eq!(
        answered.json(),
        json!({
            "user": { "path": "/users/7", "name": "Ada" },
            "orders": [{ "path": "/orders?user=7" }],
            "title": "Hello Ada",
        })
    );
    assert_eq!((answered.header("x-partial"), answered.header("cache-control")), (None, None));
}

#[test]
fn a_value_cannot_leave_its_place_in_a_path_or_query() {
    let probe = upstreams().build(example());
    let answered = ask(&probe, "/dashboard/a%2F..");
    assert_eq!(answered.status, 400);
    let answered = ask(&probe, "/dashboard/a%26b=c%3F");
    assert_eq!(answered.json()["user"]["path"], "/users/a%26b%3Dc%3F");
    assert_eq!(answered.json()["orders"][0]["path"], "/orders?user=a%26b%3Dc%3F");
}

#[test]
fn calls_run_at_the_same_time_under_one_deadline() {
    let slow = |millis| (Duration::from_millis(millis), |_| Ok(answer(200, "1")));
    let setup = |a, b| {
        let ((a, stub), (b, other)) = (slow(a), slow(b));
        let settings = json!({
            "timeout": "100ms",
            "calls": { "a": { "upstream": "a", "path": "/" }, "b": { "upstream": "b", "path": "/", "timeout": "1h" } },
            "body": ["${calls.a}", "${calls.b}"],
        });
        Probe::setup().upstream_slow("a", a, stub).upstream_slow("b", b, other).build(settings)
    };
    let probe = setup(80, 90);
    let started = probe.clock().now();
    assert_eq!(ask(&probe, "/dashboard/7").json(), json!([1, 1]));
    assert_eq!(probe.clock().now() - started, Duration::from_millis(90));
    let probe = setup(10, 5000);
    let started = probe.clock().now();
    assert_eq!(ask(&probe, "/dashboard/7").status, 504);
    assert_eq!(probe.clock().now() - started, Duration::from_millis(100));
    assert_eq!(probe.calls("b")[0].timeout, Duration::from_millis(100));
}

#[test]
fn a_slow_optional_call_falls_back_within_its_own_deadline() {
    let setup = Probe::<Aggregate>::setup().upstream("users", |_| Ok(answer(200, "{}"))).upstream_slow(
        "orders",
        Duration::MAX,
        |_| Ok(answer(200, "[]")),
    );
    let probe = setup.build(example());
    let started = probe.clock().now();
    let sent = probe.get("/dashboard/7").route("/dashboard/{id}").send();
    let answered = sent.refused();
    assert_eq!(probe.clock().now() - started, Duration::from_millis(300));
    assert_eq!(answered.json(), json!({ "user": {}, "orders": [], "title": null }));
    assert_eq!((answered.header("x-partial"), answered.header("cache-control")), (Some("orders"), Some("no-store")));
    assert_eq!(sent.decisions()[0].why, "optional call `orders` to orders: no answer within 300ms");
}

#[test]
fn a_failed_required_call_answers_at_once_and_names_nothing() {
    let probe = Probe::<Aggregate>::setup()
        .upstream("users", |_| Err(CallError::Failed("connection refused by 10.0.0.1:80".to_owned())))
        .upstream_slow("orders", Duration::MAX, |_| Ok(answer(200, "[]")))
        .build(example());
    let started = probe.clock().now();
    let sent = probe.get("/dashboard/7").route("/dashboard/{id}").send();
    let answered = sent.refused();
    assert_eq!((answered.status.as_u16(), probe.clock().now()), (502, started));
    assert_eq!(answered.header("content-type"), Some("application/problem+json"));
    assert_eq!(answered.json()["detail"], "A part of this answer is not available.");
    assert_eq!(sent.decisions()[0].why, "required call `user` to users: connection refused by 10.0.0.1:80");
}

#[test]
fn every_kind_of_failure_has_its_status() {
    let status = |stub: Arc<dyn Fn() -> Result<portreeve_plugin::Answer, CallError> + Send + Sync>| {
        let settings = one(json!({ "upstream": "users", "path": "/", "max_body": "10B" }));
        let probe = Probe::<Aggregate>::setup().upstream("users", move |_| stub()).build(settings);
        ask(&probe, "/dashboard/7").status.as_u16()
    };
    assert_eq!(status(Arc::new(|| Err(CallError::Unavailable("users".into())))), 503);
    assert_eq!(status(Arc::new(|| Err(CallError::TimedOut(Duration::from_secs(1))))), 504);
    assert_eq!(status(Arc::new(|| Ok(answer(500, "{}")))), 502);
    assert_eq!(status(Arc::new(|| Ok(answer(404, "{}")))), 502);
    assert_eq!(status(Arc::new(|| Ok(answer(302, "{}")))), 502);
    assert_eq!(status(Arc::new(|| Ok(answer(200, "<html>")))), 502);
    assert_eq!(status(Arc::new(|| Ok(answer(200, "\"eleven bytes\"")))), 502);
    assert_eq!(status(Arc::new(|| Ok(answer(204, "")))), 200);
}

#[test]
fn what_a_body_held_is_not_told() {
    let settings = one(json!({ "upstream": "users", "path": "/" }));
    let probe = Probe::<Aggregate>::setup().upstream("users", |_| Ok(answer(200, "{\"pin\": secret}"))).build(settings);
    let sent = probe.get("/").send();
    assert_eq!(sent.decisions()[0].why, "required call `it` to users: its answer is not JSON (line 1, column 9)");
}

#[test]
fn a_call_carries_an_id_and_only_the_headers_that_are_let_through() {
    let mut settings = one(json!({
        "upstream": "users", "path": "/", "headers": { "x-user": "${consumer.id}", "x-none": "${request.query.x}" }
    }));
    settings["forward_headers"] = json!(["Accept-Language", "accept"]);
    let probe = upstreams().build(settings);
    let sent = probe.get("/").header("accept-language", "de").header("accept-language", "en").header("accept", "a/b");
    let sent = sent.header("authorization", "Bearer x").header("cookie", "a=1").header("x-user", "mallory");
    let sent = sent.consumer(Consumer::new("ada")).send();
    assert_eq!(sent.refused().status, 200);
    let call = &probe.calls("users")[0];
    let values = |name: &str| call.headers.get_all(name).iter().map(|v| v.to_str().unwrap()).collect::<Vec<_>>();
    assert_eq!((values("accept-language"), values("accept")), (vec!["de", "en"], vec!["a/b"]));
    assert_eq!((values("x-user"), values("x-request-id")), (vec!["ada"], vec![&*sent.request_id().unwrap()]));
    assert_eq!((call.headers.len(), &call.method), (5, &Method::GET));
    let probe = upstreams().build(one(json!({ "upstream": "users", "path": "/" })));
    assert_eq!(probe.get("/").header("accept", "a/b").send().refused().status, 200);
    assert_eq!(probe.calls("users")[0].headers["accept"], "application/json");
}

#[test]
fn nobody_is_asked_when_a_required_path_has_no_value() {
    let mut settings = example();
    settings["calls"]["user"]["path"] = json!("/users/${request.query.id}");
    let probe = upstreams().build(settings);
    assert_eq!(ask(&probe, "/dashboard/7").status, 400);
    assert_eq!((probe.calls("users").len(), probe.calls("orders").len()), (0, 0));
}

#[test]
fn an_optional_call_whose_path_has_no_value_falls_back() {
    let mut settings = example();
    settings["calls"]["orders"]["path"] = json!("/orders?user=${request.query.id}");
    let probe = upstreams().build(settings);
    let answered = ask(&probe, "/dashboard/7");
    assert_eq!((answered.json()["orders"].clone(), answered.header("x-partial")), (json!([]), Some("orders")));
    assert!(probe.calls("orders").is_empty());
}

#[test]
fn what_an_answer_holds_is_not_read_as_a_template() {
    let settings = one(json!({ "upstream": "users", "path": "/" }));
    let probe =
        Probe::<Aggregate>::setup().upstream("users", |_| Ok(answer(200, "\"${consumer.id}\""))).build(settings);
    assert_eq!(ask(&probe, "/dashboard/7").json(), json!({ "it": "${consumer.id}" }));
}

#[test]
fn a_client_that_leaves_takes_the_calls_with_it() {
    let setup = Probe::setup().upstream_async("users", |_| std::future::pending());
    let probe: Probe<Aggregate> = setup.build(one(json!({ "upstream": "users", "path": "/" })));
    assert!(probe.get("/").abandon());
}

#[test]
fn an_observing_step_answers_nothing() {
    let probe = upstreams().mode(Mode::Observe).build(example());
    probe.get("/dashboard/7").route("/dashboard/{id}").send().forwarded();
}

#[test]
fn settings_that_could_not_work_are_refused_with_their_place() {
    let call = |key: &str, value: Value| {
        let mut call = json!({ "upstream": "users", "path": "/" });
        call[key] = value;
        error(one(call))
    };
    assert_eq!(
        call("path", json!("/x/${calls.user.team}")),
        "calls.it.path: `${calls.user.team}`: calls that wait for the answer of another are not built yet; only `body` may name answers"
    );
    assert!(
        call("headers", json!({ "x-a": "${calls.user}" })).starts_with("calls.it.headers.x-a: `${calls.user}`: calls")
    );
    assert_eq!(call("path", json!("users")), "calls.it.path: a path begins with one `/`");
    assert_eq!(call("path", json!("//users")), "calls.it.path: a path begins with one `/`");
    assert!(call("path", json!("/a#b")).starts_with("calls.it.path: a fragment"));
    assert_eq!(call("path", json!("/a b")), "calls.it.path: not a path with an optional query");
    assert_eq!(call("path", json!("/a/../b")), "calls.it.path: a path without `.` and `..` says where it goes");
    assert_eq!(call("upstream", json!("user")), "calls.it.upstream: no upstream \"user\"; did you mean \"users\"?");
    assert_eq!(
        call("fallback", json!(1)),
        "calls.it.fallback: only an optional call has a fallback; add `optional: true`"
    );
    assert!(call("headers", json!({ "host": "x" })).starts_with("calls.it.headers.host: `host` belongs"));
    let mut settings = example();
    settings["body"] = json!(["${calls.usr}"]);
    assert_eq!(error(settings), "body: `${calls.usr}`: no call \"usr\"; there are: orders, user");
    let mut settings = example();
    settings["forward_headers"] = json!(["accept-encoding"]);
    assert!(error(settings).starts_with("forward_headers[0]: `accept-encoding` could make"));
    assert_eq!(error(json!({ "calls": {}, "body": {} })), "calls: makes no calls");
    let odd = json!({ "calls": { "a b": { "upstream": "users", "path": "/" } }, "body": {} });
    assert!(error(odd).starts_with("calls.a b: \"a b\" is not a name for a call"));
}
