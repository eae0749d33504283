//! The two ways a plugin can fail: at run time ([`Error`]) and while it is built ([`BuildError`]).

use std::fmt;

use crate::body::BodyError;

/// What a hook returns. An `Err` is the plugin's own failure; refusing a request is [`crate::Flow::Respond`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// A failure of a plugin while it handled a request. The client sees a bare 500; the text goes to the log. A [`BodyError`] that is
/// passed on with `?` is no failure of the plugin, and is answered as it says.
#[derive(Debug)]
pub struct Error(Box<dyn std::error::Error + Send + Sync>);

impl Error {
    /// A failure described by `message`.
    pub fn new(message: impl Into<String>) -> Self {
        Self(message.into().into())
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl<E: std::error::Error + Send + Sync + 'static> From<E> for Error {
    fn from(error: E) -> Self {
        Self(Box::new(error))
    }
}

/// Why an instance could not be built, and where in its settings. Shown by `portreeve check` with file, line and caret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BuildError {
    /// Path below the plugin's settings (`keys[0].pem`), or empty for the settings as a whole.
    pub at: String,
    /// What is wrong, in lower case and without a full stop.
    pub message: String,
}

impl BuildError {
    /// A mistake in the settings as a whole.
    pub fn new(message: impl Into<String>) -> Self {
        Self::at("", message)
    }

    /// A mistake in one setting: `at` is its path (`keys[0].pem`).
    pub fn at(at: impl Into<String>, message: impl Into<String>) -> Self {
        Self { at: at.into(), message: message.into() }
    }
}

impl fmt::Display for BuildError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.at.is_empty() { f.write_str(&self.message) } else { write!(f, "{}: {}", self.at, self.message) }
    }
}

impl std::error::Error for BuildError {}

/// A request failed inside a plugin: which one, where it stands in the file, and how. Made by the chain, never by a plugin.
#[derive(Debug)]
pub struct Failure {
    /// Name of the plugin.
    pub plugin: &'static str,
    /// `file:line:column` of its step.
    pub place: std::sync::Arc<str>,
    /// What happened.
    pub cause: Cause,
}

/// How a plugin failed a request.
#[derive(Debug)]
pub enum Cause {
    /// A hook returned an error.
    Error(Error),
    /// A hook panicked with this message.
    Panic(String),
    /// A body was longer than the plugin is willing to hold: 413 for a request, 502 for a response.
    TooLarge {
        /// The bound in bytes.
        limit: u64,
    },
    /// A body did not come whole. It is the fault of whoever sent it; the engine knows why.
    Incomplete,
}

impl From<Error> for Cause {
    fn from(error: Error) -> Self {
        match error.0.downcast_ref() {
            Some(BodyError::TooLarge { limit }) => Self::TooLarge { limit: *limit },
            Some(BodyError::Incomplete) => Self::Incomplete,
            None => Self::Error(error),
        }
    }
}

impl Failure {
    /// Hooks together took longer than `bound`; which one waited is not known.
    pub fn late(bound: std::time::Duration) -> Self {
        let cause = Cause::Error(Error::new(format!("the hooks took longer than {bound:?}")));
        Self { plugin: "(chain)", place: "".into(), cause }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({}): ", self.plugin, self.place)?;
        match &self.cause {
            Cause::Error(error) => error.fmt(f),
            Cause::Panic(message) => write!(f, "panicked: {message}"),
            Cause::TooLarge { limit } => write!(f, "the body is longer than the {limit} bytes this plugin holds"),
            Cause::Incomplete => f.write_str("the body did not come whole"),
        }
    }
}

impl std::error::Error for Failure {}
