//! Rules within one upstream: settings that could never have an effect, or contradict each other.

use crate::path::ConfigPath;
use crate::report::Report;
use crate::units::{Duration, Percent};
use crate::yaml::Node;

pub(super) fn check(upstream: &Node, path: &ConfigPath, report: &mut Report) {
    if let Some(outlier) = upstream.get("outlier") {
        check_outlier(outlier, &path.key("outlier"), report);
    }
    let zone = upstream.get("failover").and_then(|failover| failover.get("zone"));
    let targets = upstream.get("targets").map(Node::items).unwrap_or_default();
    if let Some(zone) = zone.filter(|_| targets.iter().all(|target| target.get("zone").is_none())) {
        let message = "no target of this upstream says its zone; write targets as { address: …, zone: … }";
        report.error(path.key("failover").key("zone"), zone.span, message);
    }
}

fn check_outlier(outlier: &Node, path: &ConfigPath, report: &mut Report) {
    let nothing = |node: &&Node| node.str().and_then(|text| text.parse().ok()) == Some(Percent::new(0));
    if let Some(share) = outlier.get("max_ejected").filter(nothing) {
        let message = "at 0% no target is ever ejected; write more, or leave outlier out";
        report.error(path.key("max_ejected"), share.span, message);
    }
    if let Some(rate) = outlier.get("failure_rate").filter(nothing) {
        let message = "at 0% any single failure would eject; write more, or 100% to go by consecutive_failures alone";
        report.error(path.key("failure_rate"), rate.span, message);
    }
    let time = |key: &str| outlier.get(key).and_then(|node| Some((node, node.str()?.parse::<Duration>().ok()?)));
    let least = time("eject_for").map_or(Duration::from_secs(30), |(_, time)| time);
    if let Some((node, most)) = time("max_eject_for").filter(|(_, most)| *most < least) {
        let message = format!("the longest ejection, {most}, is shorter than the first, {least}");
        report.error(path.key("max_eject_for"), node.span, message);
    }
}
