//! What `cors` does to requests and answers, through the test kit.

use http::Method;
use portreeve_plugin::testing::{Answered, Probe, conformance};
use serde_json::{Value, json};

use crate::Cors;

const APP: &str = "https://app.example.com";

fn probe(settings: Value) -> Probe<Cors> {
    Probe::new(settings)
}

fn refuses(settings: Value) -> String {
    Probe::<Cors>::try_new(settings).expect_err("these settings cannot work").to_string()
}

fn preflight(probe: &Probe<Cors>, origin: &str) -> Answered {
    let request = probe.request(Method::OPTIONS, "/users").header("origin", origin);
    request.header("access-control-request-method", "PUT").send().refused()
}

fn actual(probe: &Probe<Cors>, origin: &str, upstream: &[(&str, &str)]) -> Answered {
    probe.get("/users").header("origin", origin).send().respond(200, upstream, "")
}

#[test]
fn it_conforms() {
    conformance::<Cors>(
        json!({ "origins": [APP, "https://*.example.org"], "expose_headers": ["x-total"], "credentials": true }),
    );
}

#[test]
fn a_preflight_is_answered_by_the_gateway() {
    let probe = probe(json!({ "origins": [APP] }));
    let answer = preflight(&probe, APP);
    assert_eq!((answer.status.as_u16(), &*answer.body), (204, &b""[..]));
    assert_eq!(answer.header("access-control-allow-origin"), Some(APP));
    assert_eq!(answer.header("access-control-allow-methods"), Some("GET, HEAD, POST, PUT, PATCH, DELETE"));
    assert_eq!(answer.header("access-control-allow-headers"), Some("authorization, content-type"));
    assert_eq!(answer.header("access-control-max-age"), Some("600"));
    assert_eq!(answer.header("access-control-allow-credentials"), None);
    assert_eq!(answer.header("vary"), Some("Origin"));
}

#[test]
fn private_networks_are_not_opened() {
    let probe = probe(json!({ "origins": [APP] }));
    let request =
        probe.request(Method::OPTIONS, "/").header("origin", APP).header("access-control-request-method", "GET");
    let answer = request.header("access-control-request-private-network", "true").send().refused();
    assert_eq!(answer.header("access-control-allow-private-network"), None);
}

#[test]
fn other_options_requests_go_through() {
    let probe = probe(json!({ "origins": [APP] }));
    probe.request(Method::OPTIONS, "/").send().forwarded();
    probe.request(Method::OPTIONS, "/").header("origin", APP).send().forwarded();
    probe.request(Method::OPTIONS, "/").header("access-control-request-method", "PUT").send().forwarded();
}

#[test]
fn an_allowed_page_may_read_the_answer() {
    let probe = probe(json!({ "origins": [APP], "expose_headers": ["x-total", "etag"], "credentials": true }));
    let answer = actual(&probe, APP, &[]);
    assert_eq!(answer.header("access-control-allow-origin"), Some(APP));
    assert_eq!(answer.header("access-control-allow-credentials"), Some("true"));
    assert_eq!(answer.header("access-control-expose-headers"), Some("x-total, etag"));
    assert_eq!(answer.header("access-control-allow-methods"), None);
}

#[test]
fn an_origin_that_is_not_allowed_gets_no_word_of_cors() {
    let probe = probe(json!({ "origins": [APP], "expose_headers": ["x-total"] }));
    let says = |answer: &Answered| answer.headers.keys().any(|name| name.as_str().starts_with("access-control-"));
    for origin in ["https://evil.example", "https://app.example.com.evil.example", "http://app.example.com", "null", ""]
    {
        let (preflight, actual) = (preflight(&probe, origin), actual(&probe, origin, &[]));
        assert!(!says(&preflight) && !says(&actual), "{origin}");
        assert_eq!((preflight.status.as_u16(), preflight.header("vary")), (204, Some("Origin")));
        assert_eq!(actual.header("vary"), Some("Origin"));
    }
    let twice = probe.get("/").header("origin", APP).header("origin", APP).send();
    assert!(!says(&twice.respond(200, &[], "")));
}

#[test]
fn the_upstreams_own_word_is_replaced() {
    let probe = probe(json!({ "origins": [APP] }));
    let upstream = [("access-control-allow-origin", "*"), ("access-control-allow-credentials", "true")];
    let allowed = actual(&probe, APP, &upstream);
    assert_eq!(allowed.header_all("access-control-allow-origin"), [APP]);
    assert_eq!(allowed.header("access-control-allow-credentials"), None);
    assert_eq!(actual(&probe, "https://evil.example", &upstream).header("access-control-allow-origin"), None);
}

#[test]
fn answers_vary_by_origin_once_and_always_unless_every_origin_is_allowed() {
    let named = probe(json!({ "origins": [APP] }));
    assert_eq!(named.get("/").send().respond(200, &[], "").header_all("vary"), ["Origin"]);
    assert_eq!(actual(&named, APP, &[("vary", "accept, ORIGIN")]).header_all("vary"), ["accept, ORIGIN"]);
    assert_eq!(actual(&named, APP, &[("vary", "*")]).header_all("vary"), ["*"]);
    assert_eq!(actual(&named, APP, &[("vary", "accept")]).header_all("vary"), ["accept", "Origin"]);
    let any = probe(json!({ "origins": ["*"] }));
    assert_eq!(actual(&any, APP, &[]).header("vary"), None);
    assert_eq!(actual(&any, APP, &[]).header("access-control-allow-origin"), Some("*"));
}

