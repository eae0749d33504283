//! Why a request is not let through: the whole truth for the operator, little of it for the client (RFC 6750 §3).

use std::borrow::Cow;

use http::{HeaderValue, StatusCode, header};
use portreeve_plugin::{BuildError, Reply};

/// A request that is not let through.
#[derive(Debug)]
pub(crate) struct Refusal {
    answer: Answer,
    /// For `explain`, logs and traces.
    why: Cow<'static, str>,
}

/// What the client is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Answer {
    /// 401: send a token.
    Missing,
    /// 401: this one is not valid.
    Invalid,
    /// 503: nobody can tell yet.
    Unavailable,
}

impl Refusal {
    /// There is no token at all: a challenge without an error code, as RFC 6750 §3.1 wants it.
    pub(crate) const fn missing(why: &'static str) -> Self {
        Self { answer: Answer::Missing, why: Cow::Borrowed(why) }
    }

    /// The token does not hold. `why` must not repeat the token.
    pub(crate) fn invalid(why: impl Into<Cow<'static, str>>) -> Self {
        Self { answer: Answer::Invalid, why: why.into() }
    }

    /// There are no keys to check it with.
    pub(crate) const fn unavailable(why: &'static str) -> Self {
        Self { answer: Answer::Unavailable, why: Cow::Borrowed(why) }
    }
}

/// The `WWW-Authenticate` values, prepared.
#[derive(Debug)]
pub(crate) struct Challenges {
    missing: HeaderValue,
    invalid: HeaderValue,
}

impl Challenges {
    pub(crate) fn new(realm: &str) -> Result<Self, BuildError> {
        let value = |text: String| {
            let plain = !realm.contains(['"', '\\']) && realm.is_ascii();
            let value = HeaderValue::try_from(text).ok().filter(|_| plain);
            value.ok_or_else(|| BuildError::at("realm", "must be visible characters without quotes and backslashes"))
        };
        Ok(Self {
            missing: value(format!("Bearer realm=\"{realm}\""))?,
            invalid: value(format!(
                "Bearer realm=\"{realm}\", error=\"invalid_token\", error_description=\"the token is not valid\""
            ))?,
        })
    }

    pub(crate) fn reply(&self, refusal: Refusal) -> Reply {
        let unauthorized = |detail, challenge: &HeaderValue| {
            let reply = Reply::problem(StatusCode::UNAUTHORIZED, detail);
            reply.header(header::WWW_AUTHENTICATE, challenge.clone())
        };
        let reply = match refusal.answer {
            Answer::Missing => unauthorized("a bearer token is required", &self.missing),
            Answer::Invalid => unauthorized("the token is not valid", &self.invalid),
            Answer::Unavailable => {
                let reply = Reply::problem(StatusCode::SERVICE_UNAVAILABLE, "tokens cannot be verified at the moment");
                reply.header(header::RETRY_AFTER, HeaderValue::from_static("5"))
            }
        };
        reply.because(refusal.why)
    }
}
