//! When certificates end: for the metric, and a word in the log while there is time.

use std::sync::{Arc, Weak};
use std::time::Duration;

use arc_swap::ArcSwap;

use super::x509::{day, now};
use crate::snapshot::Snapshot;

/// How often they are looked at.
const LOOK: Duration = Duration::from_hours(12);

/// When a certificate ends.
#[derive(Debug, Clone)]
pub(crate) struct Expiry {
    /// Its file, as the configuration names it.
    pub(crate) certificate: Arc<str>,
    /// The last second in which it is valid, since 1970.
    pub(crate) at: i64,
    /// So many seconds before that it is worth a word.
    pub(super) soon: i64,
}

impl Expiry {
    /// What to say of it, if there is anything to say.
    pub(super) fn warning(&self) -> Option<String> {
        let left = self.at - now();
        let (file, when) = (&self.certificate, day(self.at));
        if left < 0 {
            return Some(format!("{file} expired on {when}; it serves on only because nothing better took its place"));
        }
        (left < self.soon).then(|| format!("{file} expires on {when}, in {} days", left / (24 * 60 * 60)))
    }
}

/// Tells of certificates in use that end soon, twice a day, for as long as there is a gateway.
pub(crate) async fn watch(live: Weak<ArcSwap<Snapshot>>) {
    loop {
        tokio::time::sleep(LOOK).await;
        let Some(snapshot) = live.upgrade().map(|live| live.load_full()) else { return };
        for (listener, expiry) in snapshot.certificates() {
            if let Some(warning) = expiry.warning() {
                tracing::warn!(listener = &**listener, warning, "A certificate ends soon.");
            }
        }
    }
}
