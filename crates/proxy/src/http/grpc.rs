//! gRPC over HTTP/2 as far as a gateway takes part in it: telling its requests, its deadline, and answers its clients can read.
//! <https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md>

use std::fmt::Write;
use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Version, header};
use pingora::http::{RequestHeader, ResponseHeader};
pub(crate) use portreeve_upstream::grpc::status;

const GRPC: HeaderValue = HeaderValue::from_static("application/grpc");
const TIMEOUT: HeaderName = HeaderName::from_static("grpc-timeout");
const STATUS: HeaderName = HeaderName::from_static("grpc-status");
const MESSAGE: HeaderName = HeaderName::from_static("grpc-message");

/// What describes a body, which an answer of a status alone does not have.
static OF_A_BODY: [HeaderName; 7] = [
    header::CONTENT_LENGTH,
    header::CONTENT_ENCODING,
    header::CONTENT_LANGUAGE,
    header::CONTENT_RANGE,
    header::ETAG,
    header::LAST_MODIFIED,
    header::TRANSFER_ENCODING,
];

/// Whether a message with these fields is gRPC's: a `Content-Type` of `application/grpc`, alone or followed by `+`, `;` or `-web`.
pub(crate) fn is_grpc(headers: &HeaderMap) -> bool {
    let kind = headers.get(header::CONTENT_TYPE).map_or(&b""[..], HeaderValue::as_bytes);
    let Some((kind, rest)) = kind.split_at_checked(GRPC.len()) else { return false };
    kind.eq_ignore_ascii_case(GRPC.as_bytes()) && matches!(rest.first(), None | Some(b'+' | b';' | b'-' | b' '))
}

/// How long the client will wait, from when it sent the request; `None` if it does not say.
///
/// # Errors
/// When it says so in another form than one to eight digits and a unit: no number of hours may come out of a slip.
pub(crate) fn timeout(headers: &HeaderMap) -> Result<Option<Duration>, BadTimeout> {
    let mut all = headers.get_all(&TIMEOUT).iter();
    match (all.next(), all.next()) {
        (None, _) => Ok(None),
        (Some(value), None) => parse_timeout(value.as_bytes()).map(Some).ok_or(BadTimeout),
        (Some(_), Some(_)) => Err(BadTimeout),
    }
}

/// A `grpc-timeout` that is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("grpc-timeout is one to eight digits and a unit of H, M, S, m, u or n")]
pub(crate) struct BadTimeout;

fn parse_timeout(value: &[u8]) -> Option<Duration> {
    let (unit, digits) = value.split_last()?;
    if !(1..=8).contains(&digits.len()) || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let number: u64 = digits.iter().fold(0, |number, digit| number * 10 + u64::from(digit - b'0'));
    Some(match unit {
        b'H' => Duration::from_secs(number * 3600),
        b'M' => Duration::from_secs(number * 60),
        b'S' => Duration::from_secs(number),
        b'm' => Duration::from_millis(number),
        b'u' => Duration::from_micros(number),
        b'n' => Duration::from_nanos(number),
        _ => return None,
    })
}

/// What is sent to a target in HTTP/2 says that trailers can be taken (RFC 9110 §10.1.4): gRPC servers refuse a request that
/// does not, and a gateway's own `TE` is its to set. Nothing else of the client's `TE` goes on.
pub(crate) fn set_te(upstream: &mut RequestHeader) {
    if upstream.version != Version::HTTP_2 {
        return;
    }
    if is_grpc(&upstream.headers) {
        // It cannot fail for this name.
        upstream.insert_header(header::TE, "trailers").ok();
    } else if upstream.headers.get(header::TE).is_some_and(|te| !te.as_bytes().eq_ignore_ascii_case(b"trailers")) {
        upstream.remove_header(&header::TE);
    }
}

/// The gRPC status of an error of the gateway.
///
/// Where <https://github.com/grpc/grpc/blob/master/doc/http-grpc-status-mapping.md> tells clients what to make of an answer that
/// has no gRPC status, this is the same, but for three: a limit is `RESOURCE_EXHAUSTED` and a time that has passed
/// `DEADLINE_EXCEEDED`, as in google.rpc.Code, since a client retries `UNAVAILABLE` at once.
fn code(status: StatusCode) -> u8 {
    match status.as_u16() {
        499 => 1,                   // CANCELLED
        408 | 504 => 4,             // DEADLINE_EXCEEDED
        403 => 7,                   // PERMISSION_DENIED
        413 | 414 | 429 | 431 => 8, // RESOURCE_EXHAUSTED
        412 => 9,                   // FAILED_PRECONDITION
        409 => 10,                  // ABORTED
        404 | 405 | 501 => 12,      // UNIMPLEMENTED
        400 | 500 => 13,            // INTERNAL
        421 | 502 | 503 => 14,      // UNAVAILABLE
        401 => 16,                  // UNAUTHENTICATED
        _ => 2,                     // UNKNOWN
    }
}

/// Makes an answer with an error status one that is its gRPC status alone ("Trailers-Only"): 200, and no body follows.
pub(crate) fn as_status(head: &mut ResponseHeader, asked: &HeaderMap, message: &str) -> pingora::Result<()> {
    let code = code(head.status);
    for name in &OF_A_BODY {
        head.remove_header(name);
    }
    head.set_status(StatusCode::OK)?;
    let asked = asked.get(header::CONTENT_TYPE);
    // gRPC-Web clients want their own type back.
    let web = asked.filter(|kind| kind.as_bytes().get(GRPC.len()) == Some(&b'-')).cloned();
    head.insert_header(header::CONTENT_TYPE, web.unwrap_or(GRPC))?;
    head.insert_header(STATUS, u16::from(code))?;
    head.insert_header(MESSAGE, percent_encoded(message))?;
    Ok(())
}

