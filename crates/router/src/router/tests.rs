//! Tests of what wins, by example; the properties are in `oracle` and `servers`.

use http::{HeaderMap, HeaderName, HeaderValue, Method};

use super::Router;
use crate::{Guard, Lookup, Outcome, Rule, RuleId, ValueMatch, ValueRegex};

mod oracle;
mod servers;

/// A rule from `GET,POST api.example.com /a /b`: methods and host may be `*`.
pub(crate) fn rule(text: &str) -> Rule {
    let mut words = text.split_whitespace();
    let list = |word: &str| -> Vec<String> { word.split(',').filter(|item| *item != "*").map(str::to_owned).collect() };
    let methods = list(words.next().unwrap());
    let hosts = list(words.next().unwrap());
    Rule {
        methods: methods.iter().map(|method| method.parse().unwrap()).collect(),
        hosts: hosts.iter().map(|host| host.parse().unwrap()).collect(),
        paths: words.map(|path| path.parse().unwrap()).collect(),
        ..Rule::default()
    }
}

pub(crate) fn with_header(text: &str, name: &'static str, wanted: ValueMatch) -> Rule {
    let mut rule = rule(text);
    rule.headers.push((HeaderName::from_static(name), wanted));
    rule
}

pub(crate) fn exact(value: &str) -> ValueMatch {
    ValueMatch::Exact(value.to_owned())
}

fn router(rules: Vec<Rule>) -> Router {
    Router::compile(rules).unwrap_or_else(|conflicts| panic!("{conflicts:?}"))
}

fn of(texts: &[&str]) -> Router {
    router(texts.iter().map(|text| rule(text)).collect())
}

