//! `failover`: which targets are asked first, and when others help out.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::units::Percent;

/// Targets form groups: by `priority`, 0 first, and of one priority those in the gateway's own zone first. A group takes all
/// requests as long as enough of it is available; what it cannot take falls on the next.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Failover {
    /// The zone that the gateway is in, mostly from the environment: `"${env.ZONE}"`. Without it the zones of targets make no
    /// difference.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 64))]
    pub zone: Option<String>,
    /// The share of a group, by weight, below which a part of its requests goes on to the next group: at half of this share,
    /// half of them. `0%` holds on to the last target of a group.
    #[serde(default = "default_spill_below")]
    pub spill_below: Percent,
    /// The share of a group's targets below which its health checks and ejections are disbelieved and all of it is used, if
    /// all groups together cannot take the traffic. `0%` never: without a target that is well, requests are answered with 503.
    #[serde(default = "default_panic_below")]
    pub panic_below: Percent,
}

impl Default for Failover {
    fn default() -> Self {
        Self { zone: None, spill_below: default_spill_below(), panic_below: default_panic_below() }
    }
}

const fn default_spill_below() -> Percent {
    Percent::new(70)
}

const fn default_panic_below() -> Percent {
    Percent::new(0)
}
