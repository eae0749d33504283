//! Listeners: what of TLS goes together.

use crate::path::ConfigPath;
use crate::report::Report;
use crate::units::Duration;
use crate::yaml::Node;

/// What the list that browsers come with wants (hstspreload.org).
const PRELOAD: Duration = Duration::from_secs(365 * 24 * 60 * 60);

pub(super) fn check(root: &Node, report: &mut Report) {
    for (index, listener) in root.get("listeners").map(Node::items).unwrap_or_default().iter().enumerate() {
        let path = ConfigPath::root().key("listeners").index(index);
        if let (Some(tls), Some(redirect)) = (listener.entry("tls"), listener.entry("redirect_to_https")) {
            let message = "this listener speaks TLS already; put the redirect on the listener in clear";
            let others = vec![("tls stands here".to_owned(), tls.key.span)];
            report.error_with(path.key("redirect_to_https"), redirect.key.span, message, others);
        }
        if let Some(hsts) = listener.get("tls").and_then(|tls| tls.get("hsts")) {
            check_preload(hsts, &path.join("tls.hsts"), report);
        }
    }
}

fn check_preload(hsts: &Node, path: &ConfigPath, report: &mut Report) {
    let is_set = |key: &str| hsts.get(key).is_some_and(|value| value.to_json() == true);
    let short = hsts.get("max_age").and_then(Node::str).and_then(|age| age.parse::<Duration>().ok());
    let short = short.is_some_and(|age| age < PRELOAD);
    if let Some(preload) = hsts.get("preload")
        && is_set("preload")
        && (short || !is_set("include_subdomains"))
    {
        let message =
            "browsers take a host on their list only with include_subdomains: true and a max_age of at least 365d";
        report.error(path.key("preload"), preload.span, message);
    }
}
