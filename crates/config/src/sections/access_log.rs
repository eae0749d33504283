//! `access_log`: where the one line for each request goes.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::units::LogTarget;

/// The access log: one JSON line for each request, after its last byte.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("x-example" = include_str!("examples/access_log.yaml")))]
pub struct AccessLog {
    /// `stdout`, `off`, or `file:/path` (appended to). A relative path counts from the folder of the configuration file, as
    /// every path does. SIGHUP opens the file anew, so that logrotate may move it away first.
    #[serde(default)]
    pub to: LogTarget,
}
