//! The settings of `rewrite`.

use std::collections::BTreeMap;

use portreeve_plugin::prelude::*;

/// Changes path, query and host of a request before it goes upstream.
///
/// The path is changed in one of three ways: by `path`, by `strip_prefix` and `add_prefix`, or by `regex`. It stays
/// percent-encoded and normalised; a request for which no sound path comes out is answered 400. Routing is over by then:
/// the route does not change.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("x-example" = include_str!("../example.yaml")))]
pub struct Config {
    /// The new path, such as `/internal/${params.id}`; values are escaped as one segment each, only `${params.rest}` (what
    /// `**` matched) keeps its slashes. A request without such a value is answered 400.
    #[serde(default)]
    #[schemars(extend("x-expected" = "a path that begins with /"))]
    pub path: Option<Template>,
    /// Taken off the front of the path, whole segments only: `/api` turns `/api/users` into `/users` and leaves
    /// `/apix` alone. Paths without it stay as they are.
    #[serde(default)]
    #[schemars(extend("x-expected" = "a path that begins with /"), regex(pattern = "^/."))]
    pub strip_prefix: Option<String>,
    /// Put before the path, after `strip_prefix`: `/internal` turns `/users` into `/internal/users`.
    #[serde(default)]
    #[schemars(extend("x-expected" = "a path that begins with /"), regex(pattern = "^/."))]
    pub add_prefix: Option<String>,
    /// Replaces the first match of a regular expression in the path. Paths without a match stay as they are.
    #[serde(default)]
    pub regex: Option<Pattern>,
    /// What the target is called in `Host` (`:authority` in HTTP/2), such as `api.internal` or `${params.tenant}.internal`;
    /// goes before the upstream's own `host`. `request.host` stays what the client asked for. A request for which no host
    /// comes out is answered 400.
    #[serde(default)]
    #[schemars(extend("x-expected" = "a host such as api.internal or api.internal:8443"))]
    pub host: Option<Template>,
    /// Changes of the query.
    #[serde(default)]
    pub query: Option<QueryEdits>,
}

/// A regular expression and what takes the place of its match.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Pattern {
    /// The expression, in the syntax of the `regex` crate: linear time, no look-around. Anchor it with `^` and `$` to
    /// match the whole path. The path is percent-encoded.
    #[serde(rename = "match")]
    #[schemars(length(min = 1), extend("x-regex" = true))]
    pub pattern: String,
    /// The replacement: `$1` or `${name}` for a group, `$$` for a dollar.
    pub to: String,
}

/// Changes of the query: `remove`, then `set`.
///
/// What is set or removed goes wherever some server would see it: between `;` as well as `&`, in another letter case, as
/// `name[…]`, with `.` or a space for `_`. The rest stays as it came.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct QueryEdits {
    /// Parameters that get this one value instead of any they had. A value that names something absent removes the
    /// parameter.
    #[serde(default)]
    pub set: BTreeMap<String, Template>,
    /// Parameters to take away.
    #[serde(default)]
    pub remove: Vec<String>,
}
