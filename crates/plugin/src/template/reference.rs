//! What a template can name: one variant per form of `root.path`, with header names prepared and JSON paths split.

use std::fmt;

use http::HeaderName;
use serde_json::Value;

use super::cursor::{Quoted, is_name};
use super::phase::Roots;

/// One value that a request, its consumer or its answer may have. `env.NAME` is not among them: it is folded at load.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Reference {
    /// `request.method`
    Method,
    /// `request.path`, normalised, without the query.
    Path,
    /// `request.host`
    Host,
    /// `request.client_ip`
    ClientIp,
    /// `request.id`: the id by which logs and error pages name the request; missing until something has asked for it.
    RequestId,
    /// `request.route`: the name of the route that was found; missing in the chain of a listener.
    Route,
    /// `request.headers.NAME`
    Header(HeaderName),
    /// `request.query.NAME`, decoded.
    Query(Box<str>),
    /// `request.cookies.NAME`
    Cookie(Box<str>),
    /// `params.NAME`, decoded.
    Param(Box<str>),
    /// `consumer.id`
    ConsumerId,
    /// `consumer.tier`
    ConsumerTier,
    /// `consumer.groups`
    ConsumerGroups,
    /// `consumer.scopes`
    ConsumerScopes,
    /// `consumer.method`
    ConsumerMethod,
    /// `consumer.credential`
    ConsumerCredential,
    /// `claims.PATH`
    Claim(JsonPath),
    /// `calls.NAME` or `calls.NAME.PATH`
    Call {
        /// Which call.
        name: Box<str>,
        /// Where in its answer; empty for all of it.
        path: JsonPath,
    },
    /// `response.status`
    ResponseStatus,
    /// `response.headers.NAME`
    ResponseHeader(HeaderName),
}

/// What is known at load about the type of a reference. Every one may also be missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Text,
    Integer,
    List,
    Any,
}

impl Reference {
    /// The root it belongs to: one bit.
    pub fn root(&self) -> Roots {
        match self {
            Self::Method
            | Self::Path
            | Self::Host
            | Self::ClientIp
            | Self::RequestId
            | Self::Route
            | Self::Header(_)
            | Self::Query(_)
            | Self::Cookie(_) => Roots::REQUEST,
            Self::Param(_) => Roots::PARAMS,
            Self::ConsumerId
            | Self::ConsumerTier
            | Self::ConsumerGroups
            | Self::ConsumerScopes
            | Self::ConsumerMethod
            | Self::ConsumerCredential => Roots::CONSUMER,
            Self::Claim(_) => Roots::CLAIMS,
            Self::Call { .. } => Roots::CALLS,
            Self::ResponseStatus | Self::ResponseHeader(_) => Roots::RESPONSE,
        }
    }

    pub(crate) fn kind(&self) -> Kind {
        match self {
            Self::Claim(_) | Self::Call { .. } => Kind::Any,
            Self::ResponseStatus => Kind::Integer,
            Self::ConsumerGroups | Self::ConsumerScopes => Kind::List,
            _ => Kind::Text,
        }
    }

    /// `params.rest` is what a final `**` matched: several segments, whose slashes are separators.
    pub(crate) fn is_tail(&self) -> bool {
        matches!(self, Self::Param(name) if &**name == "rest")
    }
}

/// A path into a JSON value. Empty: the value itself.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Default)]
pub struct JsonPath(Box<[Step]>);

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Step {
    key: Box<str>,
    /// The key as an index, for when the value turns out to be an array.
    index: Option<usize>,
}

impl JsonPath {
    /// The value at this path inside `root`. A number picks from an array by position and from an object by name.
    pub fn find<'v>(&self, root: &'v Value) -> Option<&'v Value> {
        descend(Some(root), &self.0)
    }

    /// The value at this path, the first step being a key of `root`: claims are held as a map. An empty path finds nothing.
    pub fn find_in<'v>(&self, root: &'v serde_json::Map<String, Value>) -> Option<&'v Value> {
        let (first, rest) = self.0.split_first()?;
        descend(root.get(&*first.key), rest)
    }

    /// Whether the path is the value itself.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The keys of the path, in order.
    pub fn keys(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|step| &*step.key)
    }
}

fn descend<'v>(from: Option<&'v Value>, steps: &[Step]) -> Option<&'v Value> {
    steps.iter().try_fold(from?, |value, step| match value {
        Value::Object(object) => object.get(&*step.key),
        Value::Array(array) => array.get(step.index?),
        _ => None,
    })
}

impl FromIterator<String> for JsonPath {
    fn from_iter<I: IntoIterator<Item = String>>(keys: I) -> Self {
        Self(
            keys.into_iter()
                .map(|key| Step {
                    // `usize` also parses "+1" and "01", which are names, not positions.
                    index: key.parse().ok().filter(|index: &usize| index.to_string() == key),
                    key: key.into(),
                })
                .collect(),
        )
    }
}

/// `.name`, or `['any name']` where a dot would not do.
struct Member<'a>(&'a str);

impl fmt::Display for Member<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if is_name(self.0) { write!(f, ".{}", self.0) } else { write!(f, "[{}]", Quoted(self.0)) }
    }
}

impl fmt::Display for JsonPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.keys().try_for_each(|key| Member(key).fmt(f))
    }
}

/// The canonical spelling, which parses back to the same reference.
impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Method => f.write_str("request.method"),
            Self::Path => f.write_str("request.path"),
            Self::Host => f.write_str("request.host"),
            Self::ClientIp => f.write_str("request.client_ip"),
            Self::RequestId => f.write_str("request.id"),
            Self::Route => f.write_str("request.route"),
            Self::Header(name) => write!(f, "request.headers{}", Member(name.as_str())),
            Self::Query(name) => write!(f, "request.query{}", Member(name)),
            Self::Cookie(name) => write!(f, "request.cookies{}", Member(name)),
            Self::Param(name) => write!(f, "params{}", Member(name)),
            Self::ConsumerId => f.write_str("consumer.id"),
            Self::ConsumerTier => f.write_str("consumer.tier"),
            Self::ConsumerGroups => f.write_str("consumer.groups"),
            Self::ConsumerScopes => f.write_str("consumer.scopes"),
            Self::ConsumerMethod => f.write_str("consumer.method"),
            Self::ConsumerCredential => f.write_str("consumer.credential"),
            Self::Claim(path) => write!(f, "claims{path}"),
            Self::Call { name, path } => write!(f, "calls{}{path}", Member(name)),
            Self::ResponseStatus => f.write_str("response.status"),
            Self::ResponseHeader(name) => write!(f, "response.headers{}", Member(name.as_str())),
        }
    }
}
