//! What a connection tells the hooks of the requests on it, and the little that hooks tell the connection.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use http::HeaderValue;
use parking_lot::Mutex;
use pingora::http::ResponseHeader;
use pingora::protocols::raw_connect::ProxyDigest;
use portreeve_config::units::Networks;

use super::refused::Reason;
use crate::web_socket::WebSocket;
use portreeve_connection::trailers::Carrier;

/// What every hook may know of the connection a request came on.
#[derive(Debug, Clone)]
pub(crate) struct ConnectionInfo {
    /// The listener that accepted it, by its number in the engine.
    pub(crate) listener: usize,
    /// The client: as accepted, or as a PROXY protocol header told.
    pub(crate) client: SocketAddr,
    /// Where the client had connected to, if a PROXY protocol header told.
    pub(crate) destination: Option<SocketAddr>,
    /// Whether the client is one of `trusted_proxies`: then what its requests say of *their* client is believed.
    pub(crate) trusted: bool,
    pub(crate) trusted_proxies: Arc<Networks>,
    /// If the client speaks TLS to us.
    pub(crate) tls: Option<Arc<super::tls::TlsInfo>>,
    /// The client's address as fields say it: written once for the connection, not for each request.
    pub(crate) client_text: HeaderValue,
    /// What hooks and connection tell each other.
    pub(crate) line: Arc<RequestControl>,
}

/// The address of a client of which no address is known: nobody's (RFC 6890 §2.2.2), so that no list of networks holds it but one
/// that holds everybody.
pub(crate) const fn nobody() -> SocketAddr {
    SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0)
}

impl ConnectionInfo {
    pub(crate) fn new(listener: usize, client: SocketAddr, trusted_proxies: Arc<Networks>) -> Self {
        // An IPv4 client on a dual-stack socket is still an IPv4 client.
        let client = SocketAddr::new(client.ip().to_canonical(), client.port());
        let is_known = !client.ip().is_unspecified();
        let text = if is_known { HeaderValue::from_str(&client.ip().to_string()).ok() } else { None };
        Self {
            listener,
            client,
            destination: None,
            trusted: is_known && trusted_proxies.contain(client.ip()),
            trusted_proxies,
            tls: None,
            client_text: text.unwrap_or(HeaderValue::from_static("unknown")),
            line: Arc::default(),
        }
    }
}

impl ConnectionInfo {
    /// As Pingora carries them from the connection to the hooks: in the one slot of its digest that takes a value of ours.
    pub(super) fn carried(self) -> pingora::Result<Arc<ProxyDigest>> {
        let carrier = Box::new(ResponseHeader::build_no_case(200, Some(0))?);
        Ok(Arc::new(ProxyDigest::new(carrier, Some(Box::new(self)))))
    }
}

/// Between the hooks of a request and the connection it came on.
#[derive(Debug, Default)]
pub(crate) struct RequestControl {
    last: AtomicBool,
    held: AtomicBool,
    flooded: AtomicBool,
    web_socket: OnceLock<Arc<WebSocket>>,
    times: Mutex<Times>,
    /// What follows the bodies of the request in hand and of its answer.
    pub(crate) trailers: Carrier,
    /// Of the connection, with all its streams.
    common: Arc<Common>,
}

/// What the requests of one connection share.
#[derive(Debug, Default)]
struct Common {
    /// Malformed requests.
    malformed: AtomicU32,
    /// Requests that the client gave up before they were answered.
    given_up: AtomicU32,
    /// What was served, in what frames cost, since the connection looked last.
    worth: AtomicU32,
    /// The last element of `Forwarded`, and the host it names.
    element: Mutex<Option<(Option<HeaderValue>, HeaderValue)>>,
}

/// How long an attempt may take.
#[derive(Debug, Clone, Copy)]
pub(crate) enum AttemptTime {
    /// Until then.
    Until(Instant),
    /// So long from when the request has come whole.
    OnceWhole(Duration),
}

/// Until when what is waited for in the request in hand must have come, and what has come in its way.
#[derive(Debug, Default)]
struct Times {
    /// The answer to the request.
    request: Option<Instant>,
    /// The head of the answer to the attempt.
    attempt: Option<AttemptTime>,
    /// The time of the attempt has passed, and nobody has asked yet.
    attempt_over: bool,
    /// The answer has begun: both sides may speak, so that silence bounds them, and no rate.
    is_answering: bool,
    /// Why the rest of the request cannot be read.
    refused: Option<Reason>,
}

impl RequestControl {
    /// The line of one stream of the connection.
    pub(super) fn of_stream(&self) -> Arc<Self> {
        Arc::new(Self {
            last: AtomicBool::default(),
            held: AtomicBool::default(),
            flooded: AtomicBool::default(),
            web_socket: OnceLock::new(),
            times: Mutex::default(),
            trailers: Carrier::default(),
            common: self.common.clone(),
        })
    }

    /// The request in hand is no well-formed one.
    pub(crate) fn is_malformed(&self) {
        self.common.malformed.fetch_add(1, Ordering::Relaxed);
    }

    /// So many requests of this connection were not well-formed.
    pub(super) fn malformed(&self) -> u32 {
        self.common.malformed.load(Ordering::Relaxed)
    }

