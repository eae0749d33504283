//! `retry`: when a failed attempt is tried again on another target.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

use crate::units::{Duration, DurationOrZero, Method, Percent, StatusCode};

/// When a failed attempt is tried again on another target. Without another target there is no retry: the client is told of
/// the failure.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("x-example" = include_str!("../examples/retry.yaml")))]
pub struct Retry {
    /// The most attempts one request may make, the first among them. 1 never retries.
    #[serde(default = "default_attempts")]
    #[schemars(range(min = 1, max = 10))]
    pub attempts: u32,
    /// What is tried again. Anything but `connect` only for requests that are safe to repeat: of an idempotent method
    /// (RFC 9110 §9.2.2), with a body of at most 64 KiB, and before anything of an answer was sent to the client.
    #[serde(default = "default_retry_on")]
    pub on: Vec<RetryOn>,
    /// Methods that are not idempotent, such as POST, whose requests are tried again as well if they carry an
    /// `Idempotency-Key`, by which the targets know a request they have had before.
    #[serde(default)]
    pub methods: Vec<Method>,
    /// How long is waited before a retry.
    #[serde(default)]
    pub backoff: Backoff,
    /// Retries may be at most this share of the upstream's requests, so that a failing upstream is not drowned. Up to 10 are
    /// saved up, and one a second is earned besides, so that a quiet upstream can retry at all; `0%` means none. After
    /// `connect` they do not count: nobody got the request yet.
    #[serde(default = "default_budget")]
    pub budget: Percent,
}

impl Default for Retry {
    fn default() -> Self {
        Self {
            attempts: default_attempts(),
            on: default_retry_on(),
            methods: Vec::new(),
            backoff: Backoff::default(),
            budget: default_budget(),
        }
    }
}

/// The `retry` of a route: what it says goes before what the upstream says. What it leaves out is as the upstream has it; the
/// budget is always the upstream's, since it protects that.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("x-example" = include_str!("../examples/route_retry.yaml")))]
pub struct RouteRetry {
    /// The most attempts one request of the route may make, the first among them. 1 never retries.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 10))]
    pub attempts: Option<u32>,
    /// What is tried again, in the place of the upstream's list.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on: Option<Vec<RetryOn>>,
    /// Methods that are not idempotent whose requests are tried again if they carry an `Idempotency-Key`, in the place of
    /// the upstream's list.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub methods: Option<Vec<Method>>,
    /// How long is waited before a retry.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backoff: Option<Backoff>,
}

/// How long is waited before a retry: a time drawn at random between nothing and `base`, `2 × base`, `4 × base`, … up to `max`
/// (exponential backoff with full jitter). The first retry after `connect` does not wait.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Backoff {
    /// The longest wait before the first retry; `0s` for none.
    #[serde(default = "default_base")]
    pub base: DurationOrZero,
    /// The longest wait before any retry.
    #[serde(default = "default_max")]
    pub max: DurationOrZero,
}

impl Default for Backoff {
    fn default() -> Self {
        Self { base: default_base(), max: default_max() }
    }
}

const fn default_base() -> DurationOrZero {
    DurationOrZero::new(Duration::from_millis(25))
}

const fn default_max() -> DurationOrZero {
    DurationOrZero::new(Duration::from_millis(250))
}

const fn default_attempts() -> u32 {
    2
}

fn default_retry_on() -> Vec<RetryOn> {
    vec![RetryOn::Connect, RetryOn::Reset]
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
    /// The connection was lost before the answer's head came.
    Reset,
    /// The target answered with this status: 429, 500, 502, 503 or 504.
    Status(StatusCode),
}

/// What another target may answer otherwise. A 501 or a 505 is the same everywhere.
const STATUSES: [u16; 5] = [429, 500, 502, 503, 504];

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
            RetryForm::Word(word) if word == "reset" => Ok(Self::Reset),
            RetryForm::Status(status) if STATUSES.contains(&status.get()) => Ok(Self::Status(status)),
            _ => Err("expected connect, timeout, reset, 429, 500, 502, 503 or 504".into()),
        }
    }
}

impl From<RetryOn> for RetryForm {
    fn from(on: RetryOn) -> Self {
        match on {
            RetryOn::Connect => Self::Word("connect".into()),
            RetryOn::Timeout => Self::Word("timeout".into()),
            RetryOn::Reset => Self::Word("reset".into()),
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
        json_schema!({ "enum": ["connect", "timeout", "reset", 429, 500, 502, 503, 504] })
    }
}
