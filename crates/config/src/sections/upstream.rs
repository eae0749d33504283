//! `upstreams`: named pools and how they are balanced, checked, retried and timed.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

use super::{OneOrMany, UpstreamTls};
use crate::units::{Address, Duration, Percent, StatusCode};

/// A named pool of targets.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Upstream {
    /// The targets: addresses, or maps with an address and a weight.
    #[schemars(length(min = 1))]
    pub targets: Vec<Target>,
    /// How a target is chosen for a request.
    #[serde(default)]
    pub balance: Balance,
    /// Active health checks. Without this key every target counts as healthy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub health: Option<Health>,
    /// When a failed attempt is tried again on another target.
    #[serde(default)]
    pub retry: Retry,
    /// How long each part of an attempt may take.
    #[serde(default)]
    pub timeouts: Timeouts,
    /// What is spoken to the targets.
    #[serde(default)]
    pub protocol: Protocol,
    /// Speaks to the targets over TLS. Without this key nothing is encrypted on the way to them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<UpstreamTls>,
}

/// One address of an upstream.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(from = "TargetForm")]
pub struct Target {
    /// Where the target listens. A name is resolved off the request path, and again as its answers age.
    pub address: Address,
    /// The target's share, relative to the others. 0 takes it out.
    pub weight: u16,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum TargetForm {
    Bare(Address),
    Full(FullTarget),
}

/// A target with a weight.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "TargetMap")]
struct FullTarget {
    /// Where the target listens: `host:port`.
    address: Address,
    /// The target's share, relative to the others. 0 takes it out.
    #[serde(default = "default_weight")]
    #[schemars(range(min = 0, max = 65535))]
    weight: u16,
}

const fn default_weight() -> u16 {
    1
}

impl From<TargetForm> for Target {
    fn from(form: TargetForm) -> Self {
        match form {
            TargetForm::Bare(address) => Self { address, weight: default_weight() },
            TargetForm::Full(FullTarget { address, weight }) => Self { address, weight },
        }
    }
}

impl JsonSchema for Target {
    fn schema_name() -> Cow<'static, str> {
        "Target".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let bare = generator.subschema_for::<Address>();
        let full = generator.subschema_for::<FullTarget>();
        json_schema!({ "anyOf": [bare, full] })
    }
}

/// How a target is chosen. The weights of targets count in every way of choosing.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Balance {
    /// One after the other.
    #[default]
    RoundRobin,
    /// The target with the fewest requests in flight.
    LeastConnections,
    /// The less busy of two drawn at random.
    RandomTwo,
    /// Always the same target for the same client address.
    IpHash,
    /// Always the same target for the same value of a template.
    Hash(String),
}

/// What is spoken to the targets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Protocol {
    /// HTTP/1.1.
    #[default]
    Http1,
    /// HTTP/2, with many requests on each connection: negotiated over TLS (ALPN), and without TLS by prior knowledge (h2c).
    /// A target that does not speak it is an error, never asked in HTTP/1.1 instead. gRPC needs it.
    Http2,
}

/// Active health checks: exactly one of `http` and `tcp`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("oneOf" = [{ "required": ["http"] }, { "required": ["tcp"] }]))]
pub struct Health {
    /// Asks for this path; healthy is what `expect` says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = "^/"), extend("x-expected" = "a path that begins with /"))]
    pub http: Option<String>,
    /// Only opens a connection.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "only_true")]
    pub tcp: Option<bool>,
    /// The time from one check to the next.
    #[serde(default = "default_interval")]
    pub interval: Duration,
    /// The longest one check may take.
    #[serde(default = "default_check_timeout")]
    pub timeout: Duration,
    /// So many failed checks in a row take a target out.
    #[serde(default = "default_unhealthy_after")]
    #[schemars(range(min = 1, max = 100))]
    pub unhealthy_after: u32,
    /// So many passed checks in a row bring it back.
    #[serde(default = "default_healthy_after")]
    #[schemars(range(min = 1, max = 100))]
    pub healthy_after: u32,
    /// What a healthy answer is; only with `http`.
    #[serde(default)]
    pub expect: HealthExpect,
}

/// What a health check does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Probe<'a> {
    /// Asks for this path.
    Http(&'a str),
    /// Opens a connection.
    Tcp,
}

impl Health {
    /// What the check does; the loader has seen to it that exactly one is written.
    #[must_use]
    pub fn probe(&self) -> Probe<'_> {
        self.http.as_deref().map_or(Probe::Tcp, Probe::Http)
    }
}

/// What a healthy answer is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct HealthExpect {
    /// The status, or a list of them.
    #[serde(default = "default_expect")]
    pub status: OneOrMany<StatusCode>,
}

impl Default for HealthExpect {
    fn default() -> Self {
        Self { status: default_expect() }
    }
}

fn default_expect() -> OneOrMany<StatusCode> {
    vec![StatusCode::OK].into()
}

const fn default_interval() -> Duration {
    Duration::from_secs(5)
}

const fn default_check_timeout() -> Duration {
    Duration::from_secs(1)
}

const fn default_unhealthy_after() -> u32 {
    3
}

const fn default_healthy_after() -> u32 {
    2
}

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

/// How long each part of an attempt may take. Every one is finite.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Timeouts {
    /// To open a connection, TLS included; after it 504, or the next attempt.
    #[serde(default = "default_connect")]
    pub connect: Duration,
    /// The longest silence of a target: until the answer's head (after it 504), and between two reads of its body.
    #[serde(default = "default_first_byte")]
    pub first_byte: Duration,
    /// For one write of the request to make progress.
    #[serde(default = "default_write")]
    pub write: Duration,
    /// How long an unused connection is kept for the next request.
    #[serde(default = "default_idle")]
    pub idle: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            connect: default_connect(),
            first_byte: default_first_byte(),
            write: default_write(),
            idle: default_idle(),
        }
    }
}

const fn default_connect() -> Duration {
    Duration::from_secs(1)
}

const fn default_first_byte() -> Duration {
    Duration::from_secs(15)
}

const fn default_write() -> Duration {
    Duration::from_secs(15)
}

const fn default_idle() -> Duration {
    Duration::from_secs(60)
}

fn only_true(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "boolean", "enum": [true] })
}
