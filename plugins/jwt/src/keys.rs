//! Where the keys of one instance come from: the file, or a URL that a background task keeps fetching.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use http::StatusCode;
use portreeve_plugin::units::Url;
use portreeve_plugin::{Addresses, BuildError, Clock, Counter, Fetch, Gauge, Host, Task};

use crate::algorithm::Algorithms;
use crate::keyset::{Generation, KeySet, Verdict};
use crate::refusal::Refusal;
use crate::remote::{Fetcher, Remote};
use crate::token::Token;

/// One deadline over a whole fetch.
const FETCH_TIMEOUT: Duration = Duration::from_secs(5);
/// The longest key set that is read, in bytes.
const MAX_SET: usize = 256 * 1024;
/// The longest a request waits for a fetch that may bring the key it needs.
const MAX_WAIT: Duration = Duration::from_secs(2);

/// The keys of one instance.
#[derive(Debug)]
pub(crate) enum Keys {
    /// Read when the file was.
    Fixed {
        /// The keys.
        set: KeySet,
        /// Held so that the same keys get the same generation after a reload.
        _generation: Arc<Generation>,
    },
    /// Fetched.
    Fetched(Fetched),
}

/// A key set that a background task keeps fetching.
#[derive(Debug)]
pub(crate) struct Fetched {
    remote: Arc<Remote>,
    /// The set in force is older than this instance accepts.
    stale: Arc<AtomicBool>,
    clock: Clock,
    _task: Task,
}

/// Where a key set is published.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    pub(crate) url: Url,
    /// Which addresses its name may have.
    pub(crate) addresses: Addresses,
}

/// The background task.
struct Refresher {
    host: Host,
    place: Place,
    every: Duration,
    stale_for: Duration,
    stale: Arc<AtomicBool>,
    fetches: Counter,
    failures: Counter,
    keys: Gauge,
}

impl Keys {
    /// Starts fetching from `place`, or goes on with the set another generation of this plugin holds.
    pub(crate) fn fetched(
        place: Place,
        refresh: Duration,
        stale_for: Duration,
        host: &Host,
    ) -> Result<Self, BuildError> {
        let remote: Arc<Remote> =
            host.shared(&format!("jwks/{:?}/{}", place.addresses, place.url.expose()), Remote::default);
        let stale = Arc::new(AtomicBool::new(false));
        let task = Refresher {
            place,
            every: refresh,
            stale_for,
            stale: stale.clone(),
            fetches: host.counter("jwks_fetches_total", "Fetches of the key set.")?,
            failures: host.counter("jwks_fetch_failures_total", "Fetches of the key set that failed.")?,
            keys: host.gauge("jwks_keys", "Usable keys of the set in force.")?,
            host: host.clone(),
        };
        let task = host.spawn(task.run(remote.clone()));
        Ok(Self::Fetched(Fetched { remote, stale, clock: host.clock(), _task: task }))
    }

    /// The generation of the keys in force; `None` if there are none.
    pub(crate) fn generation(&self) -> Option<Generation> {
        match self {
            Self::Fixed { set, .. } => Some(set.generation()),
            Self::Fetched(fetched) if fetched.stale.load(Ordering::Relaxed) => None,
            Self::Fetched(fetched) => fetched.remote.set().as_ref().map(|set| set.generation()),
        }
    }

    /// Checks the signature. Gives the generation of the keys that verified it; waits a little if a fetch may bring its key.
    pub(crate) async fn verify(&self, token: &Token<'_>, allowed: Algorithms) -> Result<Generation, Refusal> {
        let (set, fetched) = match self {
            Self::Fixed { set, .. } => return concluded(set.verify(token, allowed), token).map(|()| set.generation()),
            Self::Fetched(fetched) => (fetched.set(), fetched),
        };
        let verdict = set.as_ref().map(|set| set.verify(token, allowed));
        let newer = match (&set, verdict) {
            (Some(set), Some(verdict @ (Verdict::Signed | Verdict::NotSigned(_)))) => {
                return concluded(verdict, token).map(|()| set.generation());
            }
            // Its `kid` is unknown, or there are no keys at all: the issuer may have newer ones.
            _ => fetched.newer(set.as_ref()).await,
        };
        let set = newer.ok_or(Refusal::unavailable("no key set could be fetched yet, or the last is too old"))?;
        concluded(set.verify(token, allowed), token).map(|()| set.generation())
    }
}

