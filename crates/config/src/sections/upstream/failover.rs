//! `failover`: which targets are asked first, and when others help out.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::units::{HeaderName, Percent};

/// Targets form groups: by `priority`, 0 first, and of one priority those in the gateway's own zone first, or with `near` those
/// nearest to the client. A group takes all requests as long as enough of it is available; what it cannot take falls on the next.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("x-example" = include_str!("../examples/failover.yaml")))]
pub struct Failover {
    /// The zone that the gateway is in, mostly from the environment: `"${env.ZONE}"`. Without it the zones of targets make no
    /// difference.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 64))]
    pub zone: Option<String>,
    /// Asks the zones in the order of their distance from the client: the nearest that is well serves. Where a client is not
    /// known, the distance from the gateway's own zone counts. Needs `zone` here, and `zones` with where each of them is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub near: Option<Near>,
    /// The share of a group, by weight, below which a part of its requests goes on to the next group: at half of this share,
    /// half of them. `0%` holds on to the last target of a group.
    #[serde(default = "default_spill_below")]
    pub spill_below: Percent,
    /// The share of a group's targets below which its health checks and ejections are disbelieved and all of it is used, if
    /// all groups together cannot take the traffic. `0%` never: without a target that is well, requests are answered with 503.
    #[serde(default = "default_panic_below")]
    pub panic_below: Percent,
}

/// How it is known where a client is: exactly one of `database` and `header`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("oneOf" = [{ "required": ["database"] }, { "required": ["header"] }]))]
pub struct Near {
    /// A database of countries or cities such as `GeoLite2-City.mmdb`, relative to this file: at most
    /// 1 GiB, which is held in memory. The client's address is looked up there, the real one, after `trusted_proxies`. A file that
    /// changes takes effect with the reload that follows; one that is broken is refused, and the one before stays in use.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub database: Option<PathBuf>,
    /// A header in which one of `trusted_proxies` says where the client is: a country (`DE`) or coordinates (`50.1, 8.7`). It is
    /// removed from the requests of everybody else.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub header: Option<HeaderName>,
}

impl Default for Failover {
    fn default() -> Self {
        Self { zone: None, near: None, spill_below: default_spill_below(), panic_below: default_panic_below() }
    }
}

const fn default_spill_below() -> Percent {
    Percent::new(70)
}

const fn default_panic_below() -> Percent {
    Percent::new(0)
}
