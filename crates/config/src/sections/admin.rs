//! `admin`: the port for metrics, health and status.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::units::{BindAddress, Secret};

/// The admin port.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("x-example" = include_str!("examples/admin.yaml")))]
pub struct Admin {
    /// The IP address and port to listen on. Other than loopback needs a `token`.
    #[serde(default = "default_bind")]
    pub bind: BindAddress,
    /// What callers must send as `Authorization: Bearer …`. `/livez` and `/readyz` answer without it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<Secret>,
}

fn default_bind() -> BindAddress {
    BindAddress::new(SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 9901))
}
