//! The life of one connection: PROXY protocol, TLS, and then one request after the other.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::FutureExt;
use portreeve_wire::http1::Refusal;
use portreeve_wire::proxy_protocol::{self, Header, Parsed};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::timeout;

use super::connection::{Connection, Next};
use super::connection_info::{ConnectionInfo, nobody};
use super::connection_limiter::{ConnectionLimiter, Full, Place};
use super::connection_rate::TooFast;
use super::http1::{Http1, Served};
use super::http2;
use super::refused::{self, Reason};
use super::rules::ListenerRules;
use super::tcp::{self, Tcp};
use super::transport::{Rewound, Transport};
use crate::descriptors;
use crate::request::phases::Phases;
use crate::snapshot::CompiledListener;
use crate::web_socket::WebSocketDrain;
use pingora_proxy::HttpProxy;
use portreeve_plugin::engine::fresh_request_id;

/// When a stop has closed the listeners, a connection without a request has this long to send one before it is let go: whoever
/// had just connected has a request on the way.
const LAST_REQUEST: Duration = Duration::from_millis(100);
/// When the last answer has gone, the client has so long to be told that it was the last.
const GOODBYE: Duration = Duration::from_secs(1);
/// The longest PROXY protocol header there is room for: version 2 with its TLVs.
const PROXY_HEADER: usize = 16 + 2048;

/// What the connections of one listener are served with, in one worker.
#[derive(Clone)]
pub(super) struct Serving {
    pub(super) listener: usize,
    pub(super) proxy: Arc<HttpProxy<Phases>>,
    pub(super) phases: Arc<Phases>,
    pub(super) stop: watch::Receiver<bool>,
    pub(super) crowd: Arc<ConnectionLimiter>,
    pub(super) farewell: Arc<WebSocketDrain>,
}

/// Why a connection was not served. The words are labels of a metric.
type Refused = &'static str;

/// Its client makes connections faster than it may. Such connections have no lines in the access log: who makes so many would
/// write them.
const TOO_FAST: Refused = "too_fast";

impl Serving {
    /// Serves whoever has connected, to the end.
    pub(super) async fn serve(self, io: TcpStream, peer: SocketAddr) {
        // A listener that has left the configuration meanwhile serves nobody.
        let Some(entrance) = self.phases.entrance(self.listener) else { return };
        let (begun, mut client) = (Instant::now(), peer);
        // Closed as it comes, so that it never waits for what others hold.
        let Some(_descriptor) = descriptors::of_client() else {
            return self.phases.connection_refused(&entrance, client, "no_descriptors", begun.elapsed());
        };
        match self.admit(io, peer, &mut client, &entrance).await {
            Ok(()) => {}
            Err(TOO_FAST) => self.phases.count_refused(&entrance, TOO_FAST),
            Err(reason) => self.phases.connection_refused(&entrance, client, reason, begun.elapsed()),
        }
    }

    /// `client` is the peer until a proxy that is trusted has said for whom it speaks.
    async fn admit(
        &self,
        io: TcpStream,
        peer: SocketAddr,
        client: &mut SocketAddr,
        entrance: &Arc<CompiledListener>,
    ) -> Result<(), Refused> {
        let terms = &entrance.terms;
        let rate = terms.connection_rate.as_ref();
        let full = |client: IpAddr| move |full| refusal(full, client, entrance);
        let mut place = self.crowd.enter(terms.connections).map_err(full(peer.ip()))?;
        // Many clients stand behind a proxy of ours: who they are is known only after its header.
        if !terms.trusted.contain(peer.ip()) {
            place.of_client(peer.ip(), terms.connections_per_client, rate).map_err(full(peer.ip()))?;
        }
        let by_name = entrance.tcp.as_ref().is_some_and(Tcp::goes_by_name);
        let Opened { transport, facts, name } = if terms.proxy_protocol || terms.tls.is_some() || by_name {
            // Boxed: a handshake takes some kilobytes that the connection should not carry on.
            let opening = Box::pin(open(io, client, self.listener, terms, by_name));
            timeout(terms.handshake, opening).await.map_err(|_| "handshake_timeout")??
        } else {
            let facts = ConnectionInfo::new(self.listener, peer, terms.trusted.clone());
            Opened { transport: Transport::Plain(Rewound::new(io, Vec::new())), facts, name: None }
        };
        if let Some(tls) = &facts.tls {
            self.phases.shook_hands(entrance, tls);
        }
        if facts.client.ip() != peer.ip() && !facts.trusted {
            let client = facts.client.ip();
            place.of_client(client, terms.connections_per_client, rate).map_err(full(client))?;
        }
        if let Some(tcp) = &entrance.tcp {
            // Boxed: connections for HTTP need not carry what it takes.
            let own = facts.tls.as_ref().and_then(|tls| tls.client.server_name.clone());
            let name = name.as_deref().or(own.as_deref());
            let served = Box::pin(tcp::serve(&self.phases, entrance, tcp, transport, &facts, name)).await;
            // It has its line in the log already.
            return served.or_else(|reason| {
                self.phases.count_refused(entrance, reason);
                Ok(())
            });
        }
        let http2 = facts.tls.as_ref().is_some_and(|tls| tls.http2);
        let Ok(connection) = Connection::new(transport, facts.clone(), terms.clone(), self.farewell.clone()) else {
            return Ok(());
        };
        self.speak(Box::new(connection), http2, &facts, entrance, Arc::new(place)).await;
        Ok(())
    }

