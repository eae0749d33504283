//! What the stages of loading find wrong, before it is dressed for people. Bounded: a file can be wrong in more places than
//! there is memory for, so that only the first are kept and the others are counted.

use crate::path::ConfigPath;
use crate::yaml::{Scalar, Span};

/// So many findings are kept. More than are shown, so that those shown can be the first of the file rather than the first
/// that were found. (Arbitrary.)
const KEPT: usize = 1_000;
/// Messages are cut to so many characters: they may quote what the file says.
const LONGEST: usize = 1_000;

/// One thing that is wrong, or worth a word.
#[derive(Debug, Clone)]
pub(crate) struct Finding {
    pub(crate) path: ConfigPath,
    pub(crate) span: Span,
    pub(crate) message: String,
    /// Other places that belong to it, each with its label: "first written here".
    pub(crate) others: Vec<(String, Span)>,
    /// Further lines without a place.
    pub(crate) notes: Vec<String>,
}

/// Collects findings: errors, and what is no reason to refuse the file.
#[derive(Debug, Default)]
pub(crate) struct Report {
    pub(crate) errors: Findings,
    pub(crate) warnings: Findings,
    /// Literal secrets: no source line that is shown may show them.
    pub(crate) masked: Vec<Span>,
}

/// The first findings, and how many came after them.
#[derive(Debug, Default)]
pub(crate) struct Findings {
    kept: Vec<Finding>,
    left_out: usize,
}

impl Findings {
    fn add(&mut self, make: impl FnOnce() -> Finding) {
        if self.is_full() {
            self.left_out += 1;
            return;
        }
        let mut finding = make();
        cut(&mut finding.message);
        self.kept.push(finding);
    }

    fn append(&mut self, later: Self) {
        let room = KEPT - self.kept.len();
        self.left_out += later.left_out + later.kept.len().saturating_sub(room);
        self.kept.extend(later.kept.into_iter().take(room));
    }

    /// How many there are, kept or not.
    pub(crate) fn count(&self) -> usize {
        self.kept.len() + self.left_out
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.kept.is_empty()
    }

    /// Whether what comes now is only counted: no work is worth doing for it.
    pub(crate) fn is_full(&self) -> bool {
        self.kept.len() >= KEPT
    }

    pub(crate) fn iter(&self) -> std::slice::Iter<'_, Finding> {
        self.kept.iter()
    }

    /// Those that were kept, and the number of the others.
    pub(crate) fn into_parts(self) -> (Vec<Finding>, usize) {
        (self.kept, self.left_out)
    }
}

impl Report {
    pub(crate) fn error(&mut self, path: ConfigPath, span: Span, message: impl Into<String>) {
        self.error_with(path, span, message, Vec::new());
    }

    pub(crate) fn error_with(
        &mut self,
        path: ConfigPath,
        span: Span,
        message: impl Into<String>,
        others: Vec<(String, Span)>,
    ) {
        self.errors.add(|| Finding { path, span, message: message.into(), others, notes: Vec::new() });
    }

    /// Something that is no reason to refuse the file.
    pub(crate) fn warning(&mut self, path: ConfigPath, span: Span, message: impl Into<String>) {
        self.warnings.add(|| Finding { path, span, message: message.into(), others: Vec::new(), notes: Vec::new() });
    }

    /// Makes the latest finding, if it is at this scalar, speak of the scalar as it is written.
    pub(crate) fn as_written(&mut self, span: Span, scalar: &Scalar) {
        let Some(written) = &scalar.written else {
            return;
        };
        if let Some(finding) = self.errors.kept.last_mut()
            && finding.span == span
            && finding.notes.is_empty()
        {
            finding.message = scalar.conceal(std::mem::take(&mut finding.message));
            let mut written = written.to_string();
            cut(&mut written);
            finding.notes.push(format!("written in the file: {written}"));
        }
    }

    /// Adds what a later stage has found.
    pub(crate) fn append(&mut self, later: Self) {
        self.errors.append(later.errors);
        self.warnings.append(later.warnings);
        self.masked.extend(later.masked);
    }

    /// Whether nothing is wrong.
    pub(crate) fn is_empty(&self) -> bool {
        self.errors.is_empty()
    }
}

fn cut(text: &mut String) {
    if let Some((end, _)) = text.char_indices().nth(LONGEST) {
        text.truncate(end);
        text.push('…');
        text.shrink_to_fit();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(errors: usize) -> Report {
        let mut report = Report::default();
        for _ in 0..errors {
            report.error(ConfigPath::root(), Span::default(), "wrong");
        }
        report
    }

    #[test]
    fn what_is_not_kept_is_counted() {
        let mut all = report(KEPT - 1);
        assert!(!all.errors.is_full());
        all.append(report(KEPT + 5));
        assert!(all.errors.is_full());
        assert_eq!((all.errors.iter().count(), all.errors.count()), (KEPT, 2 * KEPT + 4));
    }

    #[test]
    fn a_message_that_quotes_half_the_file_is_cut() {
        let mut report = Report::default();
        report.error(ConfigPath::root(), Span::default(), "ü".repeat(500_000));
        let message = &report.errors.iter().next().unwrap().message;
        assert_eq!(message.chars().count(), LONGEST + 1);
        assert!(message.capacity() < 100_000, "{}", message.capacity());
    }
}
