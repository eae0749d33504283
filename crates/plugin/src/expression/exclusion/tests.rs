//! What is proved, what is not, and that symmetry holds.

use crate::template::AtRequest;

use super::super::Expression;

fn excludes(one: &str, two: &str) -> bool {
    let parse = |text| Expression::<AtRequest>::parse(text).unwrap();
    let (one, two) = (parse(one), parse(two));
    assert_eq!(one.excludes(&two), two.excludes(&one), "{one} / {two}");
    one.excludes(&two)
}

#[test]
fn what_the_language_excludes_is_proved() {
    for (one, two) in [
        ("request.headers.x == 'a'", "request.headers.x == 'b'"),
        ("request.headers.x == 'a'", "request.headers.x != 'a'"),
        ("'a' == request.headers.x", "not request.headers.x == 'a'"),
        ("has(request.headers.x)", "not has(request.headers.x)"),
        ("has(request.headers.x)", "request.headers.x == null"),
        ("request.headers.x == 'a'", "not has(request.headers.x)"),
        ("claims.beta", "not claims.beta"),
        ("claims.beta", "claims.beta == false"),
        ("request.method in ['GET', 'HEAD']", "request.method in ['PUT', 'POST']"),
        ("request.method in ['GET', 'HEAD']", "not (request.method in ['HEAD', 'GET', 'PUT'])"),
        ("claims.age < 18", "claims.age >= 18"),
        ("claims.age < 18", "18 < claims.age"),
        ("claims.age == 7", "claims.age > 7"),
        ("claims.age > 7", "claims.age > 'x'"),
        ("request.path matches '^/v1'", "not request.path matches '^/v1'"),
        ("request.host == 'a' && claims.beta", "request.host == 'b'"),
        ("request.host == 'a' || request.host == 'b'", "request.host == 'c' || request.host == 'd'"),
        ("not (request.host == 'a' || claims.beta)", "claims.beta"),
        ("false", "request.host == 'a'"),
    ] {
        assert!(excludes(one, two), "{one} / {two}");
    }
}

#[test]
fn what_a_request_may_fulfil_together_is_not() {
    for (one, two) in [
        ("request.headers.x == 'a'", "request.headers.y == 'b'"),
        ("request.headers.x != 'a'", "request.headers.x != 'b'"),
        ("request.headers.x contains 'a'", "request.headers.x contains 'b'"),
        ("request.method in ['GET', 'HEAD']", "request.method in ['HEAD']"),
        ("claims.age <= 18", "claims.age >= 18"),
        ("claims.age < 5", "claims.age > 4"),
        // Of a missing age neither order holds.
        ("not claims.age < 18", "not claims.age >= 18"),
        ("request.host == 'a' || claims.beta", "request.host == 'b'"),
        ("request.path matches '^/v1'", "request.path matches '^/v2'"),
        ("true", "request.host == 'a'"),
    ] {
        assert!(!excludes(one, two), "{one} / {two}");
    }
}

#[test]
fn very_many_alternatives_are_held_to_be_possible() {
    let many = |letter: char| {
        let one = |n: usize| format!("claims.x == '{letter}{n}'");
        (0..100).map(one).collect::<Vec<_>>().join(" || ")
    };
    assert!(!excludes(&many('a'), &many('b')));
}
