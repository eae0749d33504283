//! `acme`: the account with an authority that gives certificates by itself (RFC 8555). `listeners[].tls.acme` asks for them.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::units::{Secret, Url};

/// Certificates that the gateway gets and renews by itself (ACME, RFC 8555), for the names in `listeners[].tls.acme`: when
/// the authority says so (RFC 9773), or else when two thirds of their time are over, without a reload and without touching a
/// connection. What fails is tried again after a minute at first, then after longer, up to six hours; a change to this section
/// tries at once.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("x-example" = include_str!("examples/acme.yaml")))]
pub struct Acme {
    /// The URL of the authority's directory, https: `https://acme-v02.api.letsencrypt.org/directory`. Each directory has an
    /// account and certificates of its own in `store`.
    pub directory: Url,
    /// Whom the authority may write to: `mailto:ops@example.com`.
    #[serde(default)]
    pub contact: Vec<String>,
    /// The folder where the key of the account and the certificates with their keys are kept, readable by the gateway alone.
    /// It is made if it is not there. Losing it means asking for all of them again, and authorities count.
    #[schemars(length(min = 1))]
    pub store: PathBuf,
    /// `true` says that you agree to the authority's terms of service. Nothing is asked for without.
    pub agree_to_terms: bool,
    /// The file of the authorities (PEM) that `directory` itself is verified against, for one of your own. By default those
    /// that this machine trusts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1))]
    pub ca: Option<PathBuf>,
    /// How the authority finds out that a name is yours.
    #[serde(default)]
    pub challenge: AcmeChallenge,
    /// What binds the account to one that you have with the authority already, where it asks for that. It counts when the
    /// account is made, and not any more after.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub eab: Option<AcmeBinding>,
}

/// How an authority finds out that a name is yours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub enum AcmeChallenge {
    /// It asks port 80 of the name for a page (RFC 8555 §8.3). Every listener in clear answers, before its plugins and
    /// `redirect_to_https`, and only while it is being asked.
    #[default]
    #[serde(rename = "http-01")]
    Http01,
    /// It shakes hands with port 443 of the name (RFC 8737). Every listener with `tls.acme` answers; only what passes TLS
    /// through in front of the gateway is in its way.
    #[serde(rename = "tls-alpn-01")]
    TlsAlpn01,
}

/// External account binding (RFC 8555 §7.3.4).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AcmeBinding {
    /// The identifier of the key, as the authority gave it.
    #[schemars(length(min = 1))]
    pub kid: String,
    /// The key, as the authority gave it: base64url.
    pub key: Secret,
}
