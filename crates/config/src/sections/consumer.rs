//! `consumers`: callers known by name.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::units::{Name, Secret};

/// A known caller.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("x-example" = include_str!("examples/consumer.yaml")))]
pub struct Consumer {
    /// The caller's name: `consumer.id` in templates and logs.
    pub name: Name,
    /// The caller's tier.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-refers-to" = "tier"))]
    pub tier: Option<Name>,
    /// Free words to tell callers apart: `consumer.groups` in templates and expressions.
    #[serde(default)]
    pub groups: Vec<String>,
    /// The API keys the caller may present.
    #[serde(default)]
    pub keys: Vec<Secret>,
}
