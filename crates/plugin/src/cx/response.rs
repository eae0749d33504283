//! The context of [`Plugin::on_response`](crate::Plugin::on_response).

use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri};
use pingora_http::{RequestHeader, ResponseHeader};

use super::{is_framing, shared_accessors, state_accessors};
use crate::chain::Step;
use crate::exchange::Exchange;
use crate::facts::States;

/// Who made an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// A target of an upstream.
    Upstream,
    /// The gateway: a plugin, a route's own answer, or an error page.
    Gateway,
}

/// Status and headers of an answer.
#[derive(Debug)]
pub struct ResponseCx<'a> {
    pub(crate) head: &'a mut ResponseHeader,
    pub(crate) request: &'a RequestHeader,
    pub(crate) origin: Origin,
    pub(crate) exchange: &'a mut Exchange,
    pub(crate) step: &'a Step,
    pub(crate) states: &'a mut States,
    pub(crate) index: usize,
}

shared_accessors!(ResponseCx);
state_accessors!(ResponseCx);

impl ResponseCx<'_> {
    /// The status.
    pub fn status(&self) -> StatusCode {
        self.head.status
    }

    /// Replaces the status. An interim one (1xx) is passed over, and so is any other once it is 101.
    pub fn set_status(&mut self, status: StatusCode) {
        // What follows a 101 is not HTTP any more, and it cannot be unsaid. Nor can an answer become an interim one: its client
        // would wait for another (RFC 9110 §15.2).
        let is_open = self.head.status != StatusCode::SWITCHING_PROTOCOLS && !status.is_informational();
        if self.step.acts() && is_open {
            self.head.set_status(status).ok();
        }
    }

    /// Who made this answer.
    pub fn origin(&self) -> Origin {
        self.origin
    }

    /// All headers, read-only.
    pub fn headers(&self) -> &HeaderMap {
        &self.head.headers
    }

    /// The first value of this header; `None` also when it is not visible ASCII.
    pub fn header(&self, name: &HeaderName) -> Option<&str> {
        self.head.headers.get(name).and_then(|value| value.to_str().ok())
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

    /// Says what the request costs, now that its answer is known: see [`RequestCx::charge`](crate::RequestCx::charge).
    pub fn charge(&mut self, cost: u64) {
        if self.step.acts() {
            self.exchange.charge(cost);
        }
    }

    /// Method of the request.
    pub fn request_method(&self) -> &Method {
        &self.request.method
    }

    /// Target of the request as the plugins left it.
    pub fn request_uri(&self) -> &Uri {
        &self.request.uri
    }

    /// Headers of the request as the plugins left them.
    pub fn request_headers(&self) -> &HeaderMap {
        &self.request.headers
    }
}