/// What ends a call whose answer breaks off: trailers with the status.
pub(crate) fn trailers(status: StatusCode) -> HeaderMap {
    let message = HeaderValue::from_static("the answer broke off");
    HeaderMap::from_iter([(STATUS, HeaderValue::from(u16::from(code(status)))), (MESSAGE, message)])
}

/// Whether a status blames the server: unknown, deadline exceeded, unimplemented, internal, unavailable or data loss, as
/// OpenTelemetry's conventions for RPC have it.
pub(crate) fn is_server_error(status: u16) -> bool {
    matches!(status, 2 | 4 | 12..=15)
}

/// `Percent-Encoded` of the protocol: printable ASCII but `%` as it is.
fn percent_encoded(message: &str) -> String {
    message.bytes().fold(String::with_capacity(message.len()), |mut text, byte| {
        match byte {
            b'%' | ..=0x1f | 0x7f.. => {
                // Writing to a `String` cannot fail.
                write!(text, "%{byte:02X}").ok();
            }
            _ => text.push(char::from(byte)),
        }
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(name: HeaderName, values: &[&str]) -> HeaderMap {
        values.iter().map(|value| (name.clone(), HeaderValue::from_str(value).unwrap())).collect()
    }

    #[test]
    fn grpc_is_told_by_its_content_type() {
        let is = |kind: &str| is_grpc(&headers(header::CONTENT_TYPE, &[kind]));
        for kind in
            ["application/grpc", "application/grpc+proto", "Application/gRPC; charset=x", "application/grpc-web"]
        {
            assert!(is(kind), "{kind}");
        }
        for kind in ["application/grpcx", "application/json", "text/plain", "application/grp", ""] {
            assert!(!is(kind), "{kind}");
        }
        assert!(!is_grpc(&HeaderMap::new()));
    }

    #[test]
    fn a_deadline_is_read_strictly() {
        let read = |value: &str| timeout(&headers(TIMEOUT, &[value]));
        for (value, expected) in [
            ("1H", Duration::from_hours(1)),
            ("2M", Duration::from_mins(2)),
            ("99999999S", Duration::from_secs(99_999_999)),
            ("250m", Duration::from_millis(250)),
            ("7u", Duration::from_micros(7)),
            ("0n", Duration::ZERO),
        ] {
            assert_eq!(read(value), Ok(Some(expected)), "{value}");
        }
        for value in ["", "S", "5", "5s", "-1S", "+1S", "1.5S", "123456789S", "1 S", " 1S", "1SS", "٣S"] {
            let Ok(value) = HeaderValue::from_bytes(value.as_bytes()) else { continue };
            let found = timeout(&HeaderMap::from_iter([(TIMEOUT, value.clone())]));
            assert_eq!(found, Err(BadTimeout), "{value:?}");
        }
        assert_eq!(timeout(&headers(TIMEOUT, &["1S", "9H"])), Err(BadTimeout));
        assert_eq!(timeout(&HeaderMap::new()), Ok(None));
    }

    #[test]
    fn an_error_is_its_status_alone() {
        let mut head = ResponseHeader::build(401, None).unwrap();
        for (name, value) in
            [("content-type", "application/problem+json"), ("content-length", "9"), ("www-authenticate", "Bearer")]
        {
            head.insert_header(name, value).unwrap();
        }
        let asked = headers(header::CONTENT_TYPE, &["application/grpc+proto"]);
        as_status(&mut head, &asked, "100% süß\n").unwrap();
        assert_eq!(head.status, StatusCode::OK);
        let mut left: Vec<_> =
            head.headers.iter().map(|(name, value)| (name.as_str(), value.to_str().unwrap())).collect();
        left.sort_unstable();
        let expected = [
            ("content-type", "application/grpc"),
            ("grpc-message", "100%25 s%C3%BC%C3%9F%0A"),
            ("grpc-status", "16"),
            ("www-authenticate", "Bearer"),
        ];
        assert_eq!(left, expected);
    }

    #[test]
    fn statuses_become_what_the_issue_and_the_mapping_say() {
        let pairs = [
            (400, 13),
            (401, 16),
            (403, 7),
            (404, 12),
            (408, 4),
            (413, 8),
            (418, 2),
            (429, 8),
            (500, 13),
            (502, 14),
            (503, 14),
            (504, 4),
        ];
        for (status, expected) in pairs {
            assert_eq!(code(StatusCode::from_u16(status).unwrap()), expected, "{status}");
        }
    }

    #[test]
    fn only_trailers_are_said_to_be_taken() {
        let te = |kind: &str, te: &str, version| {
            let mut head = RequestHeader::build("POST", b"/", None).unwrap();
            head.insert_header("content-type", kind).unwrap();
            head.insert_header("te", te).unwrap();
            head.set_version(version);
            set_te(&mut head);
            head.headers.get("te").map(|te| te.to_str().unwrap().to_owned())
        };
        assert_eq!(te("application/grpc", "gzip", Version::HTTP_2).as_deref(), Some("trailers"));
        assert_eq!(te("text/plain", "trailers", Version::HTTP_2).as_deref(), Some("trailers"));
        assert_eq!(te("text/plain", "trailers, deflate", Version::HTTP_2), None);
    }
}
