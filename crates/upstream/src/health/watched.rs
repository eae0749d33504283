//! A target that somebody watches: its shared state, what its last check said, and the prober that ends with it.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::{Arc, OnceLock, Weak};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use parking_lot::Mutex;
use pingora::protocols::l4::socket::SocketAddr as PingoraAddr;
use pingora_load_balancing::{Backend, Extensions};
use portreeve_balance::{Bar, Target, Thresholds};
use serde::Serialize;
use tokio::sync::watch;
use tokio::task::AbortHandle;

use super::ByAddress;
use super::probe::Name;

/// One target of a group, for as long as a pool has it.
pub(crate) struct Watched {
    pub(crate) target: Arc<Target>,
    /// What the file calls it, which is what its certificate is for.
    name: Mutex<Option<Arc<str>>>,
    /// Whose target it is, for the log.
    upstreams: Mutex<Vec<Weak<str>>>,
    report: Mutex<Report>,
    /// Whether the first check has come out, or there is none to come.
    asked: watch::Sender<bool>,
    prober: OnceLock<AbortHandle>,
    home: Weak<ByAddress>,
}

/// What checks have told.
#[derive(Default)]
struct Report {
    last: Option<LastCheck>,
    /// Why it is out, in the words of the check that took it out.
    why: Option<Arc<str>>,
}

/// The latest check of a target.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct LastCheck {
    /// When it came out, in seconds since 1970.
    pub at: u64,
    /// How long it took, in milliseconds.
    pub took_ms: f64,
    /// Whether it passed.
    pub passed: bool,
    /// Why it failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<Arc<str>>,
}

impl Watched {
    pub(super) fn new(address: SocketAddr, name: Option<Arc<str>>, is_checked: bool, home: Weak<ByAddress>) -> Self {
        let target = Target::new(address);
        target.bar(Bar::Unproven, is_checked);
        Self {
            target: Arc::new(target),
            name: Mutex::new(name),
            upstreams: Mutex::default(),
            report: Mutex::default(),
            asked: watch::Sender::new(!is_checked),
            prober: OnceLock::new(),
            home,
        }
    }

    /// The file may call a target otherwise than before.
    pub(super) fn is_called(&self, name: Option<Arc<str>>) {
        *self.name.lock() = name;
    }

    /// An upstream has it as its target, for as long as the name lives.
    pub(super) fn is_of(&self, upstream: &Arc<str>) {
        let mut upstreams = self.upstreams.lock();
        let upstream = Arc::downgrade(upstream);
        if !upstreams.iter().any(|known| known.ptr_eq(&upstream)) {
            upstreams.retain(|known| known.strong_count() > 0);
            upstreams.push(upstream);
        }
    }

    /// Whose target it is: several may have the same, checked in the same way.
    fn upstreams(&self) -> String {
        let names: BTreeSet<_> = self.upstreams.lock().iter().filter_map(Weak::upgrade).collect();
        names.iter().map(|name| &**name).collect::<Vec<_>>().join(", ")
    }

    pub(super) fn is_probed_by(&self, prober: AbortHandle) {
        self.prober.get_or_init(|| prober);
    }

    /// Whom to check.
    pub(super) fn backend(&self) -> Backend {
        let mut ext = Extensions::new();
        if let Some(name) = self.name.lock().clone() {
            ext.insert(Name(name));
        }
        Backend { addr: PingoraAddr::Inet(self.target.address), weight: 1, ext }
    }

    /// Takes in what came out of a check.
    pub(super) fn take_in(&self, outcome: Result<(), String>, took: Duration, thresholds: Thresholds) {
        let error: Option<Arc<str>> = outcome.err().map(Arc::from);
        let passed = error.is_none();
        let was_new = self.target.is_barred(Bar::Unproven);
        let changed = self.target.observe(passed, thresholds);
        let target = self.target.address;
        let last = LastCheck { at: unix_seconds(), took_ms: took.as_secs_f64() * 1e3, passed, error: error.clone() };
        let mut report = self.report.lock();
        let is_first = report.last.replace(last).is_none();
        match &error {
            Some(error) if changed => {
                report.why = Some(error.clone());
                tracing::warn!(upstream = self.upstreams(), %target, %error, "The target fails its checks and gets no more requests.");
            }
            Some(error) if is_first => {
                report.why = Some(error.clone());
                tracing::warn!(upstream = self.upstreams(), %target, %error, "A new target fails its first check and gets no requests yet.");
            }
            None if changed => {
                report.why = None;
                if was_new && is_first {
                    tracing::debug!(upstream = self.upstreams(), %target, "A new target passes its first check.");
                } else {
                    tracing::info!(upstream = self.upstreams(), %target, "The target passes its checks again.");
                }
            }
            Some(_) | None => {}
        }
        drop(report);
        self.asked.send_if_modified(|asked| !std::mem::replace(asked, true));
    }

    /// Waits for the first check to come out, whatever came of it. Cancel safe.
    pub(crate) async fn first_check(&self) {
        // The sender lives in `self`: this cannot fail.
        let mut asked = self.asked.subscribe();
        let _asked = asked.wait_for(|asked| *asked).await;
    }

    /// Why its checks keep requests from it; `None` when they do not.
    pub(crate) fn why(&self) -> Option<Arc<str>> {
        if self.target.is_healthy() {
            return None;
        }
        Some(self.report.lock().why.clone().unwrap_or_else(|| "no check has come out yet".into()))
    }

    /// The latest check; `None` before the first, and where nothing is checked.
    pub(crate) fn last_check(&self) -> Option<LastCheck> {
        self.report.lock().last.clone()
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        if let Some(prober) = self.prober.get() {
            prober.abort();
        }
        if let Some(home) = self.home.upgrade() {
            let mut all = home.lock();
            // Another may have taken its place already.
            if all.get(&self.target.address).is_some_and(|known| std::ptr::eq(known.as_ptr(), self)) {
                all.remove(&self.target.address);
            }
        }
    }
}

fn unix_seconds() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}
