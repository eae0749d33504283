//! The connections in HTTP/2 of a worker, shared by its requests without leaving its core.

use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use pingora::ErrorType;

use super::Stream;
use super::connection::{Connection, STREAMS, Waiting};
use super::refused::Refused;
use crate::upstream::link::Dial;

/// Idle connections that one worker keeps, to all targets together.
const MOST: usize = 512;
/// How often those that have been idle for too long, or have ended, are let go.
const SWEEP: Duration = Duration::from_secs(1);
/// Connections that a request waits for in vain: each was full when its turn came.
const ATTEMPTS: usize = 16;

thread_local! {
    static POOL: RefCell<Pool> = RefCell::default();
}

#[derive(Default)]
struct Pool {
    /// By the key of their dials.
    connections: HashMap<u64, Vec<Arc<Connection>>>,
    is_swept: bool,
}

/// What there is for a request.
enum Found {
    Place(Stream),
    Waiting(Waiting),
    Nothing,
}

/// A place on a connection that has one, or on one that is made. Cancel safe.
///
/// # Errors
/// None can be made.
pub(super) async fn place(dial: &Arc<Dial>) -> Result<Stream, Refused> {
    for _ in 0..ATTEMPTS {
        match POOL.with_borrow_mut(|pool| pool.find(dial)) {
            Found::Place(place) => return Ok(place),
            Found::Waiting(waiting) => waiting.opened().await?,
            Found::Nothing => break,
        }
    }
    Err(Refused::new(ErrorType::ConnectError, "no connection to the target has a place for a request"))
}

impl Pool {
    fn find(&mut self, dial: &Arc<Dial>) -> Found {
        let connections = self.connections.entry(dial.key()).or_default();
        connections.retain(|connection| !connection.is_over());
        if let Some(place) = connections.iter().find_map(Connection::place) {
            return Found::Place(place);
        }
        // As many requests wait for a connection as it will probably take.
        let most = connections.iter().find_map(|connection| connection.most()).unwrap_or(STREAMS);
        if let Some(waiting) = connections.iter().find_map(|connection| connection.wait(most)) {
            return Found::Waiting(waiting);
        }
        let connection = Connection::open(dial.clone());
        let waiting = connection.wait(STREAMS);
        connections.push(connection);
        if !std::mem::replace(&mut self.is_swept, true) {
            tokio::spawn(sweep());
        }
        waiting.map_or(Found::Nothing, Found::Waiting)
    }

    /// Lets go of those that nobody needs any more. Whether none is left.
    fn tidy(&mut self) -> bool {
        self.drop_idle(Connection::idle_limit);
        if self.connections.values().map(Vec::len).sum::<usize>() > MOST {
            self.drop_idle(|_| Duration::ZERO);
        }
        self.is_swept = !self.connections.is_empty();
        !self.is_swept
    }

    fn drop_idle(&mut self, limit: impl Fn(&Connection) -> Duration) {
        self.connections.retain(|_, connections| {
            connections.retain(|connection| !connection.is_over() && !connection.is_idle(limit(connection)));
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
