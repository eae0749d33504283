//! What the stages of loading find wrong, before it is dressed for people.

use crate::path::ConfigPath;
use crate::yaml::{Scalar, Span};

/// One thing that is wrong.
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

/// Collects findings.
#[derive(Debug, Default)]
pub(crate) struct Report {
    pub(crate) findings: Vec<Finding>,
    /// Literal secrets: no source line that is shown may show them.
    pub(crate) masked: Vec<Span>,
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
        let message = message.into();
        self.findings.push(Finding { path, span, message, others, notes: Vec::new() });
    }

    /// Makes the latest finding, if it is at this scalar, speak of the scalar as it is written.
    pub(crate) fn as_written(&mut self, span: Span, scalar: &Scalar) {
        let Some(written) = &scalar.written else {
            return;
        };
        if let Some(finding) = self.findings.last_mut()
            && finding.span == span
            && finding.notes.is_empty()
        {
            finding.message = scalar.conceal(std::mem::take(&mut finding.message));
            finding.notes.push(format!("written in the file: {written}"));
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.findings.is_empty()
    }
}
