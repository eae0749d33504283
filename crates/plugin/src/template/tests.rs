//! What templates render to, and what is said of those that cannot.

use std::borrow::Cow;
use std::collections::HashMap;

use http::HeaderValue;
use serde_json::{Value, json};

use super::*;

/// A scope that is a table from the canonical spelling of a reference to its value.
#[derive(Default)]
struct Table {
    json: HashMap<String, Value>,
    groups: Vec<String>,
}

impl Table {
    fn with(mut self, reference: &str, value: impl Into<Value>) -> Self {
        self.json.insert(reference.to_owned(), value.into());
        self
    }
}

impl Scope for Table {
    fn resolve<'s>(&'s self, reference: &Reference) -> Option<Datum<'s>> {
        match reference {
            Reference::ConsumerGroups => Some(Datum::List(&self.groups)),
            Reference::ResponseStatus => Some(Datum::Integer(204)),
            Reference::Claim(path) => path.find(self.json.get("claims")?).map(Datum::Json),
            other => match self.json.get(&other.to_string())? {
                Value::String(text) => Some(Datum::text(text)),
                value => Some(Datum::Json(value)),
            },
        }
    }
}

fn render(template: &str, scope: &Table) -> Option<String> {
    let template: Template = template.parse().unwrap();
    template.render(scope).map(Cow::into_owned)
}

fn url(template: &str, reference: &str, value: &str) -> Option<String> {
    let template: Template = template.parse().unwrap();
    let scope = Table::default().with(reference, value);
    template.render_with(&scope, Escape::Url).map(Cow::into_owned)
}

fn error(template: &str) -> String {
    Template::<AtRequest>::parse(template).unwrap_err().to_string()
}

#[test]
fn every_form_of_the_language_is_understood() {
    for form in [
        "request.method",
        "request.path",
        "request.host",
        "request.client_ip",
        "request.id",
        "request.headers.x-api-key",
        "request.query.page-size",
        "request.query['filter[name]']",
        "request.cookies.sid",
        "params.id",
        "consumer.id",
        "consumer.tier",
        "consumer.groups",
        "consumer.scopes",
        "consumer.method",
        "consumer.credential",
        "claims.realm_access.roles.0",
        "claims['https://x/roles']",
    ] {
        let template: Template = format!("a ${{{form}}} b").parse().unwrap();
        let names: Vec<String> = template.references().map(ToString::to_string).collect();
        assert_eq!(names, [form]);
    }
    assert!(Template::<AtResponse>::parse("${response.status} ${response.headers.server}").is_ok());
    assert!(Template::<WithCalls>::parse("${calls.user} ${calls.user.items.0.id}").is_ok());
}

#[test]
fn values_are_put_between_the_literals_and_are_not_read_again() {
    let scope = Table::default().with("params.id", "${consumer.id}").with("consumer.id", "ada");
    assert_eq!(render("<${params.id}|${ consumer.id }>", &scope).unwrap(), "<${consumer.id}|ada>");
    assert_eq!(render("", &scope).unwrap(), "");
}

#[test]
fn a_dollar_alone_is_a_dollar_and_two_before_a_brace_escape_it() {
    let scope = Table::default();
    assert_eq!(render("5$ $x $${params.id} $$", &scope).unwrap(), "5$ $x ${params.id} $$");
}

#[test]
fn a_literal_and_a_single_reference_are_borrowed() {
    let scope = Table::default().with("params.id", "7");
    for template in ["plain $${", "${params.id}"] {
        let template: Template = template.parse().unwrap();
        assert!(matches!(template.render(&scope), Some(Cow::Borrowed(_))));
        assert!(matches!(template.render_with(&scope, Escape::Url), Some(Cow::Borrowed(_))));
    }
}

