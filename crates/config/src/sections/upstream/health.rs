//! `health`: active checks of the targets.

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

use crate::sections::OneOrMany;
use crate::units::{Duration, StatusCode};

/// Active health checks: exactly one of `http` and `tcp`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("oneOf" = [{ "required": ["http"] }, { "required": ["tcp"] }]))]
pub struct Health {
    /// Asks for this path; healthy is what `expect` says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = "^/"), extend("x-expected" = "a path that begins with /"))]
    pub http: Option<String>,
    /// Only opens a connection.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "only_true")]
    pub tcp: Option<bool>,
    /// The time from one check to the next.
    #[serde(default = "default_interval")]
    pub interval: Duration,
    /// The longest one check may take.
    #[serde(default = "default_check_timeout")]
    pub timeout: Duration,
    /// So many failed checks in a row take a target out.
    #[serde(default = "default_unhealthy_after")]
    #[schemars(range(min = 1, max = 100))]
    pub unhealthy_after: u32,
    /// So many passed checks in a row bring it back.
    #[serde(default = "default_healthy_after")]
    #[schemars(range(min = 1, max = 100))]
    pub healthy_after: u32,
    /// What a healthy answer is; only with `http`.
    #[serde(default)]
    pub expect: HealthExpect,
}

/// What a health check does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Probe<'a> {
    /// Asks for this path.
    Http(&'a str),
    /// Opens a connection.
    Tcp,
}

impl Health {
    /// What the check does; the loader has seen to it that exactly one is written.
    #[must_use]
    pub fn probe(&self) -> Probe<'_> {
        self.http.as_deref().map_or(Probe::Tcp, Probe::Http)
    }
}

/// What a healthy answer is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct HealthExpect {
    /// The status, or a list of them.
    #[serde(default = "default_expect")]
    pub status: OneOrMany<StatusCode>,
}

impl Default for HealthExpect {
    fn default() -> Self {
        Self { status: default_expect() }
    }
}

fn default_expect() -> OneOrMany<StatusCode> {
    vec![StatusCode::OK].into()
}

const fn default_interval() -> Duration {
    Duration::from_secs(5)
}

const fn default_check_timeout() -> Duration {
    Duration::from_secs(1)
}

const fn default_unhealthy_after() -> u32 {
    3
}

const fn default_healthy_after() -> u32 {
    2
}

fn only_true(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "boolean", "enum": [true] })
}
