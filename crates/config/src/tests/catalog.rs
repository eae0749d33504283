//! A catalog as the binary would make it: plugins with the schemas of their types.

use std::collections::BTreeMap;

use indexmap::IndexMap;
use schemars::{JsonSchema, schema_for};
use serde_json::Value;

use crate::{Catalog, Date, Duration, HeaderName, Method, Name, OneOrMany, PluginInfo, Rate, Secret, StatusCode};

pub(crate) fn catalog() -> Catalog {
    let plugins = BTreeMap::from([
        plugin::<RequestId>("request-id", "Gives each request an id."),
        plugin::<Cors>("cors", "Answers preflight requests and decorates answers (CORS)."),
        authenticating::<Jwt>("jwt", "Verifies JSON Web Tokens."),
        authenticating::<KeyAuth>("key-auth", "Knows callers by their API key."),
        plugin::<RateLimit>("rate-limit", "Limits how often a caller may call."),
        plugin::<HeadersPlugin>("headers", "Changes headers of requests and answers."),
        ending::<Versioning>("versioning", "Chooses the upstream by API version."),
        ending::<Aggregate>("aggregate", "Makes one answer from several calls."),
    ]);
    Catalog { plugins }
}

fn plugin<T: JsonSchema>(name: &str, summary: &str) -> (String, PluginInfo) {
    let info = PluginInfo {
        schema: schema_for!(T).to_value(),
        authenticates: false,
        ends_chain: false,
        summary: summary.to_owned(),
    };
    (name.to_owned(), info)
}

fn authenticating<T: JsonSchema>(name: &str, summary: &str) -> (String, PluginInfo) {
    let (name, info) = plugin::<T>(name, summary);
    (name, PluginInfo { authenticates: true, ..info })
}

fn ending<T: JsonSchema>(name: &str, summary: &str) -> (String, PluginInfo) {
    let (name, info) = plugin::<T>(name, summary);
    (name, PluginInfo { ends_chain: true, ..info })
}

/// Gives each request an id.
#[derive(JsonSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "only its schema is used")]
struct RequestId {
    /// The header that carries the id.
    #[schemars(default)]
    header: Option<HeaderName>,
}

/// CORS.
#[derive(JsonSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "only its schema is used")]
struct Cors {
    /// The origins that may call.
    #[schemars(length(min = 1))]
    origins: Vec<String>,
    /// The methods they may use.
    #[serde(default)]
    methods: Vec<Method>,
    /// Whether cookies may be sent.
    #[serde(default)]
    credentials: bool,
    /// How long a browser may remember the answer.
    max_age: Option<Duration>,
}

/// JSON Web Tokens.
#[derive(JsonSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "only its schema is used")]
struct Jwt {
    /// Who must have issued the token.
    issuer: String,
    /// For whom it must be.
    audience: OneOrMany<String>,
    /// The algorithms that are accepted.
    #[schemars(length(min = 1))]
    algorithms: Vec<Algorithm>,
    /// A key set from a URL or file.
    jwks: Option<Jwks>,
    /// Keys written here.
    keys: Option<Vec<Key>>,
    /// How the caller is known from the token.
    consumer: Option<ConsumerClaims>,
    /// Clock difference that is forgiven.
    leeway: Option<Duration>,
}

#[derive(JsonSchema)]
#[expect(dead_code, reason = "only its schema is used")]
enum Algorithm {
    HS256,
    RS256,
    ES256,
    EdDSA,
}

#[derive(JsonSchema)]
#[serde(rename_all = "snake_case")]
#[expect(dead_code, reason = "only its schema is used")]
enum Jwks {
    /// Fetched, and refreshed in the background.
    Url(String),
    /// Read at load.
    File(String),
}

#[derive(JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("oneOf" = [{ "required": ["secret"] }, { "required": ["pem"] }]))]
#[expect(dead_code, reason = "only its schema is used")]
struct Key {
    /// A shared secret.
    secret: Option<Secret>,
    /// A public key.
    pem: Option<Secret>,
    /// The key's id.
    kid: Option<String>,
}

#[derive(JsonSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "only its schema is used")]
struct ConsumerClaims {
    /// A template.
    id: String,
    /// A template.
    #[schemars(extend("x-refers-to" = "tier"))]
    tier: Option<String>,
    /// The tier of callers without one.
    #[schemars(extend("x-refers-to" = "tier"))]
    default_tier: Option<Name>,
}

/// API keys.
#[derive(JsonSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "only its schema is used")]
struct KeyAuth {
    /// The header that carries the key.
    header: HeaderName,
}

/// Rate limits.
#[derive(JsonSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "only its schema is used")]
struct RateLimit {
    /// What callers are told apart by; a template.
    by: String,
    /// The caller's tier, or a limit of its own.
    limit: Limit,
}

#[derive(JsonSchema)]
#[serde(untagged)]
#[expect(dead_code, reason = "only its schema is used")]
enum Limit {
    Tier(TierWord),
    Inline(InlineLimit),
}

#[derive(JsonSchema)]
#[serde(rename_all = "snake_case")]
#[expect(dead_code, reason = "only its schema is used")]
enum TierWord {
    Tier,
}

#[derive(JsonSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "only its schema is used")]
struct InlineLimit {
    rate: Rate,
    #[schemars(range(min = 1))]
    burst: Option<u32>,
}

/// Header changes.
#[derive(JsonSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "only its schema is used")]
struct HeadersPlugin {
    request: Option<Changes>,
    response: Option<Changes>,
}

#[derive(JsonSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "only its schema is used")]
struct Changes {
    #[serde(default)]
    set: crate::Headers,
    #[serde(default)]
    remove: Vec<HeaderName>,
}

/// API versions.
#[derive(JsonSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "only its schema is used")]
struct Versioning {
    /// Where the version is looked for, in this order.
    #[schemars(length(min = 1))]
    from: Vec<Place>,
    /// The version of requests that name none.
    default: Option<Name>,
    /// The versions.
    versions: crate::Named<Version>,
}

#[derive(JsonSchema)]
#[serde(rename_all = "snake_case")]
#[expect(dead_code, reason = "only its schema is used")]
enum Place {
    Path(String),
    Header(HeaderName),
    Query(String),
    Claim(String),
}

#[derive(JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "ApiVersion")]
#[expect(dead_code, reason = "only its schema is used")]
struct Version {
    #[schemars(extend("x-refers-to" = "upstream"))]
    upstream: Name,
    deprecated: Option<Date>,
    sunset: Option<Date>,
}

/// Aggregation.
#[derive(JsonSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "only its schema is used")]
struct Aggregate {
    timeout: Option<Duration>,
    #[schemars(length(min = 1))]
    calls: IndexMap<String, Call>,
    /// The answer; templates may stand anywhere in it.
    body: Option<Value>,
    status: Option<StatusCode>,
}

#[derive(JsonSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "only its schema is used")]
struct Call {
    #[schemars(extend("x-refers-to" = "upstream"))]
    upstream: Name,
    path: String,
    timeout: Option<Duration>,
    #[serde(default)]
    optional: bool,
    fallback: Option<Value>,
}
