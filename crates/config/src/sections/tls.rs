//! `listeners[].tls` and `redirect_to_https`: what a listener does to a connection before HTTP.

use std::borrow::Cow;
use std::path::{Path, PathBuf};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

use crate::units::{Duration, DurationOrZero};

/// TLS on a listener: versions 1.2 and 1.3. Files are read again when they change, without touching a connection; what is
/// wrong with them is refused like any other error in this file, and those in use serve on. A certificate out of its time is
/// shown all the same, and told.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("x-example" = include_str!("examples/listener_tls.yaml")))]
pub struct ListenerTls {
    /// The certificates, chosen by the name the client asks for (SNI) from the names in them: an exact name before a
    /// wildcard. With several for one name, ECDSA goes before RSA for clients that can do both, and among those of one kind
    /// the one that expires later. The first in this list is shown to clients that ask for no name or for another. Needed
    /// without `acme`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(min = 1))]
    pub certificates: Vec<Certificate>,
    /// Names to get one certificate for by itself, with the account in the section `acme`. Beside `certificates` it stands
    /// behind one that has the very name asked for, and before one that has it by a wildcard. While there is none yet, a
    /// handshake for these names that no other certificate fits is refused (`no_certificate` in the metric of refused
    /// connections).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(min = 1))]
    pub acme: Vec<String>,
    /// The oldest version that clients may speak.
    #[serde(default)]
    pub min_version: TlsVersion,
    /// What happens to clients that ask for a name which no certificate has, or for none.
    #[serde(default)]
    pub unknown_sni: UnknownSni,
    /// Asks clients for certificates of their own. With `mode: require` this is asked for every route of the listener, also those
    /// that are `public: true`: whoever has a certificate that an authority in `ca` has issued is let in, whatever name is in it.
    /// It says nothing of who calls: there is no consumer, templates and targets are not told, and limits take all of them for
    /// one. Only a plugin of one's own can read what was presented, until the plugin `mtls` makes consumers of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_auth: Option<ClientAuth>,
    /// Tells browsers to use HTTPS only from now on (RFC 6797): `Strict-Transport-Security` on every answer of this listener.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hsts: Option<Hsts>,
    /// Offers HTTP/2 beside HTTP/1.1 (ALPN).
    #[serde(default = "yes")]
    pub http2: bool,
}

impl ListenerTls {
    /// Every file that is named here, or looked for beside one that is.
    pub fn files(&self) -> impl Iterator<Item = Cow<'_, Path>> {
        let certificates = self.certificates.iter().flat_map(|certificate| {
            [certificate.cert.as_path().into(), certificate.key.as_path().into(), certificate.ocsp_file()]
        });
        let clients = self.client_auth.iter().flat_map(|clients| std::iter::once(&clients.ca).chain(&clients.crl));
        certificates.chain(clients.map(|file| file.as_path().into()))
    }
}

/// A certificate with its key. Files are PEM; relative paths count from the folder of this file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Certificate {
    /// The file of the certificate, followed by those of its issuers (the chain), without the root.
    #[schemars(length(min = 1))]
    pub cert: PathBuf,
    /// The file of its private key, not encrypted. It should be readable by the gateway alone.
    #[schemars(length(min = 1), extend("x-shown" = true))]
    pub key: PathBuf,
    /// The file of an OCSP response (DER) to staple to the handshake. By default the file beside `cert` with `.ocsp` behind
    /// its whole name, if there is one. A response that is past its time is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1))]
    pub ocsp: Option<PathBuf>,
}

impl Certificate {
    /// The file of the OCSP response: the one that is named, else the one beside the certificate, whether it exists or not.
    pub fn ocsp_file(&self) -> Cow<'_, Path> {
        if let Some(file) = &self.ocsp {
            return file.as_path().into();
        }
        let mut beside = self.cert.clone().into_os_string();
        beside.push(".ocsp");
        PathBuf::from(beside).into()
    }
}

/// A version of TLS: `1.2` or `1.3`, with quotes or without.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(try_from = "VersionForm")]
pub enum TlsVersion {
    /// TLS 1.2 (RFC 5246), with forward secrecy and authenticated encryption only.
    #[default]
    #[serde(rename = "1.2")]
    V1_2,
    /// TLS 1.3 (RFC 8446).
    #[serde(rename = "1.3")]
    V1_3,
}

