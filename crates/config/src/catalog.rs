//! What the loader must know of plugins, as data: this crate depends on no plugin and no contract.

use std::collections::BTreeMap;

use serde_json::Value;

/// The plugins of this binary.
#[derive(Debug, Clone, Default)]
pub struct Catalog {
    /// Plugins by the name they have in YAML.
    pub plugins: BTreeMap<String, PluginInfo>,
}

/// One plugin.
///
/// Beside the keywords of JSON Schema its schema may use `x-unit` (`duration`, `size`, `rate`, `percent`, `date`,
/// `address`, `name`, `secret`, `url`, `method`, `header-name`: the text is checked as that unit), `x-refers-to`
/// (`upstream`, `tier`, `chain`: the text must be a name defined in the file) and `x-expected` (completes
/// "expected …" in messages), `x-template` and `x-expression` (the text, or every text in the value, is written in that
/// language; the word says for which moment of a request), and `x-regex: true` (the text is a regular expression in the
/// syntax of the `regex` crate, which counts towards what all those of a file may take).
#[derive(Debug, Clone)]
pub struct PluginInfo {
    /// The JSON Schema of its settings, with its own `$defs` if it has some.
    pub schema: Value,
    /// Whether a caller that it lets through is known.
    pub authenticates: bool,
    /// Whether it always answers or always chooses an upstream, so that a route may end with it.
    pub ends_chain: bool,
    /// One sentence: what it is for.
    pub summary: String,
}