    /// One request after the other, or HTTP/2.
    async fn speak(
        &self,
        mut connection: Box<Connection>,
        http2: bool,
        facts: &ConnectionInfo,
        entrance: &CompiledListener,
        place: Arc<Place>,
    ) {
        let http1 = Http1::of(&connection, self.stop.clone());
        let mut stop = self.stop.clone();
        let stopping = stop.wait_for(|stopping| *stopping).map(drop).fuse();
        let mut stopping = std::pin::pin!(stopping);
        let mut left = entrance.terms.requests_per_connection;
        loop {
            let next = if http2 { Next::Http2 } else { connection.next(stopping.as_mut(), LAST_REQUEST).await };
            match next {
                Next::Request => {}
                Next::Http2 => {
                    // Boxed: it is larger than all that an HTTP/1.1 connection carries.
                    return Box::pin(http2::serve(*connection, self, facts, entrance, place)).await;
                }
                Next::Nothing => return,
                Next::Refused(reason) => return self.refuse(*connection, reason, facts, entrance).await,
            }
            left = left.saturating_sub(1);
            let last = left == 0 || *self.stop.borrow();
            connection = match http1.serve(connection, self, last).await {
                Served::Kept(again) => again,
                Served::Last(connection) => return goodbye(connection).await,
                Served::BrokenOff => return,
                Served::Refused(connection) => {
                    let reason = Reason::Malformed(Refusal::HeadTooLarge);
                    return self.refuse(*connection, reason, facts, entrance).await;
                }
            };
            // Anything else would mean that two of us disagree on where the request ended.
            if !connection.is_between() {
                return;
            }
        }
    }

    async fn refuse(
        &self,
        connection: Connection,
        reason: Reason,
        facts: &ConnectionInfo,
        entrance: &CompiledListener,
    ) {
        let started = Instant::now();
        let id = fresh_request_id();
        let sent = refused::answer(connection, reason, &id, entrance.https.hsts()).await;
        self.phases.request_refused(entrance, facts, reason, &id, started.elapsed(), sent);
    }
}

/// Ends a connection whose last answer has gone, so that a client over TLS knows that it has all of it (RFC 8446 §6.1).
async fn goodbye(mut connection: Box<Connection>) {
    // One that is gone already need not be told.
    timeout(GOODBYE, connection.shutdown()).await.ok();
}

/// Why there is no place for this client.
fn refusal(full: Full, client: IpAddr, entrance: &CompiledListener) -> Refused {
    match full {
        Full::Listener => "too_many",
        Full::Client => "too_many_of_client",
        Full::Fast(TooFast { is_news }) => {
            if is_news {
                let (listener, client) = (&*entrance.name, client.to_canonical());
                tracing::warn!(
                    listener,
                    %client,
                    "A client makes connections faster than limits.connection_rate allows; they are closed as they come."
                );
            }
            TOO_FAST
        }
    }
}

/// A connection whose handshakes are over.
struct Opened {
    transport: Transport,
    facts: ConnectionInfo,
    /// The name that the client asks for in TLS, where that was read without ending it.
    name: Option<Box<str>>,
}

/// What comes before HTTP, or whatever is spoken: whom the peer speaks for, and TLS, which is ended here or only looked at.
/// `client` is the peer, and then whom it speaks for.
async fn open(
    mut io: TcpStream,
    client: &mut SocketAddr,
    listener: usize,
    terms: &ListenerRules,
    by_name: bool,
) -> Result<Opened, Refused> {
    let (told, mut early) =
        if terms.proxy_protocol { announced(&mut io, *client, terms).await? } else { (Header::Local, Vec::new()) };
    let destination = match told {
        Header::Local => None,
        Header::Unknown => {
            // Whoever it is, it is not the proxy, whose word on others is believed.
            *client = nobody();
            None
        }
        Header::Proxied { source, destination } => {
            *client = source;
            Some(destination)
        }
    };
    let mut facts = ConnectionInfo { destination, ..ConnectionInfo::new(listener, *client, terms.trusted.clone()) };
    let Some(tls) = &terms.tls else {
        let name = if by_name { tcp::read_hello(&mut io, &mut early).await? } else { None };
        return Ok(Opened { transport: Transport::Plain(Rewound::new(io, early)), facts, name });
    };
    match tls.accept(Rewound::new(io, early)).await {
        Ok((stream, tls)) => {
            facts.tls = Some(Arc::new(tls));
            Ok(Opened { transport: Transport::Tls(Box::new(stream)), facts, name: None })
        }
        Err(error) => Err(error.reason()),
    }
}

/// Reads the PROXY protocol header: what it says, and what was read beyond it.
async fn announced(io: &mut TcpStream, peer: SocketAddr, terms: &ListenerRules) -> Result<(Header, Vec<u8>), Refused> {
    if !terms.trusted.contain(peer.ip()) {
        return Err("proxy_protocol_untrusted");
    }
    let mut bytes = Vec::with_capacity(256);
    loop {
        if bytes.len() >= PROXY_HEADER || io.read_buf(&mut bytes).await.map_err(|_| "closed")? == 0 {
            return Err("proxy_protocol_incomplete");
        }
        match proxy_protocol::parse(&bytes) {
            Ok(Parsed::Incomplete) => {}
            Ok(Parsed::Complete { length, header }) => {
                let early = bytes.split_off(length.min(bytes.len()));
                return Ok((header, early));
            }
            Err(_) => return Err("proxy_protocol_malformed"),
        }
    }
}
