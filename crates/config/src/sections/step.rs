//! One step of a chain: a plugin with its settings, or another chain.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::Place;
use crate::units::Name;

/// A step: a bare plugin name, a map with one plugin key, or `use: <chain>`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Step {
    /// What the step does.
    pub action: Action,
    /// A name for logs, metrics and what the plugin keeps over a reload, which no other step of the same list has. A step of
    /// a later list that has it too is told apart by its list, such as `orders:mine`; nothing is shared by a name. When left
    /// out it is `<chain, route or listener>/<plugin>`, such as `api/rate-limit`; the second step of that plugin in the list
    /// is `api/rate-limit#2`, and so on.
    pub name: Option<Name>,
    /// An [expression](templates.md#expressions); the step runs only when it is true.
    pub when: Option<String>,
    /// Whether the step acts or only records what it would have done.
    pub mode: Mode,
    /// What a failure of the plugin does to the request.
    pub on_error: OnError,
    /// Where the step is written.
    #[serde(skip)]
    pub at: Place,
}

/// What a step does.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// Runs the steps of a chain.
    Use(Name),
    /// Runs a plugin.
    Plugin {
        /// The plugin's name, known to the catalog.
        plugin: String,
        /// Its settings, which hold to the plugin's schema; an empty map for a bare name.
        settings: Value,
    },
}

/// A step with a plugin, and the `use` steps that led to it.
#[derive(Debug, Clone, PartialEq)]
pub struct FlatStep<'a> {
    /// The step; its place is where the chain defines it.
    pub step: &'a Step,
    /// The plugin's name.
    pub plugin: &'a str,
    /// The plugin's settings.
    pub settings: &'a Value,
    /// The `use` steps from the route or listener inwards. What stands beside them (`when`, `mode`, `on_error`)
    /// holds for every step of their chain.
    pub uses: Vec<&'a Step>,
}

/// Whether a step acts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// The plugin's decisions are carried out.
    #[default]
    Enforce,
    /// The plugin decides and the decision is recorded, but the request goes on unchanged.
    Observe,
}

/// What a failure of the plugin (not a refusal by it) does to the request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OnError {
    /// The request fails with 500.
    #[default]
    Fail,
    /// The request goes on as if the step were not there.
    Skip,
}

/// The keys that may stand beside a plugin key; no plugin can have one of these names.
pub(crate) const BESIDE: [&str; 4] = ["name", "when", "mode", "on_error"];

#[derive(Deserialize)]
#[serde(untagged)]
enum Form {
    Bare(String),
    Map(Map<String, Value>),
}

impl<'de> Deserialize<'de> for Step {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        use serde::de::Error;
        let mut map = match Form::deserialize(deserializer)? {
            Form::Bare(plugin) => Map::from_iter([(plugin, Value::Null)]),
            Form::Map(map) => map,
        };
        let name = take(&mut map, "name")?;
        let when = take(&mut map, "when")?;
        let mode = take(&mut map, "mode")?.unwrap_or_default();
        let on_error = take(&mut map, "on_error")?.unwrap_or_default();
        let mut rest = map.into_iter();
        let (Some((key, value)), None) = (rest.next(), rest.next()) else {
            return Err(D::Error::custom("a step has exactly one plugin or `use`"));
        };
        let action = if key == "use" {
            Action::Use(serde_json::from_value(value).map_err(D::Error::custom)?)
        } else {
            let settings = match value {
                Value::Null => Value::Object(Map::new()),
                settings => settings,
            };
            Action::Plugin { plugin: key, settings }
        };
        Ok(Self { action, name, when, mode, on_error, at: Place::default() })
    }
}

fn take<T, E>(map: &mut Map<String, Value>, key: &str) -> Result<Option<T>, E>
where
    T: serde::de::DeserializeOwned,
    E: serde::de::Error,
{
    map.shift_remove(key)
        .map(|value| serde_json::from_value(value).map_err(|e| E::custom(format!("{key}: {e}"))))
        .transpose()
}

/// The parts of the step schema that do not depend on which plugins there are; `schema::compose` adds the plugins.
#[derive(JsonSchema)]
#[expect(dead_code, reason = "only its schema is used")]
struct Beside {
    /// A name for logs, metrics and what the plugin keeps over a reload, which no other step of the same list has. A step of
    /// a later list that has it too is told apart by its list, such as `orders:mine`; nothing is shared by a name. When left
    /// out it is `<chain, route or listener>/<plugin>`, such as `api/rate-limit`; the second step of that plugin in the list
    /// is `api/rate-limit#2`, and so on.
    name: Option<Name>,
    /// An [expression](templates.md#expressions); the step runs only when it is true.
    when: Option<String>,
    /// Whether the step acts or only records what it would have done.
    #[schemars(default)]
    mode: Mode,
    /// What a failure of the plugin does to the request.
    #[schemars(default)]
    on_error: OnError,
    /// Runs the steps of this chain here.
    #[schemars(rename = "use", extend("x-refers-to" = "chain"))]
    chain: Option<Name>,
}

impl JsonSchema for Step {
    fn schema_name() -> Cow<'static, str> {
        "Step".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let beside = Beside::json_schema(generator);
        let properties = beside.get("properties").cloned().unwrap_or_default();
        json_schema!({
            "description": "A step: a bare plugin name, a map with one plugin key, or `use: <chain>`.",
            "x-step": true,
            "properties": properties,
        })
    }
}
