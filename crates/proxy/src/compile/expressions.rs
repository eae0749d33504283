//! What the regular expressions of a file take together: of routes, of conditions, of the settings of plugins, of health checks.
//! Each is bounded by itself, and there may be ten thousand.

use portreeve_config::{ConfigPath, Language, Text};
use portreeve_plugin::Expression;
use portreeve_plugin::engine::{Written, read_expression, read_regex, read_template};
use portreeve_plugin::template::{Phase, Roots};

use super::Errors;

/// How much of the bound is used.
#[derive(Debug, Default)]
pub(super) struct Expressions {
    /// Bytes so far.
    taken: usize,
    is_told: bool,
}

/// Bytes that the regular expressions of a file may take, compiled. Arbitrary.
const MOST_EXPRESSIONS: usize = 64 << 20;

/// What one takes besides, wherever it is compiled and kept: measured with eight thousand small ones.
const BESIDES: usize = 6 << 10;

/// Bytes that an expression is counted with that is wrong: the most that one may have. Looking at one that is too large costs
/// as much as having it.
pub(super) const TOO_LARGE: usize = 256 << 10;

impl Errors<'_> {
    /// Whether there is room for another regular expression. Once there is none, the file is refused, and the rest of them is
    /// not looked at.
    pub(super) fn has_room(&self) -> bool {
        self.expressions.taken <= MOST_EXPRESSIONS
    }

    /// Counts a regular expression.
    pub(super) fn take(&mut self, bytes: usize, at: &ConfigPath) {
        self.expressions.taken = self.expressions.taken.saturating_add(bytes);
        if !self.has_room() && !self.expressions.is_told {
            self.expressions.is_told = true;
            let most = MOST_EXPRESSIONS >> 20;
            let message = format!(
                "with this one the regular expressions of the file take more than {most} MiB compiled; \
                 write [0-9] instead of \\d and smaller repetitions, or paths and conditions without expressions"
            );
            self.at(at, message);
        }
    }

    /// Checks what the settings of plugins hold in the small languages, each text for itself, and tells what each names.
    pub(super) fn texts(&mut self, texts: &[Text]) -> Vec<Written> {
        texts.iter().map(|text| self.text(text)).collect()
    }

    fn text(&mut self, text: &Text) -> Written {
        let Text { language, moment, path, text } = text;
        if !self.has_room() && *language != Language::Template {
            // The file is refused: nothing is built of it.
            self.doubts.insert(path.clone());
            return Written::default();
        }
        let read = match language {
            Language::Template => read_template(moment, text),
            Language::Expression => read_expression(moment, text),
            Language::Regex => read_regex(text),
        };
        match read {
            Ok(written) => {
                self.take(with_besides(written.regex_size), path);
                written
            }
            Err(error) => {
                self.within(path, error.offset(), error.message());
                self.doubts.insert(path.clone());
                self.take(cost_of_wrong(text, *language), path);
                Written::default()
            }
        }
    }

    /// Compiles an expression of the engine's own keys; `None` after an error, which is reported, or where there is no room.
    pub(super) fn expression<P: Phase>(
        &mut self,
        path: &ConfigPath,
        text: &str,
        roots: Roots,
    ) -> Option<Expression<P>> {
        if !self.has_room() {
            return None;
        }
        match Expression::parse_within(text, roots) {
            Ok(expression) => {
                self.take(with_besides(expression.regex_size()), path);
                Some(expression)
            }
            Err(error) => {
                self.within(path, error.offset(), error.message());
                self.take(cost_of_wrong(text, Language::Expression), path);
                None
            }
        }
    }
}

/// The size of a regular expression with what it takes besides; nothing of none.
pub(super) const fn with_besides(size: usize) -> usize {
    if size == 0 { 0 } else { size + BESIDES }
}

/// What looking at a text cost that is wrong: nothing if there is no regular expression in it.
fn cost_of_wrong(text: &str, language: Language) -> usize {
    match language {
        Language::Template => 0,
        Language::Expression if !text.contains("matches") => 0,
        Language::Expression | Language::Regex => TOO_LARGE,
    }
}
