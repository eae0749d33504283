//! `health`: active checks of the targets.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

use crate::sections::{Headers, OneOrMany};
use crate::units::{Duration, Percent, StatusCode, StatusRange};

/// Active health checks: exactly one of `http`, `tcp` and `grpc`.
///
/// A target is checked once by each gateway, however many routes and upstreams name it, as long as they check it alike. A
/// target that is new gets no request before its first check has passed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("oneOf" = [{ "required": ["http"] }, { "required": ["tcp"] }, { "required": ["grpc"] }]))]
#[schemars(extend("x-example" = include_str!("../examples/health.yaml")))]
pub struct Health {
    /// Asks for this path, spoken as requests are (`protocol`, `tls`); healthy is what `expect` says. Redirects are not followed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = "^/"), extend("x-expected" = "a path that begins with /"))]
    pub http: Option<String>,
    /// Only opens a connection: TCP alone, also where TLS is spoken.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "only_true")]
    pub tcp: Option<bool>,
    /// Asks `grpc.health.v1.Health/Check` for this service; `""` asks for the server as a whole. Healthy is `SERVING`. Needs
    /// `protocol: http2`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grpc: Option<String>,
    /// How the path is asked for; only with `http`.
    #[serde(default, skip_serializing_if = "CheckMethod::is_usual")]
    pub method: CheckMethod,
    /// Sent with the check; only with `http`. `host` says what the target is called, instead of its address.
    #[serde(default, skip_serializing_if = "none")]
    pub headers: Headers,
    /// What a healthy answer is; only with `http`.
    #[serde(default)]
    pub expect: HealthExpect,
    /// The time from one check to the next.
    #[serde(default = "default_interval")]
    pub interval: Duration,
    /// The longest one check may take, from opening the connection to the last byte that is looked at.
    #[serde(default = "default_check_timeout")]
    pub timeout: Duration,
    /// By how much each interval is longer or shorter, at random, so that a fleet of gateways does not check in step.
    #[serde(default = "default_jitter")]
    pub jitter: Percent,
    /// So many failed checks in a row take a target out.
    #[serde(default = "default_unhealthy_after")]
    #[schemars(range(min = 1, max = 100))]
    pub unhealthy_after: u32,
    /// So many passed checks in a row bring it back. A target that is new needs one.
    #[serde(default = "default_healthy_after")]
    #[schemars(range(min = 1, max = 100))]
    pub healthy_after: u32,
}

/// What a health check does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Probe<'a> {
    /// Asks for this path.
    Http(&'a str),
    /// Opens a connection.
    Tcp,
    /// Asks for the health of this service, or of the whole server where it is empty.
    Grpc(&'a str),
}

impl Health {
    /// What the check does; the loader has seen to it that exactly one is written.
    #[must_use]
    pub fn probe(&self) -> Probe<'_> {
        match (&self.http, &self.grpc) {
            (Some(path), _) => Probe::Http(path),
            (None, Some(service)) => Probe::Grpc(service),
            (None, None) => Probe::Tcp,
        }
    }
}

/// How a health check asks for its path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum CheckMethod {
    /// The usual one.
    #[default]
    #[serde(rename = "GET")]
    Get,
    /// For the head of the answer alone.
    #[serde(rename = "HEAD")]
    Head,
    /// For services that answer nothing else without credentials.
    #[serde(rename = "OPTIONS")]
    Options,
    /// With an empty body.
    #[serde(rename = "POST")]
    Post,
}

impl CheckMethod {
    /// The method as it is sent.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Head => "HEAD",
            Self::Options => "OPTIONS",
            Self::Post => "POST",
        }
    }

    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks with a reference")]
    fn is_usual(&self) -> bool {
        *self == Self::Get
    }
}

impl JsonSchema for CheckMethod {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "CheckMethod".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "enum": ["GET", "HEAD", "OPTIONS", "POST"] })
    }
}

/// What a healthy answer is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct HealthExpect {
    /// The status, or a list of them; ranges too: `[200, "300-399"]`.
    #[serde(default = "default_expect")]
    pub status: OneOrMany<StatusRange>,
    /// What the body must hold: a text, or after `regex:` a regular expression. The first 64 KiB of the body are looked at;
    /// without this key none of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1))]
    pub body: Option<String>,
}

impl Default for HealthExpect {
    fn default() -> Self {
        Self { status: default_expect(), body: None }
    }
}

fn default_expect() -> OneOrMany<StatusRange> {
    vec![StatusRange::from(StatusCode::OK)].into()
}

const fn default_interval() -> Duration {
    Duration::from_secs(5)
}

const fn default_check_timeout() -> Duration {
    Duration::from_secs(1)
}

const fn default_jitter() -> Percent {
    Percent::new(10)
}

const fn default_unhealthy_after() -> u32 {
    3
}

const fn default_healthy_after() -> u32 {
    2
}

fn none(headers: &Headers) -> bool {
    headers.is_empty()
}

fn only_true(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "boolean", "enum": [true] })
}
