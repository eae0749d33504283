//! The schema and the page made from it.

use serde_json::Value;

use super::catalog;
use crate::{Catalog, reference_markdown, schema};

#[test]
fn the_schema_is_valid_by_its_own_dialect() {
    let schema = schema(&catalog());
    assert_eq!(schema["$schema"], "https://json-schema.org/draft/2020-12/schema");
    assert!(jsonschema::meta::is_valid(&schema));
}

#[test]
fn every_reference_in_the_schema_leads_somewhere() {
    fn check(root: &Value, value: &Value) {
        match value {
            Value::Object(map) => {
                if let Some(Value::String(reference)) = map.get("$ref") {
                    let target = reference.strip_prefix('#').and_then(|pointer| root.pointer(pointer));
                    assert!(target.is_some(), "{reference} leads nowhere");
                }
                map.values().for_each(|value| check(root, value));
            }
            Value::Array(list) => list.iter().for_each(|value| check(root, value)),
            _ => {}
        }
    }
    let schema = schema(&catalog());
    check(&schema, &schema);
}

#[test]
fn a_binary_without_plugins_has_a_schema_too() {
    assert!(jsonschema::meta::is_valid(&schema(&Catalog::default())));
}

#[test]
fn every_key_of_the_typed_sections_has_a_description() {
    let schema = schema(&Catalog::default());
    let mut bare = Vec::new();
    for (name, definition) in schema["$defs"].as_object().unwrap() {
        for (key, property) in definition["properties"].as_object().into_iter().flatten() {
            if property.get("description").is_none() {
                bare.push(format!("{name}.{key}"));
            }
        }
    }
    assert!(bare.is_empty(), "{bare:?}");
}

/// Sections within others that people write more of than one key.
const NESTED: [&str; 26] = [
    "ListenerLimits",
    "ListenerTls",
    "Hsts",
    "Tcp",
    "UsageExport",
    "Target",
    "Discover",
    "Balance",
    "Sticky",
    "Failover",
    "Outlier",
    "CircuitBreaker",
    "Health",
    "Retry",
    "Hedge",
    "Timeouts",
    "UpstreamLimits",
    "UpstreamTls",
    "Match",
    "RouteUpstreams",
    "Mirror",
    "RouteRetry",
    "Respond",
    "Redirect",
    "RouteLimits",
    "RouteTimeouts",
];

#[test]
fn the_page_has_an_example_for_each_section_of_the_file_and_none_reaches_the_schema() {
    let page = reference_markdown(&catalog());
    let schema = schema(&Catalog::default());
    let sections = schema["properties"].as_object().unwrap().values();
    // A section of its own, whether it is there once, in a list or under names.
    let name = |section: &Value| {
        let forms =
            [section, &section["items"], &section["additionalProperties"], &section["additionalProperties"]["items"]];
        let reference = forms.iter().find_map(|form| form["$ref"].as_str())?;
        let name = reference.strip_prefix("#/$defs/")?.to_owned();
        schema["$defs"][&name]["type"].as_str().is_none_or(|kind| kind == "object").then_some(name)
    };
    let names: Vec<_> = sections.filter_map(name).chain(NESTED.map(str::to_owned)).collect();
    assert!(names.len() >= 14 + NESTED.len() - 2, "{names:?}");
    for name in names {
        let section = page.split(&format!("\n## {name}\n")).nth(1).unwrap_or_else(|| panic!("no section {name}"));
        let section = section.split("\n## ").next().unwrap();
        assert!(section.contains("```yaml\n"), "{name} has no example");
    }
    assert!(!schema.to_string().contains("x-example"));
}

#[test]
fn the_reference_page_has_every_section_and_plugin_and_no_dead_link() {
    let page = reference_markdown(&catalog());
    for heading in ["## Listener", "## Upstream", "## Route", "## Step", "## Duration", "### jwt", "#### jwt: Key"] {
        assert!(page.contains(&format!("\n{heading}\n")), "{heading} is missing:\n{page}");
    }
    let anchors: Vec<String> = page
        .lines()
        .filter_map(|line| line.strip_prefix("## ").or(line.strip_prefix("### ")).or(line.strip_prefix("#### ")))
        .map(|title| title.to_lowercase().replace(' ', "-").replace(':', ""))
        .collect();
    for link in page.split("](#").skip(1) {
        let link = link.split(')').next().unwrap();
        assert!(anchors.iter().any(|anchor| anchor == link), "#{link} leads nowhere");
    }
}
