//! What is wrong with a pattern, and where: made for a caret under the source line.

use std::{borrow::Cow, fmt};

/// A path, host or value pattern that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PatternError {
    offset: usize,
    message: Cow<'static, str>,
}

impl PatternError {
    pub(crate) fn new(offset: usize, message: impl Into<Cow<'static, str>>) -> Self {
        Self { offset, message: message.into() }
    }

    /// Where: bytes into the text of the pattern. At most its length.
    pub fn offset(&self) -> usize {
        self.offset
    }

    /// What, without the place.
    pub fn message(&self) -> &str {
        &self.message
    }
}

impl fmt::Display for PatternError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "byte {}: {}", self.offset, self.message)
    }
}

impl std::error::Error for PatternError {}
