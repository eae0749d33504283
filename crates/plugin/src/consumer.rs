//! Who calls ([`Consumer`]) and what they are promised ([`Tier`]).

use std::sync::Arc;

use portreeve_units::Rate;
use serde_json::Value;

/// Who calls. Set by an authenticating plugin, read by the plugins after it.
#[derive(Debug, Clone, Default)]
pub struct Consumer {
    /// Who it is, unique among the consumers of a gateway.
    pub id: Arc<str>,
    /// Name of its tier, if it has one.
    pub tier: Option<Arc<str>>,
    /// Groups it belongs to.
    pub groups: Vec<String>,
    /// The claims of the token that proved it, if a token did.
    pub claims: Option<Arc<Value>>,
}

impl Consumer {
    /// A consumer with this id and nothing else.
    pub fn new(id: impl Into<Arc<str>>) -> Self {
        Self { id: id.into(), ..Self::default() }
    }
}

/// A consumer declared in the file, with the keys that prove it.
#[derive(Clone)]
pub struct DeclaredConsumer {
    /// Who it is.
    pub consumer: Arc<Consumer>,
    /// Keys that prove it.
    pub keys: Vec<String>,
}

impl std::fmt::Debug for DeclaredConsumer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "DeclaredConsumer({}, {} keys)", self.consumer.id, self.keys.len())
    }
}

/// Named limits of the file's `tiers` section.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tier {
    /// Its name.
    pub name: Arc<str>,
    /// At most this many requests in any window of this length.
    pub rate: Rate,
    /// If given, a token bucket of this capacity refilled at `rate` instead of the exact window.
    pub burst: Option<u32>,
}
