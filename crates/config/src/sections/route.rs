//! `routes`: match → chain → upstream or answer.

use std::borrow::Cow;
use std::ops::Deref;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

use super::{Headers, Match, Mirror, RouteRetry, Step};
use crate::units::{Duration, Name, Size, StatusCode};

// What most routes do not have is boxed: ten thousand routes are kept as they were read.
/// A route: which requests, the steps they pass, and where they end.
///
/// It ends in exactly one of `upstream`, `respond`, `redirect`, or a plugin that always answers or chooses.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("x-example" = include_str!("examples/route.yaml")))]
pub struct Route {
    /// The route's name, in logs and metrics.
    pub name: Name,
    /// Which requests the route is for.
    #[serde(rename = "match")]
    pub matches: Match,
    /// The chain: steps in the order they run.
    #[serde(default)]
    pub plugins: Vec<Step>,
    /// Ends the route at an upstream, or at one of several by weight.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub upstream: Option<RouteUpstreams>,
    /// A [template](templates.md#templates), such as `${consumer.id}`: requests of the same value go to the same upstream of the list. Changing a weight
    /// moves no more of them than it must: those in the first 5% of a canary stay there when it gets 10%. Requests without
    /// a value are drawn by weight. Only beside a list of upstreams.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub split_by: Option<String>,
    /// Sends a copy of a sample of the requests to another upstream.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mirror: Option<Box<Mirror>>,
    /// What of the upstream's `retry` is otherwise for this route.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry: Option<Box<RouteRetry>>,
    /// Ends the route with an answer of the gateway itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub respond: Option<Box<Respond>>,
    /// Ends the route by sending the caller elsewhere.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub redirect: Option<Redirect>,
    /// Says that strangers may call this route. Needed when no step of its chain authenticates the caller.
    #[serde(default)]
    pub public: bool,
    /// Limits on the request.
    #[serde(default)]
    pub limits: RouteLimits,
    /// The longest from the request's head to the last byte of the answer's head, over all attempts, with the time that the
    /// request's body and the plugins take. After it 504, or 408 if the client was still sending. Nothing of it is left for the
    /// answer's body, which may take as long as it comes: `timeouts.idle` bounds that.
    #[serde(default = "default_timeout")]
    pub timeout: Duration,
    /// Timeouts of what follows the answer's head.
    #[serde(default)]
    pub timeouts: RouteTimeouts,
    /// Decides between routes that are equally specific and would take the same request, which is an error otherwise: the one
    /// with the higher number takes it. Any whole number. It decides nothing else: a more specific route goes before a less
    /// specific one, whatever their priorities.
    #[serde(default)]
    pub priority: i64,
    /// Lets `%2F` stand in the path. It is then part of a segment, never a separator.
    #[serde(default)]
    pub allow_encoded_slash: bool,
    /// Where the route is written.
    #[serde(skip)]
    pub at: crate::Place,
}

const fn default_timeout() -> Duration {
    Duration::from_secs(30)
}

/// Limits on the requests of a route.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("x-example" = include_str!("examples/route_limits.yaml")))]
pub struct RouteLimits {
    /// The largest request body; a larger one is 413.
    #[serde(default = "default_body")]
    pub body: Size,
}

const fn default_body() -> Size {
    Size::from_bytes(1024 * 1024)
}

impl Default for RouteLimits {
    fn default() -> Self {
        Self { body: default_body() }
    }
}

/// Timeouts of what follows the answer's head.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("x-example" = include_str!("examples/route_timeouts.yaml")))]
pub struct RouteTimeouts {
    /// The longest silence once the answer's head has come, of any answer: a download, events, a gRPC call, a WebSocket. What
    /// either side sends ends the silence; when it lasts for longer, both connections are closed, or the streams reset.
    #[serde(default = "default_idle")]
    pub idle: Duration,
}

/// As long as Envoy lets a stream be idle (`stream_idle_timeout`).
const fn default_idle() -> Duration {
    Duration::from_secs(5 * 60)
}

