//! A target's answer on its way to the client: its head as it comes, its head as it goes on, each chunk of its body.

use bytes::Bytes;
use http::{HeaderMap, Method, StatusCode, Version, header};
use pingora::http::{RequestHeader, ResponseHeader};
use pingora::protocols::http::ServerSession as Session;
use pingora::{Error, ErrorType, Result};
use portreeve_plugin::engine::Origin;

use crate::http::head;
use crate::listener::ConnectionInfo;
use crate::request::attempt::{RETRY_STATUS, replayable};
use crate::request::context::Request;
use crate::request::phases::{facts, fatal};
use crate::upstream::{RetryCause, UpstreamAttempt, bad_target};
use crate::web_socket;
use crate::web_socket::WebSocket;

/// The target's head, before anything else sees it: the place to try again by status.
pub(crate) fn check_response_head(session: &mut Session, answer: &mut ResponseHeader, cx: &mut Request) -> Result<()> {
    cx.check_answer(answer, session.req_header()).map_err(|bad| bad_target(bad.to_string()))?;
    cx.target_answered(answer);
    let cause = RetryCause::Status(answer.status.as_u16());
    if cx.retry_terms().is_some_and(|terms| terms.cover(cause))
        && replayable(session, cx)
        && cx.may_retry(cause, Some(&answer.headers))
    {
        let mut error = Error::explain(ErrorType::CustomCode(RETRY_STATUS, answer.status.as_u16()), "");
        error.set_retry(true);
        return Err(error);
    }
    Ok(())
}

/// The head of the answer on its way to the client.
pub(crate) async fn forward_response_head(
    session: &mut Session,
    answer: &mut ResponseHeader,
    cx: &mut Request,
) -> Result<()> {
    // RFC 9110 §2.5: the version of a message is that of whoever sends it.
    answer.set_version(Version::HTTP_11);
    if answer.status.is_informational() && answer.status != StatusCode::SWITCHING_PROTOCOLS {
        return Ok(());
    }
    let nominated = head::strip_hop_by_hop(answer);
    cx.answer_begins(answer);
    if let Some(facts) = facts(session.digest()) {
        cx.begins(&facts.line);
        cx.trailers.answer_begins(nominated, session.req_header(), answer, &facts.line.trailers);
        if answer.status == StatusCode::SWITCHING_PROTOCOLS {
            open_web_socket(answer, facts, cx.upstream_attempt());
        }
    }
    if cx.touches_response_body() && speaks_of_a_body(session.req_header(), answer) {
        let announced = answer.headers.get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok());
        let announced: Option<usize> = announced.and_then(|length| length.parse().ok());
        if let (Some(length), Some(limit)) = (announced, cx.response_body_limit())
            && length > limit
            && has_body(session.req_header(), answer)
        {
            return Error::e_explain(ErrorType::HTTPStatus(502), "the answer is longer than a plugin holds");
        }
        head::strip_body_facts(answer);
    }
    let asked = session.req_header();
    cx.remember_target(asked, answer);
    let hooks = cx.response(answer, asked, Origin::Upstream).await;
    hooks.map_err(|failure| fatal(cx, &failure))?;
    cx.mark(answer);
    Ok(())
}

/// Each chunk of the answer's body.
pub(crate) async fn chunk(session: &mut Session, body: &mut Option<Bytes>, last: bool, cx: &mut Request) -> Result<()> {
    if cx.is_late() {
        return Error::e_explain(ErrorType::HTTPStatus(504), "the client's time passed while the answer was sent");
    }
    if cx.touches_response_body() && (last || body.is_some()) {
        let mut chunk = body.take().unwrap_or_default();
        // Boxed: answers that no such plugin sees need not carry the room for it.
        let outcome = Box::pin(cx.response_body(&mut chunk, last, session.req_header())).await;
        *body = (!chunk.is_empty()).then_some(chunk);
        outcome.map_err(|failure| fatal(cx, &failure))?;
    }
    if last && let Some(facts) = facts(session.digest()) {
        cx.answer_ends(session.req_header(), &facts.line.trailers);
    }
    Ok(())
}

/// What follows the body of a target in HTTP/2.
pub(crate) fn trailers(session: &Session, fields: &mut HeaderMap, cx: &mut Request) {
    let line = facts(session.digest()).map(|facts| &facts.line);
    cx.answer_ends_with(fields, session.req_header(), line.map(|line| &line.trailers));
}

/// What follows may be a WebSocket: both of its connections are told.
fn open_web_socket(answer: &ResponseHeader, facts: &ConnectionInfo, attempt: Option<&UpstreamAttempt>) {
    if let Some(attempt) = attempt.filter(|_| web_socket::is_agreed_on(&answer.headers)) {
        let socket = WebSocket::open();
        attempt.open_web_socket(socket.clone());
        facts.line.open_web_socket(socket);
    }
}

/// Whether this head tells of a body: one that follows, or that a GET would have. Plugins may make another one of that, too, so that
/// it has no length and no validator here either (RFC 9110 §8.6, §9.3.2, §15.4.5).
fn speaks_of_a_body(asked: &RequestHeader, answer: &ResponseHeader) -> bool {
    has_body(asked, answer) || answer.status == StatusCode::NOT_MODIFIED || {
        asked.method == Method::HEAD && !answer.status.is_informational() && answer.status != StatusCode::NO_CONTENT
    }
}

/// Whether a body follows this head (RFC 9112 §6.3).
fn has_body(asked: &RequestHeader, answer: &ResponseHeader) -> bool {
    asked.method != Method::HEAD && !answer.status.is_informational() && !matches!(answer.status.as_u16(), 204 | 304)
}
