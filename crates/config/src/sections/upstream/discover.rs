//! `discover`: targets that are not written in gateway.yaml but found, again and again.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::units::ServiceName;

/// Where targets are found: exactly one of `srv` and `file`.
///
/// What was found last stays in use while nothing can be found: an answer that fails or is empty, or a file that is broken,
/// takes no target out. It is logged, and counted in `portreeve_upstream_discoveries_total`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("oneOf" = [{ "required": ["srv"] }, { "required": ["file"] }]))]
#[schemars(extend("x-example" = include_str!("../examples/discover.yaml")))]
pub struct Discover {
    /// The name of DNS SRV records (RFC 2782), such as `_http._tcp.users.internal`: they tell host, port and weight of each
    /// target. Asked for again when the answer is too old: see `resolver`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub srv: Option<ServiceName>,
    /// A YAML or JSON file with a list in the form of `targets`, of IP addresses only, relative to this file. It is watched:
    /// a change takes effect within two seconds, without a reload.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<PathBuf>,
}
