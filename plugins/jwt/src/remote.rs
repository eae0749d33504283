//! A key set that lives at a URL: the last good one, and how requests ask for a newer. Shared by every instance that names
//! the URL, so that it survives a reload and is fetched once however many routes use it.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use arc_swap::ArcSwapOption;
use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::{Notify, watch};

use crate::jwk::{self, Read, Secrets};
use crate::keyset::{Generation, KeySet};

/// The least time between two fetches that requests cause, and so between any two they can make us send.
const MIN_GAP: Duration = Duration::from_secs(10);

/// The key set of one URL.
#[derive(Debug)]
pub(crate) struct Remote {
    set: ArcSwapOption<KeySet>,
    state: Mutex<State>,
    /// Held while fetching: one at a time.
    fetching: tokio::sync::Mutex<()>,
    /// Wakes one of the tasks that can fetch.
    wanted: Notify,
    /// How many fetches have ended.
    ended: watch::Sender<u64>,
    /// How many tasks there are that can fetch. A gateway that only checks its file has none.
    fetchers: AtomicUsize,
}

#[derive(Debug, Default)]
struct State {
    /// When the last fetch began or was asked for.
    last_try: Option<Instant>,
    last_success: Option<Instant>,
    /// Failures since the last success.
    failures: u32,
    /// A request asked for a fetch that has not ended yet.
    asked: bool,
    /// A fetch is under way.
    under_way: bool,
    /// The text of the set in force. The same text again is the same generation, and keeps the cache of tokens.
    text: Bytes,
}

/// A task that can fetch; counted while it lives.
#[derive(Debug)]
pub(crate) struct Fetcher(Arc<Remote>);

impl Default for Remote {
    fn default() -> Self {
        Self {
            set: ArcSwapOption::empty(),
            state: Mutex::default(),
            fetching: tokio::sync::Mutex::default(),
            wanted: Notify::new(),
            ended: watch::channel(0).0,
            fetchers: AtomicUsize::new(0),
        }
    }
}

impl Remote {
    /// The set in force.
    pub(crate) fn set(&self) -> arc_swap::Guard<Option<Arc<KeySet>>> {
        self.set.load()
    }

    /// Asks for a newer set. `Some` tells when a fetch has ended; `None` means that none is to be expected soon.
    pub(crate) fn ask(&self, now: Instant) -> Option<watch::Receiver<u64>> {
        if self.fetchers.load(Ordering::Relaxed) == 0 {
            return None;
        }
        let news = self.ended.subscribe();
        let mut state = self.state.lock();
        if state.under_way {
            return Some(news);
        }
        let is_recent = state.last_try.is_some_and(|last| now.saturating_duration_since(last) < MIN_GAP);
        if is_recent {
            return state.asked.then_some(news);
        }
        state.last_try = Some(now);
        state.asked = true;
        drop(state);
        self.wanted.notify_one();
        Some(news)
    }

    /// How long nothing could be fetched; `None` if nothing ever could.
    pub(crate) fn age(&self, now: Instant) -> Option<Duration> {
        self.state.lock().last_success.map(|at| now.saturating_duration_since(at))
    }
}

impl Fetcher {
    pub(crate) fn new(remote: Arc<Remote>) -> Self {
        remote.fetchers.fetch_add(1, Ordering::Relaxed);
        Self(remote)
    }

    /// How long to wait before the next fetch: `refresh` less up to a tenth, so that gateways do not fetch in step; after
    /// failures 1 s, 2 s, 4 s up to a minute, of which up to half is taken off.
    pub(crate) fn pause(&self, now: Instant, refresh: Duration) -> Duration {
        let state = self.0.state.lock();
        let (since, whole, jitter) = match (state.failures, state.last_success) {
            (0, None) => return Duration::ZERO,
            (0, success) => (success, refresh, 0.1),
            (failures, _) => {
                let backoff = Duration::from_secs(1 << (failures - 1).min(6));
                (state.last_try, backoff.min(Duration::from_mins(1)).min(refresh), 0.5)
            }
        };
        let pause = whole.mul_f64(1.0 - jitter * fastrand::f64());
        pause.saturating_sub(since.map_or(Duration::ZERO, |at| now.saturating_duration_since(at)))
    }

    /// Ends when a request asks for a newer set.
    pub(crate) async fn asked(&self) {
        loop {
            self.0.wanted.notified().await;
            // A wish that another fetch has fulfilled meanwhile leaves its notification behind.
            if self.0.state.lock().asked {
                return;
            }
        }
    }

    /// Fetches the set, unless another task has just done so. `Ok(Some(_))` tells of the keys that were left out of a new one.
    pub(crate) async fn fetch<F>(&self, now: impl Fn() -> Instant, get: F) -> Result<Option<Vec<String>>, String>
    where
        F: Future<Output = Result<Bytes, String>>,
    {
        let remote = &*self.0;
        let before = *remote.ended.borrow();
        let _one = remote.fetching.lock().await;
        if *remote.ended.borrow() != before {
            return Ok(None);
        }
        let under_way = UnderWay::begin(remote, now());
        let outcome = get.await.and_then(|text| self.put(text));
        drop(under_way);
        let mut state = remote.state.lock();
        state.asked = false;
        if outcome.is_ok() {
            (state.failures, state.last_success) = (0, Some(now()));
        } else {
            state.failures = state.failures.saturating_add(1);
        }
        drop(state);
        remote.ended.send_modify(|count| *count += 1);
        outcome
    }

    /// Puts a set in force, if it is one and not the one in force.
    fn put(&self, text: Bytes) -> Result<Option<Vec<String>>, String> {
        let mut state = self.0.state.lock();
        if self.0.set.load().is_some() && state.text == text {
            return Ok(None);
        }
        let Read { keys, left_out } = jwk::read(&text, Secrets::Published)?;
        // An empty set is a statement too: the issuer has withdrawn every key.
        self.0.set.store(Some(Arc::new(KeySet::new(Generation::next(), keys))));
        state.text = text;
        Ok(Some(left_out))
    }

    pub(crate) fn remote(&self) -> &Remote {
        &self.0
    }
}

/// Marks a fetch as under way; also ends with a task that is dropped in the middle of one.
struct UnderWay<'r>(&'r Remote);

impl<'r> UnderWay<'r> {
    fn begin(remote: &'r Remote, now: Instant) -> Self {
        let mut state = remote.state.lock();
        (state.last_try, state.under_way) = (Some(now), true);
        drop(state);
        Self(remote)
    }
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        self.0.state.lock().under_way = false;
    }
}

impl Drop for Fetcher {
    fn drop(&mut self) {
        self.0.fetchers.fetch_sub(1, Ordering::Relaxed);
    }
}
