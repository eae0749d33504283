//! Any text either loads or gives errors that print, and what is sound of it can be walked like a whole configuration;
//! nothing panics, nothing runs away.

#![no_main]

use std::collections::BTreeMap;

use libfuzzer_sys::fuzz_target;
use portreeve_config::{Catalog, Loaded, PluginInfo, examine_str};

fuzz_target!(|text: &str| {
    let schema = serde_json::json!({
        "type": "object",
        "properties": { "header": { "type": "string", "x-unit": "header-name" }, "limit": { "anyOf": [
            { "type": "string", "enum": ["tier"] },
            { "type": "object", "properties": { "rate": { "x-unit": "rate", "type": "string" } }, "required": ["rate"] },
        ] } },
        "additionalProperties": false,
    });
    let plugin = |authenticates, ends_chain| PluginInfo { schema: schema.clone(), authenticates, ends_chain, summary: String::new() };
    let plugins = BTreeMap::from([
        ("key-auth".to_owned(), plugin(true, false)),
        ("request-id".to_owned(), plugin(false, false)),
        ("aggregate".to_owned(), plugin(false, true)),
    ]);
    // No include may leave the fuzzer's input for the disk.
    if text.contains("include") {
        return;
    }
    let env = |name: &str| (name.len() % 2 == 0).then(|| name.to_lowercase());
    match examine_str("gateway.yaml", text, &Catalog { plugins }, &env) {
        Ok(loaded) => walk(&loaded),
        Err(refused) => {
            assert!(!refused.errors.is_empty() && !refused.to_string().is_empty());
            refused.rest.iter().for_each(|rest| walk(rest));
        }
    }
});

fn walk(loaded: &Loaded) {
    let _shown = loaded.redacted();
    for (index, route) in loaded.config.routes.iter().enumerate() {
        assert!(loaded.config.flatten(&route.plugins).len() <= portreeve_config::MAX_STEPS, "routes[{index}]");
    }
}
