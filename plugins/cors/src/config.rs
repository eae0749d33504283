//! The settings of `cors`, and what of them cannot work.

use http::HeaderValue;
use portreeve_plugin::units::{Duration, DurationOrZero, HeaderName, Method};
use portreeve_plugin::{Build, BuildError, Host};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;

use crate::Cors;
use crate::origins::Origins;

/// Lets web pages of other origins use the API (cross-origin resource sharing).
///
/// Answers preflight requests itself, with 204, so it belongs before the plugins that authenticate. A page of an origin that
/// is not allowed gets no CORS header and its browser keeps the answer from it; the request itself is not refused. CORS
/// headers of the upstream are replaced.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("x-example" = include_str!("../example.yaml")))]
pub struct Config {
    /// Origins that may use the API, such as `https://app.example.com`, or `*` alone for any. A `*` may also stand for the labels
    /// before a domain (`https://*.example.com`), for the whole host (`https://*`, `chrome-extension://*`), for http and https
    /// (`*://app.example.com`) and for the port (`http://localhost:*`); where no port is written it is the scheme's own. With
    /// `credentials` each page of such an origin can act for its visitors: `https://*` are all pages there are.
    #[schemars(length(min = 1))]
    origins: Vec<String>,
    /// Methods a page may send. GET, HEAD, POST, PUT, PATCH and DELETE by default; `["*"]` for any, if without
    /// `credentials`.
    #[serde(default = "default_methods")]
    #[schemars(schema_with = "methods_schema")]
    methods: Vec<String>,
    /// Request headers a page may set besides those that always may. `authorization` and `content-type` by default; `["*"]`
    /// for any but `authorization`, if without `credentials`.
    #[serde(default = "default_headers")]
    #[schemars(schema_with = "headers_schema")]
    headers: Vec<String>,
    /// Response headers a page may read besides those that it always may. None by default; `["*"]` for any, if without
    /// `credentials`.
    #[serde(default)]
    #[schemars(schema_with = "headers_schema")]
    expose_headers: Vec<String>,
    /// Whether a page may send cookies and HTTP authentication along. Not together with `*` alone in any list here; with a
    /// pattern in `origins` the answer names the origin that asked, and varies by it.
    #[serde(default)]
    credentials: bool,
    /// How long a browser may remember the answer to a preflight. `10m` by default, and not at all with `0s`; browsers have
    /// their own maximum.
    #[serde(default = "default_max_age")]
    max_age: DurationOrZero,
}

impl Build for Cors {
    const NAME: &'static str = "cors";
    type Config = Config;

    fn build(config: Config, _host: &Host) -> Result<Self, BuildError> {
        let origins = Origins::new(&config.origins)?;
        if config.credentials && origins.are_any() {
            let message =
                "\"*\" cannot be combined with `credentials`: every web page could act for its visitors; name them";
            return Err(BuildError::at("origins", message));
        }
        let lists =
            [("methods", &config.methods), ("headers", &config.headers), ("expose_headers", &config.expose_headers)];
        for (at, names) in lists {
            let has_star = names.iter().any(|name| name == "*");
            // With credentials a browser reads `*` as a name, not as a wildcard.
            if has_star && config.credentials {
                return Err(BuildError::at(
                    at,
                    "\"*\" means nothing to browsers together with `credentials`; name them",
                ));
            }
            if has_star && names.len() > 1 && at != "headers" {
                return Err(BuildError::at(at, "\"*\" stands alone"));
            }
        }
        let method = |name: &str| name.parse::<Method>().map(|_| ()).map_err(|error| error.to_string());
        let header = |name: &str| name.parse::<HeaderName>().map(|_| ()).map_err(|error| error.to_string());
        Ok(Self {
            origins,
            methods: joined("methods", &config.methods, method)?
                .ok_or_else(|| BuildError::at("methods", "name at least one method"))?,
            headers: joined("headers", &config.headers, header)?,
            expose_headers: joined("expose_headers", &config.expose_headers, header)?,
            credentials: config.credentials,
            max_age: HeaderValue::from(config.max_age.get().as_secs()),
        })
    }
}

/// The names as one header value; `None` if there are none.
fn joined(
    at: &str,
    names: &[String],
    check: impl Fn(&str) -> Result<(), String>,
) -> Result<Option<HeaderValue>, BuildError> {
    for (place, name) in names.iter().enumerate().filter(|(_, name)| *name != "*") {
        check(name).map_err(|message| BuildError::at(format!("{at}[{place}]"), message))?;
    }
    if names.is_empty() {
        return Ok(None);
    }
    let value = HeaderValue::try_from(names.join(", "));
    value.map(Some).map_err(|_| BuildError::at(at, "not the value of a header"))
}

fn default_methods() -> Vec<String> {
    ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"].map(String::from).into()
}

fn default_headers() -> Vec<String> {
    ["authorization", "content-type"].map(String::from).into()
}

fn default_max_age() -> DurationOrZero {
    DurationOrZero::new(Duration::from_secs(600))
}

fn methods_schema(_: &mut SchemaGenerator) -> Schema {
    let method = json_schema!({
        "type": "string",
        "pattern": r"^(\*|[A-Z!#$%&'*+.^_`|~0-9-]+)$",
        "x-expected": "a method in capitals such as GET, or *",
    });
    json_schema!({ "type": "array", "items": method, "minItems": 1 })
}

fn headers_schema(_: &mut SchemaGenerator) -> Schema {
    let header = json_schema!({
        "type": "string",
        "pattern": "^[A-Za-z0-9!#$%&'*+.^_`|~-]+$",
        "x-expected": "the name of a header, or *",
    });
    json_schema!({ "type": "array", "items": header })
}
