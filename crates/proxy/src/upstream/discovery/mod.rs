//! Where the targets of an upstream come from, off the request path: the file itself, DNS, a file of targets.
//!
//! [`Discovery`] is the seam: whatever can tell a set of addresses, again and again, can fill a pool. [`TargetSources`] holds what each
//! of a pool's discoveries told last, and `follow` keeps it fresh. What was told last stays in use until something else is told.

mod dns;
mod file;
mod follow;
mod resolver;
mod sources;

use std::net::SocketAddr;
use std::sync::Arc;

use futures::future::BoxFuture;
use portreeve_config::{Discover, Target as TargetConfig};

pub(super) use follow::{Followed, follow};
pub(crate) use resolver::Resolver;
#[cfg(test)]
pub(super) use resolver::{Answered, Family, Lookup, Service};
pub(super) use sources::Share;
pub use sources::SourceStatus;
pub(crate) use sources::TargetSources;

/// Most addresses that are taken from one discovery. Of more it is always the same ones that are taken, in their order.
const MAX_FOUND: usize = 4_096;

/// One way of finding targets, as one upstream uses it.
///
/// An implementation asks, waits and paces itself as its source wants it: DNS waits for an answer to grow old, a file is looked
/// at every second. One that is told of changes would do without either: for Consul, `next` is a blocking query
/// (`/v1/health/service/…?index=…&wait=5m`) that returns when the index moves; for Kubernetes, it reads the watch of the service's
/// `EndpointSlice`s until an event changes the set of ready endpoints. A new one is a file beside `dns.rs`, a key of `discover` in
/// the configuration, and a line in `TargetSources::new`. Nothing else of the gateway knows where a target came from.
pub(super) trait Discovery: Send {
    /// The set of targets: at the first call as it is now, then whenever it may have changed. Telling the same set again costs
    /// little. An empty set is told as such; whether it is believed is not for the discovery to say.
    ///
    /// # Errors
    /// In a few words, why nothing could be found. The next call waits as long as it is wise to.
    ///
    /// Cancel safe: a dropped future loses nothing but time.
    fn next(&mut self) -> BoxFuture<'_, Result<Vec<Found>, String>>;
}

/// One target that a discovery has found.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Found {
    pub(super) address: SocketAddr,
    /// What its certificate is for, where the source knows it by a name.
    pub(super) name: Option<Arc<str>>,
    /// Its share, as the source has it. 0 takes it out.
    pub(super) weight: u32,
    /// Lower ones come first (RFC 2782).
    pub(super) priority: u16,
    /// Where it is, if the source says so.
    pub(super) zone: Option<Arc<str>>,
}

/// What gateway.yaml says of a target: the entry it comes from. What an operator orders holds until that changes.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Written {
    Target(TargetConfig),
    Discover(Discover),
}
