//! The settings of `versioning`.

use std::collections::BTreeMap;

use portreeve_plugin::prelude::*;
use portreeve_plugin::units::{Date, HeaderName};

/// Sends each request to the upstream of the API version it names.
///
/// The version's own segment is taken off the path before the request goes upstream: `/v1/users/7` becomes `/users/7`, for later
/// steps (`request.path`, `rewrite`) too, while `params` stay what the route matched. Nothing is taken off a path without a version,
/// and a header, a query parameter or a claim that named it goes on as it came.
/// A version that does not exist is answered 404 if the path named it, else 400; both name the versions there are. Answers
/// of a deprecated version carry `Deprecation` (RFC 9745) and `Sunset` (RFC 8594). When a header was looked at, `Vary`
/// names it.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("x-example" = include_str!("../example.yaml")))]
pub struct Config {
    /// Where the version may be named. The first of these that has a value decides, even if there is no such version.
    #[schemars(length(min = 1))]
    pub from: Vec<Source>,
    /// The version of requests that name none. Without it they are answered 400.
    #[serde(default)]
    pub default: Option<String>,
    /// The versions by name, as requests name them: letters, digits and `.`, `_`, `~`, `-`.
    #[schemars(extend("minProperties" = 1))]
    pub versions: BTreeMap<String, VersionConfig>,
}

/// One place where a request may name its version.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Source {
    /// A parameter of the route's path: `version` for `/{version}/users/**`. Patterns without it give no value.
    Path(#[schemars(length(min = 1))] String),
    /// A request header.
    Header(HeaderName),
    /// A query parameter. It is left in the query.
    Query(#[schemars(length(min = 1))] String),
    /// A claim of the verified token, with dots between the names of nested ones: `plan.version`.
    Claim(#[schemars(length(min = 1))] String),
}

/// One version.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct VersionConfig {
    /// The upstream that serves it.
    #[schemars(extend("x-refers-to" = "upstream"))]
    pub upstream: String,
    /// The day (UTC) from which it is deprecated; may lie in the future. Sent as `Deprecation`.
    #[serde(default)]
    pub deprecated: Option<Date>,
    /// The day (UTC) from which it may no longer answer. Sent as `Sunset`; the gateway goes on serving it until it is
    /// taken out of this list.
    #[serde(default)]
    pub sunset: Option<Date>,
    /// URL of a page that tells how to move on. Sent as `Link` with the relations `deprecation` and `sunset`, as dates
    /// are given; needs one of them.
    #[serde(default)]
    pub link: Option<String>,
}