/// As YAML reads it: a number without quotes, a text with them.
#[derive(Deserialize)]
#[serde(untagged)]
enum VersionForm {
    Number(f64),
    Text(String),
}

impl TryFrom<VersionForm> for TlsVersion {
    type Error = String;

    fn try_from(form: VersionForm) -> Result<Self, String> {
        let text = match form {
            VersionForm::Number(number) => number.to_string(),
            VersionForm::Text(text) => text,
        };
        match text.as_str() {
            "1.2" => Ok(Self::V1_2),
            "1.3" => Ok(Self::V1_3),
            _ => Err(format!("expected 1.2 or 1.3, found {text:?}")),
        }
    }
}

impl JsonSchema for TlsVersion {
    fn schema_name() -> Cow<'static, str> {
        "TlsVersion".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "A version of TLS: `1.2` (RFC 5246), with forward secrecy and authenticated encryption only, or `1.3` (RFC 8446).",
            "enum": ["1.2", "1.3", 1.2, 1.3],
            "x-expected": "1.2 or 1.3",
        })
    }
}

/// What happens to clients that ask for a name which no certificate has, or for none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum UnknownSni {
    /// They are shown the first certificate.
    #[default]
    Default,
    /// The handshake fails.
    Refuse,
}

/// Client certificates.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ClientAuth {
    /// The file of the authorities (PEM) that may have issued them.
    #[schemars(length(min = 1))]
    pub ca: PathBuf,
    /// Whether a client without a certificate is let in. One with a certificate that is not good never is.
    pub mode: ClientAuthMode,
    /// Files of revocation lists (PEM), one for every authority in `ca` and for every one between: a certificate whose
    /// authority has no list here, or one past its time, is refused. Without this key revocation is not looked at.
    #[serde(default)]
    pub crl: Vec<PathBuf>,
}

/// Whether a client certificate must be there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ClientAuthMode {
    /// Without one the handshake fails.
    Require,
    /// Without one the client is let in; plugins see that there was none.
    Request,
}

/// HTTP Strict Transport Security (RFC 6797).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(extend("x-example" = include_str!("examples/hsts.yaml")))]
pub struct Hsts {
    /// How long browsers remember it after each answer; `0s` makes them forget it.
    pub max_age: DurationOrZero,
    /// Whether it holds for all subdomains too.
    pub include_subdomains: bool,
    /// Whether the host may be put on the list that browsers come with. It wants `include_subdomains` and a `max_age` of at
    /// least 365 days, and is hard to take back.
    pub preload: bool,
}

impl Default for Hsts {
    fn default() -> Self {
        Self {
            max_age: DurationOrZero::new(Duration::from_secs(365 * 24 * 60 * 60)),
            include_subdomains: false,
            preload: false,
        }
    }
}

/// Where requests in clear are sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "RedirectForm")]
pub struct RedirectToHttps {
    /// The port of HTTPS.
    pub port: u16,
}

const HTTPS: u16 = 443;

#[derive(Deserialize)]
#[serde(untagged)]
enum RedirectForm {
    Yes(bool),
    At(RedirectAt),
}

/// HTTPS on another port.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "RedirectToHttpsMap")]
struct RedirectAt {
    /// The port of HTTPS, as clients see it.
    #[schemars(range(min = 1, max = 65535))]
    port: u16,
}

impl TryFrom<RedirectForm> for RedirectToHttps {
    type Error = &'static str;

    fn try_from(form: RedirectForm) -> Result<Self, Self::Error> {
        match form {
            RedirectForm::Yes(true) => Ok(Self { port: HTTPS }),
            RedirectForm::Yes(false) => Err("leave the key out for no redirect"),
            RedirectForm::At(RedirectAt { port }) => Ok(Self { port }),
        }
    }
}

impl JsonSchema for RedirectToHttps {
    fn schema_name() -> Cow<'static, str> {
        "RedirectToHttps".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let at = generator.subschema_for::<RedirectAt>();
        json_schema!({ "anyOf": [{ "type": "boolean", "enum": [true] }, at] })
    }
}

const fn yes() -> bool {
    true
}
