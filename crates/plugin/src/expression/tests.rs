//! What expressions mean, and what is said of those that mean nothing.

use std::cell::Cell;

use serde_json::{Value, json};

use super::*;
use crate::template::{AtMatch, AtResponse, Datum};

/// A paid caller's `GET /v2/users`, with a few claims of every type.
struct Caller {
    claims: Value,
    groups: Vec<String>,
    asked: Cell<usize>,
}

impl Caller {
    fn new() -> Self {
        Self {
            claims: json!({
                "plan": "paid", "level": 5, "exact": 5.0, "half": 5.5, "big": u64::MAX, "yes": true, "no": false,
                "null": null, "five": "5", "text_true": "true", "roles": ["admin", 7], "nested": { "a": [1, 2] }, "empty": ""
            }),
            groups: vec!["staff".into(), "beta".into()],
            asked: Cell::new(0),
        }
    }
}

impl Scope for Caller {
    fn resolve<'s>(&'s self, reference: &Reference) -> Option<Datum<'s>> {
        self.asked.set(self.asked.get() + 1);
        match reference {
            Reference::Method => Some(Datum::text("GET")),
            Reference::Path => Some(Datum::text("/v2/users")),
            Reference::Header(name) if name == "x-beta" => Some(Datum::text("1")),
            Reference::Claim(path) => path.find(&self.claims).map(Datum::Json),
            Reference::ConsumerGroups => Some(Datum::List(&self.groups)),
            Reference::ResponseStatus => Some(Datum::Integer(503)),
            _ => None,
        }
    }
}

#[track_caller]
fn holds(source: &str) -> bool {
    Expression::<AtResponse>::parse(source).unwrap_or_else(|error| panic!("{source}: {error}")).eval(&Caller::new())
}

fn error(source: &str) -> String {
    Expression::<AtRequest>::parse(source).unwrap_err().to_string()
}

#[test]
fn conditions_that_hold() {
    for source in [
        "true",
        "!false",
        "claims.plan == \"paid\"",
        "'paid' == claims.plan",
        "claims.plan != 'free'",
        "claims.level == 5",
        "claims.exact == 5",
        "claims.exact == claims.level",
        "claims.half > 5 and claims.half < 6",
        "claims.level >= 5 && claims.level <= 5",
        "claims.big > 9223372036854775807",
        "-1 < claims.level",
        "claims.plan > 'pa'",
        "request.method in ['GET', 'HEAD',]",
        "claims.level in [1, 5]",
        "'staff' in consumer.groups",
        "consumer.groups contains 'beta'",
        "consumer.groups == ['staff', 'beta']",
        "'admin' in claims.roles && 7 in claims.roles",
        "claims.nested.a == [1, 2]",
        "claims.nested == claims.nested",
        "claims.yes",
        "not claims.no",
        "claims.yes == true",
        "request.path starts_with '/v2'",
        "request.path ends_with \"users\"",
        "request.path contains '2/u'",
        "request.path matches '^/v\\d+/'",
        "has(request.headers.x-beta)",
        "has(claims.empty) && has(claims.no)",
        "request.headers.x-beta == '1'",
        "response.status >= 500",
        "false || true && true",
        "(false || true) and not (true and false)",
        "!claims.plan == 'free'",
        "request.method == \"GET\" && (claims.plan == 'it''s' || claims['plan'] == 'paid')",
    ] {
        assert!(holds(source), "{source}");
    }
}

#[test]
fn conditions_that_do_not_hold() {
    for source in [
        "claims.five == 5",
        "claims.text_true",
        "claims.plan",
        "claims.level",
        "claims.half == 5",
        "claims.plan < 5",
        "'admin' in claims.plan",
        "claims.nested contains 'a'",
        "claims.roles == ['admin']",
        "claims.level contains '5'",
        "claims.level matches '5'",
        "request.path matches '^/v\\d+$'",
        "true && false || false",
    ] {
        assert!(!holds(source), "{source}");
    }
}

