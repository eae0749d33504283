//! Tests of conditions on single values.

use http::{HeaderMap, HeaderValue, Method, header::COOKIE};

use super::{Condition, Source, Value, ValueMatch, ValueRegex};
use crate::Lookup;

fn holds(source: Source, wanted: ValueMatch, query: &str, cookies: &[&str]) -> bool {
    let mut headers = HeaderMap::new();
    for cookie in cookies {
        headers.append(COOKIE, HeaderValue::from_str(cookie).unwrap());
    }
    let request = Lookup { method: &Method::GET, host: "", path: "/", query, headers: &headers, facts: None };
    Condition { source, wanted }.holds(&request)
}

fn query(name: &str, wanted: ValueMatch, query: &str) -> bool {
    holds(Source::Query(Box::from(name)), wanted, query, &[])
}

fn exact(value: &str) -> ValueMatch {
    ValueMatch::Exact(value.to_owned())
}

#[test]
fn query_parameters_are_decoded_and_the_first_counts() {
    assert!(query("a", exact("1"), "a=1&a=2"));
    assert!(!query("a", exact("2"), "a=1&a=2"));
    assert!(query("a b", exact("c d+e"), "x&a+b=c%20d%2Be"));
    assert!(query("a", exact("100%"), "a=100%"));
    assert!(query("a", exact("%zz%4"), "a=%zz%4"));
    assert!(query("a", ValueMatch::Present, "b&a"));
    assert!(query("a", exact(""), "a="));
    assert!(query("a", ValueMatch::Absent, "b=a"));
    assert!(query("", ValueMatch::Absent, ""));
    assert!(query("a", ValueMatch::Prefix("x y".to_owned()), "a=x%20yz"));
    assert!(!query("a", ValueMatch::Prefix("xyz".to_owned()), "a=xy"));
    assert!(query("a", ValueMatch::Regex(ValueRegex::parse("x y").unwrap()), "a=x+y"));
    assert!(query("a", ValueMatch::OneOf(vec!["1".to_owned(), "2".to_owned()]), "a=%32"));
}

#[test]
fn cookies_are_found_in_all_fields_and_the_first_counts() {
    let cookie = |name: &str, wanted, cookies: &[&str]| holds(Source::Cookie(Box::from(name)), wanted, "", cookies);
    assert!(cookie("sid", exact("1"), &["a=b; sid=1; sid=2"]));
    assert!(cookie("sid", exact("1=2"), &["a=b", "sid=1=2"]));
    assert!(cookie("sid", ValueMatch::Absent, &["a=sid; sidx=1; sid"]));
    assert!(cookie("sid", exact(""), &[";; sid= ;"]));
    assert!(!cookie("sid", ValueMatch::Present, &[]));
}

#[test]
fn a_value_is_decoded_into_memory_only_if_it_must() {
    assert!(matches!(Value::Form(b"abc").decoded(), std::borrow::Cow::Borrowed(b"abc")));
    assert_eq!(&*Value::Form(b"a+%62").decoded(), b"a b");
    assert_eq!(&*Value::Plain(b"a+%62").decoded(), b"a+%62");
}
