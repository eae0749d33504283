//! The configuration as it may be shown: as written in the files, without the environment and without secrets.

use std::collections::HashSet;

use serde_json::{Map, Value as Json};

use crate::load::Loaded;
use crate::units::url;
use crate::yaml::{Node, Scalar, ScalarKind, Span, Value};

/// Words in a key that make its value a secret, with all that is below it, unless its schema says what else it is. Too many is
/// better than too few.
const SECRET_WORDS: [&str; 9] =
    ["secret", "password", "passwd", "token", "credential", "private", "apikey", "api_key", "api-key"];

/// Sections whose keys are names that the file chooses, and say nothing of their values.
const NAMED: [&str; 4] = ["upstreams", "tiers", "chains", "zones"];

impl Loaded {
    /// The whole configuration for showing: includes united, `${env.NAME}` as written, secrets as `***`.
    ///
    /// `env:` and `file:` references stay: they say where a secret is, not what it is.
    #[must_use]
    pub fn redacted(&self) -> Json {
        let root = self.sources.root.as_ref();
        root.map(|root| self.sources.known.show(root, Hidden::No)).unwrap_or_default()
    }
}

/// What is known of values by their schemas.
#[derive(Debug, Clone, Default)]
pub(crate) struct Known {
    /// No secrets, whatever their keys sound like.
    pub(crate) plain: HashSet<Span>,
    /// URLs.
    pub(crate) urls: HashSet<Span>,
}

#[derive(Clone, Copy, PartialEq)]
enum Hidden {
    No,
    Yes,
}

impl Known {
    fn show(&self, node: &Node, hidden: Hidden) -> Json {
        match &node.value {
            Value::Scalar(scalar) => self.show_scalar(scalar, node.span, hidden),
            Value::Seq(items) => items.iter().map(|item| self.show(item, hidden)).collect(),
            Value::Map(entries) => {
                let shown = entries.iter().map(|entry| {
                    let (key, value) = (&*entry.key.text, &entry.value);
                    let shown = match &value.value {
                        Value::Map(named) if hidden == Hidden::No && NAMED.contains(&key) => {
                            let shown = named
                                .iter()
                                .map(|entry| (entry.key.text.to_string(), self.show(&entry.value, Hidden::No)));
                            Json::Object(shown.collect())
                        }
                        _ => self.show(value, below(key, value, hidden)),
                    };
                    (key.to_owned(), shown)
                });
                Json::Object(shown.collect::<Map<_, _>>())
            }
        }
    }

    fn show_scalar(&self, scalar: &Scalar, span: Span, hidden: Hidden) -> Json {
        if hidden == Hidden::Yes && self.is_literal_secret(scalar, span) {
            return "***".into();
        }
        match (&scalar.written, &scalar.kind) {
            (Some(written), _) => url::without_credentials(written).into(),
            (None, ScalarKind::Str) if self.urls.contains(&span) => url::shown(&scalar.text).into(),
            (None, ScalarKind::Str) => url::without_credentials(&scalar.text).into(),
            (None, _) => scalar.to_json(),
        }
    }

    fn is_literal_secret(&self, scalar: &Scalar, span: Span) -> bool {
        let written = scalar.written.as_ref().unwrap_or(&scalar.text);
        let is_reference = written.starts_with("env:")
            || written.starts_with("file:")
            || written.starts_with("${") && written.ends_with('}');
        let is_word = matches!(scalar.kind, ScalarKind::Null | ScalarKind::Bool(_));
        !is_reference && !is_word && !self.plain.contains(&span)
    }

    /// Where secrets stand that are written into the file.
    pub(crate) fn literal_secrets(&self, root: &Node) -> HashSet<Span> {
        let mut found = HashSet::new();
        let mut left = vec![(root, Hidden::No)];
        while let Some((node, hidden)) = left.pop() {
            match &node.value {
                Value::Scalar(scalar) if hidden == Hidden::Yes && self.is_literal_secret(scalar, node.span) => {
                    found.insert(node.span);
                }
                Value::Scalar(_) => {}
                Value::Seq(items) => left.extend(items.iter().map(|item| (item, hidden))),
                Value::Map(entries) => {
                    for entry in &**entries {
                        match &entry.value.value {
                            Value::Map(named) if hidden == Hidden::No && NAMED.contains(&&*entry.key.text) => {
                                left.extend(named.iter().map(|entry| (&entry.value, Hidden::No)));
                            }
                            _ => left.push((&entry.value, below(&entry.key.text, &entry.value, hidden))),
                        }
                    }
                }
            }
        }
        found
    }
}

/// Whether what is below a key is hidden. A map below `key` or `keys` has keys of its own that tell.
fn below(key: &str, value: &Node, hidden: Hidden) -> Hidden {
    let is_weak = is_weak(key);
    let is_map = |node: &Node| matches!(node.value, Value::Map(_));
    let tells_by_itself = is_map(value) || value.items().iter().any(is_map);
    if is_secret(key) && !(is_weak && tells_by_itself) { Hidden::Yes } else { hidden }
}

fn is_weak(key: &str) -> bool {
    matches!(&*key.to_ascii_lowercase(), "key" | "keys")
}

pub(crate) fn is_secret(key: &str) -> bool {
    let key = key.to_ascii_lowercase();
    SECRET_WORDS.iter().any(|word| key.contains(word))
        || matches!(key.as_str(), "key" | "keys" | "authorization" | "cookie")
}
