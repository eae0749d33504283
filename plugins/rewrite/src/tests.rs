//! What `rewrite` does to requests and answers, through the test kit.

use std::sync::Arc;

use portreeve_plugin::testing::{Probe, conformance};
use serde_json::{Value, json};

use super::*;

fn probe(settings: Value) -> Probe<Rewrite> {
    Probe::new(settings)
}

fn error(settings: Value) -> String {
    Probe::<Rewrite>::try_new(settings).unwrap_err().to_string()
}

fn target(probe: &Probe<Rewrite>, target: &str) -> String {
    probe.get(target).send().forwarded().uri.to_string()
}

#[test]
fn it_keeps_the_contract() {
    conformance::<Rewrite>(json!({ "path": "/internal/${request.query.id:-none}" }));
    conformance::<Rewrite>(json!({ "strip_prefix": "/api", "add_prefix": "/v1" }));
    conformance::<Rewrite>(json!({ "regex": { "match": "^/old/(.*)$", "to": "/new/$1" } }));
    conformance::<Rewrite>(json!({ "query": { "set": { "a": "${request.host}" }, "remove": ["b"] } }));
}

#[test]
fn a_host_is_made_from_values_or_the_request_is_refused() {
    let probe = probe(json!({ "host": "${request.query.tenant}.Internal:8080" }));
    let sent = |path: &str| probe.get(path).send();
    assert_eq!(sent("/?tenant=a").target_host().unwrap(), "a.internal:8080");
    for refused in ["/", "/?tenant=", "/?tenant=a%2Fb", "/?tenant=a%0d%0ax:y", "/?tenant=u@a", "/?tenant=a:1"] {
        assert_eq!(sent(refused).refused().status, 400, "{refused}");
    }
}

#[test]
fn a_path_is_made_from_values_and_keeps_the_query() {
    let probe = probe(json!({ "path": "/internal/${params.id}/profile" }));
    let sent = |path: &str| probe.get(path).route("/users/{id}").send().forwarded().uri.to_string();
    assert_eq!(sent("/users/7?x=1"), "/internal/7/profile?x=1");
    assert_eq!(sent("/users/a%20b"), "/internal/a%20b/profile");
    assert_eq!(sent("/users/%C3%A9"), "/internal/%C3%A9/profile");
}

#[test]
fn the_rest_of_a_path_keeps_its_slashes() {
    let probe = probe(json!({ "path": "/files/${params.rest}" }));
    let sent = |path: &str| probe.get(path).route("/static/**").send().forwarded().uri.to_string();
    assert_eq!(sent("/static/a/b%20c/"), "/files/a/b%20c/");
}

#[test]
fn a_value_cannot_leave_its_segment() {
    let probe = probe(json!({ "path": "/u/${request.query.id}" }));
    assert_eq!(target(&probe, "/?id=a/b%3Fc"), "/u/a%2Fb%3Fc?id=a/b%3Fc");
    for refused in ["/", "/?id=", "/?id=..", "/?id=%2e%2e", "/?id=../x", "/?id=%00"] {
        assert_eq!(probe.get(refused).send().refused().status, 400, "{refused}");
    }
}

#[test]
fn a_default_cannot_make_an_unsound_path() {
    assert!(error(json!({ "path": "/a/${params.id:-}/b" })).starts_with("path: expected a path"));
    assert!(error(json!({ "path": "/a/${params.id:-x y}" })).starts_with("path: expected a path"));
    // One default may stand in while the other does not: only a request shows it.
    let probe = probe(json!({ "path": "/a/${request.query.x:-%}${request.query.y:-20}" }));
    assert_eq!(probe.get("/?y=1").send().refused().status, 400);
    assert_eq!(target(&probe, "/?x=1"), "/a/120?x=1");
}

