//! `retry`: when a failed attempt is tried again on another target.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

use crate::units::{Percent, StatusCode};

/// When a failed attempt is tried again on another target.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Retry {
    /// The most attempts one request may make, the first among them. 1 never retries.
    #[serde(default = "default_attempts")]
    #[schemars(range(min = 1, max = 10))]
    pub attempts: u32,
    /// What is tried again. Anything but `connect` only for requests that are safe to repeat (RFC 9110 §9.2.2).
    #[serde(default = "default_retry_on")]
    pub on: Vec<RetryOn>,
    /// Retries may be at most this share of the upstream's requests, so that a failing upstream is not drowned. After
    /// `connect` they do not count: nobody got the request yet.
    #[serde(default = "default_budget")]
    pub budget: Percent,
}

impl Default for Retry {
    fn default() -> Self {
        Self { attempts: default_attempts(), on: default_retry_on(), budget: default_budget() }
    }
}

const fn default_attempts() -> u32 {
    2
}

fn default_retry_on() -> Vec<RetryOn> {
    vec![RetryOn::Connect]
}

const fn default_budget() -> Percent {
    Percent::new(20)
}

/// A failure that is tried again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "RetryForm", into = "RetryForm")]
pub enum RetryOn {
    /// No connection could be made: the request was never sent.
    Connect,
    /// The connection was made but the answer's head did not come in time.
    Timeout,
    /// The target answered 502, 503 or 504.
    Status(StatusCode),
}

#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum RetryForm {
    Word(Cow<'static, str>),
    Status(StatusCode),
}

impl TryFrom<RetryForm> for RetryOn {
    type Error = String;

    fn try_from(form: RetryForm) -> Result<Self, String> {
        match form {
            RetryForm::Word(word) if word == "connect" => Ok(Self::Connect),
            RetryForm::Word(word) if word == "timeout" => Ok(Self::Timeout),
            RetryForm::Status(status) if matches!(status.get(), 502..=504) => Ok(Self::Status(status)),
            _ => Err("expected connect, timeout, 502, 503 or 504".into()),
        }
    }
}

impl From<RetryOn> for RetryForm {
    fn from(on: RetryOn) -> Self {
        match on {
            RetryOn::Connect => Self::Word("connect".into()),
            RetryOn::Timeout => Self::Word("timeout".into()),
            RetryOn::Status(status) => Self::Status(status),
        }
    }
}

impl JsonSchema for RetryOn {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "RetryOn".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "enum": ["connect", "timeout", 502, 503, 504] })
    }
}
