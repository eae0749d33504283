//! Tests of the whole crate: the corpus of broken and valid files, the schema, properties.

mod catalog;
mod corpus;
mod loading;
mod properties;
mod schema;

use std::path::PathBuf;

pub(crate) use catalog::catalog;

/// The environment of every test.
pub(crate) fn env(name: &str) -> Option<String> {
    let value = match name {
        "ADA_KEY" => "ada's key",
        "BOB_KEY" => "bob's key",
        "ADMIN_TOKEN" => "open sesame",
        "HS_SECRET" => "hush",
        "UPSTREAM_PORT" => "9001",
        "TEMPLATE" => "${consumer.id}",
        "EMPTY" => "",
        "WORD" => "forever",
        _ => return None,
    };
    Some(value.to_owned())
}

/// A folder under this crate's `tests/`.
pub(crate) fn folder(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests").join(name)
}
