//! `timeouts`: how long each part of an attempt may take.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::units::Duration;

/// How long each part of an attempt may take. Every one is finite.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Timeouts {
    /// To open a connection, TLS included; after it 504, or the next attempt.
    #[serde(default = "default_connect")]
    pub connect: Duration,
    /// The longest silence of a target: until the answer's head (after it 504), and between two reads of its body.
    #[serde(default = "default_first_byte")]
    pub first_byte: Duration,
    /// For one write of the request to make progress.
    #[serde(default = "default_write")]
    pub write: Duration,
    /// How long an unused connection is kept for the next request.
    #[serde(default = "default_idle")]
    pub idle: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            connect: default_connect(),
            first_byte: default_first_byte(),
            write: default_write(),
            idle: default_idle(),
        }
    }
}

const fn default_connect() -> Duration {
    Duration::from_secs(1)
}

const fn default_first_byte() -> Duration {
    Duration::from_secs(15)
}

const fn default_write() -> Duration {
    Duration::from_secs(15)
}

const fn default_idle() -> Duration {
    Duration::from_secs(60)
}
