//! Templates that would do nothing of what was meant: plain text where one is wanted, and parameters that no path has.

use std::fmt::Write as _;

use super::compiled;

fn refused(rest: &str) -> String {
    compiled(rest).unwrap_err()
}

#[test]
fn plain_text_where_a_template_is_wanted_is_refused_with_what_was_meant() {
    let route = |rest: &str| format!("routes: [{{ name: a, match: {{ path: / }}, public: true, {rest} }}]\n");
    let pools = "upstreams: { a: { targets: ['127.0.0.1:1'] }, b: { targets: ['127.0.0.1:2'] } }\n";
    let split =
        |by: &str| format!("{pools}{}", route(&format!("upstream: [{{ name: a }}, {{ name: b }}], split_by: '{by}'")));
    let error = refused(&split("consumer.id"));
    assert!(error.contains("routes[0].split_by: \"consumer.id\" is plain text"), "{error}");
    assert!(error.contains("did you mean \"${consumer.id}\"?"), "{error}");
    assert!(compiled(&split("${consumer.id}")).is_ok());
    let hash = |key: &str| {
        format!(
            "upstreams: {{ a: {{ targets: ['127.0.0.1:1'], balance: {{ hash: '{key}' }} }} }}\n{}",
            route("upstream: a")
        )
    };
    let error = refused(&hash("$http_x_user"));
    assert!(error.contains("upstreams.a.balance.hash: \"$http_x_user\" is plain text"), "{error}");
    assert!(error.contains("did you mean \"${request.headers.x-user}\"?"), "{error}");
    assert!(compiled(&hash("${request.headers.x-user}")).is_ok());
}

/// A route with this path and these steps, and one beside it with another.
fn with(path: &str, steps: &str) -> String {
    format!(
        "chains: {{ api: [{{ notes: {{ text: 'user ${{params.idd}}' }} }}] }}\nroutes:\n  - {{ name: users, match: {{ path: {path} }}, public: true, plugins: [{steps}], respond: {{}} }}\n"
    )
}

#[test]
fn a_parameter_that_no_path_of_the_route_has_is_refused_with_those_it_has() {
    let error = refused(&with("'/users/{id}/{part}'", "{ notes: { text: 'x${params.idd}' } }"));
    let expected = "gateway.yaml:5:104: routes[0].plugins[0].notes.text: the path of route \"users\" has no parameter \"idd\": it has id and part";
    assert!(error.contains(expected), "{error}");
    let error = refused(&with("'/users/{id}'", "use: api"));
    assert!(error.contains("chains.api[0].notes.text: the path of route \"users\" has no parameter"), "{error}");
    let error =
        refused("routes: [{ name: a, match: { path: /x }, public: true, redirect: { to: '/y/${params.rest}' } }]\n");
    assert!(error.contains("routes[0].redirect.to: ") && error.contains("it has no parameters"), "{error}");
}

#[test]
fn a_parameter_that_some_path_has_or_that_may_be_missing_is_fine() {
    for (path, steps) in [
        ("['/users/{id}', '/people/{idd}']", "use: api"),
        ("'regex:^/u/(?<idd>[0-9]+)$'", "use: api"),
        ("'/users/{id}'", "{ notes: { text: '${params.idd:-none}' } }"),
        ("'/users/{id}'", "{ use: api, when: 'has(params.idd)' }"),
    ] {
        let compiled = compiled(&with(path, steps));
        assert!(compiled.is_ok(), "{path} {steps}: {}", compiled.unwrap_err());
    }
    let rest = "routes: [{ name: a, match: { path: '/x/**' }, public: true, redirect: { to: '/y/${params.rest}' } }]\n";
    assert!(compiled(rest).is_ok());
}

#[test]
fn a_chain_that_many_routes_use_is_told_once() {
    let mut routes = String::new();
    for n in 0..20 {
        let route = format!("name: r{n}, match: {{ path: /r{n} }}, public: true, plugins: [use: api], respond: {{}}");
        writeln!(routes, "  - {{ {route} }}").unwrap();
    }
    let error = refused(&format!("chains: {{ api: [{{ notes: {{ text: '${{params.id}}' }} }}] }}\nroutes:\n{routes}"));
    assert!(error.ends_with("1 error in gateway.yaml"), "{error}");
}

/// An upstream that hashes by `id` of the path, and what leads there.
fn hashing(key: &str, rest: &str) -> String {
    format!(
        "upstreams: {{ items: {{ targets: ['127.0.0.1:1'], balance: {{ hash: '{key}' }} }}, other: {{ targets: ['127.0.0.1:2'] }} }}\nchains: {{ call: [{{ notes: {{ upstream: items }} }}] }}\nroutes:\n{rest}"
    )
}

fn route(path: &str, rest: &str) -> String {
    format!("  - {{ name: r, match: {{ path: '{path}' }}, public: true, {rest} }}\n")
}

#[test]
fn a_key_of_an_upstream_wants_what_each_route_that_leads_there_has() {
    let leading = [
        "upstream: items",
        "upstream: [{ name: other }, { name: items }]",
        "upstream: other, mirror: { upstream: items }",
        "plugins: [use: call], upstream: other",
    ];
    for leads in leading {
        let error = refused(&hashing("${params.id}", &route("/items/{name}", leads)));
        let expected = "upstreams.items.balance.hash: the path of route \"r\" has no parameter \"id\": it has name; where it may be missing, write ${params.id:-}, and such requests go to any target";
        assert!(error.contains(expected), "{leads}: {error}");
        for (key, path) in [("${params.id}", "/items/{id}"), ("${params.id:-}", "/items/{name}")] {
            let compiled = compiled(&hashing(key, &route(path, leads)));
            assert!(compiled.is_ok(), "{leads}: {}", compiled.unwrap_err());
        }
    }
    let conditional = [
        "upstream: [{ name: other }, { name: items, when: 'has(params.id)' }]",
        "plugins: [{ use: call, when: 'has(params.id)' }], upstream: other",
        "upstream: other",
    ];
    for leads in conditional {
        let compiled = compiled(&hashing("${params.id}", &route("/items/{name}", leads)));
        assert!(compiled.is_ok(), "{leads}: {}", compiled.unwrap_err());
    }
    // One route that has it does not speak for another.
    let both = format!("{}{}", route("/items/{id}", "upstream: items"), route("/all", "upstream: items"));
    let error = refused(&hashing("${params.id}", &both.replacen("name: r", "name: first", 1)));
    assert!(error.contains("the path of route \"r\" has no parameter \"id\"") && error.contains("1 error"), "{error}");
}

#[test]
fn a_step_of_a_listener_has_no_parameters() {
    let with = |text: &str| {
        super::compiled_whole(&format!(
            "version: 1\nlisteners: [{{ name: public, bind: '127.0.0.1:0', plugins: [notes: {{ text: '{text}' }}] }}]\nroutes: [{{ name: a, match: {{ path: '/{{id}}' }}, public: true, respond: {{}} }}]\n"
        ))
    };
    let error = with("${params.id}").unwrap_err();
    let expected = "listeners[0].plugins[0].notes.text: listener \"public\" runs this before a route is found, and has no parameter \"id\"";
    assert!(error.contains(expected), "{error}");
    assert!(with("${params.id:-none}").is_ok());
}