    /// No other request follows this one on the connection. In HTTP/2 it means nothing.
    pub(crate) fn set_last(&self) {
        self.last.store(true, Ordering::Relaxed);
    }

    pub(super) fn is_last(&self) -> bool {
        self.last.load(Ordering::Relaxed)
    }

    /// The head of the answer waits to be sent, or has begun to be.
    pub(super) fn set_held(&self, held: bool) {
        self.held.store(held, Ordering::Relaxed);
    }

    /// Whether nothing of the answer has been sent, so that another can take its place. Never in HTTP/2.
    pub(crate) fn is_held(&self) -> bool {
        self.held.load(Ordering::Relaxed)
    }

    /// The request is answered with 101, and what follows is a WebSocket.
    pub(crate) fn open_web_socket(&self, socket: Arc<WebSocket>) {
        self.web_socket.set(socket).ok();
    }

    pub(super) fn web_socket(&self) -> Option<&Arc<WebSocket>> {
        self.web_socket.get()
    }

    /// The client does not wait for the answer to the request in hand.
    pub(super) fn is_given_up(&self) {
        self.common.given_up.fetch_add(1, Ordering::Relaxed);
    }

    /// So many requests of this connection were given up before they were answered.
    pub(super) fn given_up(&self) -> u32 {
        self.common.given_up.load(Ordering::Relaxed)
    }

    /// The client sends more frames than anything it asks for is worth.
    pub(super) fn set_flooded(&self) {
        self.flooded.store(true, Ordering::Relaxed);
    }

    pub(super) fn is_flooded(&self) -> bool {
        self.flooded.load(Ordering::Relaxed)
    }

    /// Something was served that is worth so much: see [`Overhead`](super::http2::Overhead).
    pub(super) fn served(&self, worth: u32) {
        self.common.worth.fetch_add(worth, Ordering::Relaxed);
    }

    /// What was served since this was last asked.
    pub(super) fn take_worth(&self) -> u32 {
        self.common.worth.swap(0, Ordering::Relaxed)
    }

    /// Until when what is waited for in the request in hand must have come; `None` for no longer. Whatever waits for the target,
    /// the client is watched meanwhile: so the connection keeps this time.
    pub(crate) fn set_deadline(&self, deadline: Option<Instant>) {
        let mut times = self.times.lock();
        *times = Times { request: deadline, refused: times.refused, ..Times::default() };
    }

    /// Nothing is known of the next request.
    pub(super) fn next_request(&self) {
        *self.times.lock() = Times::default();
        self.set_held(false);
    }

    /// The answer has begun. Holds until the next [`Self::set_deadline`].
    pub(crate) fn set_answering(&self) {
        self.times.lock().is_answering = true;
    }

    pub(super) fn is_answering(&self) -> bool {
        self.times.lock().is_answering
    }

    /// How long this attempt has for the head of an answer. Holds until the next [`Self::set_deadline`].
    pub(crate) fn set_attempt(&self, time: AttemptTime) {
        self.times.lock().attempt = Some(time);
    }

    /// Whether what ended the attempt was its time. Says so once.
    pub(crate) fn take_attempt_over(&self) -> bool {
        std::mem::take(&mut self.times.lock().attempt_over)
    }

    /// Whether the time of the attempt has passed.
    pub(crate) fn is_attempt_over(&self) -> bool {
        self.times.lock().attempt_over
    }

    pub(super) fn end_attempt(&self) {
        let mut times = self.times.lock();
        (times.attempt, times.attempt_over) = (None, true);
    }

    /// Until when the request in hand must have been answered.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.times.lock().request
    }

    /// Until when the attempt must have brought something, now that the request is whole, if that is before its deadline.
    pub(super) fn attempt_until(&self) -> Option<Instant> {
        let mut times = self.times.lock();
        let until = match times.attempt? {
            AttemptTime::Until(until) => until,
            AttemptTime::OnceWhole(limit) => Instant::now() + limit,
        };
        times.attempt = Some(AttemptTime::Until(until));
        times.request.is_none_or(|deadline| until < deadline).then_some(until)
    }

    /// The element of `Forwarded` for a request to `host`. Clients ask one host on one connection, so it is written once.
    pub(crate) fn element(
        &self,
        host: Option<&HeaderValue>,
        write: impl FnOnce() -> Option<HeaderValue>,
    ) -> Option<HeaderValue> {
        let mut last = self.common.element.lock();
        if let Some((of, element)) = &*last
            && of.as_ref() == host
        {
            return Some(element.clone());
        }
        let element = write()?;
        // A copy: the request's own would keep the whole head in memory for as long as the connection is open.
        let host = host.map(|host| HeaderValue::from_bytes(host.as_bytes())).transpose().ok()?;
        *last = Some((host, element.clone()));
        Some(element)
    }

    /// The rest of the request in hand cannot be read, because of this.
    pub(super) fn refuse(&self, reason: Reason) {
        self.times.lock().refused = Some(reason);
    }

    /// Why the rest of the request in hand could not be read, if that was so.
    pub(crate) fn refused(&self) -> Option<Reason> {
        self.times.lock().refused
    }
}
