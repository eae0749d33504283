//! Whether a settings schema says what each setting is for.

use serde_json::Value;

/// Keywords whose values are data, not schemas.
const DATA: [&str; 4] = ["default", "examples", "const", "enum"];

/// Requires a description of the settings as a whole and of every property at any depth.
#[track_caller]
pub(super) fn is_described(plugin: &str, schema: &Value) {
    assert!(described(schema, schema), "{plugin}: the settings as a whole have no doc comment");
    let mut bare = Vec::new();
    walk(schema, schema, Branch::No, "", &mut bare);
    assert!(bare.is_empty(), "{plugin}: settings without a doc comment: {}", bare.join(", "));
}

/// Whether a schema is one of several alternatives.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Branch {
    Yes,
    No,
}

fn walk(root: &Value, schema: &Value, branch: Branch, at: &str, bare: &mut Vec<String>) {
    match schema {
        Value::Object(keywords) => {
            if let Some(Value::Object(properties)) = keywords.get("properties") {
                // The single property of an enum variant is described by what describes the variant.
                let variant = branch == Branch::Yes && properties.len() == 1 && described(root, schema);
                for (name, property) in properties {
                    let at = format!("{at}.{name}");
                    if !variant && property.get("const").is_none() && !described(root, property) {
                        bare.push(at.trim_start_matches('.').to_owned());
                    }
                    walk(root, property, Branch::No, &at, bare);
                }
            }
            for (keyword, value) in keywords {
                if keyword != "properties" && !DATA.contains(&keyword.as_str()) {
                    let branch = if matches!(keyword.as_str(), "oneOf" | "anyOf") { Branch::Yes } else { Branch::No };
                    walk(root, value, branch, at, bare);
                }
            }
        }
        Value::Array(schemas) => schemas.iter().for_each(|schema| walk(root, schema, branch, at, bare)),
        _ => {}
    }
}

/// Whether this schema has a description, itself or where it points.
fn described(root: &Value, schema: &Value) -> bool {
    let own = schema.get("description").and_then(Value::as_str).is_some_and(|text| !text.trim().is_empty());
    own || schema
        .get("$ref")
        .and_then(Value::as_str)
        .and_then(|target| root.pointer(target.strip_prefix('#')?))
        .is_some_and(|target| target.get("description").is_some())
}