/// What `GET host/path?query` with `name: value` lines gets: `0` and so on, `404`, or the `Allow` value.
fn ask(router: &Router, request: &str, lines: &[(&'static str, &str)]) -> String {
    let (method, target) = request.split_once(' ').unwrap();
    let (host, path) = target.split_at(target.find('/').unwrap());
    let (path, query) = path.split_once('?').unwrap_or((path, ""));
    let mut headers = HeaderMap::new();
    for (name, value) in lines {
        headers.append(*name, HeaderValue::from_str(value).unwrap());
    }
    let request = Lookup { method: &method.parse().unwrap(), host, path, query, headers: &headers, facts: None };
    match router.find(&request) {
        Outcome::Found(found) => found.rule.0.to_string(),
        Outcome::MethodNotAllowed(allow) => allow.to_string(),
        Outcome::Ambiguous => "400".to_owned(),
        Outcome::NotFound => "404".to_owned(),
    }
}

fn get(router: &Router, target: &str) -> String {
    ask(router, &format!("GET {target}"), &[])
}

#[test]
fn an_empty_router_finds_nothing() {
    assert_eq!(get(&of(&[]), "a/"), "404");
    assert!(of(&[]).is_empty());
}

#[test]
fn the_more_specific_host_wins_before_the_path_is_looked_at() {
    let router = of(&["* * /a", "* *.example.com /**", "* *.api.example.com /**", "* v1.api.example.com /**"]);
    assert_eq!(get(&router, "other.org/a"), "0");
    assert_eq!(get(&router, "example.com/a"), "0");
    assert_eq!(get(&router, "www.example.com/a"), "1");
    assert_eq!(get(&router, "a.b.example.com/a"), "1");
    assert_eq!(get(&router, "api.example.com/a"), "1");
    assert_eq!(get(&router, "v2.api.example.com/a"), "2");
    assert_eq!(get(&router, "v1.api.example.com/a"), "3");
    assert_eq!(get(&router, "V1.API.Example.COM./a"), "3");
    assert_eq!(get(&router, "/a"), "0");
    assert_eq!(get(&router, ".example.com/a"), "0");
}

#[test]
fn the_more_specific_path_wins_segment_by_segment() {
    let router = of(&[
        "* * /**",
        "* * /users/**",
        "* * /users/*",
        "* * /users/{id}/x",
        r"* * regex:^/users/(?<id>\d+)$",
        "* * /users/me",
        "* * /users/",
        "* * /users",
        "* * /users/*/y",
    ]);
    for (path, rule) in [
        ("/users/me", "5"),
        ("/users/7", "4"),
        ("/users/ada", "2"),
        ("/users/ada/x", "3"),
        ("/users/ada/y", "8"),
        ("/users/ada/z", "1"),
        ("/users/", "6"),
        ("/users", "7"),
        ("/user", "0"),
        ("/", "0"),
    ] {
        assert_eq!(get(&router, &format!("h{path}")), rule, "{path}");
    }
}

#[test]
fn a_rule_that_does_not_hold_is_passed_over_for_a_less_specific_one() {
    let router = of(&["POST a.org /x/y", "GET a.org /x/{z}", "DELETE *.org /**", "* * /x/**"]);
    assert_eq!(ask(&router, "POST a.org/x/y", &[]), "0");
    assert_eq!(ask(&router, "GET a.org/x/y", &[]), "1");
    assert_eq!(ask(&router, "DELETE a.org/x/y", &[]), "2");
    assert_eq!(ask(&router, "PUT a.org/x/y", &[]), "3");
}

#[test]
fn only_a_wrong_method_is_a_405() {
    let mut rules = vec![rule("GET,PURGE * /a"), rule("POST * /a"), rule("DELETE h /{x}")];
    rules.push(with_header("PUT * /a", "x", ValueMatch::Present));
    let router = router(rules);
    assert_eq!(ask(&router, "PATCH h/a", &[]), "GET, HEAD, POST, PUT, DELETE, PURGE");
    assert_eq!(ask(&router, "PATCH other/a", &[]), "GET, HEAD, POST, PUT, PURGE");
    assert_eq!(ask(&router, "NEVER-SEEN other/a", &[]), "GET, HEAD, POST, PUT, PURGE");
    assert_eq!(ask(&router, "PUT other/a", &[]), "404");
    assert_eq!(ask(&router, "PUT other/a", &[("x", "")]), "3");
    assert_eq!(ask(&router, "PURGE other/a", &[]), "0");
    assert_eq!(ask(&router, "PATCH other/b", &[]), "404");
}

#[test]
fn a_405_asks_expressions_whether_the_path_fits() {
    let router = of(&[r"GET * regex:/x/\d+", r"PUT * regex:/x/[a-z]+"]);
    assert_eq!(ask(&router, "POST h/x/1", &[]), "GET, HEAD");
    assert_eq!(ask(&router, "POST h/x/a", &[]), "PUT");
    assert_eq!(ask(&router, "POST h/x/-", &[]), "404");
}

#[test]
fn get_takes_head_unless_a_rule_names_head() {
    let router = router(vec![
        rule("GET * /a"),
        rule("GET * /b"),
        with_header("HEAD * /b", "x", ValueMatch::Present),
        with_header("* * /b", "x", ValueMatch::Present),
        rule("* * /b"),
    ]);
    assert_eq!(ask(&router, "HEAD h/a", &[]), "0");
    assert_eq!(ask(&router, "HEAD h/b", &[]), "1");
    assert_eq!(ask(&router, "HEAD h/b", &[("x", "")]), "2");
    assert_eq!(ask(&router, "PUT h/b", &[("x", "")]), "3");
    assert_eq!(ask(&router, "PUT h/b", &[]), "4");
}

#[test]
fn more_conditions_win_over_fewer() {
    let mut both = with_header("* * /a", "x-beta", exact("1"));
    both.query.push(("debug".to_owned(), ValueMatch::Present));
    let router = router(vec![
        rule("* * /a"),
        with_header("* * /a", "x-beta", exact("1")),
        both,
        with_header("* * /a", "x-beta", exact("2")),
    ]);
    assert_eq!(get(&router, "h/a"), "0");
    assert_eq!(ask(&router, "GET h/a", &[("x-beta", "1")]), "1");
    assert_eq!(ask(&router, "GET h/a?debug", &[("x-beta", "1")]), "2");
    assert_eq!(ask(&router, "GET h/a?debug", &[("x-beta", "2")]), "3");
    assert_eq!(ask(&router, "GET h/a", &[("x-beta", "3")]), "0");
    assert_eq!(ask(&router, "GET h/a", &[("x-beta", "2"), ("x-beta", "1")]), "3");
}

#[derive(Debug)]
struct FactIs(u32);

impl Guard for FactIs {
    fn admits(&self, request: &Lookup<'_>) -> bool {
        request.facts.and_then(|facts| facts.downcast_ref()) == Some(&self.0)
    }

    fn excludes(&self, other: &dyn Guard) -> bool {
        let other: Option<&Self> = (other as &dyn std::any::Any).downcast_ref();
        other.is_some_and(|other| other.0 != self.0)
    }
}

#[test]
fn guards_see_the_facts_and_win_over_their_absence() {
    let guarded = |fact| Rule { guard: Some(Box::new(FactIs(fact))), ..rule("* * /a") };
    let router = router(vec![rule("* * /a"), guarded(1), guarded(2)]);
    let find = |fact: u32| {
        let request = Lookup {
            method: &Method::GET,
            host: "h",
            path: "/a",
            query: "",
            headers: &HeaderMap::new(),
            facts: Some(&fact),
        };
        match router.find(&request) {
            Outcome::Found(found) => found.rule,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!([find(0), find(1), find(2)], [RuleId(0), RuleId(1), RuleId(2)]);
    let tie = Router::compile(vec![guarded(1), guarded(1)]);
    assert_eq!(tie.unwrap_err().len(), 1);
}

#[test]
fn expressions_may_stand_beside_each_other_if_they_have_nothing_in_common() {
    let router = of(&[r"* * regex:/u/(?<id>\d+)", r"* * regex:/u/(?<name>[a-z]+)", "* * /u/{other}"]);
    assert_eq!(get(&router, "h/u/17"), "0");
    assert_eq!(get(&router, "h/u/ada"), "1");
    assert_eq!(get(&router, "h/u/A"), "2");
}

#[test]
fn a_value_expression_covers_the_whole_value() {
    let digits = ValueMatch::Regex(ValueRegex::parse(r"v\d+").unwrap());
    let router = router(vec![with_header("* * /**", "x", digits)]);
    assert_eq!(ask(&router, "GET h/", &[("x", "v12")]), "0");
    assert_eq!(ask(&router, "GET h/", &[("x", "v12 ")]), "404");
}

#[test]
fn found_tells_the_path_and_its_parameters() {
    let router = of(&["* * /{version}/users/** /users/{id}"]);
    let request = Lookup {
        method: &Method::GET,
        host: "h",
        path: "/users/7",
        query: "",
        headers: &HeaderMap::new(),
        facts: None,
    };
    let Outcome::Found(found) = router.find(&request) else { panic!("not found") };
    assert_eq!((found.rule, found.path_index), (RuleId(0), 1));
    assert_eq!(found.pattern.as_str(), "/users/{id}");
    assert_eq!(found.params.get("id", request.path), Some("7"));
}

#[test]
fn methods_that_fall_to_a_rule_for_any_method_are_told() {
    let told = |texts: &[&str]| -> Vec<String> {
        let all = of(texts).elsewhere(&|_| true);
        assert!(all.untold.is_empty(), "{all:?}");
        all.found.iter().map(|one| format!("{} {} {} {}", one.rule.0, one.method, one.path, one.taken_by.0)).collect()
    };
    assert_eq!(
        told(&["GET,POST * /admin/{x}", "* * /**"]),
        ["0 PUT /admin/1 1", "0 PATCH /admin/1 1", "0 DELETE /admin/1 1"],
        "HEAD goes with GET"
    );
    assert_eq!(told(&["GET,PUT,POST,PATCH,DELETE * /a", "* * /**"]), [""; 0]);
    assert_eq!(told(&["GET * /a", "POST * /**", "PUT,PATCH,DELETE * /a"]), [""; 0], "who names a method means it");
    assert_eq!(told(&["GET * /a", "* other.io /**"]), [""; 0]);
    // The tail names its methods, but `/b` is more specific and names none.
    assert_eq!(
        told(&["DELETE a.io,b.io /a /b", "GET,HEAD,POST,PUT * /**", "* * /b"]),
        ["GET", "HEAD", "POST", "PUT", "PATCH"].map(|method| format!("0 {method} /b 2"))
    );
    assert_eq!(
        told(&["GET,POST,PUT * regex:^/v[0-9]+/admin$", "* * /**"]),
        ["PATCH", "DELETE"].map(|method| format!("0 {method} /v1/admin 1"))
    );
    // Some of its paths are taken by others who mean it, and not all.
    assert_eq!(
        told(&["GET,HEAD,POST,PUT,PATCH * regex:^/v[0-9]$", "DELETE * /v1", "DELETE * /v0", "* * /v2", "* * /x"]),
        ["0 DELETE /v2 3"]
    );
    assert_eq!(told(&["GET * regex:^/v[0-9]$", "POST,PUT,PATCH,DELETE * /{x}"]), [""; 0]);
}

#[test]
fn expressions_of_which_it_cannot_be_told_where_their_methods_go_are_named() {
    let router = of(&["GET * /a", r"GET * regex:^/(?:[a-z0-9]*[a-m0-4])[a-z0-9]{24}x$", "* * /**"]);
    let all = router.elsewhere(&|_| true);
    assert_eq!((all.found.first().map(|one| one.rule), all.untold), (Some(RuleId(0)), vec![RuleId(1)]));
    assert_eq!(router.elsewhere(&|rule| rule == RuleId(2)), crate::OpenMethods::default());
}

#[test]
fn priority_breaks_ties_and_nothing_else() {
    let with = |text: &str, priority: i64| Rule { priority, ..rule(text) };
    // Conditions that no point of specificity tells apart.
    let header = |name, priority| Rule { priority, ..with_header("GET * /a", name, ValueMatch::Present) };
    let both: &[(&str, &str)] = &[("x-a", "1"), ("x-b", "1")];
    let tie = Router::compile(vec![header("x-a", 0), header("x-b", 0)]).unwrap_err();
    assert!(matches!(tie.as_slice(), [crate::Conflict::Tie { .. }]), "{tie:?}");
    assert!(Router::compile(vec![header("x-a", 7), header("x-b", 7)]).is_err(), "equal ones stay a tie");
    for (priorities, expected) in [([0, 1], "1"), ([1, 0], "0"), ([-5, -4], "1"), ([i64::MAX, i64::MIN], "0")] {
        let router = router(vec![header("x-a", priorities[0]), header("x-b", priorities[1])]);
        assert_eq!(ask(&router, "GET h/a", both), expected, "{priorities:?}");
        assert_eq!(ask(&router, "GET h/a", &both[..1]), "0", "the other one is asked where the first does not hold");
        assert_eq!(ask(&router, "GET h/a", &both[1..]), "1");
    }
    // Expressions tie only by what both take.
    let expressions = router(vec![with(r"* * regex:^/x/\w+$", 0), with(r"* * regex:^/x/\d+$", 1)]);
    assert_eq!((get(&expressions, "h/x/1"), get(&expressions, "h/x/a")), ("1".to_owned(), "0".to_owned()));
    // Host, path, method, number of conditions and guard come before it.
    for (low, high, request) in [
        ("* h /{x}", "* * /a", "GET h/a"),
        ("* * /a", "* * /{x}", "GET h/a"),
        ("GET * /a", "* * /a", "GET h/a"),
        ("HEAD * /a", "GET * /a", "HEAD h/a"),
    ] {
        assert_eq!(ask(&router(vec![with(low, -9), with(high, 9)]), request, &[]), "0", "{low} beside {high}");
    }
    let conditioned = router(vec![header("x-a", -9), with("GET * /a", 9)]);
    assert_eq!(ask(&conditioned, "GET h/a", both), "0");
    // Who takes everything that another one takes leaves it nothing.
    let shadowed = Router::compile(vec![with("* * /a", 0), with("* * /a", 1)]).unwrap_err();
    assert!(matches!(shadowed.as_slice(), [crate::Conflict::Unreachable { rule: RuleId(0), .. }]), "{shadowed:?}");
}

#[test]
fn an_explanation_names_the_near_misses_in_their_order() {
    let mut conditional = with_header("GET * /a", "x-beta", exact("1"));
    conditional.query.push(("q".to_owned(), ValueMatch::Absent));
    let guarded = Rule { guard: Some(Box::new(FactIs(1))), ..rule("GET * /a") };
    let router = router(vec![rule("* * /**"), rule("POST h /a"), conditional, guarded, rule("GET * /a")]);
    let explain = |path: &str, value: &str| {
        let mut headers = HeaderMap::new();
        headers.insert("x-beta", HeaderValue::from_str(value).unwrap());
        let request = Lookup { method: &Method::GET, host: "h", path, query: "q=1", headers: &headers, facts: None };
        let considered = router.consider(&request);
        considered.iter().map(|considered| format!("{} {:?}", considered.rule.0, considered.miss)).collect::<Vec<_>>()
    };
    let rest = ["3 Some(Guard)", "4 None", "0 None"];
    let of = |second: &'static str| [&["1 Some(Method)", second], &rest[..]].concat();
    assert_eq!(explain("/a", "2"), of("2 Some(Header(\"x-beta\"))"));
    assert_eq!(explain("/a", "1"), of("2 Some(Query(\"q\"))"));
    assert_eq!(explain("/b", "1"), ["0 None"]);
}