#[test]
fn a_prefix_is_whole_segments() {
    let strip = probe(json!({ "strip_prefix": "/api" }));
    for (from, to) in [
        ("/api/users", "/users"),
        ("/api", "/"),
        ("/api?x=1", "/?x=1"),
        ("/api/", "/"),
        ("/apix/users", "/apix/users"),
        ("/users/api", "/users/api"),
        ("/api/api/x", "/api/x"),
    ] {
        assert_eq!(target(&strip, from), to);
    }
    let both = probe(json!({ "strip_prefix": "/api", "add_prefix": "/internal/v1" }));
    assert_eq!(target(&both, "/api/users?x"), "/internal/v1/users?x");
    assert_eq!(target(&both, "/api"), "/internal/v1");
    assert_eq!(target(&both, "/users"), "/internal/v1/users");
}

#[test]
fn the_server_as_a_whole_has_no_path_to_change() {
    let probe = probe(json!({ "add_prefix": "/x" }));
    assert_eq!(probe.request(Method::OPTIONS, "*").send().forwarded().path(), "*");
}

#[test]
fn a_pattern_replaces_its_first_match() {
    let probe = probe(json!({ "regex": { "match": "/users/(?<id>[0-9]+)", "to": "/people/${id}x$1-$$" } }));
    assert_eq!(target(&probe, "/users/7/a?b=/users/8"), "/people/7x7-$/a?b=/users/8");
    assert_eq!(target(&probe, "/users/x"), "/users/x");
    let optional = Probe::<Rewrite>::new(json!({ "regex": { "match": "^/(a)?b", "to": "/$1c" } }));
    assert_eq!(target(&optional, "/b"), "/c");
}

#[test]
fn a_pattern_cannot_make_an_unsound_path() {
    for (pattern, to, path) in [
        ("^/a", "", "/a"),
        ("^/a/", "//", "/a/b"),
        ("^/a(.*)", "$1", "/ab"),
        ("/x$", "/..", "/a/x"),
        ("/x$", "/%2e", "/a/x"),
        ("/x$", "/é", "/a/x"),
        ("/x$", "/y?z=", "/a/x"),
        ("/x$", "/%", "/a/x"),
        ("/%2x$", "/", "/a"),
        ("(%2)0$", "${1}F", "/a%20"),
        ("(%)20$", "${1}5c", "/a%20"),
        ("x", "%00", "/x"),
    ] {
        let probe = probe(json!({ "regex": { "match": pattern, "to": to } }));
        let sent = probe.get(path).send();
        match sent.answered() {
            Some(refused) => assert_eq!(refused.status, 400, "{pattern}"),
            None => assert_eq!(sent.forwarded().path(), path, "{pattern}"),
        }
    }
}

#[test]
fn a_query_is_edited_and_the_rest_stays_byte_for_byte() {
    let probe = probe(json!({
        "query": { "set": { "user": "${consumer.id}", "api version": "2 & 3" }, "remove": ["debug", "a b"] }
    }));
    let sent = |target: &str| probe.get(target).consumer(Arc::new(Consumer::new("a&b"))).send().forwarded();
    let set = "api%20version=2%20%26%203&user=a%26b";
    assert_eq!(sent("/x?q=%7e+1&&flag&debug&user=eve&us%65r=eve").uri.query(), Some(&*format!("q=%7e+1&&flag&{set}")));
    assert_eq!(sent("/x?a+b=1&a%20b=2&debug=1").uri.query(), Some(set));
    assert_eq!(sent("/x").uri.to_string(), format!("/x?{set}"));
}

#[test]
fn a_parameter_without_a_value_is_removed_and_an_empty_query_with_it() {
    let probe = probe(json!({ "query": { "set": { "user": "${consumer.id}" } } }));
    assert_eq!(target(&probe, "/x?user=mallory"), "/x");
    assert_eq!(target(&probe, "/x?a&user=mallory"), "/x?a");
    assert_eq!(target(&probe, "/x"), "/x");
}