impl Fetched {
    fn set(&self) -> Option<Arc<KeySet>> {
        if self.stale.load(Ordering::Relaxed) { None } else { self.remote.set().clone() }
    }

    /// The set in force after the fetch that this asks for, or the old one if there is none soon.
    async fn newer(&self, old: Option<&Arc<KeySet>>) -> Option<Arc<KeySet>> {
        if let Some(mut news) = self.remote.ask(self.clock.now()) {
            tokio::select! {
                // Several requests may wait for one fetch. The sender lives as long as `self.remote`.
                _ = news.changed() => {}
                () = self.clock.sleep(MAX_WAIT) => {}
            }
        }
        self.set().or_else(|| old.cloned())
    }
}

fn concluded(verdict: Verdict, token: &Token<'_>) -> Result<(), Refusal> {
    match verdict {
        Verdict::Signed => Ok(()),
        Verdict::NotSigned(refusal) => Err(refusal),
        Verdict::UnknownKey => {
            let kid: String = token.kid.iter().flat_map(|kid| kid.chars()).take(64).collect();
            Err(Refusal::invalid(if token.kid.is_some() {
                format!("no key has the token's `kid` {kid:?}")
            } else {
                "there are no keys".to_owned()
            }))
        }
    }
}

impl Refresher {
    async fn run(self, remote: Arc<Remote>) {
        let fetcher = Fetcher::new(remote);
        let clock = self.host.clock();
        loop {
            let pause = fetcher.pause(clock.now(), self.every);
            if !pause.is_zero() {
                tokio::select! {
                    () = fetcher.asked() => {}
                    () = clock.sleep(pause) => {}
                }
            }
            self.once(&fetcher, &clock).await;
        }
    }

    async fn once(&self, fetcher: &Fetcher, clock: &Clock) {
        let outcome = fetcher.fetch(|| clock.now(), self.get()).await;
        let age = fetcher.remote().age(clock.now());
        self.stale.store(age.is_some_and(|age| age > self.stale_for), Ordering::Relaxed);
        let keys = fetcher.remote().set().as_ref().map_or(0, |set| set.keys().len());
        self.keys.set(i64::try_from(keys).unwrap_or(i64::MAX));
        match outcome {
            Ok(Some(left_out)) => {
                tracing::info!(plugin = "jwt", url = %self.place.url, keys, "Key set changed.");
                for why in left_out {
                    tracing::warn!(plugin = "jwt", url = %self.place.url, error = %why, "Key of a key set passed over.");
                }
            }
            Ok(None) => {}
            Err(error) => {
                self.failures.inc();
                tracing::warn!(plugin = "jwt", url = %self.place.url, error = %error, "Key set not fetched.");
            }
        }
    }

    async fn get(&self) -> Result<bytes::Bytes, String> {
        self.fetches.inc();
        let fetch = Fetch {
            url: self.place.url.expose().to_owned(),
            addresses: self.place.addresses,
            timeout: FETCH_TIMEOUT,
            max_body: MAX_SET,
        };
        match self.host.fetch(fetch).await {
            // The limit is the host's to keep; a host that does not is no reason to swallow more.
            Ok(answer) if answer.body.len() > MAX_SET => Err(format!("longer than {MAX_SET} bytes")),
            Ok(answer) if answer.status == StatusCode::OK => Ok(answer.body),
            Ok(answer) if answer.status.is_redirection() => {
                Err(format!("answered with {}; redirects are not followed", answer.status))
            }
            Ok(answer) => Err(format!("answered with {}", answer.status)),
            Err(error) => Err(error.to_string()),
        }
    }
}
