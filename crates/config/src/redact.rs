//! The configuration as it may be shown: as written in the files, without the environment and without secrets.

use serde_json::{Map, Value as Json};

use crate::load::Loaded;
use crate::yaml::{Node, Scalar, Value};

/// Words in a key that make its value a secret. Too many is better than too few.
const SECRET_WORDS: [&str; 9] =
    ["secret", "password", "passwd", "token", "credential", "private", "apikey", "api_key", "api-key"];

impl Loaded {
    /// The whole configuration for showing: includes united, `${env.NAME}` as written, secrets as `***`.
    ///
    /// `env:` and `file:` references stay: they say where a secret is, not what it is.
    #[must_use]
    pub fn redacted(&self) -> Json {
        self.sources.root.as_ref().map(|root| show(root, Hidden::No)).unwrap_or_default()
    }
}

#[derive(Clone, Copy, PartialEq)]
enum Hidden {
    No,
    Yes,
}

fn show(node: &Node, hidden: Hidden) -> Json {
    match &node.value {
        Value::Scalar(scalar) => show_scalar(scalar, hidden),
        Value::Seq(items) => items.iter().map(|item| show(item, hidden)).collect(),
        Value::Map(entries) => {
            let shown = entries.iter().map(|entry| {
                let hidden = if is_secret(&entry.key.text) { Hidden::Yes } else { hidden };
                (entry.key.text.to_string(), show(&entry.value, hidden))
            });
            Json::Object(shown.collect::<Map<_, _>>())
        }
    }
}

fn show_scalar(scalar: &Scalar, hidden: Hidden) -> Json {
    let written = scalar.written.as_ref().unwrap_or(&scalar.text);
    let is_reference = written.starts_with("env:") || written.starts_with("file:") || written.starts_with("${");
    match (hidden, &scalar.written) {
        (Hidden::Yes, _) if is_reference => (**written).into(),
        (Hidden::Yes, _) => "***".into(),
        (Hidden::No, Some(written)) => (**written).into(),
        (Hidden::No, None) => scalar.to_json(),
    }
}

fn is_secret(key: &str) -> bool {
    let key = key.to_ascii_lowercase();
    SECRET_WORDS.iter().any(|word| key.contains(word))
        || matches!(key.as_str(), "key" | "keys" | "authorization" | "cookie")
}
