//! A regular expression of the file, compiled within bounds: the configuration may hold thousands of them.

use std::fmt;
use std::sync::Arc;

use regex_automata::meta::{Config, Regex};
use regex_automata::util::syntax;

/// Memory that one compiled expression may take, in bytes, and again that of its states while it runs.
const MAX_SIZE: usize = 256 * 1024;

/// A compiled regular expression; equal when written alike. Clones share what is compiled.
#[derive(Clone)]
pub(crate) struct Pattern(Arc<Compiled>);

struct Compiled {
    regex: Regex,
    text: Box<str>,
}

impl Pattern {
    /// Compiles it; the error says in a few words what is wrong.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let bounds = Config::new().nfa_size_limit(Some(MAX_SIZE)).hybrid_cache_capacity(MAX_SIZE);
        let built = Regex::builder().configure(bounds).syntax(syntax::Config::new().nest_limit(64)).build(text);
        let regex = built.map_err(|error| match (error.size_limit(), error.syntax_error()) {
            (Some(limit), _) => format!("more than {limit} bytes when compiled"),
            (None, Some(error)) => {
                // The last line of the crate's drawing says what is wrong; the rest points into it.
                let drawing = error.to_string();
                let reason = drawing.lines().last().unwrap_or_default();
                reason.trim().trim_start_matches("error: ").to_owned()
            }
            (None, None) => error.to_string(),
        })?;
        Ok(Self(Arc::new(Compiled { regex, text: text.into() })))
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0.text
    }

    /// Whether it is found anywhere in the text.
    pub(crate) fn is_match(&self, text: &str) -> bool {
        self.0.regex.is_match(text)
    }

    /// Bytes that it takes, compiled.
    pub(crate) fn size(&self) -> usize {
        self.0.regex.memory_usage()
    }
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.as_str() == other.as_str()
    }
}

impl fmt::Debug for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Pattern({:?})", self.as_str())
    }
}
