//! What an attempt that may be overtaken knows of it: whom else to ask and when, who was asked, and how that ended.
//!
//! The two connections race in `race.rs`.

use std::net::SocketAddr;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use parking_lot::Mutex;
use portreeve_balance::InFlight;

use crate::fault::Fault;
use crate::hedge::{Hedge, Second};

/// Who may be asked beside the target of an attempt.
#[derive(Debug, Default)]
pub(super) struct HedgeState {
    /// Whom else to ask, and when.
    hedge: Option<Hedge>,
    is_hedged: AtomicBool,
    /// Who was asked beside the target.
    second: OnceLock<SocketAddr>,
    settled: Mutex<Option<Settled>>,
    is_told: AtomicBool,
}

/// How a race of two targets ended.
#[derive(Debug)]
pub struct Settled {
    /// The second.
    pub second: SocketAddr,
    /// The request there, if it was heard and not the first.
    pub won: Option<InFlight>,
    /// What was wrong with the first, if it was not only slower.
    pub first: Option<Fault>,
}

impl Settled {
    pub(super) fn lost(second: SocketAddr) -> Self {
        Self { second, won: None, first: None }
    }

    pub(super) fn won(second: Second, first: Option<Fault>) -> Self {
        Self { second: second.address(), won: second.win(), first }
    }
}

impl HedgeState {
    pub(super) fn new(hedge: Option<Hedge>) -> Self {
        Self { hedge, ..Self::default() }
    }

    /// When another target is to be asked, if one may be.
    pub(super) fn due(&self) -> Option<Instant> {
        self.hedge.as_ref().filter(|_| !self.is_hedged.load(Ordering::Relaxed)).map(Hedge::due)
    }

    /// Whom else to ask: once.
    pub(super) fn second(&self) -> Option<Second> {
        let hedge = self.hedge.as_ref().filter(|_| !self.is_hedged.swap(true, Ordering::Relaxed))?;
        let second = hedge.second()?;
        self.second.set(second.address()).ok();
        Some(second)
    }

    /// The race is over.
    pub(super) fn settle(&self, settled: Settled) {
        *self.settled.lock() = Some(settled);
    }

    /// How the race ended, if there was one, or that it came to no end: told once.
    pub(super) fn settled(&self) -> Option<Settled> {
        let second = self.hedge.as_ref().and_then(|_| self.second.get())?;
        if self.is_told.swap(true, Ordering::Relaxed) {
            return None;
        }
        Some(self.settled.lock().take().unwrap_or_else(|| Settled::lost(*second)))
    }
}
