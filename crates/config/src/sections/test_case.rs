//! `tests`: requests with their expected answers, kept beside the routes they hold to account.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::Headers;
use crate::units::{Name, RequestLine, StatusCode};

/// One request and what must come of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TestCase {
    /// What the test shows, in words.
    #[schemars(length(min = 1))]
    pub name: String,
    /// The method and path: `GET /users/7`.
    pub request: RequestLine,
    /// Claims of the caller, as if a token with them had been verified. Without this key the caller is a stranger.
    #[serde(default, rename = "as", skip_serializing_if = "Option::is_none")]
    pub caller: Option<Map<String, Value>>,
    /// Headers of the request.
    #[serde(default)]
    pub headers: Headers,
    /// The body of the request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body: Option<String>,
    /// What must be true of the answer.
    pub expect: Expect,
}

/// What must be true of an answer. Keys that are left out are not looked at.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("minProperties" = 1))]
pub struct Expect {
    /// The status of the answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<StatusCode>,
    /// The upstream that was chosen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-refers-to" = "upstream"))]
    pub upstream: Option<Name>,
    /// Headers of the answer; `"*"` stands for any value.
    #[serde(default)]
    pub headers: Headers,
    /// The whole body of the answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body: Option<String>,
}
