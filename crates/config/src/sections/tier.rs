//! `tiers`: named limits.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::units::Rate;

/// What consumers of this tier may do. Enforced where a chain has `rate-limit: { limit: tier }`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Tier {
    /// At most so many requests in any such span, all at once if wished.
    pub rate: Rate,
}
