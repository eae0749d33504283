//! A request of a test, put together piece by piece and then sent.

use std::net::{IpAddr, SocketAddr};
use std::pin::pin;
use std::sync::Arc;

use bytes::Bytes;
use futures::FutureExt;
use http::{HeaderName, HeaderValue, Method, Uri, header};
use pingora_http::RequestHeader;

use super::probe::World;
use super::sent::Sent;
use crate::body::Chunks;
use crate::chain::{Chain, Run};
use crate::consumer::Consumer;
use crate::error::Failure;
use crate::exchange::{Exchange, Param, Params};
use crate::reply::Reply;
use crate::tls::ClientTls;

/// A request to a [`Probe`](super::Probe). HTTP/1.1, from 192.0.2.1, to `gateway.test`, unless told otherwise.
#[must_use = "nothing is sent before `send`"]
pub struct Request<'p> {
    chain: &'p Chain,
    world: &'p World,
    head: RequestHeader,
    exchange: Exchange,
    params: Vec<(String, String)>,
    pattern: Option<String>,
    chunks: Vec<Bytes>,
    breaks_off: bool,
}

impl<'p> Request<'p> {
    #[track_caller]
    pub(super) fn new(chain: &'p Chain, world: &'p World, method: Method, target: &str) -> Self {
        let uri: Uri = target.parse().unwrap_or_else(|error| panic!("{target:?} is not a request target: {error}"));
        let head = RequestHeader::build(method, b"/", None);
        let mut head = head.unwrap_or_else(|error| panic!("no request: {error}"));
        head.set_uri(uri);
        head.insert_header(header::HOST, HeaderValue::from_static("gateway.test")).ok();
        let client = SocketAddr::from(([192, 0, 2, 1], 40_000));
        let mut exchange = Exchange::new(client, "probe".into(), world.stubs.clock.now());
        exchange.route = Some("probe".into());
        Self { chain, world, head, exchange, params: Vec::new(), pattern: None, chunks: Vec::new(), breaks_off: false }
    }

    /// Adds a header. Values may hold any bytes but control characters.
    ///
    /// # Panics
    /// If it is no header.
    #[track_caller]
    pub fn header(mut self, name: impl AsRef<str>, value: impl AsRef<[u8]>) -> Self {
        let name = HeaderName::try_from(name.as_ref()).unwrap_or_else(|error| panic!("{error}: {}", name.as_ref()));
        let value = HeaderValue::from_bytes(value.as_ref());
        let value = value.unwrap_or_else(|error| panic!("value of {name}: {error}"));
        self.head.append_header(name, value).ok();
        self
    }

    /// The host asked for.
    #[track_caller]
    pub fn host(self, host: &str) -> Self {
        self.without_host().header(header::HOST, host)
    }

    /// Sends no `Host`, as HTTP/1.0 may.
    pub fn without_host(mut self) -> Self {
        self.head.remove_header(&header::HOST);
        self
    }

    /// A path parameter, found in the path by its value: the last whole segment that equals it, else the last place
    /// where it stands.
    pub fn param(mut self, name: &str, value: &str) -> Self {
        self.params.push((name.to_owned(), value.to_owned()));
        self
    }

    /// The pattern of the route; its parameters are read off the path. A final `**` becomes the parameter `rest`.
    pub fn route(mut self, pattern: &str) -> Self {
        self.pattern = Some(pattern.to_owned());
        self
    }

    /// Name of the route that was found; `probe` unless told.
    pub fn route_name(mut self, name: &str) -> Self {
        self.exchange.route = Some(name.into());
        self
    }

    /// Address of the client.
    ///
    /// # Panics
    /// If it is no IP address.
    #[track_caller]
    pub fn client(mut self, address: &str) -> Self {
        let ip: IpAddr = address.parse().unwrap_or_else(|error| panic!("{address}: {error}"));
        self.exchange.client = SocketAddr::new(ip, 40_000);
        self
    }

    /// The TLS connection it comes on; in clear unless told.
    pub fn tls(mut self, tls: impl Into<Arc<ClientTls>>) -> Self {
        self.exchange.tls = Some(tls.into());
        self
    }

    /// Who calls, as an earlier plugin found.
    pub fn consumer(mut self, consumer: impl Into<Arc<Consumer>>) -> Self {
        self.exchange.consumer = Some(consumer.into());
        self
    }

