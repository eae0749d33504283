//! Who calls ([`Consumer`]) and what they are promised ([`Tier`]).

use std::num::NonZeroU32;
use std::sync::Arc;

use portreeve_units::{Quota, Rate, Secret};
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
    /// What it may do, as whoever let it in says: the scopes of a token (RFC 8693 §4.2), for instance.
    pub scopes: Vec<String>,
    /// How it was proved: a word for logs and conditions, such as the name of the plugin (`jwt`, `key-auth`).
    pub method: Option<Arc<str>>,
    /// By which of its credentials: the name of a key, the id of a token. Never the credential itself.
    pub credential: Option<Arc<str>>,
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
    /// Keys that prove it, each with where the file has it from.
    pub keys: Vec<Secret>,
}

impl std::fmt::Debug for DeclaredConsumer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "DeclaredConsumer({}, {} keys)", self.consumer.id, self.keys.len())
    }
}

/// Named limits of the file's `tiers` section, with what the tier takes from those it builds on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tier {
    /// Its name.
    pub name: Arc<str>,
    /// What may be used, and how fast.
    pub allowance: Allowance,
    /// How many requests may be under way at the same time.
    pub concurrency: Option<NonZeroU32>,
    /// What a request counts where nothing else says so.
    pub cost: NonZeroU32,
}

/// What may be used, and how fast. All of it holds at once; an empty one limits nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Allowance {
    /// At most so many in any span of each.
    pub rates: Vec<Rate>,
    /// How the rate, which is then the only one, is spread.
    pub spread: Spread,
    /// At most so much in each period.
    pub quotas: Vec<Quota>,
}

/// How a rate is spread over its span.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Spread {
    /// As the client likes: an exact sliding window.
    #[default]
    Window,
    /// A token bucket that holds this many and is refilled at the rate.
    Burst(NonZeroU32),
    /// Evenly: one request in each part of the span, never two at once.
    Smooth,
}

impl Allowance {
    /// Whether it limits nothing.
    pub fn is_empty(&self) -> bool {
        self.rates.is_empty() && self.quotas.is_empty()
    }
}
