//! `routes[].mirror`: a sample of a route's requests goes to another upstream as well, whose answers nobody sees.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::units::{Name, Percent, Size};

/// Sends a copy of a sample of the route's requests to another upstream, to try it with real traffic. A copy is made of what
/// goes to the target: after the chain, so that refused requests are not mirrored, and marked with `x-mirrored: true`. Its
/// answer is thrown away, it is never retried, and the request itself neither waits for it nor fails with it: where the other
/// upstream is behind, copies are dropped and counted.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("x-example" = include_str!("examples/mirror.yaml")))]
pub struct Mirror {
    /// The upstream that gets the copies.
    #[schemars(extend("x-refers-to" = "upstream"))]
    pub upstream: Name,
    /// The share of the requests that is copied.
    #[serde(default = "default_sample")]
    pub sample: Percent,
    /// Requests with a longer body are not copied.
    #[serde(default = "default_max_body")]
    pub max_body: Size,
    /// Copies on their way at once; while there are as many, further ones are dropped.
    #[serde(default = "default_concurrency")]
    #[schemars(range(min = 1, max = 10_000))]
    pub concurrency: u32,
}

const fn default_sample() -> Percent {
    Percent::new(100)
}

const fn default_max_body() -> Size {
    Size::from_bytes(64 * 1024)
}

const fn default_concurrency() -> u32 {
    64
}
