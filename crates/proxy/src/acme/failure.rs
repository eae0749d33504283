//! Why there is no new certificate.

use std::error::Error as _;
use std::iter::successors;

use instant_acme::Error;

/// Why there is no new certificate.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    /// The authority said no.
    #[error("the authority refused: {0}")]
    Refused(String),
    /// It could not be asked, or answered what nobody understands.
    #[error("{0}")]
    Failed(String),
    /// The store cannot be read or written.
    #[error("{0}")]
    Store(String),
    /// Another process is at it, with the same store.
    #[error("another process uses the store")]
    Busy,
}

impl Failure {
    /// One word of a closed set, for the metric.
    pub(super) const fn label(&self) -> &'static str {
        match self {
            Self::Refused(_) => "refused",
            Self::Failed(_) => "failed",
            Self::Store(_) => "store_failed",
            Self::Busy => "busy",
        }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        match error {
            Error::Api(problem) => Self::Refused(problem.to_string()),
            Error::Timeout(_) => Self::Failed("the authority takes too long over it".to_owned()),
            other => {
                let causes = successors(other.source(), |cause| (*cause).source()).map(ToString::to_string);
                // Some errors tell their cause themselves.
                let told = |text: String, cause: String| {
                    if text.ends_with(&cause) { text } else { format!("{text}: {cause}") }
                };
                Self::Failed(causes.fold(other.to_string(), told))
            }
        }
    }
}
