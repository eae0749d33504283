//! A line of either log, as a strict reader has it: each name once, and one form of time.

use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::{Map, Value};

/// Reads a line of a log.
///
/// # Panics
/// When it is no object, has a name twice (which many a parser overlooks), does not begin with a time in RFC 3339 and UTC with
/// microseconds, or tells of an error in the words of a library's types.
pub fn log_line(text: &str) -> Value {
    let Strict(line) = serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"));
    let time = line.get("time").and_then(Value::as_str).unwrap_or_else(|| panic!("no time: {text}"));
    assert!(text.starts_with("{\"time\":\"") && !line.contains_key("timestamp"), "{text}");
    let shape: String = time.chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect();
    assert_eq!(shape, "0000-00-00T00:00:00.000000Z", "{text}");
    let error = line.get("error").and_then(Value::as_str).unwrap_or_default();
    assert!(!error.contains("HTTPStatus") && !error.contains(" context: ") && error.trim() == error, "{text}");
    Value::Object(line)
}

/// An object with each name once.
struct Strict(Map<String, Value>);

impl<'de> Deserialize<'de> for Strict {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Names)
    }
}

struct Names;

impl<'de> Visitor<'de> for Names {
    type Value = Strict;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Strict, A::Error> {
        let mut all = Map::new();
        while let Some((name, value)) = map.next_entry::<String, Value>()? {
            if all.insert(name.clone(), value).is_some() {
                return Err(serde::de::Error::custom(format!("{name} stands twice")));
            }
        }
        Ok(Strict(all))
    }
}
