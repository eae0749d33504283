//! Why a request could not be served by a target, in the words that the access log and the metrics use. A closed set: labels
//! never come from a request, and a client is told the status only.

use http::StatusCode;
use pingora::{Error, ErrorType};

use crate::RetryCause;

/// The status is 503, of which Pingora has no word for a connection.
const NO_DESCRIPTORS: ErrorType = ErrorType::CustomCode("no descriptor is left", 503);

/// What went wrong between the gateway and the targets of an upstream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Fault {
    /// The target refused the connection.
    ConnectRefused,
    /// No connection within `timeouts.connect`, TLS included.
    ConnectTimeout,
    /// No connection for another reason: no route to it, no port left.
    ConnectFailed,
    /// No descriptor left for a connection to a target.
    NoDescriptors,
    /// The target did not prove who it is, or did not take our proof.
    TlsFailed,
    /// The connection was lost before the answer's head.
    Reset,
    /// No head of an answer within `timeouts.first_byte`, or no write within `timeouts.write`.
    AnswerTimeout,
    /// No head of an answer within `timeouts.per_try`.
    PerTryTimeout,
    /// What came is no well-formed answer, or none that may be passed on.
    BadAnswer,
    /// The answer broke off after its head had been sent to the client.
    AnswerBroken,
    /// The target itself answered 502, 503 or 504.
    UpstreamStatus,
    /// No target is in a state to be asked, or none is left.
    NoTarget,
    /// Every target has as many requests as `limits.requests_per_target` allows.
    TargetsFull,
    /// The upstream is full, and so is its queue.
    QueueFull,
    /// No turn within `limits.queue_timeout`.
    QueueTimeout,
    /// Its place in the queue was given to a request of a higher tier.
    Shed,
    /// Too much of the upstream fails, so that it is not asked for a while (`circuit_breaker`).
    CircuitOpen,
    /// The time of the request passed: the route's `timeout`, or what its client gave it.
    Deadline,
}

impl Fault {
    /// How many there are.
    pub const COUNT: usize = Self::Deadline as usize + 1;

