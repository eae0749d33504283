//! Tests of host patterns.

use super::HostPattern;

#[test]
fn exact_and_wildcard_hosts_match_in_any_case() {
    let exact = HostPattern::parse("API.Example.com").unwrap();
    assert!(exact.matches("api.EXAMPLE.com") && exact.matches("api.example.com."));
    assert_eq!(HostPattern::parse("api.example.com.").unwrap(), exact, "with its final dot it is the same host");
    assert!(!exact.matches("x.api.example.com") && !exact.matches("example.com") && !exact.matches(""));
    let wildcard = HostPattern::parse("*.example.com").unwrap();
    assert!(wildcard.matches("a.example.com") && wildcard.matches("a.b.Example.com"));
    assert!(!wildcard.matches("example.com") && !wildcard.matches(".example.com") && !wildcard.matches("aexample.com"));
    assert_eq!(wildcard.to_string(), "*.example.com");
    let address = HostPattern::parse("[::0:1]").unwrap();
    assert!(address.matches("[::1]"));
}

#[test]
fn a_host_longer_than_names_can_be_matches_nothing() {
    let wildcard = HostPattern::parse("*.example.com").unwrap();
    assert!(!wildcard.matches(&format!("{}.example.com", "a".repeat(300))));
}

#[test]
fn errors_say_where_and_what() {
    let long = "a".repeat(64);
    for (text, offset, message) in [
        ("", 0, "an empty label"),
        ("a..b", 2, "an empty label"),
        ("api.example.com:80", 15, "a host has no port here"),
        ("*", 0, "a wildcard is the whole first label: `*.example.com`; a rule without host takes any"),
        ("*.a.*.b", 4, "a wildcard is the whole first label: `*.example.com`; a rule without host takes any"),
        ("b\u{fc}cher.de", 1, "write the name in its ASCII form, `xn--…`"),
        ("a b", 1, "a host name is letters, digits, `-`, `_` and dots"),
        ("[::1", 0, "an IPv6 address stands in brackets, without port: `[::1]`"),
        (&long, 63, "a label has at most 63 bytes"),
    ] {
        let error = HostPattern::parse(text).unwrap_err();
        assert_eq!((error.offset(), error.message()), (offset, message), "{text}");
    }
}
