//! Every decision of a plugin as data, so that `explain`, the access log and the traces all print the same truth.

use std::borrow::Cow;
use std::sync::Arc;

use http::StatusCode;

/// What one step decided about one request.
#[derive(Debug, Clone)]
pub struct Decision {
    /// Name of the plugin.
    pub plugin: &'static str,
    /// The step's own name, or one made from its place in the chain (`api/rate-limit`).
    pub step: Arc<str>,
    /// `file:line:column` of the step.
    pub place: Arc<str>,
    /// What it decided.
    pub what: Verdict,
    /// Why, in a few words.
    pub why: Cow<'static, str>,
}

/// The kinds of decision.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Let the request go on.
    Continue,
    /// Answered with this status.
    Respond(StatusCode),
    /// Would have answered with this status, but only observes (`mode: observe`).
    WouldRespond(StatusCode),
    /// Its `when` did not hold.
    NotEntered,
    /// Failed, and the request with it.
    Failed,
    /// Failed, and was passed over (`on_error: skip`).
    Skipped,
    /// Something worth knowing, told by the plugin.
    Note,
}

impl Verdict {
    /// The word used in logs and metric labels.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Continue => "continue",
            Self::Respond(_) => "respond",
            Self::WouldRespond(_) => "would_respond",
            Self::NotEntered => "not_entered",
            Self::Failed => "failed",
            Self::Skipped => "skipped",
            Self::Note => "note",
        }
    }
}