#[test]
fn settings_that_could_not_work_are_refused() {
    let path = "path: expected a path: a leading `/`, percent-encoded, without empty segments, `.` and `..`";
    for bad in ["users", "//x", "/a b", "/a/../b", "/a/%2e", "/%zz", "/a#b", "${params.id}"] {
        assert_eq!(error(json!({ "path": bad })), path, "{bad}");
    }
    assert_eq!(error(json!({ "path": "/a?b" })), "path: the query is changed with `query`");
    assert!(error(json!({ "path": "/a${request.path}" })).contains("use `add_prefix`"));
    for bad in ["/", "api", "/api/", "/a//b", "/..", "/a?b"] {
        assert!(error(json!({ "strip_prefix": bad })).starts_with("strip_prefix: expected whole segments"), "{bad}");
        assert!(error(json!({ "add_prefix": bad })).starts_with("add_prefix: expected whole segments"), "{bad}");
    }
    let ways = "give one of `path`, `regex`, or `strip_prefix` with `add_prefix`";
    assert_eq!(error(json!({ "path": "/a", "strip_prefix": "/b" })), ways);
    assert_eq!(error(json!({ "path": "/a", "regex": { "match": "x", "to": "y" } })), ways);
    let to = |to: &str| error(json!({ "regex": { "match": "(a)", "to": to } }));
    assert_eq!(to("$2"), "regex.to: `match` has no group \"2\"; write $1, ${name}, or $$ for a dollar");
    assert_eq!(to("${b}"), "regex.to: `match` has no group \"b\"; write $1, ${name}, or $$ for a dollar");
    assert_eq!(to("a$"), "regex.to: `match` has no group \"\"; write $1, ${name}, or $$ for a dollar");
    assert_eq!(to("${1"), "regex.to: this `${` is never closed");
    assert!(error(json!({ "regex": { "match": "(", "to": "" } })).starts_with("regex.match: "));
    let twice = json!({ "query": { "set": { "a": "1" }, "remove": ["a"] } });
    assert_eq!(error(twice), "query.remove[0]: \"a\" is also in `set`, which replaces what was there");
    assert!(error(json!({})).starts_with("rewrites nothing"));
    assert!(error(json!({ "host": "a b" })).starts_with("host: \"a b\" is not a host"));
    for (settings, expected) in [
        (json!({ "strip_prefix": "/%40me" }), "strip_prefix: paths come with `%40` decoded: write `@`"),
        (
            json!({ "regex": { "match": "^/a%2E", "to": "/" } }),
            "regex.match: paths come with `%2E` decoded: write `\\.`",
        ),
    ] {
        assert_eq!(error(settings), expected);
    }
    assert!(error(json!({ "query": {} })).starts_with("rewrites nothing"));
}

#[test]
fn a_path_has_one_form() {
    for sound in ["/", "/a", "/a/", "/a/b.c", "/...", "/.a", "/a..", "/%20", "/a;b=c", "/@:!$&'()*+,="] {
        assert!(target::is_sound(sound), "{sound}");
    }
    for unsound in [
        "", "a", "//", "/a//b", "/.", "/..", "/a/./b", "/%2E%2e", "/.%2e/", "/a b", "/a\\b", "/%", "/%4", "/%4g", "/é",
        "/a?b", "/\u{7f}",
    ] {
        assert!(!target::is_sound(unsound), "{unsound}");
    }
}

#[test]
fn what_is_set_or_removed_is_not_found_behind_a_semicolon() {
    let probe = probe(json!({ "query": { "set": { "user": "${consumer.id}" }, "remove": ["debug"] } }));
    let sent = |target: &str| {
        let sent = probe.get(target).consumer(Arc::new(Consumer::new("a;b"))).send();
        sent.forwarded().uri.query().map(str::to_owned)
    };
    assert_eq!(sent("/x?a=1;user=root").as_deref(), Some("a=1&user=a%3Bb"));
    assert_eq!(sent("/x?debug;a=1;b=2&user[]=root&User=root").as_deref(), Some("a=1;b=2&user=a%3Bb"));
    assert_eq!(sent("/x?a=1;b=2").as_deref(), Some("a=1;b=2&user=a%3Bb"));
}
