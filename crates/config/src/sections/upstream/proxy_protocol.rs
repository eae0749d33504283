//! `proxy_protocol`: how targets are told of the client, before anything else is said to them.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The version of the PROXY protocol header that targets get.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ProxyProtocol {
    /// Version 1: one line of text with both addresses.
    V1,
    /// Version 2: binary, with the name that the client asked for in TLS and the connection's id in the access log.
    V2,
}
