//! What nothing means: each key of the file that takes a zero by its type, and what is made of it.

use std::collections::BTreeSet;

use portreeve_tests::{Authority, Certificates, Gateway, TlsClient};
use serde_json::Value;

/// A file with these settings of an upstream.
fn upstream(settings: &str) -> String {
    format!("upstreams: {{ a: {{ targets: ['127.0.0.1:1', '127.0.0.1:2'], {settings} }} }}\n{}", route("upstream: a"))
}

/// A file with this in its route.
fn route(settings: &str) -> String {
    format!("routes: [{{ name: all, match: {{ path: '/**' }}, public: true, {settings} }}]\n")
}

fn step(step: &str) -> String {
    route(&format!("plugins: [{step}], respond: {{}}"))
}

fn two(settings: &str) -> String {
    format!(
        "upstreams: {{ a: {{ targets: ['127.0.0.1:1'] }}, b: {{ targets: ['127.0.0.1:2'] }} }}\n{}",
        route(settings)
    )
}

fn tier(settings: &str) -> String {
    format!("tiers: {{ free: {{ {settings} }} }}\n{}", route("respond: {}"))
}

fn listener(settings: &str) -> String {
    format!("listeners: [{{ name: public, bind: '127.0.0.1:0', {settings} }}]\n{}", route("respond: {}"))
}

fn jwt(settings: &str) -> String {
    let keys = "algorithms: [HS256], keys: [{ secret: 'env:PATH' }]";
    step(&format!(
        "jwt: {{ issuer: https://a/, audience: b, {keys}, consumer: {{ id: '${{claims.sub}}' }}, {settings} }}"
    ))
}

/// What the schema calls the key, a file in which it is nothing, and why that is refused, if it is.
type Row = (&'static str, String, Option<&'static str>);

