//! The settings of `concurrency-limit`.

use std::num::NonZeroU32;

use portreeve_plugin::prelude::*;
use portreeve_plugin::units::Duration;

/// Limits how many requests of a key may be under way at the same time.
///
/// A request is under way until the last byte of its answer is sent, or its client is gone; a WebSocket as long as it is
/// open. One beyond the limit waits if there is a `queue`, else it is answered 429 with `Retry-After`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("x-example" = include_str!("../example.yaml")))]
pub struct Config {
    /// Whose requests are counted together, as for `rate-limit`.
    pub by: Key,
    /// How many: a number, or `tier` for the `concurrency` of the consumer's tier. With `tier`, a request whose consumer has
    /// no tier of the file is refused with 403.
    #[schemars(extend("x-expected" = "`tier`, or a number of requests"))]
    pub limit: Limit,
    /// Who may wait for a place. Left out, nobody waits.
    #[serde(default)]
    pub queue: Option<Queue>,
}

/// How many.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Limit {
    /// So many.
    Fixed(NonZeroU32),
    /// The concurrency of the consumer's tier.
    Named(Named),
}

/// A limit that stands elsewhere in the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Named {
    /// The concurrency of the consumer's tier.
    Tier,
}

/// Who may wait for a place.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Queue {
    /// How many requests of one key wait at most; more are refused at once.
    #[schemars(range(min = 1, max = 100_000))]
    pub length: u32,
    /// How long a request waits at most before it is refused.
    #[serde(default = "default_timeout")]
    pub timeout: Duration,
}

fn default_timeout() -> Duration {
    Duration::from_secs(1)
}
