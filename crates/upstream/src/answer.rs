//! Answers of targets held to the strictness that requests are held to: what two readers could take differently is refused, so
//! that whatever goes on to the client is one well-formed message. HTTP/1.1 has been read strictly by then (`link`); this holds for
//! HTTP/2 as well, and knows the request.

use http::{HeaderMap, HeaderName, Method, StatusCode, Version, header};
use pingora::http::{RequestHeader, ResponseHeader};

/// Interim answers (RFC 9110 §15.2) that one request puts up with.
pub const MAX_INTERIM: u8 = 8;

/// Why a target's answer is refused. The text is for the operator.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadAnswer {
    /// RFC 9110 §15: three digits from 100 to 599.
    #[error("the target's status is not in 100..=599")]
    Status,
    /// RFC 9112 §6.3: `Content-Length` once and in digits, or `Transfer-Encoding: chunked` once, in HTTP/1.1.
    #[error("the length of the target's answer is not given in one clear way")]
    Framing,
    /// RFC 9112 §6.1, RFC 9110 §8.6: an answer that has no body frames none.
    #[error("the target frames a body in an answer that has none")]
    Bodiless,
    /// RFC 9110 §7.8: nobody switches to what was not asked for.
    #[error("the target switches protocols though nobody asked it to")]
    Switching,
    /// More than [`MAX_INTERIM`] interim answers.
    #[error("the target sends nothing but interim answers")]
    Interim,
}

/// Checks the head of a target's answer to `asked`, the request as the client sent it. A `Content-Length: 0` of a 204, which
/// some servers send though they must not, is taken off.
pub fn check_response(answer: &mut ResponseHeader, asked: &RequestHeader) -> Result<(), BadAnswer> {
    if !(100..600).contains(&answer.status.as_u16()) {
        return Err(BadAnswer::Status);
    }
    check_framing(answer)?;
    match answer.status {
        StatusCode::SWITCHING_PROTOCOLS => check_switch(answer, asked),
        status if status.is_informational() || status == StatusCode::NO_CONTENT => check_bodiless(answer),
        // RFC 9110 §15.3.6: 205 has no content; "0" says so.
        StatusCode::RESET_CONTENT if asked.method != Method::HEAD => check_reset(answer),
        _ => Ok(()),
    }
}

fn check_framing(answer: &ResponseHeader) -> Result<(), BadAnswer> {
    if answer.headers.keys().any(looks_like_framing) {
        return Err(BadAnswer::Framing);
    }
    let mut lengths = answer.headers.get_all(header::CONTENT_LENGTH).iter();
    let mut codings = answer.headers.get_all(header::TRANSFER_ENCODING).iter();
    match (lengths.next(), lengths.next(), codings.next(), codings.next()) {
        (None, _, None, _) => Ok(()),
        // Pingora takes a list of equal lengths as well, and would pass it on as it came.
        (Some(length), None, None, _) if !length.is_empty() && length.as_bytes().iter().all(u8::is_ascii_digit) => {
            Ok(())
        }
        // RFC 9112 §6.1: no coding in HTTP/1.0, and none in HTTP/2 (RFC 9113 §8.2.2); of the others than `chunked`, we asked
        // for none.
        (None, _, Some(coding), None)
            if coding.as_bytes().eq_ignore_ascii_case(b"chunked") && answer.version == Version::HTTP_11 =>
        {
            Ok(())
        }
        _ => Err(BadAnswer::Framing),
    }
}

/// `Content_Length` and the like: CGI and its heirs read `_` as `-`.
fn looks_like_framing(name: &HeaderName) -> bool {
    let name = name.as_str();
    matches!(name.len(), 14 | 17)
        && name.contains('_')
        && matches!(name.replace('_', "-").as_str(), "content-length" | "transfer-encoding")
}

fn check_bodiless(answer: &mut ResponseHeader) -> Result<(), BadAnswer> {
    let length = answer.headers.get(header::CONTENT_LENGTH);
    let is_zero = length.is_none_or(|length| length.as_bytes().iter().all(|digit| *digit == b'0'));
    if !is_zero || answer.headers.contains_key(header::TRANSFER_ENCODING) {
        return Err(BadAnswer::Bodiless);
    }
    answer.remove_header(&header::CONTENT_LENGTH);
    Ok(())
}

fn check_reset(answer: &ResponseHeader) -> Result<(), BadAnswer> {
    let length = answer.headers.get(header::CONTENT_LENGTH);
    let has_length = length.is_some_and(|length| length.as_bytes().iter().any(|digit| *digit != b'0'));
    if has_length { Err(BadAnswer::Bodiless) } else { Ok(()) }
}

