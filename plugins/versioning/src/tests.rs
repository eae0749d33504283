//! What `versioning` does to requests and answers, through the test kit.

use std::collections::HashMap;

use portreeve_plugin::testing::{Forwarded, Mode, Probe, Request, Setup, answer, conformance_in};
use serde_json::{Value, json};

use super::*;

fn upstreams() -> Setup<Versioning> {
    let echo = |_| Ok(answer(200, ""));
    Probe::setup().upstream("users-v1", echo).upstream("users-v2", echo)
}

fn example() -> Value {
    json!({
        "from": [{ "path": "version" }, { "header": "Accept-Version" }, { "query": "v" }, { "claim": "plan.version" }],
        "default": "v2",
        "versions": {
            "v1": { "upstream": "users-v1", "deprecated": "2026-01-01", "sunset": "2027-06-30", "link": "https://example.com/v2" },
            "v2": { "upstream": "users-v2" },
        },
    })
}

fn without_default() -> Value {
    let mut settings = example();
    settings.as_object_mut().unwrap().remove("default");
    settings
}

fn probe() -> Probe<Versioning> {
    upstreams().build(example())
}

fn sent_to(request: Request<'_>) -> (String, String) {
    let Forwarded { upstream, uri, .. } = request.send().forwarded();
    (upstream.unwrap(), uri.to_string())
}

fn pair(upstream: &str, target: &str) -> (String, String) {
    (upstream.to_owned(), target.to_owned())
}

#[test]
fn it_keeps_the_contract() {
    conformance_in::<Versioning>(upstreams, example());
}

#[test]
fn the_path_chooses_and_loses_the_segment() {
    let probe = probe();
    let request = |target| probe.get(target).route("/{version}/users/**");
    assert_eq!(sent_to(request("/v1/users/7?a=1&b=/v1/")), pair("users-v1", "/users/7?a=1&b=/v1/"));
    assert_eq!(sent_to(request("/v2/users/")), pair("users-v2", "/users/"));
    assert_eq!(sent_to(probe.get("/v1").route("/{version}")), pair("users-v1", "/"));
    assert_eq!(sent_to(probe.get("/v1/").route("/{version}/")), pair("users-v1", "/"));
    assert_eq!(sent_to(probe.get("/api/v1/users").route("/api/{version}/**")), pair("users-v1", "/api/users"));
    assert_eq!(sent_to(probe.get("/users/v1?x").route("/users/{version}")), pair("users-v1", "/users?x"));
}

#[test]
fn header_query_and_claim_choose_and_leave_the_target_alone() {
    let probe = probe();
    assert_eq!(sent_to(probe.get("/users/7").header("accept-version", "v1")), pair("users-v1", "/users/7"));
    assert_eq!(sent_to(probe.get("/users/7?v=v1")), pair("users-v1", "/users/7?v=v1"));
    let claims = Some(Arc::new(json!({ "plan": { "version": "v1" } })));
    let ada = Consumer { claims, ..Consumer::new("ada") };
    assert_eq!(sent_to(probe.get("/users/7").consumer(ada)), pair("users-v1", "/users/7"));
}

#[test]
fn the_first_place_with_a_value_wins_and_an_empty_value_is_none() {
    let probe = probe();
    let path_first = probe.get("/v2/users/7").route("/{version}/users/**").header("accept-version", "v1");
    assert_eq!(sent_to(path_first).0, "users-v2");
    assert_eq!(sent_to(probe.get("/users/7?v=v1").header("accept-version", "")).0, "users-v1");
    assert_eq!(sent_to(probe.get("/users/7")).0, "users-v2");
}

#[test]
fn an_unknown_version_is_not_found_by_path_and_a_bad_request_elsewhere() {
    let probe = probe();
    let status = |request: Request<'_>| request.send().refused().status.as_u16();
    assert_eq!(status(probe.get("/v9/users/7").route("/{version}/users/**")), 404);
    assert_eq!(status(probe.get("/users/7").header("accept-version", "v9")), 400);
    assert_eq!(status(probe.get("/users/7").header("accept-version", b"v1\xff")), 400);
    assert_eq!(status(probe.get("/users/7?v=V1")), 400);
    let refused = probe.get("/v9/users/7").route("/{version}/users/**").send().refused();
    assert_eq!(refused.json()["detail"], "There is no such version; there are: v1, v2.");
}

#[test]
fn a_request_that_names_none_is_refused_when_there_is_no_default() {
    let probe = upstreams().build(without_default());
    let refused = probe.get("/users/7").send().refused();
    assert_eq!(refused.status, 400);
    assert_eq!(refused.json()["detail"], "This request must name a version; there are: v1, v2.");
}

