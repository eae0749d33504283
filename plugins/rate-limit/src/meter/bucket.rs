//! The token bucket: governor's GCRA, one limiter for each key, on the gateway's clock.

use std::num::NonZeroU32;
use std::time::{Duration, Instant};

use governor::clock::Clock as _;
use governor::middleware::StateInformationMiddleware;
use governor::state::{InMemoryState, NotKeyed};
use governor::{Quota, RateLimiter};
use portreeve_plugin::Clock;
use portreeve_plugin::units::Rate;

use super::{Outcome, nanos};

/// How much a bucket holds and how fast it is refilled.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Capacity {
    burst: NonZeroU32,
    /// From one token to the next.
    interval: Duration,
}

/// One key's bucket.
#[derive(Debug)]
pub(crate) struct Bucket {
    limiter: RateLimiter<NotKeyed, InMemoryState, Time, StateInformationMiddleware>,
    interval: u64,
    burst: u32,
    full_at: u64,
}

/// The gateway's clock as governor sees it.
#[derive(Debug, Clone)]
struct Time(Clock);

impl governor::clock::Clock for Time {
    type Instant = Instant;

    fn now(&self) -> Instant {
        self.0.now()
    }
}

impl Capacity {
    pub(crate) fn new(rate: Rate, burst: NonZeroU32) -> Self {
        // Rounded up to the next nanosecond: never faster than was written.
        let interval = nanos(rate.per).div_ceil(u64::from(rate.count.get())).max(1);
        Self { burst, interval: Duration::from_nanos(interval) }
    }

    pub(crate) fn burst(&self) -> NonZeroU32 {
        self.burst
    }

    pub(crate) fn interval(&self) -> Duration {
        self.interval
    }

    /// How long an empty bucket takes to be full.
    pub(crate) fn fill_time(&self) -> Duration {
        self.interval.saturating_mul(self.burst.get())
    }
}

impl Bucket {
    pub(crate) fn new(capacity: &Capacity, clock: &Clock) -> Self {
        // `None` only for no time at all, which `Capacity::new` rules out; one token an hour is then closed enough.
        let quota = Quota::with_period(capacity.interval).unwrap_or_else(|| Quota::per_hour(NonZeroU32::MIN));
        Self {
            limiter: RateLimiter::direct_with_clock(quota.allow_burst(capacity.burst), Time(clock.clone()))
                .with_middleware(),
            interval: nanos(capacity.interval),
            burst: capacity.burst.get(),
            full_at: 0,
        }
    }

    pub(crate) fn admit(&mut self, now: u64) -> Outcome {
        match self.limiter.check() {
            Ok(state) => {
                let remaining = state.remaining_burst_capacity();
                let missing = u64::from(self.burst.saturating_sub(remaining));
                // One interval more than is missing: the token now being filled is not among them.
                self.full_at = now.saturating_add(missing.saturating_add(1).saturating_mul(self.interval));
                Outcome::Admitted { remaining, more_in: self.interval }
            }
            Err(refused) => {
                let wait = refused.wait_time_from(self.limiter.clock().now());
                Outcome::Refused { more_in: nanos(wait) }
            }
        }
    }

    pub(crate) fn idle_at(&self) -> u64 {
        self.full_at
    }
}