#[test]
fn a_missing_value_is_null_and_equals_nothing_else() {
    for missing in ["claims.null", "claims.missing", "claims.plan.deeper"] {
        for source in [
            "{} == null",
            "{} != 'x'",
            "{} in [1, null]",
            "not has({})",
            "{} == claims.other",
            "not {}",
            "not ({} < 1) and not ({} >= 1) and not ({} <= claims.null)",
            "!({} == '' || {} == 0 || {} == false || {} == [])",
            "!({} contains '' || {} starts_with '' || {} ends_with '' || {} matches '' || {} in [''])",
        ] {
            let source = source.replace("{}", missing);
            assert!(holds(&source), "{source}");
        }
    }
}

#[test]
fn whole_numbers_and_fractions_compare_without_rounding() {
    let scope = |value: Value| Caller { claims: json!({ "n": value }), ..Caller::new() };
    let holds = |source: &str, value: Value| Expression::<AtRequest>::parse(source).unwrap().eval(&scope(value));
    assert!(holds("claims.n < 9007199254740993", json!(9_007_199_254_740_992.0)));
    assert!(!holds("claims.n == 9007199254740993", json!(9_007_199_254_740_992.0)));
    assert!(holds("claims.n < -1", json!(-1.5)));
    assert!(holds("claims.n > -2", json!(-1.5)));
    assert!(holds("claims.n > 9223372036854775807", json!(1e300)));
    assert!(holds("claims.n == 0", json!(-0.0)));
}

#[test]
fn what_is_decided_is_not_asked_further() {
    for (source, asked) in [
        ("claims.no && claims.yes", 1),
        ("claims.yes || claims.no", 1),
        ("claims.yes && claims.no || claims.yes", 3),
        ("true || claims.yes", 0),
    ] {
        let scope = Caller::new();
        Expression::<AtRequest>::parse(source).unwrap().eval(&scope);
        assert_eq!(scope.asked.get(), asked, "{source}");
    }
}

#[test]
fn errors_say_where_and_what_was_probably_meant() {
    for (source, expected) in [
        ("", "at character 1: the expression ends where a value is due"),
        ("claims.plan = 'x'", "at character 13: `=` is no comparison; did you mean `==`?"),
        ("claim.plan == 'x'", "at character 1: there is no `claim`; did you mean `claims`?"),
        ("claims.plan == paid", "at character 16: unknown word `paid`; text is written 'paid'"),
        ("request.path startswith '/a'", "at character 14: unknown word `startswith`; did you mean `starts_with`?"),
        (
            "${claims.plan} == 'x'",
            "at character 1: references stand without `${…}` in an expression, such as `claims.plan`",
        ),
        ("request.method == 5", "at character 16: text never equals a number"),
        ("request.method in ['GET', 5]", "at character 16: text never equals a number"),
        ("'x' in request.path", "at character 5: the right of `in` is text, not a list"),
        ("claims.a < true", "at character 10: `<` compares numbers or text, not true or false"),
        ("'a' && true", "at character 1: text on its own is neither true nor false"),
        (
            "request.headers.x-beta",
            "at character 1: `request.headers.x-beta` is text, neither true nor false; compare it, or write `has(request.headers.x-beta)`",
        ),
        ("claims.a == 1.5", "at character 13: `1.5` is not a whole number of at most 64 bits"),
        (
            "claims.a == 99999999999999999999",
            "at character 13: `99999999999999999999` is not a whole number of at most 64 bits",
        ),
        ("(claims.a", "at character 10: expected `)`, `&&` or `||`"),
        ("(claims.a) == true", "at character 12: a condition cannot be compared; join conditions with `&&` or `||`"),
        ("claims.a == (1)", "at character 13: parentheses hold conditions; a value stands without"),
        ("claims.a claims.b", "at character 10: expected `&&`, `||` or the end"),
        ("exists(claims.plan)", "at character 1: unknown word `exists`; did you mean `has(claims.plan)`?"),
        ("request.ip == '::1'", "at character 9: `request` has no `ip`; did you mean `client_ip`?"),
        ("claims.a & claims.b", "at character 10: did you mean `&&`?"),
        ("claims.a == 'x", "at character 13: this quote is never closed"),
        ("claims.a in [[1]]", "at character 14: a list holds text, numbers, true, false and null"),
        ("has('x')", "at character 5: expected a reference, as in `has(claims.plan)`"),
        (
            "claims.a matches claims.b",
            "at character 18: expected a regular expression in quotes: it is compiled when the file is loaded",
        ),
        ("claims.a matches '('", "at character 18: not a regular expression: unclosed group"),
        ("response.status == 1", "at character 1: `response` is not known yet when the request is handled"),
        (
            "env.PORTREEVE_NOT_SET == 'x'",
            "at character 1: the environment variable `PORTREEVE_NOT_SET` is not set, or empty",
        ),
    ] {
        assert_eq!(error(source), expected, "{source}");
    }
    let error = Expression::<AtMatch>::parse("é claims.a").unwrap_err();
    assert_eq!((error.offset(), error.character()), (0, 1));
    let error = Expression::<AtMatch>::parse("claims.a").unwrap_err();
    assert_eq!(error.message(), "`claims` is not known yet when the route is chosen");
}

