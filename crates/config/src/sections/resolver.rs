//! `resolver`: who is asked for names, and how long an answer holds.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::units::{Address, Duration};

/// How the names of targets are resolved: over DNS, off the request path, and again when the answer is too old.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("x-example" = include_str!("examples/resolver.yaml")))]
pub struct Resolver {
    /// The DNS servers, such as `10.0.0.53:53`. By default those of `/etc/resolv.conf`, with its search domains. `/etc/hosts`
    /// comes first either way.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8))]
    pub servers: Vec<Address>,
    /// The longest wait for one answer, all tries together. What was answered last stays in use.
    #[serde(default = "default_timeout")]
    pub timeout: Duration,
    /// An answer holds at least so long, whatever its time to live (TTL) says.
    #[serde(default = "default_min_ttl")]
    pub min_ttl: Duration,
    /// An answer holds at most so long, whatever its TTL says: some servers announce minutes for names that change with every
    /// restart of a container.
    #[serde(default = "default_max_ttl")]
    pub max_ttl: Duration,
}

impl Default for Resolver {
    fn default() -> Self {
        Self { servers: Vec::new(), timeout: default_timeout(), min_ttl: default_min_ttl(), max_ttl: default_max_ttl() }
    }
}

const fn default_timeout() -> Duration {
    Duration::from_secs(5)
}

const fn default_min_ttl() -> Duration {
    Duration::from_secs(1)
}

const fn default_max_ttl() -> Duration {
    Duration::from_secs(30)
}
