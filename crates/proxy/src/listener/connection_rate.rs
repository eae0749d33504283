//! How fast new connections come from each client: a token bucket of `governor` for each, in bounded memory.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwapOption;
use governor::clock::{Clock, DefaultClock, Reference};
use governor::middleware::NoOpMiddleware;
use governor::nanos::Nanos;
use governor::state::keyed::ShrinkableKeyedStateStore;
use governor::state::{InMemoryState, NotKeyed, StateStore};
use governor::{Quota, RateLimiter};
use parking_lot::Mutex;
use portreeve_config::ConnectionRate;

/// Clients of one listener that have a bucket of their own, each some 60 bytes. Those who come beyond share one, for as
/// long as there are so many whose buckets are not full again.
const MAX_CLIENTS: usize = 65_536;
/// When there are so many, those who are as good as new are looked for at most so often: it is one pass over all.
const PRUNE_EVERY: Duration = Duration::from_secs(1);
/// Refusals are told in the log when there was none for so long.
const CALM: Duration = Duration::from_mins(1);

/// The rates of one listener, from every worker and over reloads.
#[derive(Debug)]
pub(super) struct ConnectionRates<C: Clock = DefaultClock> {
    clock: C,
    /// As the configuration in effect has it: another one begins anew.
    current: ArcSwapOption<Limiter<C>>,
    /// Held by whoever makes the next one.
    renewing: Mutex<()>,
}

/// A client makes connections too fast.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct TooFast {
    /// It is the first in a while at this listener, and worth a line in the log.
    pub(super) is_news: bool,
}

struct Limiter<C: Clock> {
    limit: ConnectionRate,
    buckets: RateLimiter<IpAddr, Buckets, C, NoOpMiddleware<C::Instant>>,
    pruned: Mutex<Option<C::Instant>>,
    refused: Mutex<Option<C::Instant>>,
}

impl Default for ConnectionRates {
    fn default() -> Self {
        Self { clock: DefaultClock::default(), current: ArcSwapOption::empty(), renewing: Mutex::default() }
    }
}

impl<C: Clock + Clone> ConnectionRates<C> {
    /// Takes one connection of this client (or of its network) into account.
    ///
    /// # Errors
    /// When there were too many lately: it is not to be served.
    pub(super) fn check(&self, client: IpAddr, limit: &ConnectionRate) -> Result<(), TooFast> {
        if let Some(limiter) = self.current.load().as_ref().filter(|limiter| limiter.limit == *limit) {
            return limiter.check(client, &self.clock);
        }
        self.renewed(limit).check(client, &self.clock)
    }

    /// The limiter of this limit: made anew, unless another worker was quicker.
    fn renewed(&self, limit: &ConnectionRate) -> Arc<Limiter<C>> {
        let _turn = self.renewing.lock();
        let current = self.current.load_full();
        current.filter(|limiter| limiter.limit == *limit).unwrap_or_else(|| {
            let limiter = Arc::new(Limiter::new(*limit, self.clock.clone()));
            self.current.store(Some(limiter.clone()));
            limiter
        })
    }
}

impl<C: Clock> Limiter<C> {
    fn new(limit: ConnectionRate, clock: C) -> Self {
        let buckets = RateLimiter::new(quota(&limit), Buckets::default(), clock);
        Self { limit, buckets, pruned: Mutex::default(), refused: Mutex::default() }
    }

    fn check(&self, client: IpAddr, clock: &C) -> Result<(), TooFast> {
        if self.buckets.len() >= MAX_CLIENTS && has_passed(&self.pruned, PRUNE_EVERY, clock) {
            self.buckets.retain_recent();
            self.buckets.shrink_to_fit();
        }
        self.buckets.check_key(&client).map_err(|_| TooFast { is_news: has_passed(&self.refused, CALM, clock) })
    }
}

/// Whether it is so long since this was last asked, or since ever.
fn has_passed<C: Clock>(last: &Mutex<Option<C::Instant>>, least: Duration, clock: &C) -> bool {
    let now = clock.now();
    let before = last.lock().replace(now);
    before.is_none_or(|before| now.duration_since(before) >= Nanos::from(least))
}

/// So much at once, and then one after each part of the span.
fn quota(limit: &ConnectionRate) -> Quota {
    let each = (limit.rate.per / limit.rate.count.get()).max(Duration::from_nanos(1));
    // None for no time at all, which this is not.
    Quota::with_period(each).unwrap_or_else(|| Quota::per_second(limit.rate.count)).allow_burst(limit.burst)
}

/// The buckets of the clients, and one for all who come beyond.
#[derive(Default)]
struct Buckets {
    known: Mutex<HashMap<IpAddr, InMemoryState>>,
    beyond: InMemoryState,
}

impl StateStore for Buckets {
    type Key = IpAddr;

    fn measure_and_replace<T, F, E>(&self, client: &IpAddr, decide: F) -> Result<T, E>
    where
        F: Fn(Option<Nanos>) -> Result<(T, Nanos), E>,
    {
        let mut known = self.known.lock();
        let is_full = known.len() >= MAX_CLIENTS;
        let bucket = match known.get(client) {
            Some(bucket) => bucket,
            None if is_full => &self.beyond,
            None => known.entry(*client).or_default(),
        };
        bucket.measure_and_replace(&NotKeyed::NonKey, decide)
    }
}

impl ShrinkableKeyedStateStore<IpAddr> for Buckets {
    fn retain_recent(&self, drop_below: Nanos) {
        // A look at a bucket is a decision that changes nothing.
        let full_at = |bucket: &InMemoryState| {
            bucket.measure_and_replace(&NotKeyed::NonKey, Err::<((), Nanos), _>).err().flatten()
        };
        self.known.lock().retain(|_, bucket| full_at(bucket).is_some_and(|at| at > drop_below));
    }

