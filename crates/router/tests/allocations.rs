//! A lookup allocates nothing. In a test of its own, because it brings its own allocator.
#![expect(clippy::unwrap_used, reason = "a test may stop at what cannot be")]

use http::{HeaderMap, HeaderValue, Method};
use portreeve_router::{Lookup, Outcome, Router, Rule, ValueMatch, path};

fn rule(method: Method, host: &str, path: &str) -> Rule {
    Rule {
        hosts: vec![host.parse().unwrap()],
        paths: vec![path.parse().unwrap()],
        methods: vec![method],
        ..Rule::default()
    }
}

fn router() -> Router {
    let mut rules: Vec<_> = (0..500)
        .map(|n| rule(Method::GET, "api.example.com", &format!("/v1/resource{n}/{{id}}/items/{{item}}")))
        .collect();
    rules.push(rule(Method::POST, "*.example.com", "/v1/{a}/{rest**}"));
    rules.push(rule(Method::GET, "*.example.com", r"regex:^/orders/(?<id>\d+)(\.(?<format>[a-z]+))?$"));
    let mut conditional = rule(Method::GET, "*.example.com", "/**");
    conditional.headers.push((http::header::ACCEPT, ValueMatch::Prefix("text/".to_owned())));
    conditional.query.push(("q".to_owned(), ValueMatch::Exact("a b".to_owned())));
    conditional.cookies.push(("sid".to_owned(), ValueMatch::OneOf(vec!["1".to_owned(), "2".to_owned()])));
    rules.push(conditional);
    Router::compile(rules).unwrap()
}

/// What the lookup came to, how often it allocated, and its parameters put together.
fn find(router: &Router, method: &Method, host: &str, raw: &str, headers: &HeaderMap) -> (String, u64) {
    let mut shown = String::with_capacity(256);
    let look = |shown: &mut String| {
        let (raw, query) = raw.split_once('?').unwrap_or((raw, ""));
        let normal = path::normalise(raw).unwrap();
        let request = Lookup { method, host, path: &normal.path, query, headers, facts: None };
        match router.find(&request) {
            Outcome::Found(found) => {
                for (name, text) in found.params.iter(&normal.path) {
                    for part in [name, "=", text, ";"] {
                        shown.push_str(part);
                    }
                }
            }
            Outcome::MethodNotAllowed(allow) => allow.iter().for_each(|method| shown.push_str(method.as_str())),
            Outcome::NotFound | Outcome::Ambiguous => shown.push_str("404"),
        }
    };
    // The first run of an expression in a thread makes its scratch space.
    look(&mut shown);
    shown.clear();
    let allocations = allocation_counter::measure(|| look(&mut shown));
    (shown, allocations.count_total)
}

#[test]
fn a_lookup_allocates_nothing() {
    let router = router();
    let mut headers = HeaderMap::new();
    headers.insert(http::header::ACCEPT, HeaderValue::from_static("text/html"));
    headers.insert(http::header::COOKIE, HeaderValue::from_static("a=b; sid=2"));
    for (method, host, target, expected) in [
        (Method::GET, "api.example.com", "/v1/resource77/x/items/%20y", "id=x;item=%20y;"),
        (Method::GET, "API.Example.Com.", "/v1/resource499/x/items/y", "id=x;item=y;"),
        (Method::HEAD, "api.example.com", "/v1/resource77/x/items/y", "id=x;item=y;"),
        (Method::POST, "a.b.example.com", "/v1/x/y/z", "a=x;rest=y/z;"),
        (Method::GET, "www.example.com", "/orders/17.json", "id=17;format=json;"),
        (Method::GET, "www.example.com", "/else?x=y&q=a%20b", "rest=else;"),
        (Method::DELETE, "api.example.com", "/orders/1", "GETHEAD"),
        (Method::GET, "nobody.org", "/v1/x", "404"),
    ] {
        assert_eq!(find(&router, &method, host, target, &headers), (expected.to_owned(), 0), "{method} {host}{target}");
    }
}
