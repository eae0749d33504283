//! `hedge`: a second target is asked when the first is slow to answer.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::units::{Duration, Percent};

/// When a request has no answer after a while, it is sent to another target as well, and whoever begins to answer first is
/// heard; the other connection is closed, which is no failure of its target. An answer with 500, 502, 503 or 504 is only taken
/// when the other has none that is better.
///
/// Only for requests that change nothing and have no body: GET, HEAD and OPTIONS, but no upgrades. Both targets are sent the
/// same bytes. At most one target more for a request, and none in its retries.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("x-example" = include_str!("../examples/hedge.yaml")))]
pub struct Hedge {
    /// So long the first target is waited for, connecting included: best about as long as 95 of 100 answers take.
    pub after: Duration,
    /// Second requests may be at most this share of the upstream's requests, so that a slow upstream is not asked for twice of
    /// everything. Up to 10 are saved up, and one a second is earned besides.
    #[serde(default = "default_budget")]
    pub budget: Percent,
}

const fn default_budget() -> Percent {
    Percent::new(5)
}
