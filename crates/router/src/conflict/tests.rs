//! Tests of what is refused, by example, and of the messages.

use crate::{
    Conflict, Router, Rule, RuleId, ValueMatch, ValueRegex,
    router::tests::{exact, rule, with_header},
};

fn conflicts(rules: Vec<Rule>) -> Vec<String> {
    match Router::compile(rules) {
        Ok(_) => Vec::new(),
        Err(conflicts) => conflicts.iter().map(ToString::to_string).collect(),
    }
}

fn of(texts: &[&str]) -> Vec<String> {
    conflicts(texts.iter().map(|text| rule(text)).collect())
}

#[test]
fn equal_rules_tie() {
    assert_eq!(
        of(&["GET api.example.com /users/{id}", "GET,POST api.example.com /users/{name}"]),
        ["#0 and #1 both take `GET http://api.example.com/users/1`, and none is more specific"]
    );
    assert_eq!(
        of(&["* *.example.com /1/**", "* *.example.com /1/{r**}"]),
        ["#0 and #1 both take `GET http://host1.example.com/1/2`, and none is more specific"]
    );
}

#[test]
fn rules_that_differ_in_method_host_or_path_do_not_tie() {
    assert_eq!(of(&["GET * /a", "POST * /a", "GET h /a", "GET * /a/"]), [""; 0]);
    assert_eq!(of(&["GET * /a", "HEAD * /a"]), [""; 0]);
}

#[test]
fn different_headers_tie_until_a_third_rule_takes_both() {
    let one = || with_header("* * /a", "x-one", exact("1"));
    let two = || with_header("* * /a", "x-two", ValueMatch::Present);
    assert_eq!(
        conflicts(vec![one(), two()]),
        ["#0 and #1 both take `GET http://host1/a (x-one: 1, x-two: 1)`, and none is more specific"]
    );
    let mut both = one();
    both.headers.extend(two().headers);
    assert_eq!(conflicts(vec![one(), two(), both]), [""; 0]);
}

#[test]
fn a_rule_behind_a_more_specific_one_is_unreachable() {
    assert_eq!(
        of(&["* * /users/*", "* * /users/{id}"]),
        ["#0 never matches: `GET http://host1/users/1` is always taken by #1"]
    );
    assert_eq!(
        of(&["* * /**", "* * /", "* * /{first}/**"]),
        ["#0 never matches: `GET http://host1/1` is always taken by #1, #2"]
    );
    assert_eq!(
        of(&["GET,POST * /a/*", "GET * /a/{x}", "POST * /a/{x}"]),
        ["#0 never matches: `GET http://host1/a/1` is always taken by #1, #2"]
    );
    let pair = vec![
        rule("* * /a"),
        with_header("* * /a", "x", ValueMatch::Present),
        with_header("* * /a", "x", ValueMatch::Absent),
    ];
    assert_eq!(conflicts(pair), ["#0 never matches: `GET http://host1/a` is always taken by #1, #2"]);
}

#[test]
fn a_rule_with_one_free_path_is_reachable() {
    assert_eq!(of(&["* * /users/* /people/*", "* * /users/{id}"]), [""; 0]);
}

#[test]
fn conditions_that_contradict_each_other_are_impossible() {
    let mut never = with_header("* * /a", "x", exact("1"));
    never.headers.extend(with_header("* * /a", "x", exact("2")).headers);
    assert_eq!(conflicts(vec![never]), ["#0 never matches: its conditions exclude each other"]);
}

#[test]
fn expressions_with_a_path_in_common_tie() {
    assert_eq!(
        of(&[r"* * regex:^/u/\d+$", "* * regex:/u/[0-4]+x?", "* * regex:/u/[a-z]+"]),
        ["#0 and #1 both take `GET http://host1/u/1`, and none is more specific"]
    );
    // What they have in common, `/u/.`, is no normal path.
    assert_eq!(of(&[r"* * regex:/u/(\.|a)", r"* * regex:/u/(\.|b)"]), [""; 0]);
}

#[test]
fn value_expressions_are_compared_too() {
    let regex = |text: &str| ValueMatch::Regex(ValueRegex::parse(text).unwrap());
    let of = |one, two| conflicts(vec![with_header("* * /a", "x", one), with_header("* * /a", "x", two)]);
    assert_eq!(of(regex("a+"), regex("b+")), [""; 0]);
    assert_eq!(of(regex("a+"), exact("b")), [""; 0]);
    assert_eq!(of(regex("ab.*"), ValueMatch::Prefix("b".to_owned())), [""; 0]);
    assert_eq!(
        of(regex("(a|b)c"), ValueMatch::Prefix("b".to_owned())),
        ["#0 and #1 both take `GET http://host1/a (x: bc)`, and none is more specific"]
    );
}

#[test]
fn expressions_too_large_to_compare_are_refused() {
    let large = |letter: char| format!(r"* * regex:/({letter}|.)*a.{{14}}{letter}");
    let conflicts = Router::compile(vec![rule(&large('x')), rule(&large('y'))]).unwrap_err();
    let expected = Conflict::Undecided { a: RuleId(0), b: RuleId(1) };
    assert_eq!(conflicts, [expected]);
}

#[test]
fn all_conflicts_come_at_once_in_the_order_of_the_rules() {
    let conflicts = of(&["* * /a", "* * /a", "* * /b/*", "* * /b/{x}", "* * /c", "* * /c", "* * /c"]);
    assert_eq!(conflicts.len(), 4, "{conflicts:?}");
    assert!(conflicts[0].starts_with("#0 and #1") && conflicts[1].starts_with("#2 never"));
    assert!(conflicts[2].starts_with("#4 and #5") && conflicts[3].starts_with("#4 and #6"));
}

