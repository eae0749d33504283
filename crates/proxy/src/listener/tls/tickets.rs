//! Session tickets whose key changes with time, on a clock that tests can turn.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::{RwLock, RwLockReadGuard};
use tokio::time::Instant;
use tokio_rustls::rustls::Error;
use tokio_rustls::rustls::crypto::aws_lc_rs::Ticketer;
use tokio_rustls::rustls::server::ProducesTickets;

/// Tickets are made with one key for so long, and taken for at most twice as long: whoever learns a key can read what was said
/// in that time at most, where TLS 1.2 was spoken (RFC 5077 §5.5).
pub(super) const PERIOD: Duration = Duration::from_hours(6);

/// Makes tickets and takes them back.
#[derive(Debug)]
pub(super) struct Tickets(RwLock<Keys>);

#[derive(Debug)]
struct Keys {
    current: Key,
    previous: Option<Key>,
}

/// rustls changes the key in it as well, by the system's clock; none is used for longer than is said here.
#[derive(Debug)]
struct Key {
    tickets: Arc<dyn ProducesTickets>,
    since: Instant,
}

impl Key {
    fn new() -> Result<Self, Error> {
        Ok(Self { tickets: Ticketer::new()?, since: Instant::now() })
    }

    fn is_younger_than(&self, age: Duration) -> bool {
        self.since.elapsed() < age
    }
}

impl Tickets {
    /// With a key of its own.
    ///
    /// # Errors
    /// When the system gives no random bytes.
    pub(super) fn new() -> Result<Self, Error> {
        Ok(Self(RwLock::new(Keys { current: Key::new()?, previous: None })))
    }

    /// The keys, once the current one has been changed if it was time. If no other can be made, the old one makes no tickets.
    fn keys(&self) -> RwLockReadGuard<'_, Keys> {
        let keys = self.0.read();
        if keys.current.is_younger_than(PERIOD) {
            return keys;
        }
        drop(keys);
        if let Ok(fresh) = Key::new() {
            let mut keys = self.0.write();
            // Another thread may have been faster.
            if !keys.current.is_younger_than(PERIOD) {
                let old = std::mem::replace(&mut keys.current, fresh);
                keys.previous = Some(old).filter(|old| old.is_younger_than(2 * PERIOD));
            }
        }
        self.0.read()
    }
}

impl ProducesTickets for Tickets {
    fn enabled(&self) -> bool {
        true
    }

    fn lifetime(&self) -> u32 {
        u32::try_from(2 * PERIOD.as_secs()).unwrap_or(u32::MAX)
    }

    fn encrypt(&self, plain: &[u8]) -> Option<Vec<u8>> {
        let keys = self.keys();
        keys.current.is_younger_than(PERIOD).then(|| keys.current.tickets.encrypt(plain))?
    }

    fn decrypt(&self, ticket: &[u8]) -> Option<Vec<u8>> {
        let keys = self.keys();
        let mut good = [Some(&keys.current), keys.previous.as_ref()].into_iter().flatten();
        good.find_map(|key| key.is_younger_than(2 * PERIOD).then(|| key.tickets.decrypt(ticket))?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);
    /// Not quite long enough.
    const NEARLY: Duration = Duration::from_secs(6 * 60 * 60 - 1);

    #[tokio::test(start_paused = true)]
    async fn a_ticket_is_taken_for_as_long_as_its_key_is_good_and_no_longer() {
        for asked_between in [true, false] {
            let tickets = Tickets::new().unwrap();
            tokio::time::advance(NEARLY).await;
            let ticket = tickets.encrypt(b"session").unwrap();
            assert_ne!(ticket, b"session");
            assert_eq!(tickets.decrypt(&ticket).as_deref(), Some(&b"session"[..]));
            if asked_between {
                tokio::time::advance(2 * SECOND).await;
                assert_eq!(tickets.decrypt(&ticket).as_deref(), Some(&b"session"[..]));
                tokio::time::advance(NEARLY.saturating_sub(SECOND)).await;
            } else {
                tokio::time::advance(PERIOD).await;
            }
            // A second before its key is twelve hours old, and then.
            assert_eq!(tickets.decrypt(&ticket).as_deref(), Some(&b"session"[..]), "{asked_between}");
            tokio::time::advance(SECOND).await;
            assert_eq!(tickets.decrypt(&ticket), None, "{asked_between}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn tickets_are_made_with_another_key_every_six_hours() {
        // A ticket begins with the name of its key (RFC 5077 §4).
        let name = |tickets: &Tickets| tickets.encrypt(b"session").unwrap()[..16].to_vec();
        let tickets = Tickets::new().unwrap();
        let first = name(&tickets);
        tokio::time::advance(NEARLY).await;
        assert_eq!(name(&tickets), first);
        tokio::time::advance(SECOND).await;
        let second = name(&tickets);
        assert_ne!(second, first);
        assert_eq!(name(&tickets), second);
        tokio::time::advance(100 * PERIOD).await;
        let third = name(&tickets);
        assert!(third != first && third != second);
        assert!(tickets.0.read().previous.is_none(), "a key that is no longer good is kept");
    }

    #[test]
    fn what_is_no_ticket_of_ours_is_not_taken() {
        let (ours, theirs) = (Tickets::new().unwrap(), Tickets::new().unwrap());
        let mut ticket = theirs.encrypt(b"session").unwrap();
        assert_eq!(ours.decrypt(&ticket), None);
        ticket[20] ^= 1;
        assert_eq!(theirs.decrypt(&ticket), None);
        assert_eq!(ours.decrypt(b""), None);
        assert_eq!(ours.lifetime(), 12 * 60 * 60);
    }
}
