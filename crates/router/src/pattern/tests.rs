//! Tests of the path language.

use super::{MAX_SEGMENTS, Pattern};
use crate::Params;

fn pattern(text: &str) -> Pattern {
    Pattern::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"))
}

fn params<'p>(pattern: &Pattern, path: &'p str) -> Vec<(String, &'p str)> {
    assert!(pattern.matches(path), "{pattern} does not match {path}");
    let params = Params::new(pattern, path);
    params.iter(path).map(|(name, text)| (name.to_owned(), text)).collect()
}

#[test]
fn each_form_matches_what_the_table_says() {
    for (text, matching, other) in [
        ("/", &["/"][..], &["/a", ""][..]),
        ("/a", &["/a"], &["/a/", "/", "/ab", "/a/b", "/A"]),
        ("/a/", &["/a/"], &["/a", "/a/b"]),
        ("/{x}", &["/a", "/a%2Fb"], &["/", "/a/", "/a/b"]),
        ("/*", &["/a"], &["/", "/a/", "/a/b"]),
        ("/a/{x}/c", &["/a/b/c"], &["/a//c", "/a/c", "/a/b/c/"]),
        ("/**", &["/", "/a", "/a/", "/a/b"], &["", "*"]),
        ("/users/**", &["/users", "/users/", "/users/7/x"], &["/user", "/users7", "/"]),
        ("/a/{rest**}", &["/a", "/a/", "/a/b/c"], &["/", "/b"]),
        ("regex:/x/\\d+", &["/x/1"], &["/x/", "/x/1/", "a/x/1", "/x/1a"]),
        ("regex:.*", &["/", "/a"], &["", "*"]),
        ("regex:^/a|/b$", &["/a", "/b"], &["/a/b", "/ab"]),
    ] {
        for path in matching {
            assert!(pattern(text).matches(path), "{text} should match {path:?}");
        }
        for path in other {
            assert!(!pattern(text).matches(path), "{text} should not match {path:?}");
        }
    }
}

#[test]
fn literals_are_spelt_like_request_paths() {
    assert!(pattern("/caf\u{e9}/{x}").matches("/caf%C3%A9/1"));
    assert!(pattern("/a b/%7euser").matches("/a%20b/~user"));
    assert!(pattern("/a%2fb").matches("/a%2Fb"));
    for literal in ["/a:b+c;d", "/a%3ab%2Bc%3bd"] {
        assert!(pattern(literal).matches("/a:b%2Bc%3Bd") && pattern(literal).matches("/a:b+c;d"), "{literal}");
    }
}

#[test]
fn parameters_are_ranges_of_the_path() {
    let owned = |expected: &[(&str, &'static str)]| -> Vec<(String, &'static str)> {
        expected.iter().map(|(name, text)| ((*name).to_owned(), *text)).collect()
    };
    let users = pattern("/{version}/users/{id}");
    assert_eq!(params(&users, "/v1/users/7"), owned(&[("version", "v1"), ("id", "7")]));
    let found = Params::new(&users, "/v1/users/7");
    assert_eq!(found.range(0), Some(1..3));
    assert_eq!(found.range(1), Some(10..11));
    assert_eq!(found.range(2), None);
    assert_eq!(found.get("nobody", "/v1/users/7"), None);
    let tail = pattern("/a/{x}/{rest**}");
    assert_eq!(params(&tail, "/a/b/c/d/"), owned(&[("x", "b"), ("rest", "c/d/")]));
    assert_eq!(params(&tail, "/a/b/"), owned(&[("x", "b"), ("rest", "")]));
    assert_eq!(params(&tail, "/a/b"), owned(&[("x", "b"), ("rest", "")]));
    let regex = pattern(r"regex:^/x/(?<id>\d+)(\.(?<format>\w+))?$");
    assert_eq!(params(&regex, "/x/17.json"), owned(&[("id", "17"), ("format", "json")]));
    assert_eq!(params(&regex, "/x/17"), owned(&[("id", "17"), ("format", "")]));
}

#[test]
fn sixteen_parameters_fit_and_seventeen_do_not() {
    let of = |count: usize| (0..count).map(|n| format!("/{{p{n}}}")).collect::<Vec<_>>().concat();
    assert_eq!(pattern(&of(16)).names().len(), 16);
    assert_eq!(Pattern::parse(&of(17)).unwrap_err().message(), "more than 16 parameters");
    let groups = |count: usize| format!("regex:/{}", "(a)".repeat(count));
    assert!(Pattern::parse(&groups(16)).is_ok());
    assert!(Pattern::parse(&groups(17)).is_err());
}

#[test]
fn errors_say_where_and_what() {
    let deep = "/a".repeat(MAX_SEGMENTS + 1);
    for (text, offset, message) in [
        ("", 0, "a path starts with `/`, or with `regex:`"),
        ("users", 0, "a path starts with `/`, or with `regex:`"),
        ("/a//b", 3, "an empty segment: request paths never hold `//`"),
        ("/**/a", 1, "`**` stands only at the end"),
        ("/{r**}/a", 1, "`**` stands only at the end"),
        ("/a*", 2, "a wildcard is a whole segment, `*` or `**`; write a literal star as `%2A`"),
        ("/a{x}", 2, "a parameter is a whole segment: nothing may stand before its `{`"),
        ("/{x}b", 4, "a parameter is a whole segment: nothing may follow its `}`"),
        ("/{x", 1, "`{` is never closed"),
        ("/a}", 2, "`}` without `{`; write a literal brace as `%7D`"),
        ("/{}", 2, "the parameter has no name; a segment that needs none is `*`"),
        ("/{a.b}", 3, "a parameter name is letters, digits, `_` and `-`, and starts with a letter or `_`"),
        ("/{x}/{x}", 5, "the parameter `x` is there twice"),
        ("/a/../b", 3, "`.` and `..` are removed from request paths: this never matches"),
        ("/a/./b", 3, "`.` and `..` are removed from request paths: this never matches"),
        ("/a?b=c", 2, "`?` and `#` are no part of a path; query parameters have a condition of their own"),
        ("/ab/100%", 7, "`%` needs two hexadecimal digits; write a literal percent sign as `%25`"),
        ("/a\u{1}", 2, "control characters are refused in request paths"),
        ("/a/..;x", 3, "request paths with this segment are refused"),
        ("regex:/a(b", 8, "unclosed group"),
        ("regex:^/a%20/%2b$", 13, "paths are matched with `%2b` decoded: write `\\+`"),
        (&deep, 129, "more than 64 segments"),
    ] {
        let error = Pattern::parse(text).unwrap_err();
        assert_eq!((error.offset(), error.message()), (offset, message), "{text}");
        assert!(error.offset() <= text.len());
    }
}

#[test]
fn an_expression_that_grows_too_large_is_refused() {
    let error = Pattern::parse(r"regex:/(\w{200}){200}").unwrap_err();
    assert!(error.message().starts_with("the expression is too large"), "{error}");
}
