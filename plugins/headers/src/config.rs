//! The settings of `headers`.

use std::collections::BTreeMap;

use portreeve_plugin::prelude::*;
use portreeve_plugin::template::{AtRequest, AtResponse, Phase};
use portreeve_plugin::units::HeaderName;

/// Sets, adds and removes header fields of requests and of answers.
///
/// Fields that frame the message or belong to one connection (`content-length`, `transfer-encoding`, `connection` and so
/// on) are the gateway's own and are refused here, as is the request's `host`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("x-example" = include_str!("../example.yaml")))]
pub struct Config {
    /// Edits of the request, before it goes upstream and before later plugins see it.
    #[serde(default)]
    pub request: Edits<AtRequest>,
    /// Edits of the answer, also of one that the gateway made itself. Values may name `response.status` and
    /// `response.headers.NAME`.
    #[serde(default)]
    pub response: Edits<AtResponse>,
}

/// Edits of one head, done in the order `remove`, `set`, `add`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, bound = "")]
#[schemars(bound = "", rename = "HeaderEdits")]
pub struct Edits<P: Phase> {
    /// Fields that get this value instead of any they had. A value that names something absent removes the field, so that
    /// a client can never put its own in its place; give a default (`${consumer.tier:-none}`) to send it always.
    #[serde(default)]
    pub set: BTreeMap<String, Template<P>>,
    /// Fields that get this value beside those they had. A value that names something absent is left out.
    #[serde(default)]
    pub add: BTreeMap<String, Template<P>>,
    /// Fields to take away.
    #[serde(default)]
    pub remove: Vec<HeaderName>,
}

impl<P: Phase> Default for Edits<P> {
    fn default() -> Self {
        Self { set: BTreeMap::new(), add: BTreeMap::new(), remove: Vec::new() }
    }
}
