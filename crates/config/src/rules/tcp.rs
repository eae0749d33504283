//! TCP listeners: what of HTTP cannot stand beside `tcp`, and which upstreams can serve both.

use std::collections::HashSet;

use crate::path::{ConfigPath, Segment};
use crate::report::Report;
use crate::shape::Reference;
use crate::similar::list;
use crate::yaml::Node;

/// Keys of a listener that are about requests.
const OF_REQUESTS: [&str; 2] = ["plugins", "redirect_to_https"];
/// The keys of `limits` that are about connections.
const LIMITS: [&str; 4] = ["connections", "connections_per_client", "connection_rate", "handshake"];
/// The keys of `tls` that are about HTTP.
const TLS_OF_REQUESTS: [&str; 2] = ["hsts", "http2"];
/// The one template that a connection has a value for.
const CLIENT_IP: &str = "${request.client_ip}";

pub(super) fn check(root: &Node, report: &mut Report) {
    for (index, listener) in root.get("listeners").map(Node::items).unwrap_or_default().iter().enumerate() {
        let Some(tcp) = listener.entry("tcp") else { continue };
        let path = ConfigPath::root().key("listeners").index(index);
        let others = || vec![("tcp stands here".to_owned(), tcp.key.span)];
        let mut refuse = |path: &ConfigPath, node: &Node, keys: &dyn Fn(&str) -> bool, message: &dyn Fn() -> String| {
            for entry in node.entries().iter().filter(|entry| keys(&entry.key.text)) {
                report.error_with(path.key(&entry.key.text), entry.key.span, message(), others());
            }
        };
        refuse(&path, listener, &|key| OF_REQUESTS.contains(&key), &|| {
            "there are no requests on a TCP listener; put this on a listener for HTTP".to_owned()
        });
        if let Some(tls) = listener.get("tls") {
            refuse(&path.key("tls"), tls, &|key| TLS_OF_REQUESTS.contains(&key), &|| {
                "this is about HTTP, which a TCP listener does not look into; remove it".to_owned()
            });
        }
        if let Some(limits) = listener.get("limits") {
            let of_http = |key: &str| !LIMITS.contains(&key) && is_limit(key);
            refuse(&path.key("limits"), limits, &of_http, &|| {
                let kept: Vec<String> = LIMITS.iter().map(ToString::to_string).collect();
                format!(
                    "this bounds requests; on a TCP listener {} stand here, and its own timeouts in tcp",
                    list(&kept, "and")
                )
            });
        }
        // A misspelt key is reported as that.
        let only_timeouts = tcp.value.entries().iter().all(|entry| *entry.key.text == *"timeouts");
        if tcp.value.to_json().is_object() && only_timeouts {
            report.error(
                path.key("tcp"),
                tcp.key.span,
                "where to? Give upstream, or sni with an upstream for each name",
            );
        }
    }
}

/// Others are unknown, which is said already.
fn is_limit(key: &str) -> bool {
    let known = ["requests_per_connection", "head", "idle", "min_body_rate", "stall", "head_size", "headers", "uri"];
    known.contains(&key)
}

/// What the upstreams that TCP listeners name must do without, and what those that requests go to must.
pub(crate) fn check_upstreams(root: &Node, references: &[Reference], report: &mut Report) {
    let mut said = HashSet::new();
    for reference in references.iter().filter(|reference| reference.kind == "upstream") {
        let Some(upstream) = root.get("upstreams").and_then(|upstreams| upstreams.get(&reference.name)) else {
            continue;
        };
        let path = ConfigPath::root().key("upstreams").key(&reference.name);
        let of_tcp = is_of_tcp(&reference.path);
        if !said.insert((reference.name.as_str(), of_tcp)) {
            continue;
        }
        let mut refuse = |path: ConfigPath, span, message: &str, whose: &str| {
            report.error_with(path, span, message, vec![(whose.to_owned(), reference.span)]);
        };
        if !of_tcp {
            let is_http2 = upstream.get("protocol").and_then(Node::str) == Some("http2");
            if let Some(entry) = upstream.entry("proxy_protocol").filter(|_| is_http2) {
                let message = "a connection in HTTP/2 serves requests of many clients, and a PROXY protocol header speaks for one; use protocol: http1";
                refuse(path.key("proxy_protocol"), entry.key.span, message, "requests go there from here");
            }
            continue;
        }
        let hash = upstream.get("balance").and_then(|balance| balance.get("hash"));
        if let Some(hash) = hash.filter(|hash| hash.str().is_some_and(|text| text.trim() != CLIENT_IP)) {
            let message = "a TCP connection has nothing to hash but ${request.client_ip}; write balance: ip_hash";
            refuse(path.key("balance").key("hash"), hash.span, message, "a TCP listener sends its connections there");
        }
        if let Some(adaptive) = upstream.get("limits").and_then(|limits| limits.entry("adaptive")) {
            let message = "how fast connections are accepted says nothing of how many a target can serve; write requests, which bounds connections here";
            let path = path.key("limits").key("adaptive");
            refuse(path, adaptive.key.span, message, "a TCP listener sends its connections there");
        }
        let near = upstream.get("failover").and_then(|failover| failover.get("near"));
        if let Some(header) = near.and_then(|near| near.entry("header")) {
            let message = "a TCP connection has no header that tells where its client is; write database:";
            let path = path.key("failover").key("near").key("header");
            refuse(path, header.key.span, message, "a TCP listener sends its connections there");
        }
        if let Some(sticky) = upstream.entry("sticky") {
            let message =
                "a TCP connection has no cookie to be sticky by; write balance: ip_hash, or use an upstream of its own";
            refuse(path.key("sticky"), sticky.key.span, message, "a TCP listener sends its connections there");
        }
    }
}

fn is_of_tcp(path: &ConfigPath) -> bool {
    let named = |segment: Option<&Segment>, name: &str| matches!(segment, Some(Segment::Key(key)) if **key == *name);
    let segments = path.segments();
    named(segments.first(), "listeners") && named(segments.get(2), "tcp")
}
