//! The settings of `rate-limit`.

use portreeve_plugin::prelude::*;
use portreeve_plugin::units::Rate;

/// Limits how many requests a key may make in any span of time.
///
/// Without `burst` the limit is an exact sliding window: `100/min` admits at most 100 requests in any 60 seconds, all at
/// once if the client wishes, and a refused request may come again at the moment the oldest one is 60 seconds old. With
/// `burst` it is a token bucket. A request over the limit is answered 429 with `Retry-After`; every answer to a counted
/// request carries the `RateLimit` and `RateLimit-Policy` fields (draft-ietf-httpapi-ratelimit-headers).
///
/// What a key has used survives a reload, also one that changes how many requests a window admits; a window of another
/// length, and a token bucket of another rate or burst, start afresh.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Whose requests are counted together: a template such as `${consumer.id}` or `${request.client_ip}`. Plain text
    /// counts all requests together. A request for which it has no value is refused with 403; give it a default
    /// (`${request.headers.x-team:-none}`) to count such requests together instead.
    pub by: Template,
    /// How many requests: `tier` for the limit of the consumer's tier, or a limit of this step's own such as
    /// `{ rate: 10/min }`. With `tier`, a request whose consumer has no tier of the file is refused with 403.
    #[schemars(extend("x-expected" = "`tier`, or a limit such as { rate: 100/min }"))]
    pub limit: Limit,
    /// How many keys are remembered at most. An idle key takes about 150 bytes; each request admitted within the window
    /// takes 16 more, of which there are at most 1025 for one key. Keys are forgotten when they are idle, never earlier:
    /// while all are in use, requests with a new key are answered 503.
    #[serde(default = "default_max_keys")]
    #[schemars(range(min = 1, max = 100_000_000))]
    pub max_keys: u32,
}

/// How many requests.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Limit {
    /// The limit of the consumer's tier.
    Named(Named),
    /// A limit of this step's own.
    Inline(Inline),
}

/// A limit that stands elsewhere in the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Named {
    /// The limit of the consumer's tier.
    Tier,
}

/// A limit of the step's own.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Inline {
    /// At most so many requests in any such span: `10/s`, `100/min`, `1000/h`, `5000/day`. Exact up to 1024 requests;
    /// beyond that never too many, but a freed place may come back late by up to 1/1024 of the span.
    pub rate: Rate,
    /// Makes it a token bucket that holds this many requests and is refilled at `rate`: so many may come at once after
    /// a pause, and later no more than `rate` on average.
    #[serde(default)]
    #[schemars(range(min = 1))]
    pub burst: Option<std::num::NonZeroU32>,
}

fn default_max_keys() -> u32 {
    1_000_000
}