#[test]
fn a_default_stands_in_for_missing_null_and_empty() {
    let scope = Table::default().with("claims", json!({ "null": null, "empty": "", "zero": 0, "off": false }));
    assert_eq!(render("${claims.plan}", &scope), None);
    assert_eq!(render("${claims.null}", &scope), None);
    assert_eq!(render("${claims.empty}", &scope).unwrap(), "");
    for missing in ["plan", "null", "empty"] {
        assert_eq!(render(&format!("${{claims.{missing}:-free}}"), &scope).unwrap(), "free");
    }
    assert_eq!(render("${claims.zero:-x} ${claims.off:-x} ${claims.plan:-}", &scope).unwrap(), "0 false ");
}

#[test]
fn a_path_goes_through_objects_by_name_and_arrays_by_position() {
    let scope = Table::default().with("claims", json!({ "a": [{ "b": "x" }], "https://x/r": { "0": "zero" } }));
    assert_eq!(render("${claims.a.0.b}", &scope).unwrap(), "x");
    assert_eq!(render("${claims.a[0][\"b\"]}", &scope).unwrap(), "x");
    assert_eq!(render("${claims[\"https://x/r\"].0}", &scope).unwrap(), "zero");
    assert_eq!(render("${claims.a.00.b}", &scope), None);
    assert_eq!(render("${claims.a}", &scope).unwrap(), r#"[{"b":"x"}]"#);
}

#[test]
fn the_environment_is_folded_at_load() {
    let template: Template = "home=${env.PATH}".parse().unwrap();
    assert_eq!(template.as_literal().unwrap(), format!("home={}", std::env::var("PATH").unwrap()));
    assert!(error("a ${env.PORTREEVE_NOT_SET}").contains("`PORTREEVE_NOT_SET` is not set"));
    let template: Template = "${env.PORTREEVE_NOT_SET:-none}".parse().unwrap();
    assert_eq!(template.as_literal(), Some("none"));
}

#[test]
fn errors_say_where_and_what_was_probably_meant() {
    for (template, expected) in [
        ("${claim.sub}", "at character 3: there is no `claim`; did you mean `claims`?"),
        (
            "${x.y}",
            "at character 3: there is no `x`; a reference starts with one of request, params, consumer, claims, calls, response, env",
        ),
        ("${request.ip}", "at character 11: `request` has no `ip`; did you mean `client_ip`?"),
        ("${consumer.name}", "at character 12: `consumer` has no `name`; did you mean `id`?"),
        ("é ${request.pth}", "at character 13: `request` has no `pth`; did you mean `path`?"),
        (
            "${consumer.x}",
            "at character 12: `consumer` has no `x`; it has id, tier, groups, scopes, method, credential",
        ),
        (
            "${request}",
            "at character 10: `request` needs a field, one of method, path, host, client_ip, id, route, headers, query, cookies",
        ),
        ("${request.headers}", "at character 18: `request.headers` needs a name: `request.headers.NAME`"),
        ("${request.headers['a b']}", "at character 18: `a b` is not a header name"),
        ("${request.path.x}", "at character 15: `request.path` is one value and has no parts"),
        ("${params.id", "at character 1: this `${` is never closed; write `$${` for the two characters themselves"),
        ("${params.id:free}", "at character 12: expected `}`, or `:-` and a default"),
        ("${params.id:-${params.x}}", "at character 14: a default is plain text, without references"),
        ("${}", "at character 3: expected a reference such as `request.path` or `claims.sub`"),
        ("${claims.}", "at character 10: expected a name after `.`; write an unusual one as `[\"…\"]`"),
        ("${claims['a}", "at character 10: this quote is never closed"),
        ("${response.status}", "at character 3: `response` is not known yet when the request is handled"),
        (
            "${calls.user}",
            "at character 3: `calls` is not known when the request is handled: only the plugin that makes the calls sees their answers",
        ),
    ] {
        assert_eq!(error(template), expected, "{template}");
    }
    assert_eq!(Template::<AtRequest>::parse("é ${x}").unwrap_err().offset(), 5);
}

#[test]
fn a_value_cannot_leave_its_place_in_a_url() {
    let in_path = |value| url("/users/${params.id}/x?q=1", "params.id", value);
    assert_eq!(in_path("7").unwrap(), "/users/7/x?q=1");
    assert_eq!(in_path("a/b?c#d;e\r\n%é").unwrap(), "/users/a%2Fb%3Fc%23d%3Be%0D%0A%25%C3%A9/x?q=1");
    assert_eq!(in_path("%2e%2e").unwrap(), "/users/%252e%252e/x?q=1");
    assert_eq!(in_path("...").unwrap(), "/users/.../x?q=1");
    for refused in ["", ".", "..", "../admin", "a/../..", "a\\..\\b", "a\0"] {
        assert_eq!(in_path(refused), None, "{refused:?}");
    }
    assert_eq!(url("/a/.${params.id}", "params.id", "."), None);
    assert_eq!(url("/a/%2${params.id}/b", "params.id", "e"), None);
    let in_query = |value| url("/orders?user=${params.id}", "params.id", value);
    assert_eq!(in_query("../a&b=c#d").unwrap(), "/orders?user=..%2Fa%26b%3Dc%23d");
    assert_eq!(in_query("").unwrap(), "/orders?user=");
}

#[test]
fn a_host_in_a_url_holds_only_what_a_host_may_hold() {
    let to = |value| url("https://${request.host}/x", "request.host", value);
    assert_eq!(to("example.com:8443").unwrap(), "https://example.com:8443/x");
    assert_eq!(to("[::1]:80").unwrap(), "https://[::1]:80/x");
    for refused in ["", "a/b", "user@evil", "a?b", "a\r\nb", "a b"] {
        assert_eq!(to(refused), None, "{refused:?}");
    }
    // The scheme of a URL inside a query is not the scheme of the whole.
    assert_eq!(url("/go?to=https://${params.id}", "params.id", "a/b").unwrap(), "/go?to=https://a%2Fb");
}

#[test]
fn the_rest_of_a_path_keeps_its_slashes_but_not_its_tricks() {
    let rest = |value| url("https://new.example.com/${params.rest}", "params.rest", value);
    assert_eq!(rest("a/b c/").unwrap(), "https://new.example.com/a/b%20c/");
    assert_eq!(rest("").unwrap(), "https://new.example.com/");
    for refused in ["/evil", "a//b", "../a", "a/..", "a/./b"] {
        assert_eq!(rest(refused), None, "{refused:?}");
    }
}

#[test]
fn the_path_of_the_request_can_be_carried_over_whole() {
    let moved = |value| url("https://new.example.com${request.path}", "request.path", value);
    assert_eq!(moved("/a/b%20c").unwrap(), "https://new.example.com/a/b%20c");
    for refused in ["", ".evil.com", "@evil", "//evil", "/a/../b", "/a?b", "/a b", "/a\r\n"] {
        assert_eq!(moved(refused), None, "{refused:?}");
    }
    assert_eq!(url("/in?next=${request.path}", "request.path", "/a?b").unwrap(), "/in?next=%2Fa%3Fb");
}

#[test]
fn defaults_and_literals_are_not_escaped() {
    assert_eq!(url("/a b/${params.id:-x/y}", "params.other", "").unwrap(), "/a b/x/y");
}

#[test]
fn a_value_inside_a_json_string_stays_inside() {
    let template: Template = r#"{"id":"${params.id}"}"#.parse().unwrap();
    for value in ["\",\"admin\":\"", "\\", "line\nbreak\0", "plain"] {
        let scope = Table::default().with("params.id", value);
        let text = template.render_with(&scope, Escape::Json).unwrap();
        assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), json!({ "id": value }));
    }
}

