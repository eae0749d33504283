//! How many connections there may be to one target: exact, however many workers ask at once.
//!
//! Connections to such a target are kept for all workers together: one that another worker has no use for would else keep this one
//! from opening its own.

use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::runtime::Handle;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::wire::Link;

/// How often connections that have been idle for too long, or that the target has closed, are let go.
const SWEEP: Duration = Duration::from_secs(1);

/// The connections of one upstream to one target, in use and idle.
#[derive(Debug, Default)]
pub(crate) struct Connections {
    open: AtomicU32,
    /// One was closed, or has become idle.
    freed: Notify,
    /// The one used last is at the end.
    idle: Mutex<Vec<Kept>>,
    is_swept: AtomicBool,
}

#[derive(Debug)]
struct Kept {
    link: Box<Link>,
    since: Instant,
}

/// The connections of a target, and how many there may be.
#[derive(Debug, Clone)]
pub(crate) struct Bound {
    pub(crate) connections: Arc<Connections>,
    pub(crate) most: u32,
}

/// One connection that is counted, until it is dropped.
#[derive(Debug)]
pub(super) struct Permit(Arc<Connections>);

/// What somebody who needs a connection is given.
pub(super) enum Turn {
    /// One that is open and idle.
    Idle(Box<Link>),
    /// The right to open one.
    Open(Permit),
}

impl Bound {
    /// A connection of dials of this key that has been idle for less than `limit`, or the right to open one, as soon as there is either.
    ///
    /// Cancel safe.
    pub(super) async fn turn(&self, key: u64, limit: Duration) -> Turn {
        loop {
            // In the queue before it is looked, so that nothing that comes free meanwhile is missed.
            let mut freed = pin!(self.connections.freed.notified());
            freed.as_mut().enable();
            if let Some(link) = self.connections.take(key, limit) {
                return Turn::Idle(link);
            }
            if let Some(permit) = self.connections.permit(self.most) {
                return Turn::Open(permit);
            }
            // What is idle and does not serve makes room, if there is none but its own.
            if !self.connections.close_one() {
                freed.await;
            }
        }
    }
}

impl Connections {
    fn permit(self: &Arc<Self>, most: u32) -> Option<Permit> {
        let below = |open: u32| (open < most).then(|| open + 1);
        let counted = self.open.fetch_update(Ordering::AcqRel, Ordering::Acquire, below);
        counted.is_ok().then(|| Permit(self.clone()))
    }

    /// The connection used last of those that may still be used. What is too old for this one may serve others, and what was
    /// made by another configuration requests of that one.
    pub(super) fn take(&self, key: u64, limit: Duration) -> Option<Box<Link>> {
        loop {
            let mut idle = self.idle.lock();
            let last = idle.iter().rposition(|kept| kept.link.dial().key() == key)?;
            // The others are older still.
            if idle.get(last)?.since.elapsed() >= limit {
                return None;
            }
            let mut kept = idle.remove(last);
            drop(idle);
            if kept.link.is_quiet() {
                return Some(kept.link);
            }
        }
    }

    /// Closes the one that has been idle for longest. Whether there was one.
    fn close_one(&self) -> bool {
        let mut idle = self.idle.lock();
        let oldest = (!idle.is_empty()).then(|| idle.remove(0));
        drop(idle);
        // Here, so that there is room when this returns.
        oldest.map(drop).is_some()
    }

    /// Keeps a connection for whoever comes next, on any worker.
    pub(super) fn keep(self: &Arc<Self>, link: Box<Link>) {
        // Outside of a runtime nobody would ever close it.
        let Ok(runtime) = Handle::try_current() else { return };
        self.idle.lock().push(Kept { link, since: Instant::now() });
        self.freed.notify_one();
        if !self.is_swept.swap(true, Ordering::AcqRel) {
            runtime.spawn(sweep(Arc::downgrade(self)));
        }
    }

    /// How many there are.
    #[cfg(test)]
    pub(super) fn open(&self) -> u32 {
        self.open.load(Ordering::Acquire)
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::AcqRel);
        self.0.freed.notify_one();
    }
}

/// Lets go of connections in time, for as long as there are any.
async fn sweep(connections: Weak<Connections>) {
    loop {
        tokio::time::sleep(SWEEP).await;
        let Some(connections) = connections.upgrade() else { return };
        let mut gone = Vec::new();
        let is_empty = {
            let mut idle = connections.idle.lock();
            for mut kept in std::mem::take(&mut *idle) {
                if kept.may_stay() { idle.push(kept) } else { gone.push(kept) }
            }
            // Under the lock, so that whoever keeps the next one sees it.
            connections.is_swept.store(!idle.is_empty(), Ordering::Release);
            idle.is_empty()
        };
        // Closed, and room made, outside of the lock.
        drop(gone);
        if is_empty {
            return;
        }
    }
}

impl Kept {
    fn may_stay(&mut self) -> bool {
        self.since.elapsed() < self.link.dial().timeouts().idle.get() && self.link.is_quiet()
    }
}

#[cfg(test)]
#[path = "bound_tests.rs"]
mod tests;
