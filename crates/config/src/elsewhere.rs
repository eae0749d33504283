//! What keys are called in nginx, Traefik, Kong, APISIX, Envoy, `HAProxy` and `KrakenD`, with what they are called here: for
//! people who write a key from memory. Only words that no misspelling of ours explains.

use crate::path::{ConfigPath, Segment};
use Place::{Health, Listener, Match, Retry, Route, Step, Target, Tier, Timeouts, Tls, Top, Upstream, UpstreamTls};

/// Where a key stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Top,
    Listener,
    /// `listeners[].tls`.
    Tls,
    Upstream,
    Target,
    Health,
    Retry,
    Timeouts,
    /// `upstreams.NAME.tls`.
    UpstreamTls,
    Route,
    Match,
    Tier,
    /// A step of a chain: the plugin.
    Step,
}

struct Word {
    place: Place,
    /// In lower case, `-` and spaces as `_`.
    key: &'static str,
    hint: &'static str,
}

const fn word(place: Place, key: &'static str, hint: &'static str) -> Word {
    Word { place, key, hint }
}

static TABLE: &[Word] = &[
    word(Top, "server", "addresses stand under listeners, hosts in routes[].match.host"),
    word(Top, "servers", "addresses stand under listeners, targets under upstreams"),
    word(Top, "http", "there are no blocks around it: listeners, upstreams and routes stand at the top"),
    word(Top, "tcp", "a TCP listener is listeners: [{ name: db, bind: …, tcp: { upstream: db } }]"),
    word(Top, "stream", "a TCP listener is listeners: [{ name: db, bind: …, tcp: { upstream: db } }]"),
    word(Top, "entrypoints", "here they are listeners"),
    word(Top, "entry_points", "here they are listeners"),
    word(Top, "frontend", "here it is listeners for the address and routes for the rest"),
    word(Top, "frontends", "here it is listeners for the address and routes for the rest"),
    word(Top, "backend", "here they are upstreams"),
    word(Top, "backends", "here they are upstreams"),
    word(Top, "services", "here they are upstreams"),
    word(Top, "clusters", "here they are upstreams"),
    word(Top, "endpoints", "here they are routes"),
    word(Top, "routers", "here they are routes"),
    word(Top, "locations", "here they are routes"),
    word(Top, "location", "here it is a route: routes: [{ match: { path: … } }]"),
    word(Top, "middlewares", "here they are chains: named lists of plugins that routes use"),
    word(Top, "plugins", "plugins stand in chains, and in plugins: of a route or a listener"),
    word(Top, "filters", "here they are plugins, in chains and routes"),
    word(Top, "http_filters", "here they are plugins, in chains and routes"),
    word(Top, "static_resources", "there are no blocks around it: listeners, upstreams and routes stand at the top"),
    word(Top, "defaults", "nothing is inherited here; put what routes share into a chain"),
    word(Top, "log", "the access log is access_log: { to: stdout }"),
    word(Top, "logging", "the access log is access_log: { to: stdout }"),
    word(Top, "accesslog", "here it is access_log"),
    word(Top, "metrics", "they are on the admin port: admin: { bind: 127.0.0.1:9901 }, under /metrics"),
    word(Top, "prometheus", "metrics are on the admin port: admin: { bind: 127.0.0.1:9901 }, under /metrics"),
    word(Top, "real_ip_from", "here it is trusted_proxies"),
    word(Top, "trusted_ips", "here it is trusted_proxies"),
    word(Top, "set_real_ip_from", "here it is trusted_proxies"),
    word(Top, "certificates", "they stand at the listener: tls: { certificates: [{ cert: …, key: … }] }"),
    word(Top, "ssl", "it stands at the listener: tls: { certificates: [{ cert: …, key: … }] }"),
    word(Top, "certificates_resolvers", "here it is acme"),
    word(Top, "consumer_groups", "here they are tiers, and groups of a consumer"),
    word(Listener, "address", "here it is bind"),
    word(Listener, "listen", "here it is bind"),
    word(Listener, "port", "it is a part of bind: 0.0.0.0:8080"),
    word(Listener, "host", "it is a part of bind: 0.0.0.0:8080"),
    word(Listener, "server_name", "hosts stand in routes[].match.host; certificates know their own names"),
    word(Listener, "ssl", "here it is tls: { certificates: [{ cert: …, key: … }] }"),
    word(Listener, "ssl_certificate", "here it is tls: { certificates: [{ cert: …, key: … }] }"),
    word(Listener, "redirect", "to HTTPS it is redirect_to_https; others are routes with redirect"),
    word(Listener, "middlewares", "here they are plugins"),
    word(Listener, "filter_chains", "here they are plugins"),
    word(Listener, "http", "a listener is for HTTP unless it has tcp; its keys stand beside bind"),
    word(Listener, "http3", "HTTP/3 is not built yet (planned)"),
    word(Listener, "client_max_body_size", "it stands at the route: limits: { body: 8MiB }"),
    word(Listener, "keepalive_timeout", "here it is limits: { idle: 60s }"),
    word(Listener, "max_connections", "here it is limits: { connections: 10000 }"),
    word(Listener, "maxconn", "here it is limits: { connections: 10000 }"),
    word(Tls, "ssl_certificate", "here it is certificates: [{ cert: …, key: … }]"),
    word(Tls, "cert", "here it is certificates: [{ cert: …, key: … }]"),
    word(Tls, "certificate", "here it is certificates: [{ cert: …, key: … }]"),
    word(Tls, "key", "here it is certificates: [{ cert: …, key: … }]"),
    word(Tls, "cert_resolver", "here it is acme: [names to get a certificate for]"),
    word(Tls, "protocols", "here it is min_version: \"1.2\""),
    word(Tls, "ssl_protocols", "here it is min_version: \"1.2\""),
    word(Tls, "ciphers", "only strong ones are spoken; there is nothing to choose"),
    word(Tls, "ssl_ciphers", "only strong ones are spoken; there is nothing to choose"),
    word(Tls, "client_ca", "here it is client_auth: { ca: …, mode: require }"),
    word(Tls, "require_client_certificate", "here it is client_auth: { ca: …, mode: require }"),
    word(Tls, "alpn", "HTTP/2 is offered unless http2: false"),
    word(Upstream, "load_balance", "here it is balance: least_connections and the like"),
    word(Upstream, "load_balancer", "the targets stand under targets, the algorithm is balance"),
    word(Upstream, "load_balancing", "here it is balance: least_connections and the like"),
    word(Upstream, "lb_policy", "here it is balance: least_connections and the like"),
    word(Upstream, "lb", "here it is balance: least_connections and the like"),
    word(Upstream, "algorithm", "here it is balance: least_connections and the like"),
    word(Upstream, "strategy", "here it is balance: least_connections and the like"),
    word(Upstream, "type", "the algorithm is balance; targets that are discovered stand under discover"),
    word(Upstream, "method", "the algorithm is balance: least_connections and the like"),
    word(Upstream, "hash_on", "here it is balance: { hash: \"${request.headers.x-key}\" }"),
    word(Upstream, "servers", "here they are targets: [\"10.0.0.1:80\"]"),
    word(Upstream, "server", "here they are targets: [\"10.0.0.1:80\"]"),
    word(Upstream, "nodes", "here they are targets: [\"10.0.0.1:80\"]"),
    word(Upstream, "hosts", "here they are targets: [\"10.0.0.1:80\"]"),
    word(Upstream, "endpoints", "here they are targets: [\"10.0.0.1:80\"]"),
    word(Upstream, "load_assignment", "here they are targets: [\"10.0.0.1:80\"]"),
    word(Upstream, "url", "here it is targets: [\"10.0.0.1:80\"], with tls: {} for https"),
    word(Upstream, "address", "here it is targets: [\"10.0.0.1:80\"]"),
    word(Upstream, "retries", "here it is retry: { attempts: 2, on: [connect, 503] }"),
    word(Upstream, "num_retries", "here it is retry: { attempts: 2, on: [connect, 503] }"),
    word(Upstream, "retry_policy", "here it is retry: { attempts: 2, on: [connect, 503] }"),
    word(Upstream, "proxy_next_upstream", "here it is retry: { attempts: 2, on: [connect, 503] }"),
    word(Upstream, "healthchecks", "here it is health: { http: /healthz }"),
    word(Upstream, "health_check", "here it is health: { http: /healthz }"),
    word(Upstream, "health_checks", "here it is health: { http: /healthz }"),
    word(Upstream, "option_httpchk", "here it is health: { http: /healthz }"),
    word(Upstream, "checks", "here it is health: { http: /healthz }"),
    word(Upstream, "outlier_detection", "here it is outlier: { consecutive_failures: 5, eject_for: 30s }"),
    word(Upstream, "passive_health_check", "here it is outlier: { consecutive_failures: 5, eject_for: 30s }"),
    word(Upstream, "max_fails", "here it is outlier: { consecutive_failures: 5, eject_for: 30s }"),
    word(Upstream, "stick_table", "here it is sticky: { cookie: sid, ttl: 1h }"),
    word(Upstream, "sticky_session", "here it is sticky: { cookie: sid, ttl: 1h }"),
    word(Upstream, "session_affinity", "here it is sticky: { cookie: sid, ttl: 1h }"),
    word(Upstream, "keepalive", "connections are kept by themselves; how long is timeouts: { idle: 60s }"),
    word(Upstream, "connect_timeout", "here it is timeouts: { connect: 1s }"),
    word(Upstream, "read_timeout", "here it is timeouts: { first_byte: 15s }, and idle for silence after it"),
    word(Upstream, "write_timeout", "here it is timeouts: { write: 30s }"),
    word(Upstream, "timeout", "here it is timeouts: { connect: 1s, first_byte: 15s }"),
    word(Upstream, "proxy_connect_timeout", "here it is timeouts: { connect: 1s }"),
    word(Upstream, "proxy_read_timeout", "here it is timeouts: { first_byte: 15s }, and idle for silence after it"),
    word(Upstream, "max_connections", "here it is limits: { connections_per_target: 100 }"),
    word(Upstream, "max_conns", "here it is limits: { connections_per_target: 100 }"),
    word(Upstream, "maxconn", "here it is limits: { requests_per_target: 100 }"),
    word(Upstream, "max_requests", "here it is limits: { requests: 100 }"),
    word(Upstream, "http2", "here it is protocol: http2"),
    word(Upstream, "scheme", "for https it is tls: {}; the protocol is protocol: http1 or http2"),
    word(Upstream, "ssl", "here it is tls: {}"),
    word(Upstream, "transport_socket", "here it is tls: {}"),
    word(Upstream, "send_proxy", "here it is proxy_protocol"),
    word(Upstream, "backup", "a target is a backup by its priority: { address: …, priority: 1 }"),
    word(Upstream, "service_discovery", "here it is discover"),
    word(Upstream, "dns", "here it is discover: { dns: … }, or a name in targets"),
    word(Target, "host", "here it is address: \"10.0.0.1:80\""),
    word(Target, "url", "here it is address: \"10.0.0.1:80\", with tls: {} at the upstream for https"),
    word(Target, "target", "here it is address: \"10.0.0.1:80\""),
    word(Target, "port", "it is a part of address: \"10.0.0.1:80\""),
    word(Target, "ip", "here it is address: \"10.0.0.1:80\""),
    word(Target, "backup", "here it is priority: 1; those with the lowest priority that can serve go first"),
    word(Target, "down", "take it off the list, or drain it: POST /api/v1/upstreams/NAME/targets/ADDRESS/drain"),
    word(Target, "locality", "here it is zone"),
    word(Target, "region", "here it is zone"),
    word(Health, "path", "here it is http: /healthz"),
    word(Health, "uri", "here it is http: /healthz"),
    word(Health, "http_path", "here it is http: /healthz"),
    word(Health, "active", "there is no block around it: health: { http: /healthz, interval: 5s }"),
    word(Health, "passive", "here it is outlier, beside health"),
    word(Health, "rise", "here it is healthy_after"),
    word(Health, "fall", "here it is unhealthy_after"),
    word(Health, "passes", "here it is healthy_after"),
    word(Health, "fails", "here it is unhealthy_after"),
    word(Health, "unhealthy_threshold", "here it is unhealthy_after"),
    word(Health, "healthy_threshold", "here it is healthy_after"),
    word(Health, "inter", "here it is interval"),
    word(Health, "status", "here it is expect: { status: 200 }"),
    word(Health, "expected_statuses", "here it is expect: { status: 200 }"),
    word(Retry, "num_retries", "here it is attempts"),
    word(Retry, "retries", "here it is attempts"),
    word(Retry, "tries", "here it is attempts"),
    word(Retry, "retry_on", "here it is on: [connect, 502, 503]"),
    word(Retry, "statuses", "here it is on: [connect, 502, 503]"),
    word(Retry, "per_try_timeout", "it stands at the upstream: timeouts: { per_try: 1s }"),
    word(Retry, "initial_interval", "here it is backoff: { base: 25ms }"),
    word(Timeouts, "read", "here it is first_byte for the answer's head, and idle for silence after it"),
    word(Timeouts, "send", "here it is write"),
    word(Timeouts, "response", "here it is first_byte"),
    word(Timeouts, "server", "here it is first_byte for the answer's head, and idle for silence after it"),
    word(Timeouts, "request", "a request's whole time is timeout: of the route"),
    word(UpstreamTls, "server_name", "here it is sni"),
    word(UpstreamTls, "insecure_skip_verify", "here it is verify: false"),
    word(UpstreamTls, "insecure", "here it is verify: false"),
    word(UpstreamTls, "root_cas", "here it is ca"),
    word(UpstreamTls, "trusted_ca", "here it is ca"),
    word(UpstreamTls, "certificate", "here it is cert"),
    word(Route, "paths", "here it is match: { path: [ … ] }"),
    word(Route, "uri", "here it is match: { path: … }"),
    word(Route, "prefix", "here it is match: { path: /prefix/** }"),
    word(Route, "location", "here it is match: { path: … }"),
    word(Route, "endpoint", "here it is match: { path: … }"),
    word(Route, "rule", "here it is match: { host: …, path: … }"),
    word(Route, "rules", "here it is match: { host: …, path: … }"),
    word(Route, "service", "here it is upstream"),
    word(Route, "backend", "here it is upstream"),
    word(Route, "cluster", "here it is upstream"),
    word(Route, "proxy_pass", "here it is upstream: the name of one under upstreams"),
    word(Route, "proxy_to", "here it is upstream: the name of one under upstreams"),
    word(Route, "to", "here it is upstream, or redirect: { to: … }"),
    word(Route, "weighted_clusters", "here it is upstream: [{ name: a, weight: 95 }, { name: b, weight: 5 }]"),
    word(Route, "middlewares", "here they are plugins: [use: chain, plugin]"),
    word(Route, "filters", "here they are plugins"),
    word(Route, "extra_config", "here they are plugins"),
    word(Route, "use", "it is a step: plugins: [use: chain]"),
    word(Route, "chain", "here it is plugins: [use: chain]"),
    word(Route, "retries", "here it is retry: { attempts: 2 }"),
    word(Route, "retry_policy", "here it is retry: { attempts: 2 }"),
    word(Route, "rewrite", "it is a step: plugins: [rewrite: { … }]"),
    word(Route, "strip_prefix", "it is a step: plugins: [rewrite: { path: \"/${params.rest}\" }]"),
    word(Route, "strip_path", "it is a step: plugins: [rewrite: { path: \"/${params.rest}\" }]"),
    word(Route, "rate_limit", "it is a step: plugins: [rate-limit: { … }]"),
    word(Route, "cors", "it is a step: plugins: [cors: { … }]"),
    word(Route, "auth", "it is a step: plugins: [jwt: { … }] or key-auth"),
    word(Route, "jwt", "it is a step: plugins: [jwt: { … }]"),
    word(Route, "return", "here it is respond: { status: 200, body: ok } or redirect: { to: … }"),
    word(Route, "direct_response", "here it is respond: { status: 200, body: ok }"),
    word(Route, "static_response", "here it is respond: { status: 200, body: ok }"),
    word(Route, "client_max_body_size", "here it is limits: { body: 8MiB }"),
    word(Route, "max_body", "here it is limits: { body: 8MiB }"),
    word(Match, "paths", "here it is path: [ … ]"),
    word(Match, "uri", "here it is path"),
    word(Match, "prefix", "here it is path: /prefix/**"),
    word(Match, "path_prefix", "here it is path: /prefix/**"),
    word(Match, "path_regex", "here it is path: \"regex:…\""),
    word(Match, "regex", "here it is path: \"regex:…\""),
    word(Match, "safe_regex", "here it is path: \"regex:…\""),
    word(Match, "domain", "here it is host"),
    word(Match, "domains", "here it is host: [ … ]"),
    word(Match, "server_name", "here it is host"),
    word(Match, "snis", "here it is host"),
    word(Match, "verb", "here it is methods: [GET]"),
    word(Match, "query_parameters", "here it is query"),
    word(Match, "query_params", "here it is query"),
    word(Match, "when", "here it is if"),
    word(Match, "expression", "here it is if"),
    word(Tier, "limit", "here it is rate: 100/min, quota: 10000/month or concurrency: 10"),
    word(Tier, "requests_per_minute", "here it is rate: 100/min"),
    word(Tier, "minute", "here it is rate: 100/min"),
    word(Tier, "second", "here it is rate: 10/s"),
    word(Tier, "average", "here it is rate: 100/min"),
    word(Tier, "connections", "here it is concurrency"),
    word(Step, "ratelimit", "here it is rate-limit"),
    word(Step, "rate_limiting", "here it is rate-limit"),
    word(Step, "limit_req", "here it is rate-limit"),
    word(Step, "limit_count", "here it is rate-limit"),
    word(Step, "limit_conn", "here it is concurrency-limit"),
    word(Step, "in_flight_req", "here it is concurrency-limit"),
    word(Step, "jwt_auth", "here it is jwt"),
    word(Step, "jwt_authn", "here it is jwt"),
    word(Step, "auth_jwt", "here it is jwt"),
    word(Step, "api_key", "here it is key-auth"),
    word(Step, "apikey", "here it is key-auth"),
    word(Step, "ip_restriction", "here it is ip-filter"),
    word(Step, "ip_allow_list", "here it is ip-filter"),
    word(Step, "ip_white_list", "here it is ip-filter"),
    word(Step, "request_transformer", "header changes are headers, paths and queries rewrite"),
    word(Step, "response_transformer", "header changes are headers"),
    word(Step, "add_header", "here it is headers: { response: { set: … } }"),
    word(Step, "proxy_set_header", "here it is headers: { request: { set: … } }"),
    word(Step, "proxy_rewrite", "here it is rewrite"),
    word(Step, "strip_prefix", "here it is rewrite: { path: \"/${params.rest}\" }"),
    word(Step, "replace_path", "here it is rewrite"),
    word(Step, "redirect_scheme", "here it is redirect_to_https of a listener"),
    word(Step, "correlation_id", "here it is request-id"),
    word(Step, "request_size_limiting", "here it is request-size"),
    word(Step, "buffering", "here it is request-size"),
    word(Step, "client_control", "here it is request-size"),
    word(Step, "proxy_cache", "a cache is not built yet (planned)"),
    word(Step, "gzip", "compression is not built yet (planned)"),
    word(Step, "brotli", "compression is not built yet (planned)"),
    word(Step, "acl", "groups of consumers are looked at with when: \"'staff' in consumer.groups\""),
];

