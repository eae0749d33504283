//! When certificates begin and end: for the metric and the status page, and a word in the log while there is time, and after.

use std::sync::{Arc, Weak};
use std::time::Duration;

use arc_swap::ArcSwap;

use super::x509::{day, now};
use crate::snapshot::Snapshot;

/// How often they are looked at, and told of when clients refuse them.
const LOOK: Duration = Duration::from_hours(1);
/// Of one that ends soon there is a word every so many looks.
const SOON_EVERY: u32 = 12;

/// When a certificate begins and ends.
#[derive(Debug, Clone)]
pub(crate) struct Expiry {
    /// Its file, as the configuration names it.
    pub(crate) certificate: Arc<str>,
    /// The first second in which it is valid, since 1970.
    pub(super) from: i64,
    /// The last second in which it is valid, since 1970.
    pub(crate) at: i64,
    /// So many seconds before that it is worth a word.
    pub(super) soon: i64,
}

/// How a certificate is at a moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Validity {
    Valid,
    /// It ends soon.
    EndsSoon,
    /// Clients refuse it: its time is over.
    Expired,
    /// Clients refuse it: its time has not come.
    NotYet,
}

impl Validity {
    /// The word of the status page.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Valid => "valid",
            Self::EndsSoon => "ends_soon",
            Self::Expired => "expired",
            Self::NotYet => "not_yet_valid",
        }
    }
}

impl Expiry {
    /// How it is at `now`, in seconds since 1970.
    pub(crate) fn validity(&self, now: i64) -> Validity {
        match self.at - now {
            _ if self.from > now => Validity::NotYet,
            left if left < 0 => Validity::Expired,
            left if left < self.soon => Validity::EndsSoon,
            _ => Validity::Valid,
        }
    }

    /// What to say of it at `now`, if there is anything to say.
    pub(super) fn warning(&self, now: i64) -> Option<String> {
        let (file, end) = (&self.certificate, day(self.at));
        match self.validity(now) {
            Validity::Valid => None,
            Validity::EndsSoon => {
                let left = match (self.at - now) / (24 * 60 * 60) {
                    0 => "within a day".to_owned(),
                    1 => "in a day".to_owned(),
                    days => format!("in {days} days"),
                };
                Some(format!("{file} expires on {end}, {left}"))
            }
            Validity::Expired => Some(format!("{file} expired on {end}: clients refuse it until it is renewed")),
            Validity::NotYet => {
                Some(format!("{file} is not valid before {}: clients refuse it until then", day(self.from)))
            }
        }
    }
}

/// Tells every hour of certificates in use that clients refuse and of listeners that stay closed, and twice a day of
/// certificates that end soon, for as long as there is a gateway.
pub(crate) async fn watch(live: Weak<ArcSwap<Snapshot>>) {
    for look in 1_u32.. {
        tokio::time::sleep(LOOK).await;
        let Some(snapshot) = live.upgrade().map(|live| live.load_full()) else { return };
        tell(&snapshot, look.is_multiple_of(SOON_EVERY));
    }
}

fn tell(snapshot: &Snapshot, of_ends_too: bool) {
    let now = now();
    for (listener, expiry) in snapshot.certificates() {
        let Some(warning) = expiry.warning(now) else { continue };
        match expiry.validity(now) {
            Validity::EndsSoon if of_ends_too => {
                tracing::warn!(listener = &**listener, warning, "A certificate ends soon.");
            }
            Validity::EndsSoon | Validity::Valid => {}
            Validity::Expired | Validity::NotYet => {
                tracing::error!(listener = &**listener, warning, "Clients refuse a certificate.");
            }
        }
    }
    for closed in &snapshot.closed {
        closed.tell();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_is_told_of_before_its_time_shortly_before_its_end_and_after_it() {
        let expiry = Expiry { certificate: "a.crt".into(), from: 1_000, at: 9_000, soon: 500 };
        let told = |now| (expiry.validity(now).word(), expiry.warning(now).is_some());
        assert_eq!(told(999), ("not_yet_valid", true));
        assert_eq!(told(1_000), ("valid", false));
        assert_eq!(told(8_500), ("valid", false));
        assert_eq!(told(8_501), ("ends_soon", true));
        assert_eq!(told(9_000), ("ends_soon", true));
        assert_eq!(told(9_001), ("expired", true));
    }
}