#[test]
fn more_methods_than_bits_are_refused() {
    let methods: Vec<_> = (0..56).map(|n| format!("M{n}")).collect();
    let conflicts = of(&[&format!("{} * /a", methods.join(","))]);
    assert_eq!(conflicts, ["#0: `M55` is one method too many for all rules together"]);
}

#[test]
fn a_witness_reads_like_a_request() {
    let mut rules = vec![rule("* * /a"), rule("* * /a")];
    for rule in &mut rules {
        rule.query.push(("the q".to_owned(), exact("a b")));
        rule.query.push(("flag".to_owned(), ValueMatch::Prefix(String::new())));
        rule.cookies.push(("sid".to_owned(), exact("s")));
        rule.cookies.push(("tid".to_owned(), exact("t")));
    }
    assert_eq!(
        conflicts(rules),
        [
            "#0 and #1 both take `GET http://host1/a?the%20q=a%20b&flag=1 (cookie: sid=s; tid=t)`, and none is more specific"
        ]
    );
}

#[test]
fn a_tie_is_shown_where_neither_rule_has_a_more_specific_path() {
    assert_eq!(
        of(&["* * /**", "* * /** /{x}"]),
        ["#0 and #1 both take `GET http://host1/1/1`, and none is more specific"]
    );
}

#[test]
fn an_expression_that_others_always_take_is_unreachable() {
    assert_eq!(
        of(&["* * /users/me", "* * /users/you", "* * regex:^/users/(me|you)$"]),
        ["#2 never matches: `GET http://host1/users/me` is always taken by #0, #1"]
    );
    assert_eq!(
        of(&["* * /users/**", r"* * regex:^/(users)/\d+$"]),
        ["#1 never matches: `GET http://host1/users/1` is always taken by #0"]
    );
    assert_eq!(
        of(&["GET * /a/b", "POST * /a/b", "GET,POST * regex:^/a/b$"]),
        ["#2 never matches: `GET http://host1/a/b` is always taken by #0, #1"]
    );
    assert_eq!(
        of(&["* * regex:^/a/b/.*$", "* * regex:^/(a|a)/b/[0-9]$"]),
        ["#1 never matches: `GET http://host1/a/b/1` is always taken by #0"]
    );
    assert_eq!(of(&["* * regex:^/a//b$"]), ["#0 never matches: no path that a request can have fits its expression"]);
}

#[test]
fn an_expression_that_keeps_one_request_is_reachable() {
    assert_eq!(of(&["* * /users/me", "* * regex:^/users/(me|you)$"]), [""; 0]);
    assert_eq!(of(&["* * /users/{id}", r"* * regex:^/users/\d+$"]), [""; 0]);
    assert_eq!(of(&["GET * /a/b", "* * regex:^/a/b$"]), [""; 0]);
    assert_eq!(of(&["* h /a/b", "* * regex:^/a/b$"]), [""; 0]);
    assert_eq!(of(&["* * regex:^/a//b$ /c"]), [""; 0]);
    let only_some = with_header("* * /users/me", "x", ValueMatch::Present);
    assert_eq!(conflicts(vec![only_some, rule("* * regex:^/users/me$")]), [""; 0]);
}

/// Generous: a build without optimisation beside others on two cores. Pair by pair it takes minutes.
const SOON: std::time::Duration = std::time::Duration::from_mins(1);

#[test]
fn hundreds_of_expressions_are_compared_soon() {
    let kinds: [fn(usize) -> String; 4] = [
        |n| format!(r"* * regex:^/(items-{n}-|articles-{n}-)[0-9]+$"),
        |n| format!(r"* * regex:^/[a-z]+-[0-9]+/{n}$"),
        |n| format!(r"* * regex:^/.*/x{n}$"),
        |n| format!(r"* * regex:^/v[0-9]+-(r{n}|s{n})-[0-9]+$"),
    ];
    let begun = std::time::Instant::now();
    for kind in kinds {
        let rules: Vec<_> = (0..500).map(|n| rule(&kind(n))).collect();
        assert_eq!(conflicts(rules), [""; 0], "{}", kind(0));
    }
    assert!(begun.elapsed() < SOON, "{:?}", begun.elapsed());
}

#[test]
fn hundreds_of_expressions_that_nobody_can_compare_are_refused_soon() {
    let begun = std::time::Instant::now();
    let rules = (0..200).map(|n| rule(&format!(r"* * regex:/(x|.)*a.{{14}}{n}")));
    // The first ten end in digits of their own.
    assert_eq!(conflicts(rules.collect()).len(), 190);
    let same = (0..200).map(|n| rule(&format!("* * regex:/a{{1,{}}}", n + 1)));
    assert_eq!(conflicts(same.collect()).len(), 199);
    assert!(begun.elapsed() < SOON, "{:?}", begun.elapsed());
}

#[test]
fn thousands_of_rules_with_one_path_are_compared_soon() {
    let begun = std::time::Instant::now();
    let rules = (0..3_000).map(|n| with_header("* * /a", "x", ValueMatch::Prefix(format!("{n:05}"))));
    assert!(conflicts(rules.collect())[0].contains("too many to compare"));
    let rules = (0..10_000).map(|_| rule("* * /a"));
    assert_eq!(conflicts(rules.collect()).len(), 9_999);
    assert!(begun.elapsed() < SOON, "{:?}", begun.elapsed());
}
