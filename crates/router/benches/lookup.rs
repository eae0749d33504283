//! What a lookup and a compilation cost with 10, 1,000 and 10,000 routes: `cargo bench -p portreeve-router`.
//! Plain, because the question is one of growth, not of single nanoseconds.
#![expect(clippy::print_stdout, reason = "a bench prints")]
#![expect(clippy::expect_used, reason = "a bench may stop at what cannot be")]

use std::{
    hint::black_box,
    time::{Duration, Instant},
};

use http::{HeaderMap, Method};
use portreeve_router::{Lookup, Outcome, Router, Rule, path};

/// Routes of the kind an API has: hosts, versions, resources, parameters, some tails and expressions.
fn rules(count: usize) -> Vec<Rule> {
    let rule = |n: usize| {
        let (host, resource) = (n % 50, n / 50);
        let path = match n % 5 {
            0 => format!("/v1/resource{resource}/{{id}}"),
            1 => format!("/v1/resource{resource}/{{id}}/items/{{item}}"),
            2 => format!("/{{version}}/things{resource}/**"),
            3 => format!("/static{resource}/*"),
            _ => format!(r"regex:^/v2/orders{resource}/(?<id>\d+)$"),
        };
        let host =
            if n.is_multiple_of(7) { format!("*.tenant{host}.example.com") } else { format!("api{host}.example.com") };
        Rule {
            hosts: vec![host.parse().expect("a host")],
            paths: vec![path.parse().expect("a path")],
            methods: vec![Method::GET, Method::POST],
            ..Rule::default()
        }
    };
    (0..count).map(rule).collect()
}

/// A request of each kind; each table has its route.
const REQUESTS: [(&str, &str, &str); 6] = [
    ("params", "api1.example.com", "/v1/resource0/4711/items/12"),
    ("tail", "api2.example.com", "/v9/things0/a/b/c"),
    ("wildcard host", "www.tenant0.example.com", "/v1/resource0/4711"),
    ("expression", "api4.example.com", "/v2/orders0/4711"),
    ("no such path", "api1.example.com", "/nobody/takes/this"),
    ("no such host", "www.example.org", "/v1/resource0/4711"),
];

/// Time per call, the best of several rounds: the others were disturbed.
fn measure(calls_per_round: u32, mut call: impl FnMut()) -> Duration {
    let round = |_| {
        let start = Instant::now();
        for _ in 0..calls_per_round {
            call();
        }
        start.elapsed() / calls_per_round
    };
    (0..10).map(round).min().unwrap_or_default()
}

fn main() {
    // `cargo test --benches` only wants to see that it runs.
    let is_bench = std::env::args().any(|argument| argument == "--bench");
    let calls = if is_bench { 100_000 } else { 10 };
    for count in [10, 1_000, 10_000] {
        let rules = rules(count);
        let start = Instant::now();
        let router = Router::compile(rules).expect("no conflicts");
        println!("{count} routes, compiled in {:.2?}", start.elapsed());
        for (kind, host, path) in REQUESTS {
            let headers = HeaderMap::new();
            let request = Lookup { method: &Method::GET, host, path, query: "", headers: &headers, facts: None };
            let is_found = matches!(router.find(&request), Outcome::Found(_));
            assert_eq!(is_found, !kind.starts_with("no such"), "{kind}");
            let time = measure(calls, || {
                black_box(router.find(black_box(&request)));
            });
            println!("  {kind:<14} {time:>9.0?}");
        }
    }
    for raw in ["/v1/users/4711/items", "/v1//users/./%34711/items"] {
        let time = measure(calls, || {
            black_box(path::normalise(black_box(raw))).ok();
        });
        println!("normalise {raw}: {time:.2?}");
    }
}
