//! Zones and nearness: whoever asks by nearness must know where everybody is, and whom to believe about clients.

use crate::path::ConfigPath;
use crate::report::Report;
use crate::similar::{list, nearest};
use crate::yaml::Node;

/// As many as a picker tells apart.
const MOST: usize = 64;
/// More names than this are not listed in a message.
const LISTED: usize = 8;

pub(super) fn check(root: &Node, report: &mut Report) {
    let top = ConfigPath::root();
    let zones = root.get("zones").map(Node::entries).unwrap_or_default();
    let names: Vec<&str> = zones.iter().map(|zone| &*zone.key.text).collect();
    for zone in zones.iter().filter(|zone| !zone.value.is_unknown() && zone.value.to_json().is_object()) {
        if zone.value.entries().is_empty() {
            let message = "where is it? Add at: [latitude, longitude] or countries: [DE]";
            report.error(top.key("zones").key(&zone.key.text), zone.key.span, message);
        }
    }
    let mut asks = false;
    for upstream in root.get("upstreams").map(Node::entries).unwrap_or_default() {
        let path = top.key("upstreams").key(&upstream.key.text);
        let Some(failover) = upstream.value.get("failover") else { continue };
        let Some(near) = failover.entry("near") else { continue };
        asks = true;
        let at = path.key("failover");
        if zones.is_empty() {
            let message =
                "where are the zones? Add zones: { eu-1: { at: [50.1, 8.7], countries: [DE, AT] } } to the file";
            report.error(at.key("near"), near.key.span, message);
            continue;
        }
        if let Some(zone) = failover.get("zone") {
            check_zone(zone, &names, &at.key("zone"), report);
        } else {
            let message =
                "where do clients go whose place is not known? Name the gateway's own zone: failover: { zone: … }";
            report.error(at.key("near"), near.key.span, message);
        }
        for (index, target) in upstream.value.get("targets").map(Node::items).unwrap_or_default().iter().enumerate() {
            if let Some(zone) = target.get("zone") {
                check_zone(zone, &names, &path.key("targets").index(index).key("zone"), report);
            }
        }
        if let Some(header) = near.value.entry("header")
            && root.get("trusted_proxies").is_none_or(|networks| networks.items().is_empty())
        {
            let message = "nobody is believed here; name the load balancers that set it in trusted_proxies";
            report.error(at.key("near").key("header"), header.key.span, message);
        }
    }
    let Some(section) = root.entry("zones").filter(|_| !zones.is_empty()) else { return };
    if !asks {
        let message = "no upstream asks by nearness; add failover: { near: … } to one, or remove this key";
        report.error(top.key("zones"), section.key.span, message);
    }
    if zones.len() > MOST {
        let message = format!("there are {} zones; at most {MOST} are told apart", zones.len());
        report.error(top.key("zones"), section.key.span, message);
    }
}

fn check_zone(zone: &Node, names: &[&str], path: &ConfigPath, report: &mut Report) {
    let Some(name) = zone.str().filter(|name| !names.contains(name)) else { return };
    let hint = if let Some(meant) = nearest(name, names.iter().copied()) {
        format!("did you mean {meant:?}?")
    } else if names.len() <= LISTED {
        let names: Vec<String> = names.iter().map(ToString::to_string).collect();
        format!("defined: {}", list(&names, "and"))
    } else {
        format!("{} others are defined", names.len())
    };
    report.error(path.clone(), zone.span, format!("zones does not say where {name:?} is; {hint}"));
}
