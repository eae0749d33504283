//! No spelling gets around a rule: whatever a common server reads as a path that a rule protects is matched to that rule or
//! refused, however it was written.

use std::sync::LazyLock;

use http::{HeaderMap, Method};
use proptest::prelude::*;

use super::{ask, get, of};
use crate::{Lookup, Outcome, Router, path::normalise};

/// The rules in whose place no other may come, and one that takes all the rest.
const RULES: [&str; 7] = [
    "* * /admin/**",
    "* * /items/all:delete",
    "* * /@me/{x}",
    "* * /c++/*",
    "* * /a;b/x",
    r"* * regex:^/r/[a-z]+=\d(/.*)?$",
    "* * /**",
];

/// Which of them an author means who thinks of a decoded path: in plain comparisons, beside everything that is tested.
fn meant(path: &str) -> Option<usize> {
    let segments: Vec<&str> = path.strip_prefix('/')?.split('/').collect();
    Some(match segments.as_slice() {
        ["admin", ..] => 0,
        ["items", "all:delete"] => 1,
        ["@me", x] if !x.is_empty() => 2,
        ["c++", x] if !x.is_empty() => 3,
        ["a;b", "x"] => 4,
        ["r", pair, ..]
            if pair.split_once('=').is_some_and(|(name, value)| {
                let is_word = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_lowercase());
                is_word && value.len() == 1 && value.bytes().all(|byte| byte.is_ascii_digit())
            }) =>
        {
            5
        }
        _ => 6,
    })
}

fn decode(text: &str) -> String {
    let mut bytes = text.bytes();
    let mut decoded = Vec::new();
    while let Some(byte) = bytes.next() {
        if byte == b'%' {
            let digits = [bytes.next().unwrap(), bytes.next().unwrap()];
            decoded.push(u8::from_str_radix(std::str::from_utf8(&digits).unwrap(), 16).unwrap());
        } else {
            decoded.push(byte);
        }
    }
    String::from_utf8_lossy(&decoded).into_owned()
}

fn cut(path: &str) -> String {
    path.split('/').map(|segment| segment.split(';').next().unwrap_or("")).collect::<Vec<_>>().join("/")
}

/// `//` is one slash and dot segments are gone.
fn tidy(path: &str) -> String {
    let mut stack = Vec::new();
    for segment in path.split('/') {
        match segment {
            "" | "." => {}
            ".." => {
                stack.pop();
            }
            segment => stack.push(segment),
        }
    }
    let is_open = matches!(path.rsplit('/').next(), Some("" | "." | ".."));
    format!("/{}{}", stack.join("/"), if is_open && !stack.is_empty() { "/" } else { "" })
}

/// How servers read a path that they are sent.
fn readings(path: &str) -> [(&'static str, String); 5] {
    [
        ("as it is", path.to_owned()),
        ("decoded, as by Go and Node", decode(path)),
        ("decoded and tidied, as by nginx", tidy(&decode(path))),
        ("cut, decoded and tidied, as by Tomcat", tidy(&decode(&cut(path)))),
        ("decoded, then cut and tidied, as by older Jetty", tidy(&cut(&decode(path)))),
    ]
}

/// The rule, or nothing if the request is refused, and the path that goes on.
fn gateway(router: &Router, raw: &str) -> Option<(usize, String)> {
    let path = normalise(raw).ok()?.admitted_by(crate::PathPolicy::default()).ok()?;
    let headers = HeaderMap::new();
    let request = Lookup { method: &Method::GET, host: "x", path: &path, query: "", headers: &headers, facts: None };
    match router.find(&request) {
        Outcome::Found(found) => Some((found.rule.0, path.into_owned())),
        _ => None,
    }
}

/// Pieces of the protected paths in many spellings, and what separates, hides and disguises.
const PIECES: &str = concat!(
    r"(admin|%61dmin|adm%69n|items|all|:|%3[aA]|delete|@|%40|me|c|\+|%2[bB]|a|b|x|r|=|%3[dD]|1|",
    r";|%3[bB]|;b|;v=1|/|/|/|//|\.|\.\.|%2[eE]|%2[fF]|%5[cC]|\\|%25|3A|%00|%C3%A9|\*|%2A){1,9}"
);

proptest! {
    #![proptest_config(ProptestConfig::with_cases(20_000))]

    #[test]
    fn no_spelling_gets_around_a_rule(raw in PIECES) {
        static ROUTER: LazyLock<Router> = LazyLock::new(|| of(&RULES));
        let raw = format!("/{raw}");
        if let Some((rule, forwarded)) = gateway(&ROUTER, &raw) {
            for (server, read) in readings(&forwarded) {
                // Only the author of a pattern with a `;` knows of a server that reads it as it is.
                let meant = meant(&read);
                let is_protected = meant.is_some_and(|meant| meant != 6);
                prop_assert!(!is_protected || meant == Some(rule), "{raw} went on as {forwarded} by rule {rule}: {server} reads {read}");
            }
        }
    }
}

#[test]
fn the_spellings_that_went_around_are_matched_or_refused() {
    let router = of(&RULES);
    for (raw, expected) in [
        ("/items/all:delete", Some(1)),
        ("/items/all%3Adelete", Some(1)),
        ("/items/all%3adelete", Some(1)),
        ("/%40me/x", Some(2)),
        ("/c%2B%2b/x", Some(3)),
        ("/c+%2B/x", Some(3)),
        ("/admin;a/x", None),
        ("/admin%3Ba/x", None),
        ("/;a/admin", None),
        ("/admin/x;a", Some(0)),
        ("/admin/;", Some(0)),
        ("/r/a%3D1", Some(5)),
        ("/r/a=1/x", Some(5)),
        ("/public;a=b/c;d", Some(6)),
        ("/items/all%253Adelete", Some(6)),
    ] {
        assert_eq!(gateway(&router, raw).map(|(rule, _)| rule), expected, "{raw}");
    }
}

#[test]
fn a_pattern_with_a_semicolon_is_for_paths_with_one() {
    let router = of(&["* * /map;v=1/{x}", "* * /map/{x}/z"]);
    assert_eq!(get(&router, "h/map;v=1/a"), "0", "no rule takes /map/a");
    assert_eq!(get(&router, "h/map%3Bv%3D1/a"), "0");
    let beside = of(&["* * /map;v=1/{x}", "* * /map/{x}"]);
    assert_eq!(ask(&beside, "GET h/map;v=1/a", &[]), "400", "to a server that cuts, it is the other rule's");
    assert_eq!(get(&of(&["* * /{x}/b"]), "h/a/;c/b"), "404");
    assert_eq!(get(&of(&["* * /{x}/*/b"]), "h/a/;c/b"), "400", "to a server that cuts, it is nobody's");
}

#[test]
fn parameters_are_ranges_of_the_path_as_it_came() {
    let router = of(&["* * /{a}/x+y/{b}", r"* * regex:^/r/(?<a>[+]+)/(?<b>.*)$"]);
    let headers = HeaderMap::new();
    for path in ["/p%2Bq;r=1/x%2By/%20%3B", "/r/%2B+%2B/%2Bz%3B"] {
        let request = Lookup { method: &Method::GET, host: "", path, query: "", headers: &headers, facts: None };
        let Outcome::Found(found) = router.find(&request) else { panic!("{path} is not found") };
        let expected = if path.starts_with("/r") { ["%2B+%2B", "%2Bz%3B"] } else { ["p%2Bq;r=1", "%20%3B"] };
        assert_eq!(["a", "b"].map(|name| found.params.get(name, path).unwrap()), expected, "{path}");
    }
}
