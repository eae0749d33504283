//! One address and the state that everybody shares of it: health and requests in flight.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU8, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::{SystemTime, UNIX_EPOCH};

use parking_lot::Mutex;

use crate::changes::Changes;

/// The shared state of one address under one way of checking it. Its health is decided here and nowhere else.
#[derive(Debug)]
pub struct Target {
    /// Where it listens.
    pub address: SocketAddr,
    /// Why it gets no requests, one bit for each [`Bar`]; 0 when nothing stands against it.
    bars: AtomicU8,
    /// Checks in a row that came out against its health. Only probers take the lock.
    against: Mutex<u32>,
    in_flight: AtomicU32,
    since: AtomicU64,
    /// Who is told when bars go up or down. Only bars and new pickers take the lock.
    watchers: Mutex<Vec<Weak<Changes>>>,
}

/// Something that keeps requests from a target. Several can stand at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Bar {
    /// Its checks fail.
    Unhealthy = 1,
    /// No check has passed yet.
    Unproven = 2,
}

/// How many checks in a row change the health of a target.
#[derive(Debug, Clone, Copy)]
pub struct Thresholds {
    /// Passed checks in a row that bring it back.
    pub healthy_after: u32,
    /// Failed checks in a row that take it out.
    pub unhealthy_after: u32,
}

impl Target {
    /// A target counts as healthy until a check has failed often enough.
    #[must_use]
    pub fn new(address: SocketAddr) -> Self {
        Self {
            address,
            bars: AtomicU8::new(0),
            against: Mutex::new(0),
            in_flight: AtomicU32::new(0),
            since: AtomicU64::new(unix_seconds()),
            watchers: Mutex::default(),
        }
    }

    /// Whether its checks let it have requests.
    #[must_use]
    pub fn is_healthy(&self) -> bool {
        !self.is_barred(Bar::Unhealthy) && !self.is_barred(Bar::Unproven)
    }

    /// Whether nothing at all stands against sending a request here: what picking asks.
    #[must_use]
    pub fn is_available(&self) -> bool {
        self.bars.load(Ordering::Relaxed) == 0
    }

    /// Whether this stands against it.
    #[must_use]
    pub fn is_barred(&self, bar: Bar) -> bool {
        self.bars.load(Ordering::Relaxed) & bar as u8 != 0
    }

    /// Puts up a bar or takes it down. Returns whether that changed anything.
    pub fn bar(&self, bar: Bar, up: bool) -> bool {
        let bit = bar as u8;
        let before =
            if up { self.bars.fetch_or(bit, Ordering::Relaxed) } else { self.bars.fetch_and(!bit, Ordering::Relaxed) };
        let changed = (before & bit != 0) != up;
        if changed {
            self.since.store(unix_seconds(), Ordering::Relaxed);
            self.watchers.lock().iter().filter_map(Weak::upgrade).for_each(|watcher| watcher.note());
        }
        changed
    }

    /// Tells `watcher` from now on when a bar goes up or down.
    pub(crate) fn watch(&self, watcher: &Arc<Changes>) {
        let mut watchers = self.watchers.lock();
        watchers.retain(|known| known.strong_count() > 0);
        if !watchers.iter().any(|known| std::ptr::eq(known.as_ptr(), Arc::as_ptr(watcher))) {
            watchers.push(Arc::downgrade(watcher));
        }
    }

    pub(crate) fn enter(&self) {
        self.in_flight.fetch_add(1, Ordering::Relaxed);
    }

    /// Whether one more could be counted without there being more than `most`.
    pub(crate) fn enter_below(&self, most: u32) -> bool {
        let room = |in_flight| (in_flight < most).then(|| in_flight + 1);
        self.in_flight.fetch_update(Ordering::Relaxed, Ordering::Relaxed, room).is_ok()
    }

    pub(crate) fn leave(&self) {
        self.in_flight.fetch_sub(1, Ordering::Relaxed);
    }

    /// Takes in what came out of one check. Returns whether the health changed by it. One that is new needs one passed check;
    /// one that was taken out, as many as the thresholds say.
    pub fn observe(&self, passed: bool, thresholds: Thresholds) -> bool {
        let mut against = self.against.lock();
        if passed != self.is_barred(Bar::Unhealthy) {
            *against = 0;
            return passed && self.bar(Bar::Unproven, false);
        }
        *against += 1;
        let enough = if passed { thresholds.healthy_after } else { thresholds.unhealthy_after };
        if *against < enough {
            return false;
        }
        *against = 0;
        if passed {
            self.bar(Bar::Unproven, false);
        }
        self.bar(Bar::Unhealthy, !passed)
    }

    /// Requests being tried here now, from every worker and pool.
    #[must_use]
    pub fn in_flight(&self) -> u32 {
        self.in_flight.load(Ordering::Relaxed)
    }

    /// When a bar last went up or down, in seconds since 1970.
    #[must_use]
    pub fn since(&self) -> u64 {
        self.since.load(Ordering::Relaxed)
    }
}

fn unix_seconds() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target() -> Target {
        Target::new("127.0.0.1:1".parse().unwrap())
    }

    #[test]
    fn only_so_many_results_in_a_row_change_the_health() {
        let (target, thresholds) = (target(), Thresholds { healthy_after: 2, unhealthy_after: 3 });
        let told: Vec<_> = [false, false, true, false, false, false, true, false, true, true, true]
            .into_iter()
            .map(|passed| (target.observe(passed, thresholds), target.is_healthy()))
            .collect();
        let steady = |healthy| (false, healthy);
        assert_eq!(told[..5], [steady(true); 5]);
        assert_eq!(told[5], (true, false));
        assert_eq!(told[6..9], [steady(false); 3]);
        assert_eq!(told[9], (true, true));
        assert_eq!(told[10], steady(true));
    }

    #[test]
    fn a_new_target_is_trusted_after_one_passed_check_and_after_as_many_as_any_once_it_was_taken_out() {
        let thresholds = Thresholds { healthy_after: 2, unhealthy_after: 2 };
        let told = |results: &[bool]| {
            let target = target();
            target.bar(Bar::Unproven, true);
            assert!(!target.is_healthy() && !target.is_available());
            results
                .iter()
                .map(|passed| (target.observe(*passed, thresholds), target.is_available()))
                .collect::<Vec<_>>()
        };
        assert_eq!(told(&[true, true]), [(true, true), (false, true)]);
        assert_eq!(told(&[false, true]), [(false, false), (true, true)]);
        let out = [(false, false), (true, false), (false, false), (true, true)];
        assert_eq!(told(&[false, false, true, true]), out);
    }
}