    fn shrink_to_fit(&self) {
        let mut known = self.known.lock();
        // A crowd that came and went leaves no table behind.
        if known.len() * 4 < known.capacity() {
            known.shrink_to_fit();
        }
    }

    fn len(&self) -> usize {
        self.known.lock().len()
    }

    fn is_empty(&self) -> bool {
        self.known.lock().is_empty()
    }
}

impl<C: Clock> std::fmt::Debug for Limiter<C> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Limiter({:?}, {} clients)", self.limit, self.buckets.len())
    }
}

#[cfg(test)]
mod tests {
    use governor::clock::FakeRelativeClock;

    use super::*;

    fn rates() -> (ConnectionRates<FakeRelativeClock>, FakeRelativeClock) {
        let clock = FakeRelativeClock::default();
        (ConnectionRates { clock: clock.clone(), current: ArcSwapOption::empty(), renewing: Mutex::default() }, clock)
    }

    fn limit(form: serde_json::Value) -> ConnectionRate {
        serde_json::from_value(form).unwrap()
    }

    fn client(n: u32) -> IpAddr {
        IpAddr::V4(n.into())
    }

    /// How many of so many connections at once are let in.
    fn let_in(rates: &ConnectionRates<FakeRelativeClock>, who: u32, limit: &ConnectionRate, of: usize) -> usize {
        (0..of).filter(|_| rates.check(client(who), limit).is_ok()).count()
    }

    #[test]
    fn a_client_has_its_burst_and_then_its_rate_and_others_have_theirs() {
        let (rates, clock) = rates();
        let limit = limit(serde_json::json!({ "rate": "60/min", "burst": 5 }));
        assert_eq!((let_in(&rates, 1, &limit, 100), let_in(&rates, 2, &limit, 3)), (5, 3));
        clock.advance(Duration::from_secs(2));
        assert_eq!((let_in(&rates, 1, &limit, 100), let_in(&rates, 2, &limit, 100)), (2, 4));
        clock.advance(Duration::from_mins(1));
        assert_eq!(let_in(&rates, 1, &limit, 100), 5);
    }

    #[test]
    fn without_a_burst_as_many_come_at_once_as_the_rate_counts() {
        let (rates, clock) = rates();
        let limit = limit(serde_json::json!("50/s"));
        assert_eq!(let_in(&rates, 1, &limit, 100), 50);
        clock.advance(Duration::from_millis(100));
        assert_eq!(let_in(&rates, 1, &limit, 100), 5);
    }

    #[test]
    fn a_changed_limit_begins_anew_and_the_same_one_goes_on() {
        let (rates, _) = rates();
        let (first, second) = (limit(serde_json::json!("2/h")), limit(serde_json::json!("3/h")));
        assert_eq!((let_in(&rates, 1, &first, 9), let_in(&rates, 1, &first.clone(), 9)), (2, 0));
        assert_eq!((let_in(&rates, 1, &second, 9), let_in(&rates, 1, &second, 9)), (3, 0));
    }

    #[test]
    fn refusals_are_told_once_until_there_were_none_for_a_while() {
        let (rates, clock) = rates();
        let limit = limit(serde_json::json!("1/day"));
        assert!(rates.check(client(1), &limit).is_ok() && rates.check(client(2), &limit).is_ok());
        let news = |who| rates.check(client(who), &limit).unwrap_err().is_news;
        assert_eq!([news(1), news(1), news(2), news(1)], [true, false, false, false]);
        clock.advance(Duration::from_secs(59));
        assert!(!news(2));
        clock.advance(Duration::from_secs(59));
        assert!(!news(2));
        clock.advance(Duration::from_secs(61));
        assert_eq!([news(2), news(1)], [true, false]);
    }

    #[test]
    fn however_many_clients_come_there_are_only_so_many_buckets_and_a_known_one_keeps_its_own() {
        let (rates, clock) = rates();
        let limit = limit(serde_json::json!({ "rate": "1/min", "burst": 3 }));
        assert_eq!(let_in(&rates, 0, &limit, 2), 2);
        let most = u32::try_from(MAX_CLIENTS).unwrap();
        assert!((1..most).all(|who| rates.check(client(who), &limit).is_ok()));
        let buckets = |rates: &ConnectionRates<_>| rates.current.load().as_ref().unwrap().buckets.len();
        assert_eq!(buckets(&rates), MAX_CLIENTS);
        // Those beyond share three, and whoever is known has what is left of its own.
        assert_eq!((most..3 * most).filter(|who| rates.check(client(*who), &limit).is_ok()).count(), 3);
        assert_eq!((let_in(&rates, 0, &limit, 9), buckets(&rates)), (1, MAX_CLIENTS));
        // When their buckets are full again they are forgotten.
        clock.advance(Duration::from_secs(121));
        assert_eq!(let_in(&rates, most, &limit, 9), 3);
        assert_eq!(buckets(&rates), 1 + 1, "the new one, and the first, which is not full yet");
    }

    #[test]
    fn the_fastest_and_the_slowest_rates_are_rates() {
        let (rates, clock) = rates();
        for form in [
            serde_json::json!("4294967295/s"),
            serde_json::json!({ "rate": "4294967295/s", "burst": 1 }),
            serde_json::json!({ "rate": "1/day", "burst": 100_000 }),
            serde_json::json!("1/day"),
        ] {
            let limit = limit(form);
            assert!(rates.check(client(1), &limit).is_ok());
            clock.advance(Duration::from_hours(365 * 24));
            assert!(rates.check(client(1), &limit).is_ok());
        }
    }
}
