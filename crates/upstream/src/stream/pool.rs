//! The connections in HTTP/2 of a worker, shared by its requests without leaving its core.

use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use pingora::ErrorType;

use super::Stream;
use super::connection::{Connection, STREAMS, Waiting};
use super::refused::Refused;
use crate::link::Dial;
use portreeve_connection::descriptors::kept_by_worker;

/// How often those that have been idle for too long, or have ended, are let go.
const SWEEP: Duration = Duration::from_secs(1);
/// Connections that a request waits for in vain: each was full when its turn came.
const ATTEMPTS: usize = 16;

thread_local! {
    static POOL: RefCell<Pool> = RefCell::default();
}

#[derive(Default)]
struct Pool {
    /// By the key of their dials; the one made last is at the end.
    connections: HashMap<u64, Vec<Arc<Connection>>>,
    is_swept: bool,
}

/// A place on an open connection, if there is one.
pub(super) fn kept(dial: &Arc<Dial>) -> Option<Stream> {
    POOL.with_borrow_mut(|pool| pool.kept(dial))
}

/// A place on a connection that has one, or on one that is made. Cancel safe.
///
/// # Errors
/// None can be made.
pub(super) async fn place(dial: &Arc<Dial>) -> Result<Stream, Refused> {
    for _ in 0..ATTEMPTS {
        if let Some(stream) = kept(dial) {
            return Ok(stream);
        }
        let waiting = POOL.with_borrow_mut(|pool| pool.wait(dial));
        if let Err(refused) = waiting.opened().await {
            // Another may have had a place meanwhile.
            return kept(dial).ok_or(refused);
        }
    }
    Err(Refused::new(ErrorType::ConnectError, "no connection to the target has a place for a request"))
}

impl Pool {
    fn kept(&mut self, dial: &Arc<Dial>) -> Option<Stream> {
        let connections = self.connections.get_mut(&dial.key())?;
        connections.retain(|connection| !connection.is_over());
        connections.iter().find_map(|connection| connection.place(dial))
    }

    /// Waits for a connection that is being made, or for one that is begun now.
    fn wait(&mut self, dial: &Arc<Dial>) -> Waiting {
        let connections = self.connections.entry(dial.key()).or_default();
        // As many as it will probably take.
        let most = connections.iter().rev().filter_map(|connection| connection.most()).find(|most| *most > 0);
        let waiting = connections.iter().find_map(|connection| connection.wait(most.unwrap_or(STREAMS)));
        waiting.unwrap_or_else(|| {
            if !std::mem::replace(&mut self.is_swept, true) {
                tokio::spawn(sweep());
            }
            let (connection, waiting) = Connection::open(dial.clone());
            connections.push(connection);
            waiting
        })
    }

    /// Lets go of those that nobody needs any more. Whether none is left.
    fn tidy(&mut self) -> bool {
        self.retain(|connection| connection.idle_since().is_none_or(|since| since.elapsed() < connection.idle_limit()));
        let mut idle: Vec<_> = self.connections.values().flatten().filter_map(|one| one.idle_since()).collect();
        let most = kept_by_worker();
        if idle.len() > most {
            idle.sort_unstable();
            let kept_since = idle.get(idle.len() - most).copied();
            self.retain(|connection| connection.idle_since().is_none_or(|since| Some(since) >= kept_since));
        }
        self.is_swept = !self.connections.is_empty();
        !self.is_swept
    }

    fn retain(&mut self, is_needed: impl Fn(&Connection) -> bool) {
        self.connections.retain(|_, connections| {
            connections.retain(|connection| !connection.is_over() && is_needed(connection));
            !connections.is_empty()
        });
    }
}

/// Lets go of connections in time, for as long as there are any.
async fn sweep() {
    let _end = End;
    loop {
        tokio::time::sleep(SWEEP).await;
        if POOL.with_borrow_mut(Pool::tidy) {
            return;
        }
    }
}

/// With the runtime, its connections end.
struct End;

impl Drop for End {
    fn drop(&mut self) {
        // Gone already if the thread ends.
        POOL.try_with(RefCell::take).ok();
    }
}
