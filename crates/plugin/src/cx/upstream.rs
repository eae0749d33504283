//! The context of [`Plugin::on_upstream_request`](crate::Plugin::on_upstream_request) and [`Plugin::on_send`](crate::Plugin::on_send).

use std::net::SocketAddr;

use bytes::Bytes;
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Uri, header};
use pingora_http::RequestHeader;

use super::{is_framing, shared_accessors, state_accessors};
use crate::chain::Step;
use crate::exchange::Exchange;
use crate::facts::States;

/// The request about to go to a target: a copy made for this attempt.
#[derive(Debug)]
pub struct UpstreamCx<'a> {
    pub(crate) head: &'a mut RequestHeader,
    pub(crate) exchange: &'a mut Exchange,
    pub(crate) step: &'a Step,
    pub(crate) states: &'a mut States,
    pub(crate) index: usize,
    pub(crate) attempt: &'a Attempt,
}

/// One try at a target.
#[derive(Debug, Clone)]
pub struct Attempt {
    /// 1 for the first try.
    pub number: u32,
    /// Name of the upstream.
    pub upstream: std::sync::Arc<str>,
    /// The chosen target.
    pub target: Option<SocketAddr>,
}

shared_accessors!(UpstreamCx);
state_accessors!(UpstreamCx);

impl UpstreamCx<'_> {
    /// Number of this attempt, from 1.
    pub fn attempt(&self) -> u32 {
        self.attempt.number
    }

    /// Name of the upstream.
    pub fn upstream(&self) -> &str {
        &self.attempt.upstream
    }

    /// Address of the target, if it has one (a Unix socket has none).
    pub fn target(&self) -> Option<SocketAddr> {
        self.attempt.target
    }

    /// The method.
    pub fn method(&self) -> &Method {
        &self.head.method
    }

    /// What the target is called, with its port if that is said: the `Host` field, or the authority of HTTP/2.
    pub fn authority(&self) -> Option<&str> {
        let field = self.head.headers.get(header::HOST).and_then(|host| host.to_str().ok());
        field.or_else(|| Some(self.head.uri.authority()?.as_str()))
    }

    /// The whole body, if a plugin has had it gathered or set it: see [`RequestCx::body`](crate::RequestCx::body).
    pub fn body(&self) -> Option<&Bytes> {
        self.exchange.body.as_ref()?.whole()
    }

    /// The target URI as it will be sent.
    pub fn uri(&self) -> &Uri {
        &self.head.uri
    }

    /// All headers, read-only.
    pub fn headers(&self) -> &HeaderMap {
        &self.head.headers
    }

    /// Replaces every value of a header. Fields of framing and connection are the engine's: they are left as they are.
    pub fn set_header(&mut self, name: HeaderName, value: HeaderValue) {
        if self.step.acts() && !is_framing(&name) {
            self.head.insert_header(name, value).ok();
        }
    }

    /// Adds one value of a header to those there are.
    pub fn append_header(&mut self, name: HeaderName, value: HeaderValue) {
        if self.step.acts() && !is_framing(&name) {
            self.head.append_header(name, value).ok();
        }
    }

    /// Removes every value of a header.
    pub fn remove_header(&mut self, name: &HeaderName) {
        if self.step.acts() && !is_framing(name) {
            self.head.remove_header(name);
        }
    }

    /// Replaces path and query.
    pub fn set_path_and_query(&mut self, target: PathAndQuery) {
        if self.step.acts() {
            let mut parts = self.head.uri.clone().into_parts();
            parts.path_and_query = Some(target);
            if let Ok(uri) = Uri::from_parts(parts) {
                self.head.set_uri(uri);
            }
        }
    }
}
