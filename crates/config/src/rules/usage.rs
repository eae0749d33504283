//! Rules of `usage`: an export that can be done, and once.

use crate::path::ConfigPath;
use crate::report::Report;
use crate::units::Duration;
use crate::yaml::Node;

const HOUR: u128 = 3_600_000;
const MINUTE: u128 = 60_000;

pub(super) fn check(root: &Node, report: &mut Report) {
    let Some((usage, export)) = root.get("usage").and_then(|usage| Some((usage, usage.get("export")?))) else {
        return;
    };
    let path = ConfigPath::root().key("usage").key("export");
    if usage.get("path").is_none() {
        let message =
            "an export needs a folder that knows what was exported; add path: /var/lib/portreeve/usage beside it";
        report.error(path.clone(), export.span, message);
    }
    let every = export.get("every").and_then(|every| Some((every, every.str()?.parse::<Duration>().ok()?)));
    if let Some((node, every)) = every {
        let millis = every.get().as_millis();
        if !millis.is_multiple_of(MINUTE) || !HOUR.is_multiple_of(millis) {
            let message = format!("{every} is no part of an hour in whole minutes; write 1h, 30m, 15m, 10m, 5m or 1m");
            report.error(path.key("every"), node.span, message);
        }
    }
}
