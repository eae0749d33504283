//! Everything the gateway knows of one request from its first hook to its log line, apart from the heads themselves.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use http::HeaderValue;
use http::uri::PathAndQuery;
use smallvec::SmallVec;

use crate::body::GatheredBody;
use crate::client::Upstream;
use crate::consumer::Consumer;
use crate::decision::Decision;
use crate::facts::Facts;
use crate::tls::ClientTls;

/// One request and its answer. The engine makes it, the contexts of [`crate::cx`] are views of it.
#[derive(Debug)]
pub struct Exchange {
    /// When the request head was complete.
    pub started: Instant,
    /// Address of the client, after trusted-proxy resolution.
    pub client: SocketAddr,
    /// The TLS connection it came on; `None` in clear.
    pub tls: Option<Arc<ClientTls>>,
    /// Name of the listener that accepted it.
    pub listener: Arc<str>,
    /// Name of the route, once found.
    pub route: Option<Arc<str>>,
    /// Path parameters of the match.
    pub params: Params,
    /// Who calls, once known.
    pub consumer: Option<Arc<Consumer>>,
    /// The upstream a plugin chose.
    pub upstream: Option<Upstream>,
    /// What the target is to be called, if a plugin has said so. Boxed, since few requests have one.
    pub target_host: Option<Box<HeaderValue>>,
    /// The version of the API it is for, once a plugin has said so.
    pub version: Option<Arc<str>>,
    /// What it costs, if a plugin has said so.
    pub cost: Option<u64>,
    /// What was decided and is worth telling.
    pub decisions: SmallVec<[Decision; 1]>,
    /// The longest request body that plugins let through, in bytes, where that is less than the route does.
    pub max_body: Option<u64>,
    /// How long the request may take from its start, where that is less than the route allows.
    pub patience: Option<Duration>,
    /// The body of the request as far as plugins have asked for it or set it, before a target is chosen. Boxed: few requests have one.
    pub body: Option<Box<GatheredBody>>,
    /// Record every decision, not only the telling ones (`explain`).
    pub verbose: bool,
    pub(crate) facts: Facts,
    request_id: Option<Arc<str>>,
}

/// An id for a request: 32 hexadecimal digits, drawn at random.
#[derive(Debug, Clone, Copy)]
pub struct RequestId([u8; 32]);

impl RequestId {
    /// Draws one.
    pub fn fresh() -> Self {
        let mut rest = fastrand::u128(..);
        Self([(); 32].map(|()| {
            let digit = (rest & 0xf) as u8;
            rest >>= 4;
            if digit < 10 { b'0' + digit } else { b'a' + digit - 10 }
        }))
    }

    /// Its digits.
    pub fn as_str(&self) -> &str {
        // They are ASCII.
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}

/// An id for a request, to be kept.
pub fn fresh_request_id() -> Arc<str> {
    RequestId::fresh().as_str().into()
}

impl Exchange {
    /// A request that just arrived.
    pub fn new(client: SocketAddr, listener: Arc<str>, started: Instant) -> Self {
        Self {
            started,
            client,
            tls: None,
            listener,
            route: None,
            params: Params::default(),
            consumer: None,
            upstream: None,
            target_host: None,
            version: None,
            cost: None,
            decisions: SmallVec::new(),
            max_body: None,
            patience: None,
            body: None,
            verbose: false,
            facts: Facts::default(),
            request_id: None,
        }
    }

    /// Says what the request costs: where plugins say different things, the most counts.
    pub(crate) fn charge(&mut self, cost: u64) {
        self.cost = Some(self.cost.map_or(cost, |known| known.max(cost)));
    }

    /// Whether the body of the request could not be read to its end.
    pub(crate) fn body_is_broken(&self) -> bool {
        self.body.as_ref().is_some_and(|body| body.is_broken())
    }

    /// Address of the client without the port.
    pub fn client_ip(&self) -> IpAddr {
        self.client.ip()
    }

    /// The id of this request: 32 hexadecimal digits, made when first asked for.
    pub fn request_id(&mut self) -> &Arc<str> {
        self.request_id.get_or_insert_with(fresh_request_id)
    }

    /// The id of this request if anybody asked for one yet.
    pub fn known_request_id(&self) -> Option<&Arc<str>> {
        self.request_id.as_ref()
    }

    /// Gives this request another id, for instance the one the client sent.
    pub fn set_request_id(&mut self, id: Arc<str>) {
        self.request_id = Some(id);
    }

    /// The fact of type `T`, if a plugin left one.
    pub fn fact<T: 'static>(&self) -> Option<&T> {
        self.facts.get()
    }
}

/// The parameters of the matched path. They keep the path they were found in, since plugins may rewrite the request's own.
#[derive(Debug, Clone, Default)]
pub struct Params {
    path: Option<PathAndQuery>,
    spans: SmallVec<[Param; 4]>,
}

/// One path parameter: its name and the bytes of the path it covers.
#[derive(Debug, Clone)]
pub struct Param {
    /// Its name in the pattern.
    pub name: Arc<str>,
    /// First byte in the path.
    pub start: u32,
    /// One past the last byte.
    pub end: u32,
}

impl Params {
    /// Parameters found in `path`; each span must lie within it, others read as absent.
    pub fn new(path: PathAndQuery, spans: impl IntoIterator<Item = Param>) -> Self {
        Self { path: Some(path), spans: spans.into_iter().collect() }
    }

    /// The value of the parameter `name`, still percent-encoded as in the path.
    pub fn get(&self, name: &str) -> Option<&str> {
        let span = self.spans.iter().find(|span| &*span.name == name)?;
        self.text(span)
    }

    /// The parameters in the order of the pattern.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.spans.iter().filter_map(|span| Some((&*span.name, self.text(span)?)))
    }

    /// The bytes of the matched path that the parameter `name` covers.
    pub fn span(&self, name: &str) -> Option<std::ops::Range<usize>> {
        let span = self.spans.iter().find(|span| &*span.name == name)?;
        Some(span.start as usize..span.end as usize)
    }

    /// The path the parameters were found in.
    pub fn path(&self) -> &str {
        self.path.as_ref().map_or("", PathAndQuery::path)
    }

    fn text(&self, span: &Param) -> Option<&str> {
        self.path().get(span.start as usize..span.end as usize)
    }
}
