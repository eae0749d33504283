//! One call: made ready from the request, asked, and its answer read as JSON.

use std::fmt;
use std::pin::pin;
use std::time::Duration;

use futures::future::{Either, select};
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderName, StatusCode};
use portreeve_plugin::template::{Escape, Scope, WithCalls};
use portreeve_plugin::{Answer, Call, CallError, Clock, Template, Upstream};
use serde_json::Value;

/// One call as it is declared.
#[derive(Debug)]
pub(crate) struct PreparedCall {
    pub(crate) name: Box<str>,
    pub(crate) upstream: Upstream,
    pub(crate) path: Template<WithCalls>,
    pub(crate) headers: Vec<(HeaderName, Template<WithCalls>)>,
    pub(crate) timeout: Option<Duration>,
    pub(crate) optional: bool,
    pub(crate) fallback: Value,
    pub(crate) max_body: usize,
}

/// Why a call brought nothing usable. For the operator.
#[derive(Debug)]
pub(crate) enum Failure {
    /// No answer at all.
    Call(CallError),
    /// An answer that says no.
    Status(StatusCode),
    /// An answer that is not JSON.
    NotJson(serde_json::Error),
}

impl PreparedCall {
    /// The call for one request, or `None` if its path has no value there.
    pub(crate) fn prepare(&self, scope: &dyn Scope, common: &HeaderMap, deadline: Duration) -> Option<Call> {
        let path = self.path.render_with(scope, Escape::Url)?;
        let mut call = Call::get(PathAndQuery::try_from(path.as_ref()).ok()?);
        call.headers.clone_from(common);
        for (name, value) in &self.headers {
            if let Some(value) = value.render_header(scope) {
                call.headers.insert(name.clone(), value);
            }
        }
        call.timeout = self.timeout.map_or(deadline, |timeout| timeout.min(deadline));
        call.max_body = self.max_body;
        Some(call)
    }

    /// Asks. Cancel safe: dropping the future closes the connection.
    pub(crate) async fn ask(&self, call: Call, clock: &Clock) -> Result<Value, Failure> {
        let timeout = call.timeout;
        // The pool keeps the deadline too; this one holds even if it does not.
        let answer = match select(pin!(self.upstream.call(call)), pin!(clock.sleep(timeout))).await {
            Either::Left((answer, _)) => answer.map_err(Failure::Call)?,
            Either::Right(((), _)) => return Err(Failure::Call(CallError::TimedOut(timeout))),
        };
        self.read(&answer)
    }

    fn read(&self, answer: &Answer) -> Result<Value, Failure> {
        if !answer.status.is_success() {
            return Err(Failure::Status(answer.status));
        }
        if answer.body.len() > self.max_body {
            return Err(Failure::Call(CallError::TooLarge(self.max_body)));
        }
        if answer.body.is_empty() {
            return Ok(Value::Null);
        }
        serde_json::from_slice(&answer.body).map_err(Failure::NotJson)
    }
}

impl Failure {
    /// What the client is told: 502, 503 or 504.
    pub(crate) fn status(&self) -> StatusCode {
        match self {
            Self::Call(error) => error.status(),
            Self::Status(_) | Self::NotJson(_) => StatusCode::BAD_GATEWAY,
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Call(error) => error.fmt(f),
            Self::Status(status) => write!(f, "answered {}", status.as_u16()),
            // Where, not what: the message of serde_json may quote the body.
            Self::NotJson(error) => {
                write!(f, "its answer is not JSON (line {}, column {})", error.line(), error.column())
            }
        }
    }
}
