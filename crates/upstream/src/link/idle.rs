//! Idle connections to targets, kept by each worker for its next request: no task waits on any of them.

use std::cell::RefCell;
use std::collections::HashMap;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::time::Instant;

use super::Dial;
use super::wire::Link;
use portreeve_connection::descriptors::kept_by_worker;

/// How often those that have been idle for too long, or that their targets have closed, are let go.
const SWEEP: Duration = Duration::from_secs(1);

thread_local! {
    static IDLE: RefCell<Idle> = RefCell::default();
}

/// The idle connections of one worker.
#[derive(Default)]
struct Idle {
    /// By the key of their dials; the one used last is at the end.
    links: HashMap<u64, Vec<Kept>>,
    count: usize,
    is_swept: bool,
}

struct Kept {
    link: Box<Link>,
    since: Instant,
}

/// The connection used last of those that may still be used: idle for less than `limit`, and open.
pub(super) fn take(dial: &Dial, limit: Duration) -> Option<Box<Link>> {
    if limit.is_zero() {
        return None;
    }
    if let Some(connections) = dial.connections() {
        return connections.take(dial.key(), limit);
    }
    IDLE.with_borrow_mut(|idle| {
        let links = idle.links.get_mut(&dial.key())?;
        loop {
            let last = links.last()?;
            if last.since.elapsed() >= limit {
                return None;
            }
            let mut kept = links.pop()?;
            idle.count -= 1;
            if kept.link.is_quiet() {
                return Some(kept.link);
            }
        }
    })
}

/// Keeps a connection for the next request, or closes it if there are too many.
pub(super) fn keep(link: Box<Link>) {
    if let Some(connections) = link.dial().connections().cloned() {
        return connections.keep(link);
    }
    // Outside of a runtime nobody would ever close it.
    let Ok(runtime) = Handle::try_current() else { return };
    let kept = IDLE.try_with(|idle| {
        let mut idle = idle.borrow_mut();
        if idle.count < kept_by_worker() {
            idle.count += 1;
            let key = link.dial().key();
            idle.links.entry(key).or_default().push(Kept { link, since: Instant::now() });
        }
        std::mem::replace(&mut idle.is_swept, true)
    });
    if kept == Ok(false) {
        runtime.spawn(sweep());
    }
}

/// Lets go of connections in time, for as long as there are any.
async fn sweep() {
    let _end = End;
    loop {
        tokio::time::sleep(SWEEP).await;
        let is_empty = IDLE.with_borrow_mut(|idle| {
            idle.links.retain(|_, links| {
                links.retain_mut(|kept| {
                    kept.since.elapsed() < kept.link.dial().timeouts().idle.get() && kept.link.is_quiet()
                });
                !links.is_empty()
            });
            idle.count = idle.links.values().map(Vec::len).sum();
            idle.is_swept = idle.count > 0;
            idle.count == 0
        });
        if is_empty {
            return;
        }
    }
}

/// With the runtime, the connections end that are watched by it.
struct End;

impl Drop for End {
    fn drop(&mut self) {
        // Gone already if the thread ends.
        IDLE.try_with(RefCell::take).ok();
    }
}