#[test]
fn a_value_inside_html_is_text() {
    let template: Template = "<a title=\"${params.id}\">".parse().unwrap();
    let html = |value: &str| {
        let scope = Table::default().with("params.id", value);
        template.render_with(&scope, Escape::Html).unwrap().into_owned()
    };
    assert_eq!(html("plain"), "<a title=\"plain\">");
    assert_eq!(html("\"><b>'&"), "<a title=\"&quot;&gt;&lt;b&gt;&#39;&amp;\">");
}

#[test]
fn no_control_character_gets_into_a_header() {
    let template: Template = "u=${params.id}".parse().unwrap();
    let header = |value: &str| template.render_header(&Table::default().with("params.id", value));
    assert_eq!(header("a\tb").unwrap(), HeaderValue::from_static("u=a\tb"));
    assert_eq!(header("é").unwrap().as_bytes(), "u=é".as_bytes());
    for refused in ["a\r\nset-cookie: x", "a\n", "\0", "\u{7f}", "\u{85}"] {
        assert_eq!(header(refused), None, "{refused:?}");
    }
    let obs_text = HeaderValue::from_bytes(b"caf\xe9").unwrap();
    assert_eq!(Datum::header(&obs_text), Datum::text("caf\u{fffd}"));
}

#[test]
fn one_reference_keeps_its_json_type() {
    let scope = Table {
        groups: vec!["a".into(), "b".into()],
        ..Table::default().with("claims", json!({ "n": 5, "list": [1], "null": null }))
    };
    let value = |template: &str| Template::<AtResponse>::parse(template).unwrap().render_value(&scope);
    assert_eq!(value("${claims.n}"), Some(json!(5)));
    assert_eq!(value("${claims.n}!"), Some(json!("5!")));
    assert_eq!(value("${claims.list}"), Some(json!([1])));
    assert_eq!(value("${consumer.groups}"), Some(json!(["a", "b"])));
    assert_eq!(value("in ${consumer.groups}"), Some(json!("in a,b")));
    assert_eq!(value("${response.status}"), Some(json!(204)));
    assert_eq!(value("${claims.null}"), Some(json!(null)));
    assert_eq!(value("${claims.null:-x}"), Some(json!("x")));
    assert_eq!(value("${claims.missing}"), None);
}