impl Default for RouteTimeouts {
    fn default() -> Self {
        Self { idle: default_idle() }
    }
}

/// The upstreams of a route with their weights; never empty. Written as a name or as a list.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(from = "UpstreamsForm")]
pub struct RouteUpstreams(Vec<WeightedUpstream>);

impl Deref for RouteUpstreams {
    type Target = [WeightedUpstream];

    fn deref(&self) -> &[WeightedUpstream] {
        &self.0
    }
}

/// A share of a route's requests.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WeightedUpstream {
    /// The upstream.
    #[schemars(extend("x-refers-to" = "upstream"))]
    pub name: Name,
    /// Its share, relative to the others of the list. 0 takes it out. 1 if left out, and 0 beside `when`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 65535))]
    pub weight: Option<u16>,
    /// An [expression](templates.md#expressions): the upstream takes every request for which it is true. The first entry of the list with a true `when`
    /// goes first; the requests for which none is true are shared out by weight.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub when: Option<String>,
}

impl WeightedUpstream {
    /// Its share of the requests that no `when` takes.
    #[must_use]
    pub fn share(&self) -> u16 {
        self.weight.unwrap_or(u16::from(self.when.is_none()))
    }
}

#[derive(Deserialize)]
#[serde(untagged)]
enum UpstreamsForm {
    One(Name),
    Many(Vec<WeightedUpstream>),
}

impl From<UpstreamsForm> for RouteUpstreams {
    fn from(form: UpstreamsForm) -> Self {
        Self(match form {
            UpstreamsForm::One(name) => vec![WeightedUpstream { name, weight: None, when: None }],
            UpstreamsForm::Many(many) => many,
        })
    }
}

impl JsonSchema for RouteUpstreams {
    fn schema_name() -> Cow<'static, str> {
        "RouteUpstreams".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let mut name = generator.subschema_for::<Name>();
        name.insert("x-refers-to".into(), "upstream".into());
        let share = generator.subschema_for::<WeightedUpstream>();
        json_schema!({
            "anyOf": [name, { "type": "array", "items": share, "minItems": 1 }],
            "x-example": include_str!("examples/split.yaml"),
        })
    }
}

/// An answer of the gateway itself.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("x-example" = include_str!("examples/respond.yaml")))]
pub struct Respond {
    /// The status.
    #[serde(default = "default_status")]
    pub status: StatusCode,
    /// Headers of the answer; values are [templates](templates.md#templates).
    #[serde(default)]
    pub headers: Headers,
    /// The body; a [template](templates.md#templates).
    #[serde(default)]
    pub body: String,
}

const fn default_status() -> StatusCode {
    StatusCode::OK
}

/// An answer that sends the caller elsewhere.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("x-example" = include_str!("examples/redirect.yaml")))]
pub struct Redirect {
    /// The status: 308 keeps the method and is permanent.
    #[serde(default)]
    pub status: RedirectStatus,
    /// Where to; a [template](templates.md#templates), such as `https://example.com/${params.rest}`.
    #[schemars(length(min = 1))]
    pub to: String,
}

/// A redirecting status (RFC 9110 §15.4).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "u16", into = "u16")]
pub struct RedirectStatus(u16);

impl RedirectStatus {
    /// The number: 301, 302, 303, 307 or 308.
    #[must_use]
    pub const fn get(self) -> u16 {
        self.0
    }
}

impl Default for RedirectStatus {
    fn default() -> Self {
        Self(308)
    }
}

impl TryFrom<u16> for RedirectStatus {
    type Error = String;

    fn try_from(status: u16) -> Result<Self, String> {
        match status {
            301 | 302 | 303 | 307 | 308 => Ok(Self(status)),
            _ => Err(format!("{status} does not redirect; write 301, 302, 303, 307 or 308")),
        }
    }
}

impl From<RedirectStatus> for u16 {
    fn from(status: RedirectStatus) -> Self {
        status.0
    }
}

impl JsonSchema for RedirectStatus {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "RedirectStatus".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "integer", "enum": [301, 302, 303, 307, 308] })
    }
}
