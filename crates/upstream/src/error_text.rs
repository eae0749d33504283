//! An error in the words of the logs: on whose side, what, and why. Pingora's own begin with a space where nobody is to blame,
//! and have the names of its types in them.

use std::fmt::Write;

use pingora::{BError, Error, ErrorSource, ErrorType};

/// `target: the connection was closed (before the head of an answer)`.
pub fn text_of(error: &Error) -> String {
    let mut text = String::new();
    // Writing to a text does not fail.
    let _infallible = tell(error, None, &mut text);
    text
}

fn tell(error: &Error, outer: Option<&Error>, out: &mut String) -> std::fmt::Result {
    let side = side(error.esource()).filter(|_| outer.is_none_or(|outer| outer.esource() != error.esource()));
    if let Some(side) = side {
        write!(out, "{side}: ")?;
    }
    let what = what(error.etype()).filter(|_| outer.is_none_or(|outer| outer.etype() != error.etype()));
    let context = error.context.as_ref().map(pingora::ImmutStr::as_str).filter(|context| !context.is_empty());
    match (what, context) {
        (Some(what), Some(context)) => write!(out, "{what} ({context})")?,
        (Some(text), None) | (None, Some(text)) => out.push_str(text),
        (None, None) if error.cause.is_none() => out.push_str("the request failed"),
        (None, None) => {}
    }
    let Some(cause) = &error.cause else { return Ok(()) };
    if what.or(context).is_some() {
        out.push_str(": ");
    }
    match cause.downcast_ref::<BError>() {
        Some(inner) => tell(inner, Some(error), out),
        None => write!(out, "{cause}"),
    }
}

const fn side(source: &ErrorSource) -> Option<&'static str> {
    match source {
        ErrorSource::Upstream => Some("target"),
        ErrorSource::Downstream => Some("client"),
        ErrorSource::Internal | ErrorSource::Unset => None,
    }
}

/// `None` where a status or the context says it.
const fn what(kind: &ErrorType) -> Option<&'static str> {
    use ErrorType as E;
    Some(match kind {
        E::ConnectTimedout => "no connection in time",
        E::ConnectRefused => "the connection was refused",
        E::ConnectNoRoute => "there is no route",
        E::TLSHandshakeTimedout => "no TLS handshake in time",
        E::TLSHandshakeFailure | E::HandshakeError => "the TLS handshake failed",
        E::InvalidCert | E::TLSWantX509Lookup => "the certificate is not accepted",
        E::ConnectError | E::SocketError | E::BindError | E::AcceptError | E::ConnectProxyFailure => {
            "no connection could be made"
        }
        E::InvalidHTTPHeader => "a malformed head",
        E::H1Error => "HTTP/1.1 was not kept to",
        E::H2Error | E::InvalidH2 | E::H2Downgrade => "the exchange over HTTP/2 failed",
        E::ReadError => "reading failed",
        E::WriteError => "writing failed",
        E::ReadTimedout => "nothing came in time",
        E::WriteTimedout => "nothing was taken in time",
        E::ConnectionClosed => "the connection was closed",
        E::FileOpenError | E::FileCreateError | E::FileReadError | E::FileWriteError => "a file failed",
        E::Custom(word) | E::CustomCode(word, _) => *word,
        E::HTTPStatus(_) | E::InternalError | E::UnknownError => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_is_told_without_the_names_of_types() {
        let of = |error: Box<Error>| text_of(&error);
        assert_eq!(of(Error::explain(ErrorType::HTTPStatus(503), "no target is available")), "no target is available");
        assert_eq!(of(Error::new_up(ErrorType::ConnectRefused)), "target: the connection was refused");
        assert_eq!(of(Error::new(ErrorType::HTTPStatus(500))), "the request failed");
        let closed = Error::explain(ErrorType::ConnectionClosed, "before the head of an answer").into_up();
        assert_eq!(of(closed), "target: the connection was closed (before the head of an answer)");
        let broken = || std::io::Error::other("broken pipe");
        let inner = Error::because(ErrorType::WriteError, "while the body was sent", broken()).into_down();
        assert_eq!(of(inner), "client: writing failed (while the body was sent): broken pipe");
        let inner = Error::because(ErrorType::WriteError, "the body", broken()).into_down();
        let outer = Error::because(ErrorType::WriteError, "the answer", inner).into_down();
        assert_eq!(of(outer), "client: writing failed (the answer): the body: broken pipe");
        let bare = Error::create(ErrorType::InternalError, ErrorSource::Internal, None, Some(broken().into()));
        assert_eq!(of(bare), "broken pipe");
        assert_eq!(
            of(Error::explain(ErrorType::CustomCode("no descriptor is left", 503), "")),
            "no descriptor is left"
        );
    }
}
