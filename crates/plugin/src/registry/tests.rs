//! What a registry promises to whoever builds a gateway.

use std::sync::Arc;

use async_trait::async_trait;
use http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};

use super::*;
use crate::cx::RequestCx;
use crate::error::Result;
use crate::reply::{Flow, Reply};
use crate::testing::Probe;

/// The settings of a built-in.
///
/// More about them.
#[derive(Debug, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
struct Config {
    /// Keys to take.
    #[serde(default)]
    keys: Vec<Key>,
}

#[derive(Debug, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
struct Key {
    /// The key itself.
    pem: Pem,
}

/// Text that begins with `-----`.
#[derive(Debug, schemars::JsonSchema)]
struct Pem;

impl<'de> Deserialize<'de> for Pem {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        if text.starts_with("-----") { Ok(Self) } else { Err(serde::de::Error::custom("not PEM")) }
    }
}

struct Builtin;

impl Plugin for Builtin {}

impl Build for Builtin {
    const NAME: &'static str = "guard";
    type Config = Config;

    fn build(config: Config, _: &Host) -> Result<Self, BuildError> {
        if config.keys.len() > 1 {
            return Err(BuildError::at("keys[1].pem", "one key is enough"));
        }
        let read = config.keys.iter().all(|Key { pem: Pem }| true);
        if read { Ok(Self) } else { Err(BuildError::new("unread")) }
    }
}

/// Takes the place of the built-in.
#[derive(Debug, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
struct Nothing {}

struct Custom;

#[async_trait]
impl Plugin for Custom {
    async fn on_request(&self, _: &mut RequestCx<'_>) -> Result<Flow> {
        Ok(Reply::status(StatusCode::IM_A_TEAPOT).into())
    }
}

impl Build for Custom {
    const NAME: &'static str = "guard";
    const AUTHENTICATES: bool = true;
    type Config = Nothing;

    fn build(_: Nothing, _: &Host) -> Result<Self, BuildError> {
        Ok(Self)
    }
}

#[test]
fn a_later_plugin_takes_the_place_of_an_earlier_one_of_the_same_name() {
    let registry = Registry::new().with::<Builtin>().with::<Custom>();
    assert_eq!(registry.iter().count(), 1);
    let guard = registry.get("guard").unwrap();
    assert!(guard.authenticates);
    assert_eq!(guard.summary(), "Takes the place of the built-in.");
    assert!(registry.get("guards").is_none());
}

#[test]
fn the_summary_is_the_first_paragraph_of_the_settings() {
    assert_eq!(Registration::of::<Builtin>().summary(), "The settings of a built-in.");
}

#[test]
fn a_bare_name_is_the_same_as_no_settings() {
    Probe::<Builtin>::new(Value::Null);
    Probe::<Builtin>::new(json!({}));
    let probe = Probe::<Custom>::new(Value::Null);
    assert_eq!(probe.get("/").send().refused().status, 418);
}

#[test]
fn a_mistake_in_nested_settings_is_located_exactly() {
    let error = |settings| Probe::<Builtin>::try_new(settings).unwrap_err();
    assert_eq!(error(json!({ "keys": [{ "pem": "x" }] })), BuildError::at("keys[0].pem", "not PEM"));
    let unknown = error(json!({ "keys": [{ "pem": "-----" , "kid": 1 }] }));
    assert_eq!(unknown.at, "keys[0].kid");
    assert!(unknown.message.starts_with("unknown field `kid`"), "{unknown}");
    assert_eq!(error(json!({ "keyz": [] })).at, "keyz");
    assert_eq!(error(json!({ "keys": [{}] })).to_string(), "keys[0]: missing field `pem`");
    assert_eq!(error(json!("text")).at, "");
    let two = json!({ "keys": [{ "pem": "-----" }, { "pem": "-----" }] });
    assert_eq!(error(two).to_string(), "keys[1].pem: one key is enough");
}

struct Panicking;

impl Plugin for Panicking {}

impl Build for Panicking {
    const NAME: &'static str = "panicking";
    type Config = Nothing;

    fn build(_: Nothing, _: &Host) -> Result<Self, BuildError> {
        panic!("no such table")
    }
}

#[test]
fn a_constructor_that_panics_is_a_mistake_in_the_file_like_any_other() {
    let error = Probe::<Panicking>::try_new(Value::Null).unwrap_err();
    assert_eq!(error, BuildError::new("the plugin panicked: no such table"));
}

#[test]
fn an_instance_tells_which_hooks_it_takes_part_in() {
    let plugin: Arc<dyn Plugin> = Arc::new(Custom);
    let all = [
        "on_request",
        "on_request_body",
        "on_upstream_request",
        "on_send",
        "on_response",
        "on_response_body",
        "on_log",
    ];
    assert_eq!(hook_names(&*plugin), all);
}
