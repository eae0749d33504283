//! `listeners`: addresses we accept on.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{ListenerLimits, ListenerTls, RedirectToHttps, Step, Tcp};
use crate::units::{BindAddress, Name};

/// An address the gateway accepts requests on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("x-example" = include_str!("examples/listener.yaml")))]
pub struct Listener {
    /// The listener's name, in logs and metrics.
    pub name: Name,
    /// The IP address and port to listen on.
    pub bind: BindAddress,
    /// Every connection begins with a PROXY protocol header (version 1 or 2) that tells the client's address. It is taken
    /// from `trusted_proxies` only: connections of others are closed.
    #[serde(default)]
    pub proxy_protocol: bool,
    /// Bounds on connections and on what comes over them.
    #[serde(default)]
    pub limits: ListenerLimits,
    /// TLS: the certificates, and what else is done before HTTP. Without this key the listener speaks in clear.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<ListenerTls>,
    /// Answers every request with a redirect (308) to the same host and path over HTTPS, after `plugins` and before routing:
    /// `true` for port 443, or `{ port: 8443 }`. Only without `tls`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub redirect_to_https: Option<RedirectToHttps>,
    /// Makes this a listener for TCP: connections go to an upstream as they are, without HTTP, chains or routes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tcp: Option<Tcp>,
    /// Steps that run for every request of this listener, before routing.
    #[serde(default)]
    pub plugins: Vec<Step>,
}
