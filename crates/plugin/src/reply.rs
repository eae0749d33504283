//! What becomes of a request after a plugin has seen it ([`Flow`]), and the answers a gateway makes itself ([`Reply`]).

use std::borrow::Cow;

use bytes::Bytes;
use http::{HeaderName, HeaderValue, StatusCode, header};
use serde::Serialize;

/// What becomes of the request after a plugin has seen it.
#[must_use = "a dropped Flow lets a refused request through"]
#[derive(Debug)]
pub enum Flow {
    /// Go on to the next plugin.
    Continue,
    /// Answer now. Later plugins and the upstream never see the request; the response hooks of this plugin and of those
    /// before it, and every log hook, still run.
    Respond(Reply),
}

/// A short answer made by the gateway: status, headers, a body held in memory.
///
/// An error without a body of its own ([`Reply::status`], [`Reply::problem`]) is written as its client understands it: the page
/// that the file has for the status under `errors`, else `application/problem+json`, or HTML for clients that prefer it. An
/// answer with a body of its own is sent as it is. To gRPC clients (a `Content-Type` of `application/grpc`) every answer with
/// a status of 400 or above becomes a gRPC status: the detail of a problem becomes its message, and a body is left out, since
/// no gRPC client could read it.
#[derive(Debug, Clone)]
pub struct Reply {
    status: StatusCode,
    headers: Vec<(HeaderName, HeaderValue)>,
    body: ReplyBody,
    reason: Cow<'static, str>,
}

/// The body of a [`Reply`].
#[derive(Debug, Clone)]
pub enum ReplyBody {
    /// An `application/problem+json` (RFC 9457) that the engine completes with the request id.
    Problem {
        /// What went wrong, for the client. Must not name a backend.
        detail: Option<Cow<'static, str>>,
    },
    /// These bytes as they are.
    Bytes(Bytes),
}

impl Reply {
    /// An answer with this status: a problem document for 400 and above, an empty body below.
    pub fn status(status: StatusCode) -> Self {
        let body =
            if status.as_u16() >= 400 { ReplyBody::Problem { detail: None } } else { ReplyBody::Bytes(Bytes::new()) };
        Self { status, headers: Vec::new(), body, reason: Cow::Borrowed("") }
    }

    /// A problem document (RFC 9457) with a sentence for the client. The title is the standard one of the status.
    pub fn problem(status: StatusCode, detail: impl Into<Cow<'static, str>>) -> Self {
        let detail = detail.into();
        Self { reason: detail.clone(), body: ReplyBody::Problem { detail: Some(detail) }, ..Self::status(status) }
    }

    /// A JSON answer.
    ///
    /// # Errors
    /// When `body` cannot be written as JSON (a map with keys that are not text).
    pub fn json(status: StatusCode, body: &impl Serialize) -> crate::Result<Self> {
        let bytes = Bytes::from(serde_json::to_vec(body)?);
        Ok(Self::bytes(status, HeaderValue::from_static("application/json"), bytes))
    }

    /// A plain-text answer.
    pub fn text(status: StatusCode, body: impl Into<Bytes>) -> Self {
        Self::bytes(status, HeaderValue::from_static("text/plain; charset=utf-8"), body.into())
    }

    /// These bytes with this `Content-Type`.
    pub fn bytes(status: StatusCode, content_type: HeaderValue, body: Bytes) -> Self {
        Self::untyped(status, body).header(header::CONTENT_TYPE, content_type)
    }

    /// These bytes without a `Content-Type`; add one with [`Reply::header`] unless there are none.
    pub fn untyped(status: StatusCode, body: Bytes) -> Self {
        Self { body: ReplyBody::Bytes(body), ..Self::status(status) }
    }

    /// Adds a header. `Content-Length` and the hop-by-hop fields are the engine's and are ignored here.
    #[must_use]
    pub fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.push((name, value));
        self
    }

    /// Why, for `explain`, logs and traces; never shown to the client.
    #[must_use]
    pub fn because(mut self, reason: impl Into<Cow<'static, str>>) -> Self {
        self.reason = reason.into();
        self
    }

    /// The status.
    pub fn status_code(&self) -> StatusCode {
        self.status
    }

    /// The headers, in the order they were added.
    pub fn headers(&self) -> &[(HeaderName, HeaderValue)] {
        &self.headers
    }

    /// The body.
    pub fn body(&self) -> &ReplyBody {
        &self.body
    }

    /// The reason given with [`Reply::because`].
    pub fn reason(&self) -> &Cow<'static, str> {
        &self.reason
    }
}

impl From<Reply> for Flow {
    fn from(reply: Reply) -> Self {
        Self::Respond(reply)
    }
}
