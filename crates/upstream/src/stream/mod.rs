//! Streams to targets that speak HTTP/2, on connections that are shared: made here, and kept here for the requests of their worker.

mod connection;
mod ending;
mod pool;
mod refused;

use std::fmt;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use h2::SendStream;
use h2::client::{ResponseFuture, SendRequest};
use http::Request;
use pingora::{Error, ErrorType};

use self::connection::Connection;
pub(crate) use self::ending::Ending;
use super::link::Dial;

/// The two ways of a stream.
pub(crate) type Begun = (ResponseFuture, SendStream<Bytes>);

/// A stream that may be begun, until it is dropped: then its connection has a place for another one.
pub struct Stream {
    requests: SendRequest<Bytes>,
    connection: Arc<Connection>,
    dial: Arc<Dial>,
    is_reused: bool,
}

impl fmt::Debug for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stream").finish_non_exhaustive()
    }
}

impl Stream {
    /// A place on an open connection, if there is one.
    pub fn kept(dial: &Arc<Dial>) -> Option<Self> {
        pool::kept(dial)
    }

    /// A place on a connection that has one, or on a new one; `None` if the target speaks no HTTP/2. Cancel safe.
    ///
    /// # Errors
    /// Nobody answers at the address in time, or not who should, or takes no stream.
    pub async fn open(dial: &Arc<Dial>) -> pingora::Result<Option<Self>> {
        match pool::place(dial).await {
            Ok(stream) => Ok(Some(stream)),
            Err(refused) => refused.into_error().map_or(Ok(None), Err),
        }
    }

    /// The only place on a new connection, which ends with it; `None` if the target speaks no HTTP/2. Cancel safe.
    ///
    /// # Errors
    /// Nobody answers at the address in time, or not who should, or takes no stream.
    pub(crate) async fn alone(dial: &Arc<Dial>) -> pingora::Result<Option<Self>> {
        let (connection, waiting) = Connection::open(dial.clone());
        if let Err(refused) = waiting.opened().await {
            return refused.into_error().map_or(Ok(None), Err);
        }
        let closed = || Error::explain(ErrorType::ConnectionClosed, "the target closed it");
        connection.place(dial).map(Some).ok_or_else(closed)
    }

    /// Whether TLS is spoken on its connection.
    pub fn is_tls(&self) -> bool {
        self.dial.name().is_some()
    }

    /// How long the target may take nothing of the request.
    pub fn write_limit(&self) -> Duration {
        self.dial.timeouts().write.get()
    }

    /// Whether its connection had been used before.
    pub fn is_reused(&self) -> bool {
        self.is_reused
    }

    /// No other stream begins on its connection.
    pub fn retire(&self) {
        self.connection.retire();
    }

    /// Begins it; `is_over`: nothing follows this head. `None`: its connection has come to its end before, and nothing was sent.
    ///
    /// # Errors
    /// HTTP/2 cannot carry the request.
    pub fn begin(&mut self, head: Request<()>, is_over: bool) -> Result<Option<Begun>, h2::Error> {
        if !self.may_begin() {
            return Ok(None);
        }
        self.requests.send_request(head, is_over).map(Some)
    }

    /// Whether its connection takes another stream: its target may have said that it goes away (RFC 9113 §6.8), or there is no
    /// number left for one.
    fn may_begin(&mut self) -> bool {
        // Only a handle that has begun a stream ever waits.
        let ready = self.requests.poll_ready(&mut Context::from_waker(Waker::noop()));
        let may = matches!(ready, Poll::Ready(Ok(())));
        if !may {
            self.retire();
        }
        may
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.connection.leave();
    }
}
