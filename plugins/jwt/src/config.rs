//! The settings of `jwt`, as they stand in the file.

use std::path::PathBuf;

use portreeve_plugin::units::{Duration, DurationOrZero, HeaderName, SecretSource, Size, Url};
use portreeve_plugin::{Addresses, Template};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer};

use crate::algorithm::Algorithm;

/// Lets only requests with a valid JSON Web Token (RFC 7519) pass, and says who calls.
///
/// The token is read from `Authorization: Bearer`. Its signature, `exp` and `nbf` are always checked, `iss` and `aud` as
/// configured. A request without a valid token is answered with 401; while no key set has been fetched yet, with 503.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("oneOf" = [{ "required": ["jwks"] }, { "required": ["keys"] }]))]
#[schemars(extend("x-example" = include_str!("../example.yaml")))]
pub struct Config {
    /// Who must have issued the token: its `iss` must be this, or one of these. Without it, `iss` is not looked at.
    #[serde(default)]
    pub(crate) issuer: Option<Names>,
    /// Whom the token must be for: its `aud` must name this, or one of these. Without it, `aud` is not looked at: leave it
    /// out only if the issuer issues tokens for this API alone.
    #[serde(default)]
    pub(crate) audience: Option<Names>,
    /// The signature algorithms allowed. A key is only ever used with an algorithm of its own kind.
    #[schemars(length(min = 1))]
    pub(crate) algorithms: Vec<Algorithm>,
    /// Where the issuer publishes its keys. Either this or `keys`.
    #[serde(default)]
    pub(crate) jwks: Option<Jwks>,
    /// The keys themselves. Either this or `jwks`.
    #[serde(default)]
    #[schemars(length(min = 1))]
    pub(crate) keys: Option<Vec<KeySetting>>,
    /// How far the issuer's clock may differ from the gateway's when `exp` and `nbf` are checked; at most `5m`. `0s` by
    /// default: not at all.
    #[serde(default)]
    pub(crate) leeway: DurationOrZero,
    /// The header that holds the token. In `authorization` it stands behind `Bearer`; in any other it may stand alone.
    #[serde(default)]
    pub(crate) header: Option<HeaderName>,
    /// Whether the upstream gets to see the verified token. By default the header is removed.
    #[serde(default)]
    pub(crate) forward_token: bool,
    /// Who the token speaks for.
    #[serde(default)]
    pub(crate) consumer: ConsumerSetting,
    /// Claims that must be there and not be `null`, besides `exp`.
    #[serde(default)]
    pub(crate) required_claims: Vec<String>,
    /// The protection space named in the `WWW-Authenticate` of a 401 (RFC 9110 §11.5).
    #[serde(default = "default_realm")]
    #[schemars(regex(pattern = r"^[ !#-\[\]-~]{1,100}$"), extend("x-expected" = "up to 100 visible characters without quotes and backslashes"))]
    pub(crate) realm: String,
    /// Memory for tokens already verified, so that each is verified once. A token leaves it when it expires or when the
    /// key set changes.
    #[serde(default = "default_cache")]
    pub(crate) cache: Size,
}

/// A JSON Web Key Set (RFC 7517): from a URL or from a file. Keys that cannot be used are passed over with a warning.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("oneOf" = [{ "required": ["url"] }, { "required": ["file"] }]))]
pub(crate) struct Jwks {
    /// An `https` URL (`http` is meant for the inside of a network). Fetched in the background; if that fails, the last good
    /// set stays in use. At most 256 KiB and 100 keys. A redirect is not followed: write the URL that it leads to.
    #[serde(default)]
    pub(crate) url: Option<Url>,
    /// Which addresses the name in `url` may have. An address that stands in the URL itself may be any.
    #[serde(default)]
    pub(crate) addresses: Option<AddressesSetting>,
    /// A file, read when the configuration is loaded. A relative path counts from the folder of the YAML file.
    #[serde(default)]
    pub(crate) file: Option<PathBuf>,
    /// The time from one fetch of the URL to the next, `10m` by default; a token with an unknown `kid` causes one sooner, but
    /// not within 10 s of the last.
    #[serde(default)]
    pub(crate) refresh: Option<Duration>,
    /// How long the last good set stays in use while the URL cannot be fetched, `1d` by default; then requests are
    /// answered with 503.
    #[serde(default)]
    pub(crate) stale_for: Option<Duration>,
}

/// Which addresses a name may have that is fetched from.
#[derive(Debug, Clone, Copy, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum AddressesSetting {
    /// None of this machine and none that is link-local, as that of a cloud's metadata; those of a private network may be
    /// behind any name. `localhost`, a name without a dot and one below `local`, `internal`, `lan`, `home.arpa` or `test` may
    /// be this machine.
    #[default]
    Network,
    /// Addresses of the internet alone.
    Public,
    /// Any.
    Any,
}

impl From<AddressesSetting> for Addresses {
    fn from(setting: AddressesSetting) -> Self {
        match setting {
            AddressesSetting::Network => Self::Network,
            AddressesSetting::Public => Self::Public,
            AddressesSetting::Any => Self::Any,
        }
    }
}

/// One key: a shared secret or a public key.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("oneOf" = [{ "required": ["secret"] }, { "required": ["pem"] }]))]
pub(crate) struct KeySetting {
    /// The secret of an HS algorithm, at least as long as its hash (32 bytes for HS256).
    #[serde(default)]
    pub(crate) secret: Option<SecretSource>,
    /// A public key in PEM: RSA of at least 2048 bits, P-256, P-384 or Ed25519.
    #[serde(default)]
    pub(crate) pem: Option<SecretSource>,
    /// The `kid` of the tokens it is for. A key without one is tried for every token whose `kid` no other key has.
    #[serde(default)]
    #[schemars(length(min = 1))]
    pub(crate) kid: Option<String>,
}

/// How the consumer is made from the claims of the token.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ConsumerSetting {
    /// Its id, `${claims.sub}` by default. A token that gives none is refused.
    #[serde(default)]
    pub(crate) id: Option<Template>,
    /// Its tier. If the file declares tiers, a name that is not among them counts as none.
    #[serde(default)]
    pub(crate) tier: Option<Template>,
    /// Its groups: a claim that is a list, or text with names separated by spaces, such as `${claims.scope}`.
    #[serde(default)]
    pub(crate) groups: Option<Template>,
    /// Its tier if the token gives none.
    #[serde(default)]
    #[schemars(extend("x-refers-to" = "tier"))]
    pub(crate) default_tier: Option<String>,
}

/// One name or several.
#[derive(Debug)]
pub(crate) struct Names(pub(crate) Vec<String>);

impl<'de> Deserialize<'de> for Names {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged, expecting = "text or a list of texts")]
        enum Form {
            One(String),
            Many(Vec<String>),
        }
        Ok(Self(match Form::deserialize(deserializer)? {
            Form::One(one) => vec![one],
            Form::Many(many) => many,
        }))
    }
}

impl JsonSchema for Names {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Names".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let name = json_schema!({ "type": "string", "minLength": 1 });
        json_schema!({ "anyOf": [name, { "type": "array", "items": name, "minItems": 1 }] })
    }
}

fn default_realm() -> String {
    "api".to_owned()
}

fn default_cache() -> Size {
    Size::from_bytes(16 << 20)
}
