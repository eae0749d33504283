//! How a stream ended before its answer, and what that says of the request.

use std::io;

use h2::Reason;

/// What became of a request that was not answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ending {
    /// The target says that it has not begun with it (RFC 9113 §8.7, §6.8). h2 tells of a GOAWAY only whom it leaves out.
    Untouched,
    /// The connection is gone. One that was kept may have been closed long ago.
    Lost,
    /// What came on the stream is no answer; the connection itself is good.
    Malformed,
    /// The target has broken it off, or the connection.
    Broken,
}

impl Ending {
    pub(crate) fn of(error: &h2::Error) -> Self {
        let is_refused = error.is_reset() && error.reason() == Some(Reason::REFUSED_STREAM);
        if error.is_remote() && (is_refused || error.is_go_away()) {
            return Self::Untouched;
        }
        let is_lost = |error: &io::Error| {
            use io::ErrorKind as Kind;
            // The last is that of TLS which nobody has closed.
            matches!(error.kind(), Kind::ConnectionReset | Kind::TimedOut | Kind::BrokenPipe | Kind::UnexpectedEof)
        };
        if error.get_io().is_some_and(is_lost) {
            Self::Lost
        } else if !error.is_remote() && !error.is_go_away() && error.reason().is_some() {
            Self::Malformed
        } else {
            Self::Broken
        }
    }
}
