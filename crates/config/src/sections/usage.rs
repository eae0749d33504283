//! `usage`: what consumers have used, how much of it is kept, and where it goes.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::units::{Duration, Size};

/// What consumers have used: requests, errors, refusals, bytes, cost and latency by consumer, tier, route and version, for
/// each hour and day (UTC). Asked for at `/api/v1/usage` of the admin port.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("x-example" = include_str!("examples/usage.yaml")))]
pub struct Usage {
    /// `false` counts nothing.
    #[serde(default = "yes")]
    pub enabled: bool,
    /// How many combinations of consumer, tier, route and version are told apart in a period: those that are used most. What
    /// the others used is counted together by route, so that totals are exact. One takes up to 1.5 KiB while it is being
    /// counted, and some 200 bytes in each hour and day that is kept.
    #[serde(default = "default_max_keys")]
    #[schemars(range(min = 100, max = 1_000_000))]
    pub max_keys: u32,
    /// How many hours are kept, the current one among them.
    #[serde(default = "default_hours")]
    #[schemars(range(min = 1, max = 744))]
    pub hours: u16,
    /// How many days are kept, the current one among them.
    #[serde(default = "default_days")]
    #[schemars(range(min = 1, max = 732))]
    pub days: u16,
    /// The folder that usage is saved in, every ten seconds and at the end, so that it survives a restart. It is made if it is
    /// not there, and belongs to one gateway; with `--upgrade` the next process takes it over when this one has ended. A
    /// relative path counts from the folder of the configuration file. Left out, usage is in memory only. It changes only with
    /// a restart.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1))]
    pub path: Option<PathBuf>,
    /// Where usage is written to as JSON lines, one for each combination and span. Needs `path`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub export: Option<UsageExport>,
}

/// Usage as JSON lines: each span once, also over a crash.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("x-example" = include_str!("examples/usage_export.yaml")))]
pub struct UsageExport {
    /// The file, appended to. Whoever moves it away finds another in its place with the next export.
    #[schemars(length(min = 1))]
    pub path: PathBuf,
    /// How often, by the clock: a part of an hour in whole minutes, such as `1h`, `15m` or `1m`. What was used since the last
    /// time is also written when the gateway ends.
    #[serde(default = "default_every")]
    pub every: Duration,
    /// A file that has become longer is moved to `….1`, the one there to `….2`, and so on.
    #[serde(default = "default_max_size")]
    pub max_size: Size,
    /// How many files are kept beside the one that is written; older ones go.
    #[serde(default = "default_keep")]
    #[schemars(range(min = 1, max = 1000))]
    pub keep: u16,
}

impl Default for Usage {
    fn default() -> Self {
        Self {
            enabled: yes(),
            max_keys: default_max_keys(),
            hours: default_hours(),
            days: default_days(),
            path: None,
            export: None,
        }
    }
}

const fn yes() -> bool {
    true
}

const fn default_max_keys() -> u32 {
    5000
}

const fn default_hours() -> u16 {
    48
}

const fn default_days() -> u16 {
    31
}

const fn default_every() -> Duration {
    Duration::from_secs(3600)
}

const fn default_max_size() -> Size {
    Size::from_bytes(64 << 20)
}

const fn default_keep() -> u16 {
    8
}