fn rows() -> Vec<Row> {
    let limited = "rate-limit: { limit: { rate: 9/min }, by: { client_network: ";
    let counted = "concurrency-limit: { limit: 9, by: { client_network: ";
    let shared = "store: { redis: { url: 'redis://127.0.0.1:1' } }";
    vec![
        ("TargetMap.weight", upstream("").replace("'127.0.0.1:1'", "{ address: '127.0.0.1:1', weight: 0 }"), None),
        ("TargetMap.priority", upstream("").replace("'127.0.0.1:1'", "{ address: '127.0.0.1:1', priority: 0 }"), None),
        ("Failover.spill_below", upstream("failover: { spill_below: 0% }"), None),
        ("Failover.panic_below", upstream("failover: { panic_below: 0% }"), None),
        (
            "Outlier.failure_rate",
            upstream("outlier: { failure_rate: 0% }"),
            Some("at 0% any single failure would eject"),
        ),
        ("Outlier.max_ejected", upstream("outlier: { max_ejected: 0% }"), Some("at 0% no target is ever ejected")),
        (
            "CircuitBreaker.failures",
            upstream("circuit_breaker: { failures: 0% }"),
            Some("any failure at all would open it"),
        ),
        ("Health.jitter", upstream("health: { tcp: true, jitter: 0% }"), None),
        ("Retry.budget", upstream("retry: { budget: 0% }"), None),
        ("Backoff.base", upstream("retry: { backoff: { base: 0s } }"), None),
        ("Backoff.max", upstream("retry: { backoff: { base: 0ms, max: 0s } }"), None),
        ("Backoff.max", upstream("retry: { backoff: { max: 0s } }"), Some("less than base, which is 25ms")),
        ("Hedge.budget", upstream("hedge: { after: 1ms, budget: 0% }"), Some("at 0% nobody is ever asked twice")),
        ("UpstreamLimits.queue", upstream("limits: { requests: 1, queue: 0 }"), None),
        ("AdaptiveLimit.tolerance", upstream("limits: { adaptive: { tolerance: 0% } }"), None),
        ("Tier.priority", tier("rate: 1/s, priority: 0"), None),
        ("Route.priority", route("priority: 0, respond: {}"), None),
        ("WeightedUpstream.weight", two("upstream: [{ name: a, weight: 0 }, { name: b }]"), None),
        (
            "WeightedUpstream.weight",
            two("upstream: [{ name: a, weight: 0 }, { name: b, weight: 0 }]"),
            Some("are all 0"),
        ),
        ("Mirror.sample", two("upstream: a, mirror: { upstream: b, sample: 0% }"), None),
        ("Mirror.max_body", two("upstream: a, mirror: { upstream: b, max_body: 0B }"), None),
        ("RouteLimits.body", route("limits: { body: 0B }, respond: {}"), None),
        ("ListenerLimits.min_body_rate", listener("limits: { min_body_rate: 0B }"), None),
        ("plugin.rate-limit.ClientNetwork.v4", step(&format!("{limited} {{ v4: 0 }} }} }}")), None),
        ("plugin.rate-limit.ClientNetwork.v6", step(&format!("{limited} {{ v6: 0 }} }} }}")), None),
        ("plugin.concurrency-limit.ClientNetwork.v4", step(&format!("{counted} {{ v4: 0 }} }} }}")), None),
        ("plugin.concurrency-limit.ClientNetwork.v6", step(&format!("{counted} {{ v6: 0 }} }} }}")), None),
        (
            "plugin.rate-limit.lease",
            step(&format!("rate-limit: {{ by: all, limit: {{ rate: 9/min }}, {shared}, lease: 0% }}")),
            Some("lease"),
        ),
        ("plugin.cors.max_age", step("cors: { origins: ['https://a.test'], max_age: 0s }"), None),
        ("plugin.jwt.leeway", jwt("leeway: 0s"), None),
        ("plugin.jwt.leeway", jwt("leeway: 0ms"), None),
        ("plugin.request-size.max", step("request-size: { max: 0B }"), None),
        // Where nothing would be of no use, it is refused by what it is.
        ("Upstream.slow_start", upstream("slow_start: 0s"), Some("0s is no time at all")),
        ("Timeouts.connect", upstream("timeouts: { connect: 0ms }"), Some("0ms is no time at all")),
        ("RouteTimeouts.idle", route("timeouts: { idle: 0s }, respond: {}"), Some("0s is no time at all")),
        ("Route.timeout", route("timeout: 0h, respond: {}"), Some("0h is no time at all")),
        ("CircuitBreaker.open_for", upstream("circuit_breaker: { open_for: 0s }"), Some("0s is no time at all")),
        ("CircuitBreaker.minimum", upstream("circuit_breaker: { minimum: 0 }"), Some("0 is not between 1 and")),
        ("CircuitBreaker.probes", upstream("circuit_breaker: { probes: 0 }"), Some("0 is not between 1 and")),
        (
            "Health.unhealthy_after",
            upstream("health: { tcp: true, unhealthy_after: 0 }"),
            Some("0 is not between 1 and"),
        ),
        ("Retry.attempts", upstream("retry: { attempts: 0 }"), Some("0 is not between 1 and")),
        ("UpstreamLimits.requests", upstream("limits: { requests: 0 }"), Some("0 is not between 1 and")),
        ("Tier.rate", tier("rate: 0/s"), Some("0/s")),
        ("Tier.quota", tier("quota: 0/day"), Some("0/day")),
        ("Tier.concurrency", tier("concurrency: 0"), Some("0 is less than 1")),
        ("Tier.burst", tier("rate: 1/s, burst: 0"), Some("0 is less than 1")),
        ("Tier.cost", tier("rate: 1/s, cost: 0"), Some("0 is less than 1")),
        (
            "Mirror.concurrency",
            two("upstream: a, mirror: { upstream: b, concurrency: 0 }"),
            Some("0 is not between 1 and"),
        ),
        ("ListenerLimits.head", listener("limits: { head: 0s }"), Some("0s is no time at all")),
        (
            "ListenerLimits.head_size",
            listener("limits: { head_size: 0KiB }"),
            Some("a limit of nothing lets nobody in"),
        ),
        ("ListenerLimits.uri", listener("limits: { uri: 0B }"), Some("a limit of nothing lets nobody in")),
        ("ListenerLimits.headers", listener("limits: { headers: 0 }"), Some("0 is not between 1 and")),
        ("ListenerLimits.connections", listener("limits: { connections: 0 }"), Some("0 is less than 1")),
        ("plugin.request-deadline.within", step("request-deadline: { within: 0s }"), Some("0s is no time at all")),
        ("plugin.concurrency-limit.limit", step("concurrency-limit: { limit: 0 }"), Some("0")),
        (
            "plugin.aggregate.timeout",
            step("aggregate: { timeout: 0s, calls: {}, body: {} }"),
            Some("0s is no time at all"),
        ),
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_a_value_or_refused_as_the_reference_says() {
    for (key, yaml, wrong) in rows() {
        let begun = Gateway::setup().try_spawn(&yaml).await;
        match (begun, wrong) {
            (Ok(_), None) => {}
            (Ok(_), Some(wrong)) => panic!("{key}: served, and not refused with {wrong:?}\n{yaml}"),
            (Err(error), None) => panic!("{key}: {error}\n{yaml}"),
            (Err(error), Some(wrong)) => {
                let (error, last) = (error.to_string(), key.rsplit('.').next().unwrap());
                assert!(error.contains(wrong) && error.contains(last), "{key}: {error}");
            }
        }
    }
}

/// The keys that take a zero by their type, as the schema has them.
fn that_take_a_zero(schema: &Value) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut note = |owner: &str, of: &Value| {
        for (key, value) in of["properties"].as_object().into_iter().flatten() {
            let branches = ["anyOf", "oneOf"].iter().flat_map(|word| value[word].as_array().into_iter().flatten());
            let takes = |form: &Value| {
                let name = form["$ref"].as_str().and_then(|name| name.rsplit(['/', '.']).next());
                matches!(name, Some("DurationOrZero" | "Percent")) || form["minimum"] == 0
            };
            if branches.chain([value]).any(takes) {
                found.insert(format!("{owner}.{key}"));
            }
        }
    };
    note("Config", schema);
    for (owner, of) in schema["$defs"].as_object().unwrap() {
        note(owner, of);
        let branches = ["anyOf", "oneOf"].iter().flat_map(|word| of[word].as_array().into_iter().flatten());
        branches.for_each(|of| note(owner, of));
    }
    found
}

#[test]
fn every_key_that_takes_a_zero_by_its_type_is_among_them() {
    let schema = concat!(env!("CARGO_MANIFEST_DIR"), "/../gateway.schema.json");
    let schema: Value = serde_json::from_str(&std::fs::read_to_string(schema).unwrap()).unwrap();
    // That of HSTS is looked at with a certificate, below.
    let known = rows().into_iter().map(|(key, ..)| key).chain(["Hsts.max_age"]);
    let known: BTreeSet<String> = known.map(str::to_owned).collect();
    let all = that_take_a_zero(&schema);
    assert!(all.len() > 20, "{all:?}");
    let missing: Vec<_> = all.difference(&known).collect();
    assert!(missing.is_empty(), "{missing:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_what_it_says() {
    let gateway = Gateway::spawn(&route("limits: { body: 0B }, respond: {}")).await;
    assert_eq!((gateway.get("/").await.status, gateway.ask("POST", "/").body("x").await.status), (200, 413));
    let gateway = Gateway::spawn(&step("cors: { origins: ['https://a.test'], max_age: 0s }")).await;
    let preflight = gateway.ask("OPTIONS", "/").header("origin", "https://a.test");
    let answer = preflight.header("access-control-request-method", "PUT").await;
    assert_eq!((answer.status, answer.header("access-control-max-age")), (204, Some("0")));
    let (authority, files) = (Authority::new("Test CA"), Certificates::new());
    let certificate = files.put("a", &authority.certify(&["a.test"]));
    let tls = format!("tls: {{ certificates: [{certificate}], hsts: {{ max_age: 0s }} }}");
    let gateway = Gateway::spawn(&listener(&tls)).await;
    let mut secure = TlsClient::new(&authority).connect(gateway.address(), "a.test").await.unwrap();
    let answer = secure.get("a.test", "/").await.unwrap();
    assert_eq!(answer.header("strict-transport-security"), Some("max-age=0"));
}
