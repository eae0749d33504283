//! The settings of `aggregate`.

use std::collections::BTreeMap;

use portreeve_plugin::prelude::*;
use portreeve_plugin::template::WithCalls;
use portreeve_plugin::units::{Duration, HeaderName, Size};
use serde_json::Value;

/// Answers with one JSON document put together from several upstreams.
///
/// All calls are GETs, begin at the same time and go through the pools of their upstreams. An answer counts when its status
/// is 2xx and its body JSON (an empty body is `null`). When a required call fails, the request is answered at once: 504 if
/// the call ran out of time, 503 if its upstream has no available target, else 502. When an optional call fails, its
/// `fallback` takes its place, the header `x-partial` names the call, and the answer is marked `cache-control: no-store`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("x-example" = include_str!("../example.yaml")))]
pub struct Config {
    /// The deadline over all calls together, retries included.
    #[serde(default = "default_timeout")]
    pub timeout: Duration,
    /// The calls by name, at most 32. Names are letters, digits, `_` and `-`.
    #[schemars(extend("minProperties" = 1, "maxProperties" = 32))]
    pub calls: BTreeMap<String, CallConfig>,
    /// The answer: any JSON whose strings may hold `${calls.NAME}` or `${calls.NAME.PATH}` beside all that a request
    /// knows. A string that is one reference takes the type of what it refers to; what is absent is `null`.
    pub body: JsonTemplate<WithCalls>,
    /// Headers of the client's request that every call carries as well. By default a call carries none of them, only
    /// `accept` and `x-request-id`.
    #[serde(default)]
    pub forward_headers: Vec<HeaderName>,
}

/// One call.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CallConfig {
    /// The upstream asked.
    #[schemars(extend("x-refers-to" = "upstream"))]
    pub upstream: String,
    /// Path and query, such as `/orders?user=${params.id}`. Values are escaped for the place they stand in. A request
    /// without such a value is answered 400, or with the fallback if the call is optional. Calls cannot refer to each
    /// other's answers yet.
    #[schemars(extend("x-expected" = "a path that begins with /"), regex(pattern = "^/"))]
    pub path: Template<WithCalls>,
    /// Headers of the call. A value that names something absent is left out.
    #[serde(default)]
    pub headers: BTreeMap<String, Template<WithCalls>>,
    /// The call's own deadline, if shorter than that of them all.
    #[serde(default)]
    pub timeout: Option<Duration>,
    /// Whether there is an answer without this call.
    #[serde(default)]
    pub optional: bool,
    /// What stands in for the answer of an optional call that failed: any JSON, `null` by default.
    #[serde(default)]
    pub fallback: Option<Value>,
    /// The longest answer accepted; a longer one counts as a failure.
    #[serde(default = "default_max_body")]
    pub max_body: Size,
}

fn default_timeout() -> Duration {
    Duration::from_secs(10)
}

fn default_max_body() -> Size {
    Size::from_bytes(1 << 20)
}