#[test]
fn answers_of_a_deprecated_version_say_so() {
    let probe = probe();
    let v1 = probe.get("/users/7").header("accept-version", "v1").send();
    let answered = v1.respond(200, &[("sunset", "theirs"), ("link", "</a>; rel=\"next\"")], "");
    assert_eq!(answered.header("deprecation"), Some("@1767225600"));
    assert_eq!(answered.header_all("sunset"), ["Wed, 30 Jun 2027 00:00:00 GMT"]);
    let links = ["</a>; rel=\"next\"", "<https://example.com/v2>; rel=\"deprecation sunset\""];
    assert_eq!(answered.header_all("link"), links);
    let answered = probe.get("/users/7").send().respond(200, &[], "");
    assert_eq!((answered.header("deprecation"), answered.header("sunset")), (None, None));
}

#[test]
fn an_answer_varies_by_the_header_if_it_was_looked_at() {
    let probe = probe();
    let vary = |request: Request<'_>| {
        let answered = request.send().respond(200, &[("vary", "origin")], "");
        answered.header_all("vary").into_iter().map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(vary(probe.get("/v1/users/7").route("/{version}/users/**")), ["origin"]);
    assert_eq!(vary(probe.get("/users/7").header("accept-version", "v1")), ["origin", "accept-version"]);
    assert_eq!(vary(probe.get("/users/7")), ["origin", "accept-version"]);
    let refused = probe.get("/users/7").header("accept-version", "v9").send().refused();
    assert_eq!(refused.header("vary"), Some("accept-version"));
}

#[test]
fn the_version_is_told_to_later_plugins_and_to_usage_and_is_a_decision() {
    let probe = probe();
    let sent = probe.get("/users/7?v=v1").send();
    assert_eq!(sent.version().as_deref(), Some("v1"));
    assert_eq!(sent.decisions()[0].why, "version v1");
}

#[test]
fn an_observing_step_chooses_nothing() {
    let probe = upstreams().mode(Mode::Observe).build(example());
    let forwarded = probe.get("/v1/users/7").route("/{version}/users/**").send().forwarded();
    assert_eq!((forwarded.upstream.as_deref(), forwarded.path()), (None, "/v1/users/7"));
}

#[test]
fn contradictions_are_refused_with_their_place() {
    let with = |edit: &dyn Fn(&mut Value)| {
        let mut settings = example();
        edit(&mut settings);
        upstreams().try_build(settings).unwrap_err().to_string()
    };
    assert_eq!(
        with(&|s| s["versions"]["v1"]["upstream"] = json!("user-v1")),
        "versions.v1.upstream: no upstream \"user-v1\"; did you mean \"users-v1\"?"
    );
    assert_eq!(with(&|s| s["default"] = json!("v3")), "default: no version \"v3\"; there are: v1, v2");
    assert_eq!(
        with(&|s| s["versions"]["v1"]["sunset"] = json!("2025-01-01")),
        "versions.v1.sunset: lies before `deprecated` (2026-01-01)"
    );
    assert_eq!(
        with(&|s| s["versions"]["v2"]["link"] = json!("https://example.com")),
        "versions.v2.link: needs `deprecated` or `sunset` beside it"
    );
    assert_eq!(with(&|s| s["versions"]["v1"]["link"] = json!("a> b")), "versions.v1.link: not a URL");
    assert_eq!(
        with(&|s| s["versions"]["v/3"] = json!({ "upstream": "users-v2" })),
        "versions.v/3: \"v/3\" is not a version; use letters, digits and `.`, `_`, `~`, `-`"
    );
    for claim in ["", "a}", "a} ${claims.b", "a:-v1} x"] {
        let expected = "from[0].claim: not a claim; write its name, or names with dots between them: plan.version";
        assert_eq!(with(&|s| s["from"] = json!([{ "claim": claim }])), expected);
    }
    assert_eq!(with(&|s| s["from"] = json!([])), "from: names no place where a version could stand");
}

#[test]
fn days_are_counted_as_the_calendar_does() {
    let seconds = |date: &str| dates::unix_seconds(date.parse().unwrap());
    let known = HashMap::from([
        ("1970-01-01", 0),
        ("1970-03-01", 59),
        ("2000-02-29", 11_016),
        ("2000-03-01", 11_017),
        ("2100-03-01", 47_541),
        ("2027-06-30", 20_999),
        ("9999-12-31", 2_932_896),
    ]);
    for (date, days) in known {
        assert_eq!(seconds(date), days * 86_400, "{date}");
    }
    assert_eq!(dates::imf_fixdate("1994-11-06".parse().unwrap()), "Sun, 06 Nov 1994 00:00:00 GMT");
}