    /// A fact that an earlier plugin left.
    pub fn fact<T: Send + Sync + 'static>(mut self, fact: T) -> Self {
        self.exchange.facts.put(fact);
        self
    }

    /// Records every decision, not only the telling ones, as `explain` does.
    pub fn verbose(mut self) -> Self {
        self.exchange.verbose = true;
        self
    }

    /// The body, in one chunk.
    pub fn body(self, body: impl Into<Bytes>) -> Self {
        self.chunks([body.into()])
    }

    /// The body, in these chunks. The last of them is announced as the last.
    pub fn chunks<B: Into<Bytes>>(mut self, chunks: impl IntoIterator<Item = B>) -> Self {
        self.chunks = chunks.into_iter().map(Into::into).collect();
        self
    }

    /// The client breaks off behind the chunks of the body.
    pub fn breaking_off(mut self) -> Self {
        self.breaks_off = true;
        self
    }

    /// Sends it: runs the request hooks, then, unless the plugin answered, the upstream-request hooks and the body hooks.
    #[track_caller]
    pub fn send(self) -> Sent<'p> {
        let (mut request, chunks) = self.routed();
        let outcome = request.world.wait(request.enter());
        Sent::new(request, chunks, outcome)
    }

    /// Sends it and goes away as soon as the plugin waits for something. False if it never waited.
    #[track_caller]
    pub fn abandon(self) -> bool {
        let (mut request, _) = self.routed();
        let world = request.world;
        world.runtime.block_on(async { pin!(request.enter()).now_or_never().is_none() })
    }

    #[track_caller]
    pub(super) fn routed(self) -> (Live<'p>, Vec<Bytes>) {
        let Self { chain, world, head, mut exchange, params, pattern, chunks, breaks_off } = self;
        let path = head.uri.path().to_owned();
        let mut spans = Vec::new();
        if let Some(pattern) = &pattern {
            spans = matched(pattern, &path).unwrap_or_else(|| panic!("{path} does not match {pattern}"));
        }
        for (name, value) in &params {
            let start = place(&path, value).unwrap_or_else(|| panic!("parameter {name}: {value:?} is not in {path:?}"));
            spans.push((name.clone(), start, start + value.len()));
        }
        if let Some(target) = head.uri.path_and_query() {
            let spans = spans.into_iter().map(|(name, start, end)| Param {
                name: name.into(),
                start: u32::try_from(start).unwrap_or(u32::MAX),
                end: u32::try_from(end).unwrap_or(u32::MAX),
            });
            exchange.params = Params::new(target.clone(), spans);
        }
        let mut source = Chunks::of(&chunks);
        source.breaks_off = breaks_off;
        (Live { chain, world, head, source, exchange, run: Run::default() }, chunks)
    }
}

/// A request on its way.
pub(super) struct Live<'p> {
    pub(super) chain: &'p Chain,
    pub(super) world: &'p World,
    pub(super) head: RequestHeader,
    pub(super) source: Chunks,
    pub(super) exchange: Exchange,
    pub(super) run: Run,
}

impl Live<'_> {
    /// Runs the request hooks.
    pub(super) async fn enter(&mut self) -> Result<Option<Reply>, Failure> {
        let Self { chain, head, source, exchange, run, .. } = self;
        chain.request(head, source, exchange, run).await
    }

    /// The body as it goes to a target: what was gathered or set, or else the chunks as they came.
    pub(super) fn body(&self, chunks: &[Bytes]) -> Vec<Bytes> {
        let whole = self.exchange.body.as_ref().and_then(|body| body.whole());
        whole.map_or_else(|| chunks.to_vec(), |whole| vec![whole.clone()])
    }
}

/// Where `value` stands in `path`: as a whole segment if it does, the later place if there are several.
fn place(path: &str, value: &str) -> Option<usize> {
    let ends = |end: usize| end == path.len() || path.as_bytes().get(end) == Some(&b'/');
    let starts = |start: usize| start == 0 || path.as_bytes().get(start - 1) == Some(&b'/');
    let whole = path.rmatch_indices(value).find(|(start, _)| starts(*start) && ends(start + value.len()));
    whole.or_else(|| path.rmatch_indices(value).next()).map(|(start, _)| start)
}

/// The parameters of `pattern` in `path`; `None` if it does not match.
fn matched(pattern: &str, path: &str) -> Option<Vec<(String, usize, usize)>> {
    let mut spans = Vec::new();
    let (mut at, mut segments) = (1, path.strip_prefix('/')?.split('/'));
    for part in pattern.strip_prefix('/')?.split('/') {
        if part == "**" {
            spans.push(("rest".to_owned(), at.min(path.len()), path.len()));
            return Some(spans);
        }
        let segment = segments.next()?;
        if let Some(name) = part.strip_prefix('{').and_then(|name| name.strip_suffix('}')) {
            spans.push((name.to_owned(), at, at + segment.len()));
        } else if part != "*" && part != segment {
            return None;
        }
        at += segment.len() + 1;
    }
    segments.next().is_none().then_some(spans)
}

impl std::fmt::Debug for Request<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Request({} {})", self.head.method, self.head.uri)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_parameter_is_found_as_a_whole_segment_first() {
        assert_eq!(place("/v1/users/1", "1"), Some(10));
        assert_eq!(place("/v1/users", "1"), Some(2));
        assert_eq!(place("/a/b/c", "b/c"), Some(3));
        assert_eq!(place("/a", "x"), None);
    }

    #[test]
    fn a_pattern_names_the_parts_of_a_path() {
        let text = |pattern, path: &str| {
            let spans = matched(pattern, path)?;
            Some(
                spans
                    .into_iter()
                    .map(|(name, start, end)| format!("{name}={}", path.get(start..end).unwrap()))
                    .collect::<Vec<_>>(),
            )
        };
        assert_eq!(text("/{version}/users/**", "/v1/users/7/x"), Some(vec!["version=v1".into(), "rest=7/x".into()]));
        assert_eq!(text("/users/**", "/users"), Some(vec!["rest=".into()]));
        assert_eq!(text("/users/{id}", "/users/7/x"), None);
        assert_eq!(text("/users/*", "/users/7"), Some(vec![]));
    }
}
