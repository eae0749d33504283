//! What `headers` does to requests and answers, through the test kit.

use std::sync::Arc;

use portreeve_plugin::testing::{Probe, conformance};
use serde_json::{Value, json};

use super::*;

fn request(edits: Value) -> Probe<Headers> {
    Probe::new(json!({ "request": edits }))
}

fn response(edits: Value) -> Probe<Headers> {
    Probe::new(json!({ "response": edits }))
}

fn error(settings: Value) -> String {
    Probe::<Headers>::try_new(settings).unwrap_err().to_string()
}

#[test]
fn it_keeps_the_contract() {
    conformance::<Headers>(json!({
        "request": { "set": { "x-user-id": "${consumer.id}" }, "add": { "x-a": "b" }, "remove": ["cookie"] },
        "response": { "set": { "x-status": "${response.status}" }, "remove": ["server"] },
    }));
    conformance::<Headers>(json!({ "request": { "remove": ["cookie"] } }));
    conformance::<Headers>(json!({ "response": { "add": { "vary": "origin" } } }));
}

#[test]
fn what_is_set_replaces_every_value_the_client_sent() {
    let probe = request(json!({ "set": { "X-User-Id": "${consumer.id}" } }));
    let sent = probe.get("/").header("x-user-id", "eve").header("X-USER-ID", "mallory");
    let forwarded = sent.consumer(Arc::new(Consumer::new("ada"))).send().forwarded();
    assert_eq!(forwarded.header_all("x-user-id"), ["ada"]);
}

#[test]
fn a_set_without_a_value_removes_what_a_client_may_have_forged() {
    let probe = request(json!({ "set": { "x-user-id": "${consumer.id}", "x-tier": "${consumer.tier:-none}" } }));
    let forwarded = probe.get("/").header("x-user-id", "mallory").send().forwarded();
    assert_eq!((forwarded.header("x-user-id"), forwarded.header("x-tier")), (None, Some("none")));
}

#[test]
fn a_value_that_no_header_may_hold_counts_as_none() {
    let probe = request(json!({ "set": { "x-q": "${request.query.q}" }, "add": { "x-r": "${request.query.q}" } }));
    let forwarded = probe.get("/?q=a%0d%0aset-cookie:%20x").header("x-q", "mallory").send().forwarded();
    assert_eq!((forwarded.header("x-q"), forwarded.header("x-r")), (None, None));
    assert_eq!(probe.get("/?q=b").send().forwarded().header("x-q"), Some("b"));
}

#[test]
fn what_is_added_stands_beside_the_rest_and_is_left_out_without_a_value() {
    let probe = request(json!({ "add": { "x-a": "${request.query.a}" } }));
    let forwarded = |target| probe.get(target).header("x-a", "1").send().forwarded();
    assert_eq!(forwarded("/?a=2").header_all("x-a"), ["1", "2"]);
    assert_eq!(forwarded("/").header_all("x-a"), ["1"]);
}

#[test]
fn removal_comes_before_addition() {
    let probe = request(json!({ "remove": ["X-A", "cookie"], "add": { "x-a": "ours" } }));
    let sent = probe.get("/").header("x-a", "theirs").header("cookie", "a=1").header("cookie", "b=2");
    let forwarded = sent.send().forwarded();
    assert_eq!((forwarded.header_all("x-a"), forwarded.header("cookie")), (vec!["ours"], None));
}

#[test]
fn an_answer_is_edited_and_its_values_may_be_used() {
    let probe = response(json!({
        "set": { "x-was": "${response.status} from ${response.headers.server}", "x-none": "${response.headers.x-gone}" },
        "add": { "vary": "origin" },
        "remove": ["x-powered-by"],
    }));
    let headers = [("server", "nginx"), ("x-powered-by", "php"), ("vary", "accept"), ("x-none", "1")];
    let answered = probe.get("/").send().respond(204, &headers, "");
    assert_eq!(answered.header("x-was"), Some("204 from nginx"));
    assert_eq!(answered.header_all("vary"), ["accept", "origin"]);
    assert_eq!((answered.header("x-powered-by"), answered.header("x-none")), (None, None));
}

#[test]
fn the_gateways_own_fields_are_refused_with_the_reason() {
    for name in ["Content-Length", "transfer-encoding", "connection", "keep-alive", "te", "trailer", "upgrade"] {
        for side in ["request", "response"] {
            for edits in [json!({ "set": { name: "x" } }), json!({ "add": { name: "x" } }), json!({ "remove": [name] })]
            {
                let error = error(json!({ side: edits }));
                assert!(error.starts_with(side) && error.contains("the gateway sets it"), "{error}");
            }
        }
    }
    assert_eq!(
        error(json!({ "request": { "set": { "host": "x" } } })),
        "request.set.host: `host` says which site is asked for; it was decided before any plugin ran"
    );
}

#[test]
fn settings_that_contradict_themselves_are_refused() {
    let twice = json!({ "request": { "set": { "x-a": "1", "X-A": "2" } } });
    assert_eq!(error(twice), "request.set.x-a: `x-a` stands here twice; letter case does not matter");
    let both = json!({ "response": { "set": { "x-a": "1" }, "remove": ["X-A"] } });
    assert_eq!(error(both), "response.remove[0]: `x-a` is also in `set`, which replaces what was there");
    assert_eq!(error(json!({ "request": { "add": { "a b": "1" } } })), "request.add.a b: \"a b\" is not a header name");
    let broken = json!({ "request": { "set": { "x-a": "1\r\nx-b: 2" } } });
    assert_eq!(error(broken), "request.set.x-a: a header value has no control characters");
    let nothing = "edits nothing; give `request` or `response` with `set`, `add` or `remove`";
    assert_eq!(error(json!({})), nothing);
    assert_eq!(error(json!({ "request": {} })), nothing);
}

#[test]
fn a_request_value_cannot_name_the_answer() {
    let early = error(json!({ "request": { "set": { "x-a": "${response.status}" } } }));
    assert!(early.contains("not known yet"), "{early}");
}

#[test]
fn a_group_with_a_comma_is_no_other_group() {
    let probe = request(json!({ "set": { "x-groups": "${consumer.groups}" } }));
    let consumer = |groups: &[&str]| {
        let groups = groups.iter().map(|group| (*group).to_owned()).collect();
        Arc::new(Consumer { groups, ..Consumer::new("ada") })
    };
    for (groups, said) in [
        (&["staff", "admin"][..], "staff,admin"),
        (&["staff,admin"], "staff%2Cadmin"),
        (&["staff", "x, admin ", "100%"], "staff,x%2C admin%20,100%25"),
    ] {
        let forwarded = probe.get("/").consumer(consumer(groups)).send().forwarded();
        assert_eq!(forwarded.header_all("x-groups"), [said]);
    }
}
