//! The context of [`Plugin::on_log`](crate::Plugin::on_log).

use std::time::Duration;

use http::{HeaderMap, Method, StatusCode, Uri};
use pingora_http::RequestHeader;

use super::shared_accessors;
use crate::chain::Step;
use crate::decision::Decision;
use crate::exchange::Exchange;
use crate::facts::States;

/// How a request ended.
#[derive(Debug, Clone)]
pub struct Summary {
    /// The status the client was sent, or `None` if it was sent none.
    pub status: Option<StatusCode>,
    /// From the complete request head to the last byte.
    pub duration: Duration,
    /// Bytes of the request body.
    pub bytes_in: u64,
    /// Bytes of the response body.
    pub bytes_out: u64,
    /// Name of the upstream asked, if one was.
    pub upstream: Option<std::sync::Arc<str>>,
    /// Tries at targets.
    pub attempts: u32,
    /// What went wrong, for the operator.
    pub error: Option<String>,
}

/// The end of a request, read-only.
#[derive(Debug)]
pub struct LogCx<'a> {
    pub(crate) summary: &'a Summary,
    pub(crate) request: &'a RequestHeader,
    pub(crate) exchange: &'a Exchange,
    pub(crate) step: &'a Step,
    pub(crate) states: &'a States,
    pub(crate) index: usize,
}

shared_accessors!(LogCx);

impl LogCx<'_> {
    /// The status the client was sent, or `None` if it was sent none.
    pub fn status(&self) -> Option<StatusCode> {
        self.summary.status
    }

    /// From the complete request head to the last byte.
    pub fn duration(&self) -> Duration {
        self.summary.duration
    }

    /// Bytes of the request body.
    pub fn bytes_in(&self) -> u64 {
        self.summary.bytes_in
    }

    /// Bytes of the response body.
    pub fn bytes_out(&self) -> u64 {
        self.summary.bytes_out
    }

    /// Name of the upstream asked, if one was.
    pub fn upstream(&self) -> Option<&str> {
        self.summary.upstream.as_deref()
    }

    /// Tries at targets.
    pub fn attempts(&self) -> u32 {
        self.summary.attempts
    }

    /// What went wrong, for the operator.
    pub fn error(&self) -> Option<&str> {
        self.summary.error.as_deref()
    }

    /// Method of the request.
    pub fn method(&self) -> &Method {
        &self.request.method
    }

    /// Target of the request as the plugins left it.
    pub fn uri(&self) -> &Uri {
        &self.request.uri
    }

    /// Headers of the request as the plugins left them.
    pub fn request_headers(&self) -> &HeaderMap {
        &self.request.headers
    }

    /// What this step remembers of this request from an earlier hook.
    pub fn state<T: Send + Sync + 'static>(&self) -> Option<&T> {
        self.states.peek(self.index)
    }

    /// What the chain decided.
    pub fn decisions(&self) -> &[Decision] {
        &self.exchange.decisions
    }

    /// Name of this step.
    pub fn step(&self) -> &str {
        &self.step.name
    }
}
