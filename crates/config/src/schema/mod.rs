//! The JSON Schema of the whole file, plugins included.

mod compose;
mod index;
mod plain;
mod reference;

use serde_json::Value;

pub(crate) use compose::{compose, plugin_definition};
pub use reference::reference_markdown;

use crate::catalog::Catalog;

/// The JSON Schema (draft 2020-12) of gateway.yaml with the plugins of `catalog`, for editors and `portreeve schema`.
///
/// It refuses what a schema can refuse: wrong shapes, unknown keys, malformed units, features that are not built.
/// References between sections, cycles and the like are for [`load`](crate::load).
#[must_use]
pub fn schema(catalog: &Catalog) -> Value {
    let mut schema = compose(catalog);
    plain::every_schema(&mut schema, &mut |map| {
        // Of the reference page: a whole file, where an editor expects the value of a key.
        map.shift_remove("x-example");
        plain::with_environment(map);
    });
    schema
}
