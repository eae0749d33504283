//! Walking a schema as schemas: into keywords that hold schemas, never into values or property names.

use serde_json::{Map, Value, json};

/// Keywords whose value is one schema.
const ONE: [&str; 8] = ["additionalProperties", "items", "propertyNames", "not", "if", "then", "else", "contains"];
/// Keywords whose value is a list of schemas.
const LIST: [&str; 4] = ["anyOf", "oneOf", "allOf", "prefixItems"];
/// Keywords whose value is a map from names to schemas.
const MAP: [&str; 4] = ["properties", "patternProperties", "$defs", "dependentSchemas"];

/// Calls `change` on a schema and every schema in it, the innermost first.
pub(super) fn every_schema(schema: &mut Value, change: &mut dyn FnMut(&mut Map<String, Value>)) {
    let Value::Object(map) = schema else {
        return;
    };
    for (keyword, value) in map.iter_mut() {
        match value {
            Value::Array(schemas) if LIST.contains(&keyword.as_str()) => {
                for schema in schemas {
                    every_schema(schema, change);
                }
            }
            Value::Object(schemas) if MAP.contains(&keyword.as_str()) => {
                schemas.values_mut().for_each(|schema| every_schema(schema, change));
            }
            schema if ONE.contains(&keyword.as_str()) => every_schema(schema, change),
            _ => {}
        }
    }
    change(map);
}

/// Takes `null` out of a schema that also allows something else. In YAML a key without a value is a slip or a list
/// commented out, and must not pass for "not set".
pub(super) fn without_null(map: &mut Map<String, Value>) {
    if let Some(Value::Array(types)) = map.get_mut("type") {
        if types.len() > 1 {
            types.retain(|kind| kind != "null");
        }
        if let [only] = types.as_slice() {
            let only = only.clone();
            map.insert("type".into(), only);
        }
    }
    if let Some(Value::Array(branches)) = map.get_mut("anyOf") {
        if branches.len() > 1 {
            branches.retain(|branch| branch.get("type").is_none_or(|kind| kind != "null"));
        }
        if let [Value::Object(only)] = branches.as_slice() {
            // `{ anyOf: [{ $ref }], description }` says no more than `{ $ref, description }`.
            let only = only.clone();
            map.shift_remove("anyOf");
            for (keyword, value) in only {
                map.entry(keyword).or_insert(value);
            }
        }
    }
    if let Some(Value::Array(words)) = map.get_mut("enum")
        && words.len() > 1
    {
        words.retain(|word| !word.is_null());
    }
    if map.get("default").is_some_and(Value::is_null) {
        map.shift_remove("default");
    }
}

/// Lets `${env.NAME}` stand where a pattern or a number is wanted: an editor sees the file before substitution.
pub(super) fn with_environment(map: &mut Map<String, Value>) {
    const ENVIRONMENT: &str = r"\$\{\s*env\.";
    if let Some(Value::String(pattern)) = map.get_mut("pattern") {
        *pattern = format!("(?:{pattern})|(?:{ENVIRONMENT})");
        return;
    }
    let kind = map.get("type").and_then(Value::as_str);
    if let Some(kind @ ("integer" | "number" | "boolean")) = kind
        && !map.contains_key("enum")
    {
        let kinds = json!([kind, "string"]);
        map.insert("type".into(), kinds);
        map.insert("pattern".into(), ENVIRONMENT.into());
    }
}
