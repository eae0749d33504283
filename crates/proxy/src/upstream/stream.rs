//! One stream to a target in HTTP/2, on a connection that others share. The connections are Pingora's.

use std::sync::Arc;

use pingora::connectors::ConnectorOptions;
use pingora::connectors::http::v2::Connector;
use pingora::protocols::http::client::HttpSession;
use pingora::protocols::http::v2::client::Http2Session;
use pingora::upstreams::peer::{HttpPeer, Peer};
use pingora::{Error, ErrorType, Result};
use tokio::runtime::Handle;

/// Idle connections that one worker keeps, to all targets together.
const IDLE: usize = 512;

/// Connections on which no stream can be begun any more, after which a new one is made. Arbitrary.
const ATTEMPTS: usize = 3;

thread_local! {
    /// One for each worker, so that its requests share connections without leaving its core.
    static CONNECTOR: Arc<Connector> = Arc::new(Connector::new(Some(ConnectorOptions::new(IDLE))));
}

/// A stream, until it is dropped. Then its connection has a place for another one.
pub(crate) struct Stream {
    /// There until this is dropped.
    http: Option<Http2Session>,
    peer: Box<HttpPeer>,
    connector: Arc<Connector>,
    is_reused: bool,
}

impl Stream {
    /// A stream on a connection that has a place for one, or on a new one; `None` if the target speaks no HTTP/2. Cancel safe.
    ///
    /// # Errors
    /// Nobody answers at the address in time, or not who should.
    pub(crate) async fn open(peer: Box<HttpPeer>) -> Result<Option<Self>> {
        let connector = CONNECTOR.with(Arc::clone);
        let mut reused = None;
        for _ in 0..ATTEMPTS {
            // One on which no stream can be begun any more fails, or is passed over, and is not asked again for now.
            match connector.reused_http_session(&*peer).await {
                Ok(found) => {
                    reused = found;
                    break;
                }
                Err(error) => tracing::debug!(%error, "A connection in HTTP/2 has come to its end."),
            }
        }
        let is_reused = reused.is_some();
        let http = match reused {
            Some(http) => http,
            None => match connector.new_http_session::<_, ()>(&*peer).await? {
                HttpSession::H2(http) => http,
                _ => return Ok(None),
            },
        };
        Ok(Some(Self { http: Some(http), peer, connector, is_reused }))
    }

    /// What it is made by.
    pub(crate) fn peer(&self) -> &HttpPeer {
        &self.peer
    }

    /// Whether its connection had been used before.
    pub(crate) fn is_reused(&self) -> bool {
        self.is_reused
    }

    /// No other stream begins on its connection.
    pub(crate) fn retire(&self) {
        if let Some(http) = &self.http {
            http.conn.mark_shutdown();
        }
    }

    /// The session; it is there until this is dropped.
    pub(crate) fn http(&mut self) -> Result<&mut Http2Session> {
        match &mut self.http {
            Some(http) => Ok(http),
            None => Error::e_explain(ErrorType::InternalError, "the stream has been given back"),
        }
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        // Outside of a runtime nobody would ever close the connection.
        if let Some(http) = self.http.take().filter(|_| Handle::try_current().is_ok()) {
            self.connector.release_http_session(http, &*self.peer, self.peer.idle_timeout());
        }
    }
}
