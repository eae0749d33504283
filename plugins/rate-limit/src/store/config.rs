//! Where the counts of several nodes meet, as it is written in the file.

use portreeve_plugin::prelude::*;
use portreeve_plugin::units::{Duration, SecretSource, Url};

/// Where counts are kept when several nodes share a limit.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Store {
    /// A Redis or Valkey (6.2 or later) that every node reaches.
    pub redis: Redis,
}

/// A Redis: one server (`url`), a master that Sentinel knows (`sentinel`), or a cluster (`cluster`).
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Redis {
    /// One server: `redis://host:port`, or `rediss://host:port` for TLS. A path is the number of the database.
    #[serde(default)]
    pub url: Option<Url>,
    /// A master that is asked for at Sentinel.
    #[serde(default)]
    pub sentinel: Option<Sentinel>,
    /// Some nodes of a cluster, as URLs; the others are found. All keys of one decision are in one slot.
    #[serde(default)]
    pub cluster: Vec<Url>,
    /// Name of the user, where Redis has users.
    #[serde(default)]
    pub username: Option<String>,
    /// The password: `env:NAME` or `file:/path`.
    #[serde(default)]
    pub password: Option<SecretSource>,
    /// Certificates (PEM) to trust instead of the system's, for `rediss://`.
    #[serde(default)]
    pub ca: Option<String>,
    /// The certificate (PEM) that this gateway shows a Redis that asks for one (`tls-auth-clients`), with `key`.
    #[serde(default)]
    pub cert: Option<String>,
    /// Its private key (PEM): a file, readable for the gateway alone.
    #[serde(default)]
    #[schemars(extend("x-shown" = true))]
    pub key: Option<String>,
    /// What names of keys begin with.
    #[serde(default = "default_prefix")]
    #[schemars(length(min = 1, max = 64), regex(pattern = "^[A-Za-z0-9._-]+$"))]
    pub prefix: String,
    /// How long a request waits for Redis at most. One that gets no answer in time is decided as `on_store_error` says.
    #[serde(default = "default_timeout")]
    pub timeout: Duration,
    /// Connections of this process to each server; every one carries many requests at once.
    #[serde(default = "default_connections")]
    #[schemars(range(min = 1, max = 64))]
    pub connections: u8,
}

/// A master that is asked for at Sentinel.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Sentinel {
    /// The name under which Sentinel knows it.
    pub master: String,
    /// Where Sentinels are: `redis://host:26379`.
    #[schemars(length(min = 1))]
    pub urls: Vec<Url>,
}

/// What becomes of a request that the store cannot be asked about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OnStoreError {
    /// Each node holds it to the whole limit by itself: so many nodes, so many times the limit at most.
    #[default]
    Local,
    /// It passes uncounted.
    Open,
    /// It is refused with 503.
    Closed,
}

fn default_prefix() -> String {
    "portreeve".to_owned()
}

fn default_timeout() -> Duration {
    Duration::from_millis(50)
}

fn default_connections() -> u8 {
    2
}
