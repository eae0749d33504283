//! From an error to the status a client is sent: the one table.

use http::StatusCode;
use pingora::{Error, ErrorSource, ErrorType};

/// What to answer when a request could not be served, or `None` when the client is not there to be answered.
pub(crate) fn of(error: &Error) -> Option<StatusCode> {
    use ErrorType as E;
    match (error.esource(), error.etype()) {
        (_, E::HTTPStatus(code)) => StatusCode::from_u16(*code).ok(),
        // RFC 9110 §15.6.5: the target did not answer in time.
        (ErrorSource::Upstream, E::ConnectTimedout | E::ReadTimedout | E::WriteTimedout | E::TLSHandshakeTimedout) => {
            Some(StatusCode::GATEWAY_TIMEOUT)
        }
        (ErrorSource::Upstream, _) => Some(StatusCode::BAD_GATEWAY),
        (ErrorSource::Downstream, E::ReadTimedout) => Some(StatusCode::REQUEST_TIMEOUT),
        (ErrorSource::Downstream, E::WriteError | E::WriteTimedout | E::ReadError | E::ConnectionClosed) => None,
        (ErrorSource::Downstream, _) => Some(StatusCode::BAD_REQUEST),
        // Writing our own answer failed: nobody is there to read another.
        (_, E::WriteError | E::WriteTimedout | E::ConnectionClosed) => None,
        _ => Some(StatusCode::INTERNAL_SERVER_ERROR),
    }
}
