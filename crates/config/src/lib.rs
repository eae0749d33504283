//! gateway.yaml as types: loading, diagnostics, JSON Schema. No behaviour.
//!
//! [`load`] reads a file with all it includes and gives either a [`Loaded`] configuration or **every** error at once,
//! each with its file, line, column, source line and, where there is one, the word that was probably meant.
//! What the loader must know of plugins comes in as data, the [`Catalog`]. [`schema()`] gives the JSON Schema of the
//! whole file, plugins included; the loader walks that same schema, so that an editor and the loader never disagree.

mod catalog;
mod diagnostic;
mod doubt;
mod elsewhere;
mod load;
mod named;
mod path;
mod redact;
mod render;
mod report;
mod rules;
mod schema;
mod sections;
mod shape;
mod similar;
mod sources;
mod targets;
mod unbuilt;
mod yaml;

/// Values with units, shared with the plugin contract.
pub use portreeve_units as units;

pub use catalog::{Catalog, PluginInfo};
pub use diagnostic::{Diagnostic, Diagnostics};
pub use doubt::Doubts;
pub use load::include::matching;
pub use load::{Env, Loaded, Refused, examine, examine_str, load, load_str};
pub use path::{ConfigPath, Place, Segment};
pub use schema::{reference_markdown, schema};
pub use sections::*;
pub use shape::{Language, Text, UpstreamReference};
pub use sources::Sources;
pub use targets::{parse_targets, read_targets};
pub use units::*;

#[cfg(test)]
mod tests;
