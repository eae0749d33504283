//! Rules within one section: addresses listened on, the admin port's token, the shares of a route.

use std::net::SocketAddr;

use super::resilience;
use super::upstreams::{check_twice, check_weights};
use crate::path::ConfigPath;
use crate::report::Report;
use crate::similar::nearest;
use crate::units::{BindAddress, Size};
use crate::yaml::{Node, Span};

/// What a request target can be held in (`http::Uri`) takes no more.
const LONGEST_URI: Size = Size::from_bytes(65_534);

pub(super) fn check(root: &Node, report: &mut Report) {
    let top = ConfigPath::root();
    check_binds(root, report);
    check_admin(root, report);
    check_listeners(root, report);
    for (index, route) in root.get("routes").map(Node::items).unwrap_or_default().iter().enumerate() {
        if let Some(shares) = route.get("upstream") {
            let path = top.key("routes").index(index).key("upstream");
            check_weights(shares, "upstreams", &path, report);
            check_twice(shares, "name", &path, report);
        }
        resilience::check_route(route, &top.key("routes").index(index), report);
        check_methods(route, &top.key("routes").index(index), report);
    }
}

/// A method may be anybody's own; one that is nearly a common one is surely a slip.
fn check_methods(route: &Node, path: &ConfigPath, report: &mut Report) {
    let methods = route.get("match").and_then(|wanted| wanted.get("methods")).map(Node::items).unwrap_or_default();
    for (index, method) in methods.iter().enumerate() {
        let Some(text) = method.str().filter(|text| !METHODS.contains(text)) else { continue };
        if let Some(meant) = nearest(text, COMMON_METHODS) {
            let message = format!("no method that is known; did you mean {meant}?");
            report.warning(path.key("match").key("methods").index(index), method.span, message);
        }
    }
}

/// The methods that most APIs have.
const COMMON_METHODS: [&str; 7] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"];
/// The registered methods (RFC 9110 §16.1.1), and two that caches have.
const METHODS: [&str; 42] = [
    "ACL",
    "BAN",
    "BASELINE-CONTROL",
    "BIND",
    "CHECKIN",
    "CHECKOUT",
    "CONNECT",
    "COPY",
    "DELETE",
    "GET",
    "HEAD",
    "LABEL",
    "LINK",
    "LOCK",
    "MERGE",
    "MKACTIVITY",
    "MKCALENDAR",
    "MKCOL",
    "MKREDIRECTREF",
    "MKWORKSPACE",
    "MOVE",
    "OPTIONS",
    "ORDERPATCH",
    "PATCH",
    "POST",
    "PRI",
    "PROPFIND",
    "PROPPATCH",
    "PURGE",
    "PUT",
    "QUERY",
    "REBIND",
    "REPORT",
    "SEARCH",
    "TRACE",
    "UNBIND",
    "UNCHECKOUT",
    "UNLINK",
    "UNLOCK",
    "UPDATE",
    "UPDATEREDIRECTREF",
    "VERSION-CONTROL",
];

/// Two sockets cannot listen on one address. Port 0 is a new port each time.
fn check_binds(root: &Node, report: &mut Report) {
    let top = ConfigPath::root();
    let listeners = root.get("listeners").map(Node::items).unwrap_or_default();
    let listeners = listeners
        .iter()
        .enumerate()
        .filter_map(|(index, listener)| Some((top.key("listeners").index(index), listener.get("bind")?)));
    let admin = root.get("admin").and_then(|admin| Some((top.key("admin"), admin.get("bind")?)));
    let mut taken: Vec<(SocketAddr, Span)> = Vec::new();
    for (path, bind) in listeners.chain(admin) {
        let Some(address) = bind_address(bind).map(BindAddress::get) else {
            continue;
        };
        if let Some((other, first)) = taken.iter().find(|(other, _)| overlap(*other, address)) {
            let message = if *other == address {
                format!("{address} is taken already")
            } else {
                format!("{address} is taken already, as part of {other}")
            };
            report.error_with(path.key("bind"), bind.span, message, vec![("first taken here".into(), *first)]);
        }
        taken.push((address, bind.span));
    }
}

/// 0.0.0.0 is every IPv4 address, so 127.0.0.1 beside it is a second listener on that one. Whether [::] takes IPv4
/// too is the system's setting, so the two families do not overlap here.
fn overlap(a: SocketAddr, b: SocketAddr) -> bool {
    let (wide_a, wide_b) = (a.ip().is_unspecified(), b.ip().is_unspecified());
    let one_ip = a.ip() == b.ip() || ((wide_a || wide_b) && a.is_ipv4() == b.is_ipv4());
    a.port() != 0 && a.port() == b.port() && one_ip
}

fn bind_address(node: &Node) -> Option<BindAddress> {
    node.str()?.parse().ok()
}

fn check_admin(root: &Node, report: &mut Report) {
    let Some((admin, bind)) = root.get("admin").and_then(|admin| Some((admin, admin.get("bind")?))) else {
        return;
    };
    if bind_address(bind).is_some_and(|address| !address.is_loopback()) && admin.get("token").is_none() {
        let path = ConfigPath::root().key("admin").key("bind");
        let message = "the admin port is open to others than this machine and has no token; add token: env:ADMIN_TOKEN or bind to 127.0.0.1";
        report.error(path, bind.span, message);
    }
}

/// Without anyone to believe, a PROXY protocol header would have to be refused on every connection; a bound of nothing would
/// refuse them all.
fn check_listeners(root: &Node, report: &mut Report) {
    let nobody = root.get("trusted_proxies").is_none_or(|networks| networks.items().is_empty());
    for (index, listener) in root.get("listeners").map(Node::items).unwrap_or_default().iter().enumerate() {
        let path = ConfigPath::root().key("listeners").index(index);
        if let Some(header) = listener.get("proxy_protocol").filter(|header| nobody && header.to_json() == true) {
            let message = "nobody may send a PROXY protocol header here; name the load balancers in trusted_proxies";
            report.error(path.key("proxy_protocol"), header.span, message);
        }
        let uri = listener.get("limits").and_then(|limits| limits.get("uri"));
        if let Some(uri) = uri.filter(|uri| uri.str().and_then(|text| text.parse().ok()) > Some(LONGEST_URI)) {
            let message = format!("no request target can be longer than {LONGEST_URI}; write 63KiB or less");
            report.error(path.key("limits").key("uri"), uri.span, message);
        }
        for limit in listener.get("limits").map(Node::entries).unwrap_or_default() {
            let nothing = limit.value.str().is_some_and(|text| {
                text.starts_with('0') && text.trim_start_matches('0').chars().all(char::is_alphabetic)
            });
            if nothing && &*limit.key.text != "min_body_rate" {
                let message = "a limit of nothing lets nobody in; write more, or leave it out for the default";
                report.error(path.key("limits").key(&limit.key.text), limit.value.span, message);
            }
        }
    }
}
