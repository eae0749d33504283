//! `listeners[].tcp`: connections that are passed to an upstream as they are, without HTTP.

use indexmap::IndexMap;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

use crate::units::{Duration, Name};

/// Passes connections to the targets of an upstream, byte for byte. With the listener's `tls` they are decrypted first, and
/// encrypted again if the upstream has `tls`; without it, TLS passes through as it is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("x-example" = include_str!("examples/tcp.yaml")))]
pub struct Tcp {
    /// The upstream that gets the connections; with `sni`, those for other names and those that name none. With `sni` it may be
    /// left out: such connections are closed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-refers-to" = "upstream"))]
    pub upstream: Option<Name>,
    /// Upstreams by the name that a client asks for in TLS (SNI): `db.example.com`, or `*.example.com` for one or more further
    /// labels; the exact name wins, then the longest wildcard. The name is read from the client's first message, within
    /// `limits.handshake`; clients that do not begin with TLS (1.2 or newer) are closed.
    #[serde(default, skip_serializing_if = "IndexMap::is_empty")]
    #[schemars(schema_with = "by_name")]
    pub sni: IndexMap<String, Name>,
    /// How long a connection may last.
    #[serde(default)]
    pub timeouts: TcpTimeouts,
}

/// How long a connection may last. How long it may take to be made is the upstream's `timeouts.connect`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct TcpTimeouts {
    /// The longest silence of both sides. After it the connection is closed.
    pub idle: Duration,
    /// The longest that a connection may last, busy or not. Without this key there is no such end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub total: Option<Duration>,
}

impl Default for TcpTimeouts {
    fn default() -> Self {
        Self { idle: Duration::from_secs(600), total: None }
    }
}

fn by_name(generator: &mut SchemaGenerator) -> Schema {
    let mut name = generator.subschema_for::<Name>();
    name.insert("x-refers-to".into(), "upstream".into());
    json_schema!({
        "type": "object",
        "minProperties": 1,
        "propertyNames": { "type": "string", "minLength": 1, "maxLength": 255 },
        "additionalProperties": name,
    })
}
