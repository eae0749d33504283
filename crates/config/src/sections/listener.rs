//! `listeners`: addresses we accept on.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Step;
use crate::units::{BindAddress, Name};

/// An address the gateway accepts requests on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Listener {
    /// The listener's name, in logs and metrics.
    pub name: Name,
    /// The IP address and port to listen on.
    pub bind: BindAddress,
    /// Steps that run for every request of this listener, before routing.
    #[serde(default)]
    pub plugins: Vec<Step>,
}
