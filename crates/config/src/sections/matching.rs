//! `match`: which requests a route is for.

use indexmap::IndexMap;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::OneOrMany;
use crate::units::{HeaderName, Method};

/// Which requests a route is for. Everything named must hold; nothing named matches every request.
///
/// Of several routes that take a request the most specific one gets it, whatever the order of the file. The first of these points
/// on which they differ decides:
///
/// 1. **Host**: an exact host, then `*.example.com` (the longer name first), then none.
/// 2. **Path**, segment by segment from the left: literal text, then a regular expression, then `{name}`, then `*`, then `**`.
/// 3. **Methods**: a route that names the method, then one that names none. HEAD is also taken by a route that names GET.
/// 4. **Conditions**: the one with more of `headers`, `query` and `cookies`.
/// 5. **`if`**: the one that has it.
/// 6. **`priority`** of the route: the higher number. It decides between routes that are equal in all of the above.
///
/// A route that does not hold is passed over for the next. Two routes that would take the same request while no point tells them
/// apart are an error when the file is loaded, and so is one that others always take everything from.
///
/// Paths are compared decoded: `/%40me` is `/@me`. A path with parameters (`/a;b=c`) is matched as it is and without them, as some
/// servers read it, and is 400 where those are two routes, unless the route's own path has a `;`.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("x-example" = include_str!("examples/match.yaml")))]
pub struct Match {
    /// A host name, exact or `*.example.com`; or a list, of which one must match.
    #[serde(default)]
    pub host: OneOrMany<String>,
    /// A path of literal segments, `{name}`, `*` and a final `**`, or `regex:` and an expression;
    /// or a list, of which one must match.
    #[serde(default)]
    pub path: OneOrMany<String>,
    /// The methods; all but TRACE when left out. TRACE sends back what the target was sent, with all that the gateway and its
    /// plugins have added: who wants that names it. Methods that are not named here may go to another route: where that is
    /// public and this one is not, a warning says so when the file is loaded, for requests without headers and query.
    #[serde(default)]
    pub methods: Vec<Method>,
    /// Headers by name, each with its test.
    #[serde(default)]
    #[schemars(schema_with = "headers_schema")]
    pub headers: IndexMap<HeaderName, ValueMatch>,
    /// Query parameters by name, each with its test.
    #[serde(default)]
    pub query: IndexMap<String, ValueMatch>,
    /// Cookies by name, each with its test.
    #[serde(default)]
    pub cookies: IndexMap<String, ValueMatch>,
    /// An [expression](templates.md#expressions) of `request` that must be true. A route with one goes before the same route without. Two routes that differ by it
    /// alone need conditions that exclude each other, such as `request.headers.x == 'a'` and `request.headers.x == 'b'`.
    #[serde(default, rename = "if", skip_serializing_if = "Option::is_none")]
    pub condition: Option<String>,
}

/// A test of one header, query parameter or cookie.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(from = "Form", into = "Form")]
pub enum ValueMatch {
    /// The value is exactly this.
    Exact(String),
    /// It is there, or it is not there.
    Present(bool),
    /// The value begins with this.
    Prefix(String),
    /// The whole value matches this regular expression.
    Regex(String),
    /// The value is one of these.
    OneOf(Vec<String>),
}

/// A test of one value: the exact text, or a map with one of these keys.
#[derive(Clone, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
#[schemars(rename = "ValueMatch")]
enum Form {
    /// The exact value.
    Exact(String),
    Test(Test),
}

#[derive(Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(inline)]
enum Test {
    /// `true`: it must be there. `false`: it must not.
    Present(bool),
    /// The value begins with this.
    Prefix(String),
    /// The whole value matches this regular expression.
    Regex(String),
    /// The value is one of these.
    OneOf(Vec<String>),
}

impl From<Form> for ValueMatch {
    fn from(form: Form) -> Self {
        match form {
            Form::Exact(value) => Self::Exact(value),
            Form::Test(Test::Present(present)) => Self::Present(present),
            Form::Test(Test::Prefix(prefix)) => Self::Prefix(prefix),
            Form::Test(Test::Regex(regex)) => Self::Regex(regex),
            Form::Test(Test::OneOf(values)) => Self::OneOf(values),
        }
    }
}

impl From<ValueMatch> for Form {
    fn from(value: ValueMatch) -> Self {
        match value {
            ValueMatch::Exact(value) => Self::Exact(value),
            ValueMatch::Present(present) => Self::Test(Test::Present(present)),
            ValueMatch::Prefix(prefix) => Self::Test(Test::Prefix(prefix)),
            ValueMatch::Regex(regex) => Self::Test(Test::Regex(regex)),
            ValueMatch::OneOf(values) => Self::Test(Test::OneOf(values)),
        }
    }
}

impl JsonSchema for ValueMatch {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        Form::schema_name()
    }

    fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        Form::json_schema(generator)
    }
}

fn headers_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
    schemars::json_schema!({
        "type": "object",
        "propertyNames": generator.subschema_for::<HeaderName>(),
        "additionalProperties": generator.subschema_for::<ValueMatch>(),
    })
}