    /// The word of logs and metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ConnectRefused => "connect_refused",
            Self::ConnectTimeout => "connect_timeout",
            Self::ConnectFailed => "connect_failed",
            Self::NoDescriptors => "no_descriptors",
            Self::TlsFailed => "tls_failed",
            Self::Reset => "reset",
            Self::AnswerTimeout => "answer_timeout",
            Self::PerTryTimeout => "per_try_timeout",
            Self::BadAnswer => "bad_answer",
            Self::AnswerBroken => "answer_broken",
            Self::UpstreamStatus => "upstream_status",
            Self::NoTarget => "no_target",
            Self::TargetsFull => "targets_full",
            Self::QueueFull => "queue_full",
            Self::QueueTimeout => "queue_timeout",
            Self::Shed => "shed",
            Self::CircuitOpen => "circuit_open",
            Self::Deadline => "deadline",
        }
    }

    /// Whether time ran out while a target was being asked.
    pub const fn is_timeout(self) -> bool {
        matches!(self, Self::AnswerTimeout | Self::PerTryTimeout | Self::Deadline)
    }

    /// Whether it speaks against the target that was being asked.
    pub const fn blames_target(self) -> bool {
        // `UpstreamStatus` has been judged by its status already.
        !matches!(
            self,
            Self::NoDescriptors
                | Self::NoTarget
                | Self::TargetsFull
                | Self::QueueFull
                | Self::QueueTimeout
                | Self::Shed
                | Self::CircuitOpen
                | Self::UpstreamStatus
        )
    }

    /// What to say of it in the log, where no error says more.
    pub const fn text(self) -> &'static str {
        match self {
            Self::NoDescriptors => "no file descriptor is left for a connection to a target",
            Self::NoTarget => "no target is available",
            Self::TargetsFull => "every target is full",
            Self::QueueFull => "the upstream is full and its queue too",
            Self::QueueTimeout => "the upstream is full and had no turn in time",
            Self::Shed => "the upstream is full and a request of a higher tier took the place",
            Self::CircuitOpen => "too much of the upstream fails, and it is not asked for a while",
            Self::Deadline => "the route's timeout passed",
            other => other.as_str(),
        }
    }

    /// The status a client is sent (RFC 9110 §15.6.3 to §15.6.5).
    pub const fn status(self) -> StatusCode {
        match self {
            Self::NoDescriptors
            | Self::NoTarget
            | Self::TargetsFull
            | Self::QueueFull
            | Self::QueueTimeout
            | Self::Shed
            | Self::CircuitOpen => StatusCode::SERVICE_UNAVAILABLE,
            Self::ConnectTimeout | Self::AnswerTimeout | Self::PerTryTimeout | Self::Deadline => {
                StatusCode::GATEWAY_TIMEOUT
            }
            _ => StatusCode::BAD_GATEWAY,
        }
    }

    /// The error that ends the request so.
    pub fn error(self) -> Box<Error> {
        Error::explain(ErrorType::HTTPStatus(self.status().as_u16()), self.text())
    }

    /// The error of a connection that no descriptor is left for.
    pub fn no_descriptors() -> Box<Error> {
        Error::explain(NO_DESCRIPTORS, Self::NoDescriptors.text())
    }

    /// What became of an attempt that ended in this error of the target's side.
    pub fn of(error: &Error) -> Self {
        use ErrorType as E;
        match error.etype() {
            error if *error == NO_DESCRIPTORS => Self::NoDescriptors,
            E::ConnectRefused => Self::ConnectRefused,
            E::ConnectTimedout | E::TLSHandshakeTimedout => Self::ConnectTimeout,
            E::TLSHandshakeFailure | E::InvalidCert | E::HandshakeError | E::TLSWantX509Lookup => Self::TlsFailed,
            E::ConnectNoRoute | E::ConnectError | E::SocketError | E::BindError | E::ConnectProxyFailure => {
                Self::ConnectFailed
            }
            E::ReadTimedout | E::WriteTimedout => Self::AnswerTimeout,
            E::ConnectionClosed | E::ReadError | E::WriteError | E::H2Error => Self::Reset,
            _ => Self::BadAnswer,
        }
    }

    /// The same of an error that came before anything was sent.
    pub fn of_connecting(error: &Error) -> Self {
        let fault = Self::of(error);
        let is_known = fault == Self::NoDescriptors || fault.retry_cause() == Some(RetryCause::Connect);
        if is_known { fault } else { Self::ConnectFailed }
    }

    /// What the retry policy calls it; `None` for what is never tried again.
    pub const fn retry_cause(self) -> Option<RetryCause> {
        match self {
            Self::ConnectRefused | Self::ConnectTimeout | Self::ConnectFailed | Self::TlsFailed => {
                Some(RetryCause::Connect)
            }
            Self::AnswerTimeout | Self::PerTryTimeout => Some(RetryCause::Timeout),
            Self::Reset => Some(RetryCause::Reset),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_of_a_target_has_one_reason_and_that_one_status() {
        let of = |kind: ErrorType| {
            let fault = Fault::of(&Error::new_up(kind));
            (fault.as_str(), fault.status().as_u16())
        };
        assert_eq!(of(ErrorType::ConnectRefused), ("connect_refused", 502));
        assert_eq!(of(ErrorType::ConnectTimedout), ("connect_timeout", 504));
        assert_eq!(of(ErrorType::InvalidCert), ("tls_failed", 502));
        assert_eq!(of(ErrorType::ConnectionClosed), ("reset", 502));
        assert_eq!(of(ErrorType::ReadTimedout), ("answer_timeout", 504));
        assert_eq!(of(ErrorType::InvalidHTTPHeader), ("bad_answer", 502));
        assert_eq!(of(ErrorType::HTTPStatus(502)), ("bad_answer", 502));
    }

    #[test]
    fn what_is_full_or_away_is_503_and_never_tried_again() {
        use Fault as F;
        let full = [F::NoTarget, F::TargetsFull, F::QueueFull, F::QueueTimeout, F::Shed, F::CircuitOpen];
        for fault in full.into_iter().chain([F::NoDescriptors]) {
            assert_eq!((fault.status().as_u16(), fault.retry_cause()), (503, None));
            assert!(!fault.blames_target());
        }
        assert_eq!(Fault::of_connecting(&Fault::no_descriptors()), Fault::NoDescriptors);
    }
}