#[test]
fn a_json_template_fills_in_its_strings_and_leaves_its_keys() {
    let body: JsonTemplate<WithCalls> = serde_json::from_value(json!({
        "user": "${calls.user}", "first": ["${calls.user.name}", 1, "x"], "${literal}": { "gone": "${params.gone}" }
    }))
    .unwrap();
    let scope = Table::default().with("calls.user", json!({ "name": "ada" })).with("calls.user.name", "ada");
    assert_eq!(
        body.render(&scope),
        json!({ "user": { "name": "ada" }, "first": ["ada", 1, "x"], "${literal}": { "gone": null } })
    );
    assert_eq!(body.references().len(), 3);
    assert!(!body.is_literal());
    assert!(JsonTemplate::<AtRequest>::parse(json!({ "a": ["x", { "b": 1 }] })).unwrap().is_literal());
}

#[test]
fn an_error_in_a_json_template_says_in_which_string() {
    let parse = |value| JsonTemplate::<AtRequest>::parse(value).unwrap_err().to_string();
    let expected = "in /a~1b/1: at character 3: there is no `claim`; did you mean `claims`?";
    assert_eq!(parse(json!({ "a/b": ["", "${claim.x}"] })), expected);
    let deep = (0..100).fold(json!("x"), |inner, _| json!([inner]));
    assert!(parse(deep).ends_with("the value nests deeper than 64"));
}

#[test]
fn serde_reports_the_position_and_refuses_what_is_not_text() {
    let error = serde_json::from_value::<Template>(json!("${claim.x}")).unwrap_err();
    assert!(error.to_string().contains("at character 3"));
    assert!(serde_json::from_value::<Template>(json!(5)).is_err());
    assert_eq!(schemars::schema_for!(Template).get("type"), Some(&json!("string")));
}

