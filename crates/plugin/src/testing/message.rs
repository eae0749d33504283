//! What a test looks at: an answer that reached the client, a request that reached a target.

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri, header};
use serde_json::{Value, json};

use crate::client::Answer;
use crate::reply::{Reply, ReplyBody};

/// An answer as the client gets it, after all response hooks. Framing headers are the engine's and not shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answered {
    /// Status.
    pub status: StatusCode,
    /// Headers.
    pub headers: HeaderMap,
    /// Body. Empty for an answer to HEAD.
    pub body: Bytes,
}

/// A request as a target gets it, after all upstream-request hooks. Framing headers are the engine's and not shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Forwarded {
    /// Method.
    pub method: Method,
    /// Target.
    pub uri: Uri,
    /// Headers.
    pub headers: HeaderMap,
    /// Body.
    pub body: Bytes,
    /// The upstream that the plugin chose, if it did.
    pub upstream: Option<String>,
}

macro_rules! readers {
    ($message:ident) => {
        impl $message {
            /// The first value of this header.
            ///
            /// # Panics
            /// If it is not text.
            #[track_caller]
            pub fn header(&self, name: &str) -> Option<&str> {
                let value = self.headers.get(name)?;
                Some(value.to_str().unwrap_or_else(|_| panic!("header {name} is not text: {value:?}")))
            }

            /// Every value of this header.
            ///
            /// # Panics
            /// If one is not text.
            #[track_caller]
            pub fn header_all(&self, name: &str) -> Vec<&str> {
                let text = |value| HeaderValue::to_str(value).unwrap_or_else(|_| panic!("header {name} is not text"));
                self.headers.get_all(name).iter().map(text).collect()
            }

            /// The body as text.
            ///
            /// # Panics
            /// If it is not UTF-8.
            #[track_caller]
            pub fn text(&self) -> &str {
                std::str::from_utf8(&self.body).unwrap_or_else(|_| panic!("not text: {:?}", self.body))
            }

            /// The body as JSON.
            ///
            /// # Panics
            /// If it is not.
            #[track_caller]
            pub fn json(&self) -> Value {
                serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {:?}", self.body))
            }
        }
    };
}

readers!(Answered);
readers!(Forwarded);

impl Forwarded {
    /// The path of the target.
    pub fn path(&self) -> &str {
        self.uri.path()
    }
}

/// An answer for a stub: a status, no headers, a body.
///
/// # Panics
/// If `status` is not in 100..=999.
#[track_caller]
pub fn answer(status: u16, body: impl Into<Bytes>) -> Answer {
    Answer { status: code(status), headers: HeaderMap::new(), body: body.into() }
}

#[track_caller]
pub(super) fn code(status: u16) -> StatusCode {
    StatusCode::from_u16(status).unwrap_or_else(|_| panic!("{status} is not a status"))
}

/// Status, headers and body of a reply, as the engine sends it.
pub(super) fn written(reply: &Reply) -> Answered {
    let status = reply.status_code();
    let mut headers = HeaderMap::new();
    let body = match reply.body() {
        ReplyBody::Bytes(bytes) => bytes.clone(),
        ReplyBody::Problem { detail } => {
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
            let title = status.canonical_reason().unwrap_or("");
            let mut problem = json!({ "type": "about:blank", "title": title, "status": status.as_u16() });
            if let (Some(detail), Some(fields)) = (detail, problem.as_object_mut()) {
                fields.insert("detail".to_owned(), Value::from(&**detail));
            }
            Bytes::from(problem.to_string())
        }
    };
    for (name, value) in reply.headers().iter().filter(|(name, _)| !framing(name)) {
        headers.append(name, value.clone());
    }
    Answered { status, headers, body }
}

/// The engine's own fields: the length, and those that end at each hop (RFC 9110 §7.6.1).
fn framing(name: &HeaderName) -> bool {
    [
        header::CONTENT_LENGTH,
        header::TRANSFER_ENCODING,
        header::CONNECTION,
        header::TE,
        header::TRAILER,
        header::UPGRADE,
    ]
    .contains(name)
}