#[test]
fn a_wildcard_stands_for_subdomains_and_nothing_else() {
    let probe = probe(json!({ "origins": ["https://*.example.com", "http://*.example.com:8080"] }));
    let allows = |origin: &str| actual(&probe, origin, &[]).header("access-control-allow-origin") == Some(origin);
    for origin in ["https://a.example.com", "https://a.b-2.example.com", "http://a.example.com:8080"] {
        assert!(allows(origin), "{origin}");
    }
    for origin in [
        "https://example.com",
        "https://.example.com",
        "https://a..example.com",
        "https://aexample.com",
        "http://a.example.com",
        "https://a.example.com:8443",
        "https://evil.test/.example.com",
        "https://evil.test:1.example.com",
        "https://evil.test@a.example.com",
        "https://evil.test#.example.com",
        "https://a.example.com.evil.test",
    ] {
        assert!(!allows(origin), "{origin}");
    }
}

#[test]
fn a_pattern_works_with_credentials_and_names_the_origin_that_asked() {
    let cases: [(&str, &[&str], &[&str]); 5] = [
        (
            "https://*.example.com",
            &["https://a.example.com"],
            &["https://example.com", "http://a.example.com", "https://a.example.com.evil.test", "null"],
        ),
        (
            "https://*",
            &["https://a", "https://evil.test", "https://[::1]"],
            &[
                "http://a",
                "https://",
                "https://a:8443",
                "https://a/b",
                "https://u@a",
                "https://a b",
                "https://A",
                "null",
                "",
            ],
        ),
        (
            "chrome-extension://*",
            &["chrome-extension://abcdefghijklmnop"],
            &["https://a", "moz-extension://a", "chrome-extension://a/b", "xchrome-extension://a"],
        ),
        (
            "*://app.example.com",
            &["http://app.example.com", "https://app.example.com"],
            &[
                "ftp://app.example.com",
                "https://app.example.com:8443",
                "https://b.app.example.com",
                "x://app.example.com",
            ],
        ),
        (
            "http://localhost:*",
            &["http://localhost", "http://localhost:3000"],
            &["http://localhost:", "http://localhost:x", "https://localhost:3000", "http://localhost:3000.evil.test"],
        ),
    ];
    for (pattern, allowed, others) in cases {
        let probe = probe(json!({ "origins": [pattern], "credentials": true }));
        for origin in allowed {
            for answer in [preflight(&probe, origin), actual(&probe, origin, &[])] {
                assert_eq!(answer.header("access-control-allow-origin"), Some(*origin), "{pattern}");
                assert_eq!(answer.header("access-control-allow-credentials"), Some("true"), "{origin}");
                assert_eq!(answer.header("vary"), Some("Origin"));
            }
        }
        for origin in others {
            for answer in [preflight(&probe, origin), actual(&probe, origin, &[])] {
                assert_eq!(answer.header("access-control-allow-origin"), None, "{pattern} takes {origin}");
                assert_eq!(answer.header("access-control-allow-credentials"), None);
                assert_eq!(answer.header("vary"), Some("Origin"), "a cache must not give it to the next origin");
            }
        }
        assert_eq!(probe.get("/").send().respond(200, &[], "").header("vary"), Some("Origin"));
    }
}

#[test]
fn a_star_cannot_be_combined_with_credentials() {
    assert!(refuses(json!({ "origins": ["*"], "credentials": true })).starts_with("origins: "));
    for list in ["methods", "headers", "expose_headers"] {
        let refused = refuses(json!({ "origins": [APP], "credentials": true, list: ["*"] }));
        assert!(refused.starts_with(list), "{refused}");
    }
    let open = probe(json!({ "origins": ["*"], "methods": ["*"], "headers": ["*", "authorization"] }));
    let answer = preflight(&open, APP);
    assert_eq!(answer.header("access-control-allow-methods"), Some("*"));
    assert_eq!(answer.header("access-control-allow-headers"), Some("*, authorization"));
}

#[test]
fn what_no_browser_would_send_is_refused_at_load() {
    let origin = |origin: &str| refuses(json!({ "origins": [origin] }));
    assert_eq!(origin("https://App.example.com/"), "origins[0]: browsers write this origin https://app.example.com");
    assert_eq!(origin("https://app.example.com:443"), "origins[0]: browsers write this origin https://app.example.com");
    assert_eq!(origin("https://*.example.com/x"), "origins[0]: browsers write this origin https://*.example.com");
    assert_eq!(origin("http://localhost:80"), "origins[0]: browsers write this origin http://localhost");
    for odd in [
        "app.example.com",
        "https://",
        "https://a.*.com",
        "https://*x",
        "https://**",
        "https://u@example.com",
        "*://example.com:80",
        "*://example.com:443",
        "ht*p://example.com",
        "http://localhost:8*",
        "//*",
    ] {
        assert!(origin(odd).starts_with("origins[0]: "), "{odd}");
    }
    assert!(origin("null").contains("sandboxed"));
    assert!(refuses(json!({ "origins": ["*", APP] })).contains("stands alone"));
    assert!(refuses(json!({ "origins": [] })).contains("at least one"));
    assert!(refuses(json!({ "origins": [APP], "methods": ["get"] })).starts_with("methods[0]: "));
    assert!(refuses(json!({ "origins": [APP], "headers": ["a b"] })).starts_with("headers[0]: "));
}
