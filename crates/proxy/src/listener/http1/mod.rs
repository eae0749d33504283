//! Requests in HTTP/1.x that end with their head: each is a session of ours, from the bytes of its head to those of its answer.
//!
//! Those with a body, or that ask for another protocol, are Pingora's sessions over the same connection (docs/adr/0023).

mod answer;
mod head;
mod session;

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use pingora::apps::HttpServerApp;
use pingora::protocols::http::ServerSession;
use pingora::protocols::{Digest, GetProxyDigest, GetSocketDigest, Shutdown};
use tokio::time::timeout;

use self::session::Single;
use super::connection::Connection;
use super::serve::Serving;

/// When the last answer has gone, the client has so long to be told that it was the last.
const GOODBYE: Duration = Duration::from_secs(1);

/// Where a session leaves its connection when the answer has gone whole, and whether another request may follow.
type Back = Arc<Mutex<Option<(Box<Connection>, bool)>>>;

/// What the requests of one connection share.
#[derive(Debug)]
pub(super) struct Http1 {
    digest: Digest,
    back: Back,
}

impl Http1 {
    pub(super) fn of(connection: &Connection) -> Self {
        let digest = Digest {
            proxy_digest: connection.get_proxy_digest(),
            socket_digest: connection.get_socket_digest(),
            ..Digest::default()
        };
        Self { digest, back: Back::default() }
    }

    /// Serves the request in hand, which has no body. The connection comes back if another one may follow; after the `last` none
    /// may.
    pub(super) async fn serve(
        &self,
        mut connection: Box<Connection>,
        serving: &Serving,
        last: bool,
    ) -> Option<Box<Connection>> {
        let head = head::read(&connection.take_head())?;
        let session = Single::new(connection, head, self.digest.clone(), self.back.clone(), last);
        let session = ServerSession::new_custom(Box::new(session));
        // It never hands the connection back itself: such sessions are not Pingora's to keep.
        let none = serving.proxy.process_new_http(session, &serving.stop).await;
        debug_assert!(none.is_none(), "Pingora keeps no session that is not its own");
        let (mut connection, is_kept) = self.back.lock().take()?;
        if is_kept {
            return Some(connection);
        }
        // So that a client over TLS knows that it has all (RFC 8446 §6.1). One that is gone already need not be told.
        timeout(GOODBYE, connection.shutdown()).await.ok();
        None
    }
}