#[test]
fn length_depth_and_patterns_are_bounded() {
    assert!(error(&format!("{}true{}", "(".repeat(33), ")".repeat(33))).contains("nested deeper than 32"));
    assert!(error(&format!("{}true", "!".repeat(1000))).contains("nested deeper than 32"));
    assert!(error(&"true && ".repeat(1000)).contains("longer than 4096 bytes"));
    assert!(error("claims.a matches '(\\w{900}){900}'").contains("not a regular expression"));
    assert!(Expression::<AtRequest>::parse(&format!("{}true", "true && ".repeat(500))).is_ok());
}

#[test]
fn serde_takes_text_and_booleans_and_reports_the_position() {
    let parse = serde_json::from_value::<Expression>;
    assert_eq!(parse(json!(false)).unwrap().source(), "false");
    assert_eq!(parse(json!("claims.a")).unwrap().to_string(), "claims.a");
    assert!(parse(json!("claims.a ==")).unwrap_err().to_string().contains("at character 12"));
    assert!(parse(json!(5)).unwrap_err().to_string().contains("expected an expression"));
}

#[test]
fn references_are_told_in_order() {
    let expression: Expression =
        "has(claims.a) && !(claims.b == request.path || claims.c matches 'x')".parse().unwrap();
    let names: Vec<String> = expression.references().into_iter().map(ToString::to_string).collect();
    assert_eq!(names, ["claims.a", "claims.b", "request.path", "claims.c"]);
}

#[test]
fn roots_can_be_narrowed_within_a_phase() {
    let before_routing = Roots::REQUEST.union(Roots::CONSUMER);
    assert!(Expression::<AtRequest>::parse_within("request.path == '/'", before_routing).is_ok());
    assert!(Expression::<AtRequest>::parse_within("params.id == '7'", before_routing).is_err());
}

#[test]
fn the_page_names_every_word_and_sign_with_an_example() {
    use super::lexer::{SIGNS, WORDS};
    use crate::page::{codes, rows};
    use crate::template::{AtResponse, WithCalls};

    let rows = rows("Expressions");
    let named: Vec<&str> = rows.iter().flat_map(|row| codes(&row[0])).collect();
    let words = WORDS.iter().map(|(word, _)| *word).chain(SIGNS.iter().map(|(sign, _)| *sign));
    let missing: Vec<_> = words.filter(|word| !named.contains(word)).collect();
    assert!(missing.is_empty(), "not on the page: {missing:?}");
    for row in &rows {
        let example = codes(row.last().unwrap()).last().unwrap();
        let at_response = Expression::<AtResponse>::parse(example).map(|_| ());
        let compiles = at_response.is_ok() || Expression::<WithCalls>::parse(example).is_ok();
        assert!(compiles, "{example} is no expression: {at_response:?}");
    }
}
