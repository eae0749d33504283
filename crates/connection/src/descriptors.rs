//! The file descriptors of the process, shared out: what clients may take up, what connections to targets may, and what is kept
//! back for everything else, so that neither clients nor targets ever stop the admin port, health checks or a reload.
//!
//! They belong to the process, not to an engine: so do these counts.

use std::error::Error;
use std::io;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{LazyLock, OnceLock};
use std::time::{Duration, Instant};

/// Connections that the admin port has at once, for which descriptors are kept back.
pub const ADMIN_CONNECTIONS: usize = 64;
/// For files, names, health checks, stores, and what the runtimes need. Arbitrary; a busy gateway has some thirty of them.
const OTHERS: usize = 64;
/// Idle connections to targets that one worker keeps, of each protocol, where there are descriptors enough.
const MOST_KEPT: usize = 512;
/// How long a client may be without a request when they become few, so that those who ask find a place. Arbitrary.
const IDLE_WHEN_FEW: Duration = Duration::from_secs(5);
/// How often at most it is told that there are none left.
const TOLD_EVERY: Duration = Duration::from_mins(1);

/// As many as the process may have open, if it is known: the soft limit of `RLIMIT_NOFILE`.
static LIMIT: OnceLock<usize> = OnceLock::new();
static CLIENTS: Class = Class::new();
static TARGETS: Class = Class::new();
static ONE_CLIENT: AtomicUsize = AtomicUsize::new(usize::MAX);
static KEPT: AtomicUsize = AtomicUsize::new(MOST_KEPT);
static TOLD: NoticeLimiter = NoticeLimiter::new();
static NOT_ACCEPTED: NoticeLimiter = NoticeLimiter::new();

/// Those of one kind.
#[derive(Debug)]
struct Class {
    most: AtomicUsize,
    open: AtomicUsize,
}

impl Class {
    const fn new() -> Self {
        Self { most: AtomicUsize::new(usize::MAX), open: AtomicUsize::new(0) }
    }

    fn take(&'static self) -> Option<Descriptor> {
        if self.open.fetch_add(1, Ordering::Relaxed) < self.most.load(Ordering::Relaxed) {
            return Some(Descriptor(self));
        }
        self.open.fetch_sub(1, Ordering::Relaxed);
        None
    }
}

/// One of them, until it is dropped.
#[derive(Debug)]
pub struct Descriptor(&'static Class);

impl Drop for Descriptor {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::Relaxed);
    }
}

/// For the connection of a client; `None` if clients have all that they may have. That is told in the operator's log.
pub fn of_client() -> Option<Descriptor> {
    CLIENTS.take().or_else(|| {
        tell(&"clients have as many connections as there are descriptors for");
        None
    })
}

/// How long a client may be without a request, where its listener allows `idle`: less when three quarters of what clients may
/// have are taken.
pub fn idle(idle: Duration) -> Duration {
    let most = CLIENTS.most.load(Ordering::Relaxed);
    if CLIENTS.open.load(Ordering::Relaxed) > most - most / 4 { idle.min(IDLE_WHEN_FEW) } else { idle }
}

/// For a connection to a target that a request or a client of TCP needs; `None` if there are as many as there may be.
pub fn of_target() -> Option<Descriptor> {
    TARGETS.take().or_else(|| {
        tell(&"there are as many connections to targets as there are descriptors for");
        None
    })
}

/// As many as one client may take up at one listener: at all of them together the half of what clients may, so that others
/// always find some.
pub fn of_one_client() -> usize {
    ONE_CLIENT.load(Ordering::Relaxed)
}

/// Idle connections to targets that one worker may keep, of each protocol: all together at most the half of those that there
/// may be.
pub fn kept_by_worker() -> usize {
    KEPT.load(Ordering::Relaxed)
}

/// Whether this is the system saying that there are no descriptors left: in this process, or in the whole system.
pub fn is_exhaustion(error: &(dyn Error + 'static)) -> bool {
    let mut error = Some(error);
    while let Some(one) = error {
        if let Some(one) = one.downcast_ref::<io::Error>() {
            // EMFILE and ENFILE, which have no kind of their own.
            return matches!(one.raw_os_error(), Some(23 | 24));
        }
        error = one.source();
    }
    false
}

/// Tells the operator that there were none left, what for, and what to do: once a minute at most, however often it happens.
pub fn tell(why: &dyn std::fmt::Display) {
    let Some(times) = TOLD.is_due() else { return };
    let limit = LIMIT.get();
    tracing::error!(
        %why,
        limit,
        times,
        "File descriptors have run out. Raise the hard limit of open files (systemd: LimitNOFILE=, Docker: --ulimit nofile=), or \
         lower limits.connections and timeouts.idle."
    );
}

/// Tells the operator why a connection could not be accepted, as seldom.
pub fn tell_not_accepted(error: &io::Error) {
    if is_exhaustion(error) {
        tell(&format_args!("a connection could not be accepted: {error}"));
    } else if let Some(times) = NOT_ACCEPTED.is_due() {
        tracing::error!(%error, times, "A connection could not be accepted; accepting rests for a moment.");
    }
}

/// When it was told last, and how often it has happened since.
struct NoticeLimiter {
    at: AtomicU64,
    times: AtomicU64,
}

/// Milliseconds are counted from here.
static BEGINNING: LazyLock<Instant> = LazyLock::new(Instant::now);

impl NoticeLimiter {
    const fn new() -> Self {
        Self { at: AtomicU64::new(0), times: AtomicU64::new(0) }
    }

    /// How often it has happened since it was told last, if it is to be told again.
    fn is_due(&self) -> Option<u64> {
        self.times.fetch_add(1, Ordering::Relaxed);
        // Never 0, which is never.
        let now = u64::try_from(BEGINNING.elapsed().as_millis()).unwrap_or(u64::MAX).saturating_add(1);
        let last = self.at.load(Ordering::Relaxed);
        let is_due = last == 0 || u128::from(now - last.min(now)) >= TOLD_EVERY.as_millis();
        let is_mine = is_due && self.at.compare_exchange(last, now, Ordering::Relaxed, Ordering::Relaxed).is_ok();
        is_mine.then(|| self.times.swap(0, Ordering::Relaxed))
    }
}

/// Says how many this process may have open. Without it nothing is shared out, and nothing refused for want of them. For the
/// start of the process; a second call changes nothing.
pub fn limit_descriptors(limit: u64) {
    LIMIT.set(usize::try_from(limit).unwrap_or(usize::MAX)).ok();
}

/// How they are shared out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Shares {
    kept_back: usize,
    clients: usize,
    one_client: usize,
    targets: usize,
    kept_by_worker: usize,
}