proptest::proptest! {
    #[test]
    fn no_source_makes_the_parser_panic(source in "([$]|[$][{]|[}]|claims|request|[.]|:-|[\\[\\]'\"]|\\PC){0,20}") {
        if let Ok(template) = Template::<AtRequest>::parse(&source) {
            proptest::prop_assert_eq!(template.source(), &source);
        }
    }

    #[test]
    fn a_canonical_reference_parses_back_to_itself(names in proptest::collection::vec("\\PC{1,6}|[a-z0-9-]{1,6}", 1..4)) {
        let reference = Reference::Claim(names.into_iter().collect());
        let template: Template = format!("${{{reference}}}").parse().unwrap();
        proptest::prop_assert_eq!(template.references().collect::<Vec<_>>(), vec![&reference]);
    }

    #[test]
    fn a_value_never_adds_a_segment_a_query_or_a_line(value in proptest::prelude::any::<String>()) {
        if let Some(text) = url("/a/${params.id}/b?c=${params.id}", "params.id", &value) {
            let (path, query) = text.split_once('?').unwrap();
            proptest::prop_assert_eq!(path.split('/').count(), 4);
            proptest::prop_assert!(!query.contains(['&', '#', '?']));
            proptest::prop_assert!(text.parse::<http::Uri>().is_ok());
        }
    }
}

#[test]
fn the_page_names_every_reference_with_an_example_and_where_it_is_known() {
    use super::phase::NAMES;
    use super::scan::{CONSUMER_FIELDS, REQUEST_FIELDS, RESPONSE_FIELDS};
    use crate::page::{codes, rows};

    let rows = rows("References");
    let mut named = Vec::new();
    for row in rows.iter().filter(|row| row.len() == 3) {
        named.extend(codes(&row[0]));
        for example in codes(&row[2]) {
            let template = format!("${{{example}}}");
            let compiles =
                Template::<WithCalls>::parse(&template).is_ok() || Template::<AtResponse>::parse(&template).is_ok();
            assert!(compiles, "{example} is no reference");
            let begins = |name: &str| {
                example.starts_with(name.trim_end_matches("NAME").trim_end_matches("PATH").trim_end_matches('.'))
            };
            assert!(codes(&row[0]).any(begins), "{example} is no example of {}", row[0]);
        }
        assert_eq!(codes(&row[2]).count(), 1, "one example of {}", row[0]);
    }
    let with_name = ["headers", "query", "cookies"];
    let fields =
        [("request", &REQUEST_FIELDS[..]), ("consumer", &CONSUMER_FIELDS[..]), ("response", &RESPONSE_FIELDS[..])];
    for (root, fields) in fields {
        for field in fields {
            let name =
                if with_name.contains(field) { format!("{root}.{field}.NAME") } else { format!("{root}.{field}") };
            assert!(named.contains(&name.as_str()), "{name} is not on the page");
        }
    }
    for (root, _) in NAMES {
        assert!(named.iter().any(|name| name.starts_with(&format!("{root}."))), "{root} is not on the page");
    }
    // The table of moments, whose columns are the roots in their order.
    let moments = rows.iter().filter(|row| row.len() == NAMES.len() + 1);
    let told: Vec<(String, Vec<bool>)> = moments
        .map(|row| (codes(&row[0]).next().unwrap().to_owned(), row[1..].iter().map(|cell| cell == "✓").collect()))
        .collect();
    let known = |word: &str, roots: Roots| (word.to_owned(), NAMES.map(|(_, root)| roots.contains(root)).to_vec());
    assert_eq!(
        told,
        [
            known(AtMatch::WORD, AtMatch::ROOTS),
            known(AtRequest::WORD, AtRequest::ROOTS),
            known(AtResponse::WORD, AtResponse::ROOTS),
            known(WithCalls::WORD, WithCalls::ROOTS),
        ]
    );
}
