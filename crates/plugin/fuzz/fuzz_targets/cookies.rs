//! Any crumbs of cookies: joined or apart they must be read alike, and by plugins as by the router.
#![no_main]

use http::{HeaderMap, HeaderValue, Method, header};
use libfuzzer_sys::fuzz_target;
use portreeve_plugin::engine::cookie;
use portreeve_router::{Lookup, Outcome, Pattern, Router, Rule, ValueMatch};
use portreeve_wire::cookies::join;

/// Whether a route that wants this cookie takes a request with these headers.
fn routed(name: &str, wanted: ValueMatch, headers: &HeaderMap) -> bool {
    let paths = vec![Pattern::parse("/").expect("a path")];
    let rule = Rule { paths, cookies: vec![(name.to_owned(), wanted)], ..Rule::default() };
    let router = Router::compile(vec![rule]).expect("one rule has nobody to conflict with");
    let request = Lookup { method: &Method::GET, host: "", path: "/", query: "", headers, facts: None };
    matches!(router.find(&request), Outcome::Found(_))
}

fuzz_target!(|input: &[u8]| {
    let mut lines = input.split(|&byte| byte == b'\n');
    let Some(name) = lines.next().and_then(|name| str::from_utf8(name).ok()) else { return };
    // A name as a configuration may have it: a token (RFC 6265 §4.1.1).
    let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    if name.is_empty() || !name.bytes().all(is_token) {
        return;
    }
    let crumbs: Vec<HeaderValue> = lines.filter_map(|line| HeaderValue::from_bytes(line).ok()).collect();
    let joined = join(crumbs.iter().map(HeaderValue::as_bytes));
    let joined = HeaderValue::try_from(joined).expect("fit for a field, as its parts are");
    let apart: HeaderMap = crumbs.into_iter().map(|crumb| (header::COOKIE, crumb)).collect();
    let one = HeaderMap::from_iter([(header::COOKIE, joined)]);

    let value = cookie(&one, name);
    assert_eq!(value, cookie(&apart, name), "joined and apart");
    assert_eq!(routed(name, ValueMatch::Present, &one), routed(name, ValueMatch::Present, &apart), "joined and apart");
    if let Some(value) = value {
        assert!(routed(name, ValueMatch::Present, &one), "a plugin sees what the router does not");
        assert!(!value.contains([';', '\r', '\n', '\0']));
        // Quotes are a part of the value for the router alone.
        let quoted = ["", "\"", "\"\""]
            .into_iter()
            .any(|quotes| routed(name, ValueMatch::Exact(format!("{quotes}{value}{quotes}")), &one));
        let field = one[header::COOKIE].as_bytes();
        assert!(quoted || field.contains(&b'"'), "a plugin reads {value:?}, the router does not");
    } else if let Ok(text) = one[header::COOKIE].to_str() {
        assert!(text.is_ascii() && !routed(name, ValueMatch::Present, &one), "the router sees what no plugin does");
    }
});
