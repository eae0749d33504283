//! Rules within one upstream: somebody to send requests to, weights that leave a choice, checks that fit.

use std::collections::HashMap;

use super::{pools, resilience};
use crate::elsewhere::known_elsewhere;
use crate::path::ConfigPath;
use crate::report::Report;
use crate::similar::nearest;
use crate::yaml::{Node, Span, Value};

pub(super) fn check(root: &Node, report: &mut Report) {
    let top = ConfigPath::root();
    for entry in root.get("upstreams").map(Node::entries).unwrap_or_default() {
        let (upstream, path) = (&entry.value, top.key("upstreams").key(&entry.key.text));
        if let Some(targets) = upstream.get("targets") {
            check_weights(targets, "targets", &path.key("targets"), report);
            check_twice(targets, "address", &path.key("targets"), report);
        } else if upstream.get("discover").is_none() && is_map_without_a_slip(upstream, &path) {
            let message = "an upstream has nobody to send requests to; add targets: or discover:";
            report.error(path.clone(), entry.key.span, message);
        }
        if let Some(health) = upstream.get("health") {
            check_health(health, upstream, &path.key("health"), report);
        }
        pools::check(upstream, &path, report);
        resilience::check_upstream(upstream, &path, report);
    }
    if let Some(resolver) = root.get("resolver") {
        check_servers(resolver, report);
    }
}

/// A misspelt `targets`, or what others call it, is reported as such.
fn is_map_without_a_slip(upstream: &Node, path: &ConfigPath) -> bool {
    let elsewhere = |key: &str| known_elsewhere(&path.key(key)).is_some_and(|hint| hint.contains("targets"));
    let slip = |key: &str| nearest(key, ["targets", "discover"]).is_some() || elsewhere(key);
    matches!(&upstream.value, Value::Map(entries) if !entries.iter().any(|entry| slip(&entry.key.text)))
}

/// A list whose weights are all 0 has nobody to choose.
pub(super) fn check_weights(list: &Node, what: &str, path: &ConfigPath, report: &mut Report) {
    // An upstream with `when` has no share of the rest unless it says so.
    let is_zero = |item: &Node| match item.get("weight") {
        Some(weight) => weight.to_json() == 0,
        None => item.get("when").is_some(),
    };
    if !list.items().is_empty() && list.items().iter().all(is_zero) {
        let first = list.items().first().and_then(|item| item.get("weight"));
        let span = first.map_or(list.span, |weight| weight.span);
        report.error(path.clone(), span, format!("the weights of these {what} are all 0; nothing could be chosen"));
    }
}

/// The same name or address twice in one list is a slip: a weight says it better.
pub(crate) fn check_twice(list: &Node, key: &str, path: &ConfigPath, report: &mut Report) {
    let mut first: HashMap<&str, Span> = HashMap::new();
    for (index, item) in list.items().iter().enumerate() {
        let named = item.get(key).unwrap_or(item);
        let Some(text) = named.str() else {
            continue;
        };
        if let Some(first) = first.get(text) {
            let message = format!("{text:?} stands twice in this list; give it a weight instead");
            report.error_with(path.index(index), named.span, message, vec![("first here".into(), *first)]);
        } else {
            first.insert(text, named.span);
        }
    }
}

fn check_health(health: &Node, upstream: &Node, path: &ConfigPath, report: &mut Report) {
    let kind = match (health.get("http"), health.get("tcp"), health.get("grpc")) {
        (None, Some(_), None) => "a TCP check asks for nothing and has no answer to look at",
        (None, None, Some(_)) => "a gRPC check has its own question and answer",
        _ => {
            check_statuses(health, path, report);
            return;
        }
    };
    for key in ["method", "headers", "expect"] {
        if let Some(entry) = health.entry(key) {
            report.error(path.key(key), entry.key.span, format!("{kind}; {key} goes with http only"));
        }
    }
    let is_http2 = upstream.get("protocol").and_then(Node::str) == Some("http2");
    if let Some(service) = health.get("grpc").filter(|_| !is_http2) {
        let message = "gRPC is spoken over HTTP/2; add protocol: http2 to this upstream";
        report.error(path.key("grpc"), service.span, message);
    }
}

/// The order of a range is what no schema can say.
fn check_statuses(health: &Node, path: &ConfigPath, report: &mut Report) {
    let Some(statuses) = health.get("expect").and_then(|expect| expect.get("status")) else { return };
    let path = path.key("expect").key("status");
    let listed = statuses.items().iter().enumerate().map(|(index, item)| (path.index(index), item));
    for (path, status) in listed.chain([(path.clone(), statuses)]) {
        let bounds = status.str().and_then(|text| text.split_once('-'));
        if let Some((first, last)) = bounds.filter(|(first, last)| first.len() == 3 && last.len() == 3 && first >= last)
        {
            let message = format!("this range goes backwards; write \"{last}-{first}\"");
            report.error(path, status.span, message);
        }
    }
}

/// Whoever answers for names cannot be asked for by name.
fn check_servers(resolver: &Node, report: &mut Report) {
    let path = ConfigPath::root().key("resolver").key("servers");
    let servers = resolver.get("servers").map(Node::items).unwrap_or_default();
    for (index, server) in servers.iter().enumerate() {
        if let Some(text) = server.str()
            && let Ok(address) = text.parse::<crate::units::Address>()
            && address.socket_addr().is_none()
        {
            let message = format!("{text} is a name, and names are what this server is for; write its IP address");
            report.error(path.index(index), server.span, message);
        }
    }
}