/// What to say of a key that another gateway has at such a place.
pub(crate) fn known_elsewhere(path: &ConfigPath) -> Option<&'static str> {
    let (place, key) = place_of(path)?;
    hint(place, key)
}

/// What to say of a step with a name that another gateway has for such a plugin.
pub(crate) fn plugin_elsewhere(name: &str) -> Option<&'static str> {
    hint(Step, name)
}

fn hint(place: Place, key: &str) -> Option<&'static str> {
    let mut folded = String::with_capacity(key.len());
    for (position, c) in key.char_indices().take(60) {
        // maxConns is max_conns.
        if c.is_uppercase() && position > 0 && !folded.ends_with('_') {
            folded.push('_');
        }
        folded.extend(if c == '-' || c == ' ' { '_' } else { c }.to_lowercase());
    }
    let row = TABLE.iter().find(|row| row.place == place && (row.key == folded || row.key == folded.replace('_', "")));
    row.map(|row| row.hint)
}

fn place_of(path: &ConfigPath) -> Option<(Place, &str)> {
    let (last, before) = path.segments().split_last()?;
    let Segment::Key(key) = last else { return None };
    let mut words = before.iter().map(|segment| match segment {
        Segment::Key(key) => &**key,
        Segment::Index(_) => "[]",
    });
    let place = match (words.next(), words.next(), words.next(), words.next(), words.next()) {
        (None, ..) => Top,
        (Some("listeners"), Some("[]"), None, ..) => Listener,
        (Some("listeners"), Some("[]"), Some("tls"), None, _) => Tls,
        (Some("upstreams"), Some(_), None, ..) => Upstream,
        (Some("upstreams"), Some(_), Some("targets"), Some("[]"), None) => Target,
        (Some("upstreams"), Some(_), Some("health"), None, _) => Health,
        (Some("upstreams"), Some(_), Some("retry"), None, _) | (Some("routes"), Some("[]"), Some("retry"), None, _) => {
            Retry
        }
        (Some("upstreams"), Some(_), Some("timeouts"), None, _) => Timeouts,
        (Some("upstreams"), Some(_), Some("tls"), None, _) => UpstreamTls,
        (Some("routes"), Some("[]"), None, ..) => Route,
        (Some("routes"), Some("[]"), Some("match"), None, _) => Match,
        (Some("tiers"), Some(_), None, ..) => Tier,
        _ => return None,
    };
    Some((place, key))
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn a_word_of_another_gateway_is_known_at_its_place_only() {
        let known = |path: &str| known_elsewhere(&ConfigPath::from(path));
        assert!(known("upstreams.users.load_balance").unwrap().contains("balance"));
        assert!(known("upstreams.users.loadBalancer").is_some() && known("upstreams.users.load-balance").is_some());
        assert!(known("entryPoints").is_some() && known("upstreams.a.health.rise").is_some());
        assert!(known("routes[0].proxy_pass").is_some() && known("routes[3].match.pathPrefix").is_some());
        assert_eq!((known("routes[0].load_balance"), known("upstreams"), known("tiers.x.y.z")), (None, None, None));
        assert!(plugin_elsewhere("limit-req").is_some());
    }

    #[test]
    fn no_row_stands_twice_or_for_a_key_of_ours() {
        let schema = crate::schema(&crate::Catalog::default());
        let of = |place: Place| match place {
            Listener => "Listener",
            Tls => "ListenerTls",
            Upstream => "Upstream",
            Target => "TargetMap",
            Health => "Health",
            Retry => "Retry",
            Timeouts => "Timeouts",
            UpstreamTls => "UpstreamTls",
            Route => "Route",
            Match => "Match",
            Tier => "Tier",
            Top | Step => "",
        };
        let mut seen = HashSet::new();
        for row in TABLE {
            assert!(seen.insert((format!("{:?}", row.place), row.key)), "{:?} {}", row.place, row.key);
            assert_eq!(row.key, row.key.to_lowercase().replace('-', "_"));
            let ours = match row.place {
                Top => &schema["properties"][row.key],
                place => &schema["$defs"][of(place)]["properties"][row.key],
            };
            assert!(ours.is_null(), "{:?} {} is ours", row.place, row.key);
        }
        assert!(TABLE.len() > 60);
    }
}
