//! Puts the schema together: the types of this crate, and each plugin's schema as definitions that steps refer to.

use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};

use super::plain::{every_schema, without_null};
use crate::catalog::Catalog;
use crate::sections::Config;
use crate::shape::Shape;

/// The name of a plugin's definition.
pub(crate) fn plugin_definition(name: &str) -> String {
    format!("plugin.{name}")
}

pub(crate) fn compose(catalog: &Catalog) -> Value {
    let generator = SchemaSettings::draft2020_12().into_generator();
    let mut root = generator.into_root_schema_for::<Config>().to_value();
    if let Some(definitions) = root.get_mut("$defs").and_then(Value::as_object_mut) {
        for (name, plugin) in &catalog.plugins {
            define_plugin(definitions, name, &plugin.schema, &plugin.summary);
        }
    }
    every_schema(&mut root, &mut without_null);
    let step = step_schema(catalog, &root);
    if let Some(definitions) = root.get_mut("$defs").and_then(Value::as_object_mut) {
        definitions.insert("Step".into(), step);
    }
    root
}

/// Adds a plugin's schema under its own name and its definitions beside it, so that plugins cannot clash.
fn define_plugin(definitions: &mut Map<String, Value>, name: &str, schema: &Value, summary: &str) {
    let mut schema = schema.clone();
    let own = plugin_definition(name);
    every_schema(&mut schema, &mut |map| {
        let Some(Value::String(reference)) = map.get_mut("$ref") else {
            return;
        };
        if reference == "#" {
            *reference = format!("#/$defs/{own}");
        } else if let Some(target) = reference.strip_prefix("#/$defs/") {
            *reference = format!("#/$defs/{own}.{target}");
        }
    });
    if let Value::Object(map) = &mut schema {
        map.shift_remove("$schema");
        map.shift_remove("title");
        if let Some(Value::Object(inner)) = map.shift_remove("$defs") {
            definitions.extend(inner.into_iter().map(|(key, value)| (format!("{own}.{key}"), value)));
        }
        if !map.contains_key("description") {
            map.insert("description".into(), summary.into());
        }
    }
    definitions.insert(own, schema);
}

/// A step: a bare name where a plugin needs no settings, or a map with one plugin or `use`.
fn step_schema(catalog: &Catalog, root: &Value) -> Value {
    let step = root.pointer("/$defs/Step");
    let text = |key: &str| step.and_then(|step| step.get(key)).cloned().unwrap_or_default();
    let mut properties = match text("properties") {
        Value::Object(properties) => properties,
        _ => Map::new(),
    };
    let mut endings = vec![json!({ "required": ["use"] })];
    let mut alone = Vec::new();
    for name in catalog.plugins.keys() {
        let reference = json!({ "$ref": format!("#/$defs/{}", plugin_definition(name)) });
        let stands_alone = Shape::new(root, catalog).stands_alone(name);
        properties.insert(
            name.clone(),
            if stands_alone { json!({ "anyOf": [reference, { "type": "null" }] }) } else { reference },
        );
        endings.push(json!({ "required": [name] }));
        if stands_alone {
            alone.push(name.clone());
        }
    }
    let mut forms = vec![json!({
        "type": "object",
        "properties": properties,
        "additionalProperties": false,
        "oneOf": endings,
    })];
    if !alone.is_empty() {
        forms.insert(0, json!({ "type": "string", "enum": alone }));
    }
    json!({
        "description": text("description"),
        "x-step": true,
        "x-example": include_str!("../sections/examples/step.yaml"),
        "anyOf": forms,
    })
}
