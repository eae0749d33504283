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
}

#[derive(Deserialize)]
#[serde(untagged)]
enum TargetForm {
    Bare(Address),
    Full(FullTarget),
}

/// A target with a weight.
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
}

const fn default_weight() -> u16 {
    1
}

impl From<TargetForm> for Target {
    fn from(form: TargetForm) -> Self {
        match form {
            TargetForm::Bare(address) => Self { address, weight: default_weight() },
            TargetForm::Full(FullTarget { address, weight }) => Self { address, weight },
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
        json_schema!({ "anyOf": [bare, full] })
    }
}
