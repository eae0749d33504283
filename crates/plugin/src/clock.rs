//! Time as plugins see it: the system's, or one that a test moves by hand.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime};

use tokio::sync::watch;

/// Where a plugin takes the time from. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Clock(Option<Arc<Frozen>>);

#[derive(Debug)]
struct Frozen {
    base: Instant,
    wall: SystemTime,
    offset: AtomicU64,
    moved: watch::Sender<u64>,
}

impl Clock {
    /// The system's clock.
    pub fn system() -> Self {
        Self(None)
    }

    /// A clock that stands still until [`Clock::advance`] moves it, starting at this wall-clock time.
    pub fn frozen(wall: SystemTime) -> Self {
        Self(Some(Arc::new(Frozen {
            base: Instant::now(),
            wall,
            offset: AtomicU64::new(0),
            moved: watch::channel(0).0,
        })))
    }

    /// Monotonic time.
    pub fn now(&self) -> Instant {
        match &self.0 {
            None => Instant::now(),
            Some(frozen) => frozen.base + frozen.offset(),
        }
    }

    /// Wall-clock time.
    pub fn wall(&self) -> SystemTime {
        match &self.0 {
            None => SystemTime::now(),
            Some(frozen) => frozen.wall + frozen.offset(),
        }
    }

    /// Wall-clock time in whole seconds since 1970 (0 before).
    pub fn unix_seconds(&self) -> u64 {
        self.wall().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs())
    }

    /// Waits, counted from this call; on a frozen clock until it has been moved that far. Cancel safe.
    pub fn sleep(&self, duration: Duration) -> impl Future<Output = ()> + Send + use<> {
        let frozen = self.0.clone();
        let until = frozen.as_ref().map(|frozen| frozen.offset() + duration);
        async move {
            let (Some(frozen), Some(until)) = (frozen, until) else { return tokio::time::sleep(duration).await };
            let mut moved = frozen.moved.subscribe();
            while frozen.offset() < until {
                if moved.changed().await.is_err() {
                    return;
                }
            }
        }
    }

    /// Moves a frozen clock forward and wakes those whose sleep is over. The system's clock cannot be moved: nothing happens.
    pub fn advance(&self, duration: Duration) {
        if let Some(frozen) = &self.0 {
            let step = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
            let now = frozen.offset.fetch_add(step, Ordering::SeqCst) + step;
            frozen.moved.send_replace(now);
        }
    }
}

impl Frozen {
    fn offset(&self) -> Duration {
        Duration::from_nanos(self.offset.load(Ordering::SeqCst))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_frozen_clock_moves_only_when_told_and_wakes_sleepers() {
        let clock = Clock::frozen(SystemTime::UNIX_EPOCH + Duration::from_secs(100));
        assert_eq!(clock.unix_seconds(), 100);
        let sleeper = tokio::spawn(clock.sleep(Duration::from_secs(5)));
        clock.advance(Duration::from_secs(5));
        sleeper.await.unwrap();
        assert_eq!(clock.unix_seconds(), 105);
    }
}
