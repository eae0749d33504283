//! The index of the reference page: what people want to do, and the sections that tell how.

/// Each task with the definitions in which it is described.
pub(super) const TASKS: &[(&str, &[&str])] = &[
    ("accept requests, over TLS, behind a load balancer", &["Listener", "ListenerTls", "ListenerLimits"]),
    ("get certificates by itself", &["Acme", "ListenerTls"]),
    ("pass TCP on", &["Tcp"]),
    ("say which requests go where, and which route wins", &["Route", "Match"]),
    ("send requests to targets, and find them", &["Upstream", "Target", "Discover", "Resolver"]),
    ("balance, stay with a target, prefer near ones", &["Balance", "Sticky", "Failover", "Zone"]),
    ("take targets out that are not well", &["Health", "Outlier"]),
    ("try again, ask twice, bound what a target gets", &["Retry", "Hedge", "UpstreamLimits", "Timeouts"]),
    ("speak TLS to targets, call them by another name", &["UpstreamTls", "Upstream", "plugin.rewrite"]),
    ("try a new version on some requests, or on copies", &["RouteUpstreams", "WeightedUpstream", "Mirror"]),
    ("answer or redirect without a target", &["Respond", "Redirect"]),
    ("know who calls", &["plugin.jwt", "plugin.key-auth", "Consumer"]),
    ("let addresses in or keep them out", &["plugin.ip-filter"]),
    ("limit rates, quotas and concurrency, by tier", &["Tier", "plugin.rate-limit", "plugin.concurrency-limit"]),
    ("bound the size and the time of requests", &["plugin.request-size", "plugin.request-deadline", "RouteLimits"]),
    ("let web pages of other origins in", &["plugin.cors"]),
    ("change headers, paths, hosts and queries", &["plugin.headers", "plugin.rewrite"]),
    ("serve several versions of an API", &["plugin.versioning"]),
    ("put one answer together from several", &["plugin.aggregate"]),
    ("use steps in several routes, under conditions, or to observe only", &["Step"]),
    ("give errors pages of your own", &["Errors", "ErrorPage"]),
    ("see what happens", &["AccessLog", "Admin", "Usage", "plugin.request-id"]),
];