/// RFC 9110 §7.8: only on HTTP/1.1, only to what the client named, and saying so. Pingora looks at the status alone.
fn check_switch(answer: &ResponseHeader, asked: &RequestHeader) -> Result<(), BadAnswer> {
    let framed =
        [header::CONTENT_LENGTH, header::TRANSFER_ENCODING].iter().any(|name| answer.headers.contains_key(name));
    let wanted = |to: &str| listed(&asked.headers, &header::UPGRADE, to);
    let to: Vec<_> = answer.headers.get_all(header::UPGRADE).iter().filter_map(|to| to.to_str().ok()).collect();
    let switches = matches!(to.as_slice(), [to] if wanted(to.trim()))
        && listed(&answer.headers, &header::CONNECTION, "upgrade")
        && answer.version == Version::HTTP_11
        && asked.version == Version::HTTP_11;
    if framed || !switches { Err(BadAnswer::Switching) } else { Ok(()) }
}

fn listed(headers: &HeaderMap, name: &HeaderName, word: &str) -> bool {
    let fields = headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
    fields.flat_map(|field| field.split(',')).any(|element| element.trim().eq_ignore_ascii_case(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(status: u16, fields: &[(&str, &str)]) -> Result<Vec<String>, BadAnswer> {
        check_of(Version::HTTP_11, status, fields)
    }

    fn check_of(version: Version, status: u16, fields: &[(&str, &str)]) -> Result<Vec<String>, BadAnswer> {
        let mut asked = RequestHeader::build("GET", b"/", None).unwrap();
        for (name, value) in [("upgrade", "h2c, websocket"), ("connection", "upgrade")] {
            asked.insert_header(name, value).unwrap();
        }
        let mut answer = ResponseHeader::build(status, None).unwrap();
        answer.set_version(version);
        for (name, value) in fields {
            answer.append_header((*name).to_owned(), *value).unwrap();
        }
        check_response(&mut answer, &asked)?;
        Ok(answer.headers.keys().map(ToString::to_string).collect())
    }

    #[test]
    fn an_answer_is_framed_in_one_clear_way_or_refused() {
        for fields in [
            &[("content-length", "5, 5")][..],
            &[("content-length", "5"), ("content-length", "5")],
            &[("content-length", "+5")],
            &[("content-length", "")],
            &[("content-length", "5 ")],
            &[("content-length", "0x5")],
            &[("content-length", "5"), ("transfer-encoding", "chunked")],
            &[("transfer-encoding", "gzip, chunked")],
            &[("transfer-encoding", "chunked, identity")],
            &[("transfer-encoding", "identity")],
            &[("transfer-encoding", "xchunked")],
            &[("transfer-encoding", "chunked"), ("transfer-encoding", "chunked")],
            &[("content_length", "5")],
            &[("transfer_encoding", "chunked")],
        ] {
            assert_eq!(check(200, fields), Err(BadAnswer::Framing), "{fields:?}");
        }
        for fields in
            [&[][..], &[("content-length", "5")], &[("transfer-encoding", "Chunked")], &[("content_type", "x")]]
        {
            assert!(check(200, fields).is_ok(), "{fields:?}");
        }
        for version in [Version::HTTP_10, Version::HTTP_2] {
            assert_eq!(check_of(version, 200, &[("transfer-encoding", "chunked")]), Err(BadAnswer::Framing));
        }
    }

    #[test]
    fn what_has_no_body_frames_none() {
        for status in [103, 204] {
            assert_eq!(check(status, &[("content-length", "5")]), Err(BadAnswer::Bodiless));
            assert_eq!(check(status, &[("transfer-encoding", "chunked")]), Err(BadAnswer::Bodiless));
            assert_eq!(check(status, &[("content-length", "0"), ("etag", "x")]), Ok(vec!["etag".to_owned()]));
        }
        assert_eq!(check(205, &[("content-length", "1")]), Err(BadAnswer::Bodiless));
        // What it would be for 200.
        assert!(check(304, &[("content-length", "5")]).is_ok());
    }

    #[test]
    fn nobody_switches_to_what_was_not_asked_for() {
        let socket = [("upgrade", "WebSocket"), ("connection", "keep-alive, Upgrade")];
        assert!(check(101, &socket).is_ok());
        for fields in [
            &[][..],
            &socket[..1],
            &socket[1..],
            &[("upgrade", "tls/1.0"), ("connection", "upgrade")],
            &[("upgrade", "websocket, h2c"), ("connection", "upgrade")],
            &[socket[0], socket[1], ("content-length", "0")],
        ] {
            assert_eq!(check(101, fields), Err(BadAnswer::Switching), "{fields:?}");
        }
        assert_eq!(check_of(Version::HTTP_10, 101, &socket), Err(BadAnswer::Switching));
    }

    #[test]
    fn a_status_that_is_none_is_refused() {
        assert_eq!(check(600, &[]), Err(BadAnswer::Status));
        assert_eq!(check(999, &[]), Err(BadAnswer::Status));
        assert!(check(599, &[]).is_ok());
    }
}
