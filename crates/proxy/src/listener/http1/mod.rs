//! Requests in HTTP/1.x: each is a session of ours, from the bytes of its head to those of its answer.

mod answer;
mod head;
mod session;

use std::sync::Arc;

use parking_lot::Mutex;
use pingora::apps::HttpServerApp;
use pingora::protocols::Digest;
use pingora::protocols::http::ServerSession;
use tokio::sync::watch;

use self::session::Single;
use super::connection::Connection;
use super::serve::Serving;

/// What the sessions of one connection share.
#[derive(Debug)]
struct Shared {
    /// Where a session leaves its connection when the answer has gone whole, and whether another request may follow.
    back: Mutex<Option<(Box<Connection>, bool)>>,
    /// Whether the gateway is stopping: then none may.
    stop: watch::Receiver<bool>,
}

/// What a connection is good for after a request.
pub(super) enum Served {
    /// Another one.
    Kept(Box<Connection>),
    /// Saying goodbye.
    Last(Box<Connection>),
    /// Nothing: its answer was not sent whole.
    BrokenOff,
    /// An answer: the request is larger than a head can be held.
    Refused(Box<Connection>),
}

/// What the requests of one connection share.
#[derive(Debug)]
pub(super) struct Http1 {
    digest: Digest,
    shared: Arc<Shared>,
}

impl Http1 {
    pub(super) fn of(connection: &Connection, stop: watch::Receiver<bool>) -> Self {
        Self { digest: connection.digest(), shared: Arc::new(Shared { back: Mutex::default(), stop }) }
    }

    /// Serves the request in hand.
    pub(super) async fn serve(&self, mut connection: Box<Connection>, serving: &Serving, last: bool) -> Served {
        let Some(head) = head::read(&connection.take_head()) else { return Served::Refused(connection) };
        let session = Single::new(connection, head, self.digest.clone(), self.shared.clone(), last);
        // It tells nothing: the session has given its connection back, or has not.
        serving.proxy.process_new_http(ServerSession::new_custom(Box::new(session)), &self.shared.stop).await;
        match self.shared.back.lock().take() {
            Some((connection, true)) => Served::Kept(connection),
            Some((connection, false)) => Served::Last(connection),
            None => Served::BrokenOff,
        }
    }
}
