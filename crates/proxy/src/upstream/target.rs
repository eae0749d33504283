//! One address and the state that everybody shares of it: health and requests in flight.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

/// The shared state of one address under one way of checking it.
#[derive(Debug)]
pub(crate) struct Target {
    pub(crate) address: SocketAddr,
    healthy: AtomicBool,
    in_flight: AtomicU32,
    since: AtomicU64,
}

impl Target {
    /// A target counts as healthy until a check has failed often enough.
    pub(super) fn new(address: SocketAddr) -> Self {
        Self {
            address,
            healthy: AtomicBool::new(true),
            in_flight: AtomicU32::new(0),
            since: AtomicU64::new(unix_seconds()),
        }
    }

    pub(crate) fn is_healthy(&self) -> bool {
        self.healthy.load(Ordering::Relaxed)
    }

    pub(super) fn set_healthy(&self, healthy: bool) {
        if self.healthy.swap(healthy, Ordering::Relaxed) != healthy {
            self.since.store(unix_seconds(), Ordering::Relaxed);
        }
    }

    /// Requests being tried here now, from every worker and pool.
    pub(crate) fn in_flight(&self) -> u32 {
        self.in_flight.load(Ordering::Relaxed)
    }

    /// When its health last changed, in seconds since 1970.
    pub(crate) fn since(&self) -> u64 {
        self.since.load(Ordering::Relaxed)
    }
}

/// One request in flight at a target, for as long as this lives: a cancelled or panicking request gives it back too.
#[derive(Debug)]
pub(crate) struct InFlight(Arc<Target>);

impl InFlight {
    pub(crate) fn new(target: Arc<Target>) -> Self {
        target.in_flight.fetch_add(1, Ordering::Relaxed);
        Self(target)
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}

fn unix_seconds() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn in_flight_returns_to_zero_however_the_request_ends() {
        let target = Arc::new(Target::new("127.0.0.1:1".parse().unwrap()));
        let held = InFlight::new(target.clone());
        let panicking = std::thread::spawn({
            let target = target.clone();
            move || {
                let _held = InFlight::new(target);
                panic!("as a plugin might");
            }
        });
        assert!(panicking.join().is_err());
        assert_eq!(target.in_flight(), 1);
        drop(held);
        assert_eq!(target.in_flight(), 0);
    }
}
