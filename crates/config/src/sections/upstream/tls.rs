//! `upstreams.*.tls`: TLS towards the targets of an upstream, verified unless the file says otherwise.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// TLS towards the targets. `tls: {}` is enough when they are host names with public certificates.
///
/// Files are PEM, relative to the file that names them, and are watched: a changed one takes effect like any other reload,
/// and connections made with the old one carry no new request. Two upstreams that verify differently never share a
/// connection.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("x-example" = include_str!("../examples/upstream_tls.yaml")))]
pub struct UpstreamTls {
    /// The name that the certificates of the targets must be for, and that they are told (SNI). By default the host name of
    /// the target; needed where a target is an IP address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1))]
    pub sni: Option<String>,
    /// The certificate authorities whose certificates are trusted here. By default those of the system, or of the file or
    /// folder that the environment variables `SSL_CERT_FILE` and `SSL_CERT_DIR` name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca: Option<PathBuf>,
    /// The certificate, followed by those that vouch for it, that the gateway shows when a target asks for one. Goes with
    /// `key`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cert: Option<PathBuf>,
    /// The private key of `cert`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-shown" = true))]
    pub key: Option<PathBuf>,
    /// Whether the certificate of a target is verified at all. `false` lets anybody between the gateway and the target
    /// read and change everything; it is logged as a warning at every load.
    #[serde(default = "default_verify")]
    pub verify: bool,
}

const fn default_verify() -> bool {
    true
}
