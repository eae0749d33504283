//! The context of [`Plugin::on_request`](crate::Plugin::on_request).

use std::any::Any;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Uri, header};
use pingora_http::RequestHeader;

use super::{cookie, host, is_framing, query_value, shared_accessors, state_accessors};
use crate::body::{BodyError, BodySource, GatheredBody, fields_of_content};
use crate::chain::Step;
use crate::client::Upstream;
use crate::consumer::Consumer;
use crate::exchange::Exchange;
use crate::facts::States;
use crate::units::Authority;

/// The head of a request as plugins may see and change it. Under `mode: observe` every change is dropped.
#[derive(Debug)]
pub struct RequestCx<'a> {
    pub(crate) head: &'a mut RequestHeader,
    pub(crate) source: &'a mut (dyn BodySource + 'a),
    pub(crate) exchange: &'a mut Exchange,
    pub(crate) step: &'a Step,
    pub(crate) states: &'a mut States,
    pub(crate) index: usize,
}

shared_accessors!(RequestCx);
state_accessors!(RequestCx);

impl RequestCx<'_> {
    /// The method.
    pub fn method(&self) -> &Method {
        &self.head.method
    }

    /// The target. Its path is normalised: what was matched is what is forwarded.
    pub fn uri(&self) -> &Uri {
        &self.head.uri
    }

    /// The normalised path, still percent-encoded.
    pub fn path(&self) -> &str {
        self.head.uri.path()
    }

    /// The host the client asked for, without the port.
    pub fn host(&self) -> &str {
        host(&self.head.uri, &self.head.headers)
    }

    /// All headers, read-only.
    pub fn headers(&self) -> &HeaderMap {
        &self.head.headers
    }

    /// The first value of this header; `None` also when it is not visible ASCII.
    pub fn header(&self, name: &HeaderName) -> Option<&str> {
        self.head.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// The token of `Authorization: Bearer` (RFC 6750 §2.1), if there is exactly one such field.
    pub fn bearer(&self) -> Option<&str> {
        let mut fields = self.head.headers.get_all(http::header::AUTHORIZATION).iter();
        let (Some(field), None) = (fields.next(), fields.next()) else { return None };
        let (scheme, token) = field.to_str().ok()?.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then(|| token.trim_matches(' '))
    }

    /// The first value of this query parameter, decoded.
    pub fn query(&self, name: &str) -> Option<std::borrow::Cow<'_, str>> {
        query_value(self.head.uri.query()?, name)
    }

    /// The first cookie of this name.
    pub fn cookie(&self, name: &str) -> Option<&str> {
        cookie(&self.head.headers, name)
    }

    /// Replaces every value of a header. Fields of framing and connection are the engine's: they are left as they are.
    pub fn set_header(&mut self, name: HeaderName, value: HeaderValue) {
        if self.acts() && !is_framing(&name) {
            // Infallible for prepared names and values; Pingora's signature says otherwise.
            self.head.insert_header(name, value).ok();
        }
    }

    /// Adds one value of a header to those there are.
    pub fn append_header(&mut self, name: HeaderName, value: HeaderValue) {
        if self.acts() && !is_framing(&name) {
            self.head.append_header(name, value).ok();
        }
    }

    /// Removes every value of a header.
    pub fn remove_header(&mut self, name: &HeaderName) {
        if self.acts() && !is_framing(name) {
            self.head.remove_header(name);
        }
    }

    /// Replaces path and query of the target.
    pub fn set_path_and_query(&mut self, target: PathAndQuery) {
        if self.acts() {
            let mut parts = self.head.uri.clone().into_parts();
            parts.path_and_query = Some(target);
            // Scheme and authority were together before, so the parts still form a URI.
            if let Ok(uri) = Uri::from_parts(parts) {
                self.head.set_uri(uri);
            }
        }
    }

    /// Says what the target is called in `Host` (`:authority` in HTTP/2), instead of what the client asked for or what the
    /// upstream has in `host`. The last plugin to say so wins. [`host`](Self::host) and `request.host` stay as they are.
    pub fn set_target_host(&mut self, host: &Authority) {
        if self.acts() {
            // Visible ASCII, so that there is no error.
            self.exchange.target_host = HeaderValue::from_str(host.as_str()).ok().map(Box::new);
        }
    }

    /// Replaces the method.
    pub fn set_method(&mut self, method: Method) {
        if self.acts() {
            self.head.set_method(method);
        }
    }

    /// The bytes of the matched path that a path parameter covers.
    pub fn param_span(&self, name: &str) -> Option<std::ops::Range<usize>> {
        self.exchange.params.span(name)
    }

    /// The path the parameters were found in, before any plugin rewrote it.
    pub fn matched_path(&self) -> &str {
        self.exchange.params.path()
    }

    /// Says who calls.
    pub fn set_consumer(&mut self, consumer: Arc<Consumer>) {
        if self.acts() {
            self.exchange.consumer = Some(consumer);
        }
    }

    /// Says which version of the API the request is for: what usage is told apart by. The last plugin to say so wins.
    pub fn set_version(&mut self, version: Arc<str>) {
        if self.acts() {
            self.exchange.version = Some(version);
        }
    }

    /// Says what the request costs, for usage: a limiter what it took, a meter what it will charge. Where plugins say
    /// different things, the most counts. A request that nobody charges costs 1, or 0 if the gateway refused it.
    pub fn charge(&mut self, cost: u64) {
        if self.acts() {
            self.exchange.charge(cost);
        }
    }

    /// Sends the request to this upstream instead of the one the route names. The last plugin to choose wins.
    pub fn set_upstream(&mut self, upstream: &Upstream) {
        if self.acts() {
            self.exchange.upstream = Some(upstream.clone());
        }
    }

    /// Gives this request another id, for instance the one the client sent. The caller has checked its form.
    pub fn set_request_id(&mut self, id: Arc<str>) {
        if self.acts() {
            self.exchange.set_request_id(id);
        }
    }

    /// Whether the request has a body: one may turn out to be empty that does not tell its length.
    pub fn has_body(&self) -> bool {
        match self.gathered().and_then(GatheredBody::whole) {
            Some(whole) => !whole.is_empty(),
            None => self.source.has_body(),
        }
    }

    /// The whole body of the request, before a target is chosen; empty if it has none. It is read once, whichever plugins ask, and
    /// goes to every attempt from memory. At most `max` bytes are held, and never more than the route's `limits.body` or
    /// [`limit_body`](Self::limit_body) allow. Where this fails, pass the error on with `?`: the gateway answers. Only reading costs
    /// the request nothing that its head says.
    ///
    /// A client that waits for `100 Continue` (RFC 9110 §10.1.1) is sent one, so look at the head first.
    ///
    /// # Errors
    /// The body is too long, and answered 413 unless the hook passes over it; what has come of it is not lost. Or it did not come
    /// whole, which ends the request.
    ///
    /// # Cancellation
    /// What has come stays: another call goes on where a dropped one was.
    pub async fn body(&mut self, max: usize) -> Result<Bytes, BodyError> {
        let until = self.exchange.patience.and_then(|patience| self.exchange.started.checked_add(patience));
        let max = self.exchange.max_body.map_or(max as u64, |allowed| allowed.min(max as u64));
        let read = self.exchange.body.get_or_insert_default().gather(self.source, max, until).await;
        if read.is_ok() {
            // It has been answered.
            self.head.remove_header(&header::EXPECT);
        }
        read
    }

    /// Replaces the body of the request, whether or not anybody has asked for it. Its length and framing are the gateway's; digests
    /// (RFC 9530) and `content-encoding` are removed, since they are of the old one: set them afterwards if the new one has any.
    pub fn set_body(&mut self, body: impl Into<Bytes>) {
        if !self.acts() {
            return;
        }
        let body = body.into();
        for name in fields_of_content() {
            self.head.remove_header(name);
        }
        if self.has_body() || !body.is_empty() {
            self.head.remove_header(&header::TRANSFER_ENCODING);
            self.head.insert_header(header::CONTENT_LENGTH, body.len()).ok();
        }
        self.exchange.body.get_or_insert_default().set(body);
    }

    fn gathered(&self) -> Option<&GatheredBody> {
        self.exchange.body.as_deref()
    }

    /// Lets no longer body than this through, in bytes: a longer one is answered 413 when it becomes too long. It can narrow
    /// what the route allows, never widen it.
    pub fn limit_body(&mut self, max: u64) {
        if self.acts() {
            self.exchange.max_body = Some(self.exchange.max_body.map_or(max, |known| known.min(max)));
        }
    }

    /// Gives the request no more time than this, counted from its start; then it is answered 504, or cut off if its answer
    /// has begun. It can narrow what the route allows, never widen it, and holds for streams as well.
    pub fn limit_time(&mut self, span: Duration) {
        if self.acts() {
            self.exchange.patience = Some(self.exchange.patience.map_or(span, |known| known.min(span)));
        }
    }

    /// Whether the step only observes (`mode: observe`): what it does has no effect, and it should hold nobody up.
    pub fn is_observing(&self) -> bool {
        !self.acts()
    }

    /// Leaves a typed fact for later plugins; a later one of the same type replaces it.
    pub fn put<T: Any + Send + Sync>(&mut self, fact: T) {
        if self.acts() {
            self.exchange.facts.put(fact);
        }
    }

    fn acts(&self) -> bool {
        self.step.acts()
    }
}
