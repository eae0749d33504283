//! Resuming sessions: tickets whose key changes every six hours and is good for twelve, and a small cache for clients without.

use std::sync::Arc;

use tokio_rustls::rustls::server::{ServerSessionMemoryCache, StoresServerSessions};
use tokio_rustls::rustls::{Error, ServerConfig};

use super::tickets::Tickets;

/// Sessions kept for TLS 1.2 clients that take no tickets, of which there are few. About 1 MiB when full.
const SESSIONS: usize = 4096;

/// What tells who may come in: a session that began under one rule is not resumed under another, since resuming does not ask
/// for a certificate again. `None` when nobody is asked for one.
pub(super) type Identity = [u8; 32];

/// The memory of one listener, kept over reloads.
#[derive(Debug, Clone)]
pub(super) struct Resumption {
    tickets: Arc<Tickets>,
    sessions: Arc<dyn StoresServerSessions>,
    of: Option<Identity>,
}

impl Resumption {
    /// With keys of its own.
    ///
    /// # Errors
    /// When the system gives no random bytes.
    pub(super) fn new(of: Option<Identity>) -> Result<Self, Error> {
        Ok(Self { tickets: Arc::new(Tickets::new()?), sessions: ServerSessionMemoryCache::new(SESSIONS), of })
    }

    /// Whether its sessions began under this rule.
    pub(super) fn is_of(&self, of: Option<Identity>) -> bool {
        self.of == of
    }

    pub(super) fn put_into(&self, config: &mut ServerConfig) {
        config.ticketer = self.tickets.clone();
        config.session_storage = self.sessions.clone();
    }
}