impl Shares {
    /// Of `limit`. Each worker listens on each listener, with a socket that is open twice (docs/adr/0013).
    fn of(limit: usize, listeners: usize, workers: usize) -> Self {
        let kept_back = (OTHERS + ADMIN_CONNECTIONS + 2 * listeners * workers).min(limit / 2);
        let rest = limit - kept_back;
        let clients = rest / 2;
        let one_client = (clients / 2 / listeners.max(1)).max(1);
        let targets = rest - clients;
        // Two protocols, and no more than the half in all.
        let kept_by_worker = (targets / 4 / workers.max(1)).clamp(1, MOST_KEPT);
        Self { kept_back, clients, one_client, targets, kept_by_worker }
    }
}

/// The least limit that lets clients have so many connections.
fn needed(connections: usize, kept_back: usize) -> usize {
    connections.saturating_mul(2).saturating_add(kept_back).checked_next_power_of_two().unwrap_or(usize::MAX)
}

/// Shares them out for a configuration that has taken effect, and tells the operator where it asks for more than there are.
///
/// `connections` is how many each listener lets in at most (`limits.connections`).
pub fn share_out(connections: &[usize], workers: usize) {
    let Some(limit) = LIMIT.get().copied() else { return };
    let shares = Shares::of(limit, connections.len(), workers);
    let before = CLIENTS.most.swap(shares.clients, Ordering::Relaxed);
    ONE_CLIENT.store(shares.one_client, Ordering::Relaxed);
    TARGETS.most.store(shares.targets, Ordering::Relaxed);
    KEPT.store(shares.kept_by_worker, Ordering::Relaxed);
    let wanted = connections.iter().copied().fold(0, usize::saturating_add);
    if wanted > shares.clients && before != shares.clients {
        let Shares { kept_back, clients, one_client, targets, .. } = shares;
        tracing::warn!(
            limit,
            kept_back,
            clients,
            one_client,
            targets,
            limits_connections = wanted,
            needed = needed(wanted, kept_back),
            "The limit of open files lets fewer clients be connected at once than the listeners would (limits.connections). Raise \
             its hard limit (systemd: LimitNOFILE=, Docker: --ulimit nofile=), or lower limits.connections."
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_shared_out_is_never_more_than_there_is_and_something_is_kept_back() {
        for (limit, listeners, workers) in [(64, 1, 2), (256, 1, 2), (1_024, 2, 16), (65_536, 1, 8), (1 << 20, 1, 64)] {
            let shares = Shares::of(limit, listeners, workers);
            let Shares { kept_back, clients, one_client, targets, kept_by_worker } = shares;
            assert_eq!(kept_back + clients + targets, limit, "{shares:?}");
            assert!(one_client * listeners <= clients / 2, "{shares:?}");
            assert!(kept_back >= 32 && clients >= 16, "{shares:?}");
            assert!(kept_by_worker == 1 || 2 * workers * kept_by_worker <= targets / 2, "{shares:?}");
        }
        assert_eq!(
            Shares::of(1_024, 1, 2),
            Shares { kept_back: 132, clients: 446, one_client: 223, targets: 446, kept_by_worker: 55 }
        );
        assert_eq!(needed(50_000, 132), 131_072);
    }

    #[test]
    fn a_class_gives_what_it_has_and_takes_it_back() {
        static CLASS: Class = Class::new();
        CLASS.most.store(2, Ordering::Relaxed);
        let (first, second) = (CLASS.take().unwrap(), CLASS.take());
        assert!(second.is_some() && CLASS.take().is_none() && CLASS.take().is_none());
        drop(first);
        assert!(CLASS.take().is_some());
    }

    #[test]
    fn what_happens_again_and_again_is_told_once() {
        let told = NoticeLimiter::new();
        assert_eq!(told.is_due(), Some(1));
        assert!((0..1_000).all(|_| told.is_due().is_none()));
        assert_eq!(told.times.load(Ordering::Relaxed), 1_000);
    }

    /// An error of a library, with one of the system beneath.
    #[derive(Debug)]
    struct Over(io::Error);

    impl std::fmt::Display for Over {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("no connection")
        }
    }

    impl Error for Over {
        fn source(&self) -> Option<&(dyn Error + 'static)> {
            Some(&self.0)
        }
    }

    #[test]
    fn an_error_of_the_system_is_known_as_it_is_and_beneath_others() {
        let exhausted = || io::Error::from_raw_os_error(24);
        assert!(is_exhaustion(&exhausted()));
        assert!(is_exhaustion(&Over(exhausted())));
        assert!(!is_exhaustion(&io::Error::from_raw_os_error(111)));
    }
}
