//! One entry of `targets`: an address, or a map with an address and more.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

use crate::units::Address;

/// One address of an upstream.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(from = "TargetForm")]
pub struct Target {
    /// Where the target listens. A name is resolved off the request path, and again as its answers age.
    pub address: Address,
    /// The target's share, relative to the others. 0 takes it out.
    pub weight: u16,
    /// Where it runs. Targets in the gateway's own zone (`failover.zone`) are asked first.
    pub zone: Option<Box<str>>,
    /// Targets of a higher number are asked when those of the lower ones are not enough.
    pub priority: u16,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum TargetForm {
    Bare(Address),
    Full(FullTarget),
}

/// A target with more than its address.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "TargetMap")]
struct FullTarget {
    /// Where the target listens: `host:port`.
    address: Address,
    /// The target's share, relative to the others. 0 takes it out.
    #[serde(default = "default_weight")]
    #[schemars(range(min = 0, max = 65535))]
    weight: u16,
    /// Where it runs: a name of your own, shown on the admin port. Targets in the gateway's own zone (`failover.zone`) are asked
    /// first.
    #[serde(default)]
    #[schemars(length(min = 1, max = 64))]
    zone: Option<Box<str>>,
    /// Targets of a higher number are asked only when those of lower ones are not enough: see `failover`. Targets of the same
    /// number are all active.
    #[serde(default)]
    #[schemars(range(min = 0, max = 100))]
    priority: u16,
}

const fn default_weight() -> u16 {
    1
}

impl From<TargetForm> for Target {
    fn from(form: TargetForm) -> Self {
        match form {
            TargetForm::Bare(address) => Self { address, weight: default_weight(), zone: None, priority: 0 },
            TargetForm::Full(FullTarget { address, weight, zone, priority }) => {
                Self { address, weight, zone, priority }
            }
        }
    }
}

impl JsonSchema for Target {
    fn schema_name() -> Cow<'static, str> {
        "Target".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let bare = generator.subschema_for::<Address>();
        let full = generator.subschema_for::<FullTarget>();
        json_schema!({ "anyOf": [bare, full], "x-example": include_str!("../examples/target.yaml") })
    }
}
