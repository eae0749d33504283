//! What keys of `retry`, `limits`, `mirror` and a split mean only together with others: said where one of them is missing.

use crate::path::ConfigPath;
use crate::report::Report;
use crate::sections::{AdaptiveLimit, Backoff, Timeouts};
use crate::units::{Duration, DurationOrZero, Percent};
use crate::yaml::{Entry, Node};

/// Methods that are repeated anyway (RFC 9110 §9.2.2).
const IDEMPOTENT: [&str; 6] = ["GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE"];

pub(super) fn check_upstream(upstream: &Node, path: &ConfigPath, report: &mut Report) {
    if let Some(retry) = upstream.get("retry") {
        check_retry(retry, &path.key("retry"), report);
    }
    if let Some(hedge) = upstream.entry("hedge") {
        check_hedge(hedge, upstream, path, report);
    }
    if let Some(breaker) = upstream.get("circuit_breaker") {
        check_circuit_breaker(breaker, &path.key("circuit_breaker"), report);
    }
    if let Some(limits) = upstream.entry("limits") {
        let path = path.key("limits");
        if !limits.value.entries().is_empty() && BOUNDS.iter().all(|key| limits.value.get(key).is_none()) {
            let message = "nothing is limited; add requests, adaptive, requests_per_target or connections_per_target";
            report.error(path.clone(), limits.key.span, message);
        }
        let is_http2 = upstream.get("protocol").and_then(Node::str) == Some("http2");
        if let Some(connections) = limits.value.entry("connections_per_target").filter(|_| is_http2) {
            let message = "a connection in HTTP/2 carries many requests; bound those: requests_per_target";
            report.error(path.key("connections_per_target"), connections.key.span, message);
        }
        check_adaptive(&limits.value, &path, report);
    }
}

/// What would open at the first failure.
fn check_circuit_breaker(breaker: &Node, path: &ConfigPath, report: &mut Report) {
    if let Some(node) = breaker.get("failures")
        && node.str().and_then(|text| text.parse().ok()).is_some_and(|share: Percent| share.fraction() <= 0.0)
    {
        let message = "any failure at all would open it; write the share that is too much, such as 50%";
        report.error(path.key("failures"), node.span, message);
    }
}

/// With more, the bound that is halved to see what an answer takes unhindered would still be above what the upstream can work on.
const MOST_TOLERANCE: f64 = 0.75;

/// The keys of `limits` that bound something.
const BOUNDS: [&str; 4] = ["requests", "adaptive", "requests_per_target", "connections_per_target"];

fn check_adaptive(limits: &Node, path: &ConfigPath, report: &mut Report) {
    let Some(adaptive) = limits.entry("adaptive") else { return };
    if let Some(requests) = limits.entry("requests") {
        let message =
            "adaptive finds this bound by itself; write its upper end as adaptive: { max: … } and remove requests";
        let others = vec![("adaptive stands here".to_owned(), adaptive.key.span)];
        report.error_with(path.key("requests"), requests.key.span, message, others);
    }
    if let Some(node) = adaptive.value.get("tolerance")
        && node.str().and_then(|text| text.parse().ok()).is_some_and(|share: Percent| share.fraction() > MOST_TOLERANCE)
    {
        let message = "more than 75%, from which on a queue that grows is taken for no queue";
        report.error(path.key("adaptive").key("tolerance"), node.span, message);
    }
    let bound = |key: &str, default: u32| match adaptive.value.get(key) {
        Some(node) => node.to_json().as_u64(),
        None => Some(u64::from(default)),
    };
    let default = AdaptiveLimit::default();
    let (Some(min), Some(max)) = (bound("min", default.min), bound("max", default.max)) else { return };
    if max >= min {
        return;
    }
    let (key, span, message) = match (adaptive.value.get("max"), adaptive.value.get("min")) {
        (Some(node), _) => ("max", node.span, format!("less than min, which is {min}")),
        (None, Some(node)) => ("min", node.span, format!("more than max, which is {max}")),
        (None, None) => return,
    };
    report.error(path.key("adaptive").key(key), span, message);
}

pub(super) fn check_route(route: &Node, path: &ConfigPath, report: &mut Report) {
    if let Some(retry) = route.get("retry") {
        check_retry(retry, &path.key("retry"), report);
    }
    let upstream = route.get("upstream");
    if let Some(by) = route.entry("split_by")
        && upstream.is_none_or(|upstream| upstream.items().len() < 2)
    {
        let message =
            "there is nothing to split; it goes with upstream: [{ name: a, weight: 95 }, { name: b, weight: 5 }]";
        report.error(path.key("split_by"), by.key.span, message);
    }
    // A plugin that chooses an upstream is one, too: only these two answer without asking anybody.
    for end in ["respond", "redirect"] {
        if route.get(end).is_none() {
            continue;
        }
        for key in ["mirror", "retry"] {
            if let Some(entry) = route.entry(key) {
                let message = format!("a route that ends in {end} asks no target; remove this key");
                report.error(path.key(key), entry.key.span, message);
            }
        }
    }
}

fn check_hedge(hedge: &Entry, upstream: &Node, path: &ConfigPath, report: &mut Report) {
    if upstream.get("protocol").and_then(Node::str) == Some("http2") {
        let message = "only targets in HTTP/1.1 are asked twice; remove hedge, or protocol: http2";
        report.error(path.key("hedge"), hedge.key.span, message);
    }
    let path = path.key("hedge");
    if let Some(budget) = hedge.value.get("budget")
        && budget.str().and_then(|text| text.parse().ok()) == Some(Percent::new(0))
    {
        let message = "at 0% nobody is ever asked twice; write more, or leave hedge out";
        report.error(path.key("budget"), budget.span, message);
    }
    let duration = |node: &Node| node.str().and_then(|text| text.parse::<Duration>().ok());
    let Some((node, after)) = hedge.value.get("after").and_then(|node| Some((node, duration(node)?))) else { return };
    let timeouts = upstream.get("timeouts");
    let (key, patience) = match timeouts.and_then(|timeouts| Some(("per_try", duration(timeouts.get("per_try")?)?))) {
        Some(per_try) => per_try,
        None => (
            "first_byte",
            timeouts.and_then(|it| duration(it.get("first_byte")?)).unwrap_or(Timeouts::default().first_byte),
        ),
    };
    if after >= patience {
        let message = format!("by then the first attempt is over: timeouts.{key} is {patience}; write less");
        report.error(path.key("after"), node.span, message);
    }
}

fn check_retry(retry: &Node, path: &ConfigPath, report: &mut Report) {
    let methods = retry.get("methods").map(Node::items).unwrap_or_default();
    for (index, method) in methods.iter().enumerate() {
        if let Some(text) = method.str().filter(|text| IDEMPOTENT.contains(text)) {
            let message = format!("{text} is idempotent and tried again anyway; name only others, such as POST");
            report.error(path.key("methods").index(index), method.span, message);
        }
    }
    let Some(written) = retry.get("backoff") else { return };
    let default = Backoff::default();
    let time = |key: &str, default: DurationOrZero| match written.get(key) {
        Some(node) => node.str().and_then(|text| text.parse().ok()),
        None => Some(default),
    };
    let (Some(base), Some(max)) = (time("base", default.base), time("max", default.max)) else { return };
    if max < base
        && let Some((key, message)) = match (written.get("max"), written.get("base")) {
            (Some(node), _) => Some((("max", node.span), format!("less than base, which is {base}"))),
            (None, Some(node)) => Some((("base", node.span), format!("more than max, which is {max}"))),
            (None, None) => None,
        }
    {
        report.error(path.key("backoff").key(key.0), key.1, message);
    }
}
