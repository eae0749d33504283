//! Secrets: `env:NAME` or `file:/path`, read when the file is loaded and never shown.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::{Unit, UnitError, parses};

/// A secret file larger than this is surely the wrong file.
const MAX_FILE_BYTES: u64 = 1024 * 1024;

/// Where a secret comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SecretSource {
    /// The environment variable of this name.
    Env(String),
    /// This file, without a final line break. A relative path counts from the folder of the YAML file that names it.
    File(PathBuf),
}

impl FromStr for SecretSource {
    type Err = UnitError;

    // No message may repeat the text: it may be a secret that somebody pasted.
    fn from_str(text: &str) -> Result<Self, UnitError> {
        if let Some(name) = text.strip_prefix("env:") {
            let letters = name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
            if name.is_empty() || !letters || name.starts_with(|c: char| c.is_ascii_digit()) {
                return Err(UnitError("env: wants the name of an environment variable: env:API_KEY".into()));
            }
            return Ok(Self::Env(name.to_owned()));
        }
        if let Some(path) = text.strip_prefix("file:") {
            if path.is_empty() || path.starts_with("//") {
                return Err(UnitError("file: wants a path: file:/run/secrets/api-key".into()));
            }
            return Ok(Self::File(path.into()));
        }
        Err(UnitError(
            "a secret is never written into the file; write env:NAME (an environment variable) or file:/path".into(),
        ))
    }
}

/// As it stands in the file.
impl fmt::Display for SecretSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Env(name) => write!(f, "env:{name}"),
            Self::File(path) => write!(f, "file:{}", path.display()),
        }
    }
}

impl SecretSource {
    /// Reads the secret.
    ///
    /// # Errors
    /// The variable is not set, the file cannot be read, is larger than 1 MiB or not UTF-8, or the value is empty.
    pub fn read(&self, env: &dyn Fn(&str) -> Option<String>, folder: &Path) -> Result<String, UnitError> {
        let value = match self {
            Self::Env(name) => env(name).ok_or_else(|| UnitError(format!("environment variable {name} is not set")))?,
            Self::File(path) => read_file(&folder.join(path))?,
        };
        if value.is_empty() {
            return Err(UnitError(match self {
                Self::Env(name) => format!("environment variable {name} is empty"),
                Self::File(path) => format!("{} is empty", path.display()),
            }));
        }
        Ok(value)
    }

    /// As [`SecretSource::read`], so that the value is not shown by accident.
    ///
    /// # Errors
    /// As there.
    pub fn secret(&self, env: &dyn Fn(&str) -> Option<String>, folder: &Path) -> Result<Secret, UnitError> {
        Ok(Secret::new(self.clone(), self.read(env, folder)?))
    }
}

fn read_file(path: &Path) -> Result<String, UnitError> {
    use std::io::Read as _;
    let shown = path.display();
    let wrong = |error: std::io::Error| UnitError(format!("cannot read {shown}: {error}"));
    let file = crate::file::open(path).map_err(wrong)?;
    let mut value = String::new();
    file.take(MAX_FILE_BYTES + 1).read_to_string(&mut value).map_err(wrong)?;
    if value.len() as u64 > MAX_FILE_BYTES {
        return Err(UnitError(format!("{shown} is larger than 1 MiB")));
    }
    // `echo secret > file` and every editor add one line break that is not part of the secret.
    let end = value.trim_end_matches(['\r', '\n']).len();
    value.truncate(end);
    Ok(value)
}

/// A secret: where it comes from and, once it has been read, its value. Neither `Debug` nor serialisation shows the value.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret {
    source: SecretSource,
    value: String,
}

impl Secret {
    /// One that has been read.
    #[must_use]
    pub fn new(source: SecretSource, value: impl Into<String>) -> Self {
        Self { source, value: value.into() }
    }

    /// Where it comes from; safe to show.
    #[must_use]
    pub fn source(&self) -> &SecretSource {
        &self.source
    }

    /// The secret itself. Never empty in a loaded configuration.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.value
    }

    pub fn set(&mut self, value: String) {
        self.value = value;
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str("***")
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Self { source: SecretSource::deserialize(deserializer)?, value: String::new() })
    }
}

pub(crate) const UNIT: Unit = Unit {
    kind: "secret",
    expected: "a secret: env:NAME or file:/path",
    check: parses::<SecretSource>,
    bare_number: Some(|_| {
        "a secret is never written into the file; write env:NAME (an environment variable) or file:/path".into()
    }),
};

impl<'de> Deserialize<'de> for SecretSource {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

impl JsonSchema for SecretSource {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Secret".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "A secret, never written into the file: `env:NAME` or `file:/path`.",
            "type": "string",
            "pattern": "^(env:[A-Za-z_][A-Za-z0-9_]*|file:.+)$",
            "x-unit": UNIT.kind,
        })
    }
}

impl JsonSchema for Secret {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        SecretSource::schema_name()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        SecretSource::json_schema(generator)
    }
}
