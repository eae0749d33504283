//! Where the targets of an upstream come from, off the request path: the file itself, DNS, a file of targets.
//!
//! Each source is a [`ServiceDiscovery`] of pingora-load-balancing that also knows when it is worth asking again
//! ([`PacedDiscovery`]). [`TargetSources`] holds what each of an upstream's sources told last, and `follow` keeps it
//! fresh. What was told last stays in use until something else is told.

mod dns;
mod file;
mod follow;
mod resolver;
mod sources;

use std::collections::{BTreeSet, HashMap};
use std::net::SocketAddr;
use std::sync::Arc;

use async_trait::async_trait;
use pingora::{Error, ErrorType, Result};
use pingora_load_balancing::discovery::ServiceDiscovery;
use pingora_load_balancing::{Backend, Extensions};
use portreeve_config::{Discover, Target as TargetConfig};

pub(super) use follow::{Followed, follow};
pub use resolver::Resolver;
#[cfg(test)]
pub(super) use resolver::{Answered, Family, Lookup, Service};
pub(super) use sources::Share;
pub use sources::SourceStatus;
pub use sources::TargetSources;

/// Most addresses that are taken from one discovery. Of more it is always the same ones that are taken, in their order.
const MAX_FOUND: usize = 4_096;

/// What [`ServiceDiscovery::discover`] returns: the targets, and which of them are enabled. A source says nothing of
/// the latter.
pub(super) type Discovered = (BTreeSet<Backend>, HashMap<u64, bool>);

/// One way of finding targets, as one upstream uses it.
///
/// `discover` asks once. What it returns has [`Facts`] in the `ext` of each backend; without them a target has no name
/// and no zone, and is of the first priority. An empty set is returned as such: whether it is believed is not for the
/// source to say. Where nothing could be found, the error says why in a few words (`not_found`).
///
/// A source paces itself as it needs: DNS waits for an answer to grow old, a file is looked at twice a second. One that
/// is told of changes would do without either: for Consul, `due` is a blocking query
/// (`/v1/health/service/…?index=…&wait=5m`) that returns when the index moves; for Kubernetes, it reads the watch of
/// the service's `EndpointSlice`s until an event changes the set of ready endpoints. A new one is a file beside
/// `dns.rs`, a key of `discover` in the configuration, and a line in `TargetSources::new`. Nothing else of the gateway
/// knows where a target came from.
#[async_trait]
pub(super) trait PacedDiscovery: ServiceDiscovery + Send + Sync {
    /// Waits until asking may tell something new: not at all before the first question, after a failed one as long as
    /// is wise.
    ///
    /// Cancel safe.
    async fn due(&self);

    /// The targets when they may have changed. Telling the same set again costs little.
    ///
    /// Cancel safe: a dropped future loses nothing but time.
    ///
    /// # Errors
    /// Why nothing could be found.
    async fn next(&self) -> Result<BTreeSet<Backend>> {
        self.due().await;
        let (targets, _) = self.discover().await?;
        Ok(targets)
    }
}

/// What a source says of a target beside its address and weight. It stands in the `ext` of the target's [`Backend`],
/// which no comparison of backends looks at.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Facts {
    /// What its certificate is for, where the source knows it by a name.
    pub(super) name: Option<Arc<str>>,
    /// Lower ones come first (RFC 2782).
    pub(super) priority: u16,
    /// Where it is, if the source says so.
    pub(super) zone: Option<Arc<str>>,
}

/// One target that a source has found.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Found {
    pub(super) address: SocketAddr,
    pub(super) facts: Facts,
    /// Its share, as the source has it. 0 takes it out.
    pub(super) weight: u32,
}

impl Found {
    /// What was found as the answer of a discovery. Of two for one address the first counts, in their order.
    fn answer(mut found: Vec<Self>) -> Discovered {
        found.sort_unstable();
        found.dedup_by(|a, b| a.address == b.address);
        (found.into_iter().map(Backend::from).collect(), HashMap::new())
    }

    /// A target of a discovery's answer; `None` if it is no address of the internet.
    fn of(backend: &Backend) -> Option<Self> {
        let weight = u32::try_from(backend.weight).unwrap_or(u32::MAX);
        let facts = backend.ext.get::<Facts>().cloned().unwrap_or_default();
        Some(Self { address: *backend.addr.as_inet()?, facts, weight })
    }
}

impl From<Found> for Backend {
    fn from(found: Found) -> Self {
        let mut ext = Extensions::new();
        ext.insert(found.facts);
        Self { addr: found.address.into(), weight: usize::try_from(found.weight).unwrap_or(usize::MAX), ext }
    }
}

/// The type of an error whose context says why targets were not found.
const NOT_FOUND: ErrorType = ErrorType::Custom("targets were not found");

/// A discovery without an answer, for this reason.
fn not_found(why: impl Into<String>) -> Error {
    *Error::explain(NOT_FOUND, why.into())
}

/// Why a discovery has no answer, in a few words.
fn reason(error: &Error) -> String {
    error.context.as_ref().map_or_else(|| error.to_string(), |why| why.as_str().to_owned())
}

/// What gateway.yaml says of a target: the entry it comes from. What an operator orders holds until that changes.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Written {
    Target(TargetConfig),
    Discover(Discover),
}
