//! `timeouts`: how long each part of an attempt may take.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::units::Duration;

/// How long each part of an attempt may take. Every one is finite.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("x-example" = include_str!("../examples/timeouts.yaml")))]
pub struct Timeouts {
    /// To open a connection, TLS included, and in HTTP/2 what the target says of itself (its SETTINGS); after it 504, or the next
    /// attempt.
    #[serde(default = "default_connect")]
    pub connect: Duration,
    /// The longest silence of a target until the answer's head; after it 504. What follows the head is bounded by
    /// `routes[].timeouts.idle`. A target is waited for only once the request has come whole; until then `limits.min_body_rate`
    /// and the route's timeout bound the client.
    #[serde(default = "default_first_byte")]
    pub first_byte: Duration,
    /// For one attempt, from its beginning to the answer's head; of a request whose body is still coming in, from when it is
    /// whole. After it the next attempt, if `retry.on` has `timeout`, else 504. To clients of HTTP/2 connecting counts for
    /// itself, and what is bounded is the silence before the head. Without this key only `connect` and `first_byte` bound
    /// an attempt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub per_try: Option<Duration>,
    /// For one write of the request to make progress. After it 504 if the target has not begun to answer; if it has, it gets no
    /// more of the request, and the answer goes on.
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
            per_try: None,
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
