//! The reading head that templates and expressions share: a position in the source, quoted text, and errors that say
//! where they happened.

use std::fmt;

/// What is wrong in a template or an expression, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SyntaxError {
    offset: usize,
    character: usize,
    message: String,
}

impl SyntaxError {
    pub(crate) fn new(source: &str, offset: usize, message: impl Into<String>) -> Self {
        let before = source.get(..offset).unwrap_or(source);
        Self { offset, character: before.chars().count() + 1, message: message.into() }
    }

    /// Where the error is, in bytes from the start of the source.
    pub fn offset(&self) -> usize {
        self.offset
    }

    /// Where the error is, in characters, the first being 1.
    pub fn character(&self) -> usize {
        self.character
    }

    /// What is wrong, without the position.
    pub fn message(&self) -> &str {
        &self.message
    }
}

impl fmt::Display for SyntaxError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "at character {}: {}", self.character, self.message)
    }
}

impl std::error::Error for SyntaxError {}

/// A position in a source text. Never leaves it and never stands inside a character.
#[derive(Clone, Debug)]
pub(crate) struct Cursor<'s> {
    source: &'s str,
    rest: &'s str,
}

impl<'s> Cursor<'s> {
    pub(crate) fn new(source: &'s str) -> Self {
        Self { source, rest: source }
    }

    pub(crate) fn at(&self) -> usize {
        self.source.len() - self.rest.len()
    }

    pub(crate) fn peek(&self) -> Option<char> {
        self.rest.chars().next()
    }

    pub(crate) fn next(&mut self) -> Option<char> {
        let mut chars = self.rest.chars();
        let next = chars.next();
        self.rest = chars.as_str();
        next
    }

    pub(crate) fn eat(&mut self, expected: &str) -> bool {
        match self.rest.strip_prefix(expected) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    pub(crate) fn take_while(&mut self, wanted: impl Fn(char) -> bool) -> &'s str {
        let end = self.rest.find(|character| !wanted(character)).unwrap_or(self.rest.len());
        let (taken, rest) = self.rest.split_at(end);
        self.rest = rest;
        taken
    }

    pub(crate) fn take_name(&mut self) -> &'s str {
        self.take_while(is_name_character)
    }

    pub(crate) fn skip_space(&mut self) {
        self.rest = self.rest.trim_start();
    }

    pub(crate) fn error(&self, message: impl Into<String>) -> SyntaxError {
        self.error_at(self.at(), message)
    }

    pub(crate) fn error_at(&self, offset: usize, message: impl Into<String>) -> SyntaxError {
        SyntaxError::new(self.source, offset, message)
    }

    /// Reads quoted text, the opening quote being next. `'…'` is taken as it stands (`''` is one quote), which suits
    /// regular expressions; `"…"` knows `\"`, `\\`, `\n`, `\r` and `\t`.
    pub(crate) fn quoted(&mut self) -> Result<String, SyntaxError> {
        let start = self.at();
        let quote = self.next();
        let mut text = String::new();
        loop {
            let here = self.at();
            match self.next() {
                None => return Err(self.error_at(start, "this quote is never closed")),
                Some('\'') if quote == Some('\'') => {
                    if !self.eat("'") {
                        return Ok(text);
                    }
                    text.push('\'');
                }
                Some('"') if quote == Some('"') => return Ok(text),
                Some('\\') if quote == Some('"') => text.push(match self.next() {
                    Some(plain @ ('"' | '\\')) => plain,
                    Some('n') => '\n',
                    Some('r') => '\r',
                    Some('t') => '\t',
                    _ => {
                        return Err(self.error_at(
                            here,
                            "unknown escape; \"…\" knows \\\" \\\\ \\n \\r \\t, and '…' takes a backslash as it stands",
                        ));
                    }
                }),
                Some(other) => text.push(other),
            }
        }
    }
}

fn is_name_character(character: char) -> bool {
    character.is_ascii_alphanumeric() || matches!(character, '_' | '-')
}

/// Whether a name can be written after a dot, without quotes.
pub(crate) fn is_name(text: &str) -> bool {
    !text.is_empty() && text.chars().all(is_name_character)
}

/// Text in the quotes that take every character as it stands.
pub(crate) struct Quoted<'a>(pub(crate) &'a str);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "'{}'", self.0.replace('\'', "''"))
    }
}

/// The one of `known` that `word` was probably meant to be, as the end of a sentence, or nothing.
pub(crate) fn did_you_mean<'k>(word: &str, known: impl IntoIterator<Item = &'k str>) -> String {
    known
        .into_iter()
        .map(|candidate| (strsim::osa_distance(word, candidate), candidate))
        // A third of the word may be wrong, and at least one letter: beyond that a guess is noise.
        .filter(|(distance, candidate)| *distance <= (candidate.len() / 3).max(1))
        .min()
        .map_or_else(String::new, |(_, candidate)| format!("; did you mean `{candidate}`?"))
}
