//! `zones`: where in the world the zones of targets are, for upstreams that ask by nearness.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

/// Where a zone is: at least one of `at` and `countries`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("x-example" = include_str!("examples/zone.yaml")))]
pub struct Zone {
    /// Its latitude and longitude in degrees, north and east positive: `[50.1, 8.7]`. A client whose coordinates are known goes to
    /// the zone that is nearest on the globe.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<Coordinates>,
    /// The countries whose clients it serves where only their country is known, by their codes of two letters (ISO 3166-1):
    /// `[DE, AT]`. Such a client counts as being where the zone is. A country may be in several zones: the one that is nearer to the
    /// gateway goes first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(min = 1))]
    pub countries: Vec<Country>,
}

/// A place on the globe: degrees of latitude and longitude.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "[f64; 2]", into = "[f64; 2]")]
pub struct Coordinates {
    /// −90 to 90, north positive.
    pub latitude: f64,
    /// −180 to 180, east positive.
    pub longitude: f64,
}

impl Coordinates {
    /// `None` for what is not on the globe.
    #[must_use]
    pub fn new(latitude: f64, longitude: f64) -> Option<Self> {
        let is_there = (-90.0..=90.0).contains(&latitude) && (-180.0..=180.0).contains(&longitude);
        is_there.then_some(Self { latitude, longitude })
    }
}

impl TryFrom<[f64; 2]> for Coordinates {
    type Error = String;

    fn try_from([latitude, longitude]: [f64; 2]) -> Result<Self, String> {
        Self::new(latitude, longitude).ok_or_else(|| format!("{latitude}, {longitude} is not on the globe"))
    }
}

impl From<Coordinates> for [f64; 2] {
    fn from(at: Coordinates) -> Self {
        [at.latitude, at.longitude]
    }
}

impl JsonSchema for Coordinates {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Coordinates".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "array",
            "prefixItems": [
                { "type": "number", "minimum": -90, "maximum": 90 },
                { "type": "number", "minimum": -180, "maximum": 180 },
            ],
            "minItems": 2,
            "maxItems": 2,
        })
    }
}

/// A country by its code of two capital letters (ISO 3166-1 alpha-2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Country([u8; 2]);

impl Country {
    /// In either case; `None` for what is no such code.
    #[must_use]
    pub fn new(text: &[u8]) -> Option<Self> {
        let letters: [u8; 2] = text.try_into().ok()?;
        letters.iter().all(u8::is_ascii_alphabetic).then(|| Self(letters.map(|letter| letter.to_ascii_uppercase())))
    }
}

impl TryFrom<String> for Country {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        Self::new(text.as_bytes()).ok_or_else(|| format!("{text:?} is not the code of a country, such as DE"))
    }
}

impl From<Country> for String {
    fn from(country: Country) -> Self {
        country.0.map(char::from).iter().collect()
    }
}

impl JsonSchema for Country {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Country".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "pattern": "^[A-Z]{2}$",
            "x-expected": "the code of a country: two capital letters such as DE",
        })
    }
}
