//! Shapes that several sections share: maps of named things, header maps.

use std::borrow::Cow;
use std::ops::Deref;

use indexmap::IndexMap;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

use crate::units::{HeaderName, Name};

/// A map from names that users choose to values, in the order of the file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Named<V>(IndexMap<Name, V>);

impl<V> Default for Named<V> {
    fn default() -> Self {
        Self(IndexMap::new())
    }
}

impl<V> Deref for Named<V> {
    type Target = IndexMap<Name, V>;

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

impl<V> Named<V> {
    pub(crate) fn values_mut(&mut self) -> impl Iterator<Item = (&Name, &mut V)> {
        self.0.iter_mut()
    }
}

impl<'a, V> IntoIterator for &'a Named<V> {
    type Item = (&'a Name, &'a V);
    type IntoIter = indexmap::map::Iter<'a, Name, V>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.iter()
    }
}

impl<V: JsonSchema> JsonSchema for Named<V> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        format!("Named_{}", V::schema_name()).into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "object",
            "propertyNames": generator.subschema_for::<Name>(),
            "additionalProperties": generator.subschema_for::<V>(),
        })
    }
}

/// Header names with their values; the names are in lower case, the order is the file's.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Headers(IndexMap<HeaderName, String>);

impl Headers {
    /// Adds a header unless there is one of this name.
    pub(crate) fn add(&mut self, name: HeaderName, value: &str) {
        self.0.entry(name).or_insert_with(|| value.to_owned());
    }
}

impl Deref for Headers {
    type Target = IndexMap<HeaderName, String>;

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

impl<'a> IntoIterator for &'a Headers {
    type Item = (&'a HeaderName, &'a String);
    type IntoIter = indexmap::map::Iter<'a, HeaderName, String>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.iter()
    }
}

impl JsonSchema for Headers {
    fn schema_name() -> Cow<'static, str> {
        "Headers".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "Header names with their values.",
            "type": "object",
            "propertyNames": generator.subschema_for::<HeaderName>(),
            "additionalProperties": { "type": "string" },
        })
    }
}
