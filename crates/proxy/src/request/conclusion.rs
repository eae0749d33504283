//! How a request ends: the error page if there must be one, then log hooks, metrics and the access-log line, once.

use http::StatusCode;
use http::uri::PathAndQuery;
use pingora::protocols::http::ServerSession as Session;
use pingora::{Error, ErrorSource, ErrorType};
use portreeve_plugin::Reply;
use portreeve_plugin::engine::{RequestId, Summary};

use crate::http::{grpc, head};
use crate::listener::Reason;
use crate::observe::{Ended, Line, record_usage};
use crate::request::context::Request;
use crate::request::phases::{answered, end_after, facts};
use crate::request::{reply, status};
use portreeve_upstream::error_text::text_of;

/// Sends the error page, if the client can still be sent one: then its status. Never names a target or a cause.
pub(crate) async fn fail(session: &mut Session, error: &Error, cx: &mut Request) -> Option<StatusCode> {
    // What the connection found wrong with the body goes before what is made of it elsewhere.
    let refused = facts(session.digest()).and_then(|facts| facts.line.refused());
    if cx.error.is_none() {
        cx.error = Some(refused.map_or_else(|| text_of(error), |reason| reason.to_string()));
    }
    let status = match refused {
        // Its client was still sending (RFC 9110 §15.5.9).
        Some(Reason::Late) if !session.is_body_done() => Some(StatusCode::REQUEST_TIMEOUT),
        Some(reason) => Some(reason.status()),
        None => status::of(error),
    };
    // What has not been sent can still be taken back.
    let is_held = facts(session.digest()).is_some_and(|facts| facts.line.is_held());
    if answered(session).is_some() && !is_held {
        break_off(session, status, cx).await;
        return None;
    }
    let status = status?;
    let page = cx.pending.take().unwrap_or_else(|| match error.etype() {
        ErrorType::HTTPStatus(413) => Reply::problem(status, "the request body is longer than is allowed here"),
        ErrorType::HTTPStatus(503) => {
            Reply::status(status).header(http::header::RETRY_AFTER, http::HeaderValue::from(cx.comes_back_after()))
        }
        _ => Reply::status(status),
    });
    let status = page.status_code();
    // An unread body would be taken for the next request.
    if refused.is_some() {
        end_after(session);
    }
    reply::send(session, cx, page).await.ok().map(|()| status)
}

/// Once the head is out, the answer can only be broken off, so that nobody takes a part of it for the whole. In HTTP/1.1
/// closing the connection says so; in HTTP/2 the stream does, and to a gRPC client a status in the trailers.
async fn break_off(session: &mut Session, status: Option<StatusCode>, cx: &mut Request) {
    let is_call = answered(session).is_some_and(|head| grpc::is_grpc(&head.headers));
    let Some(stream) = session.as_custom_mut() else { return };
    let told = match status.filter(|_| is_call) {
        Some(status) => {
            let trailers = grpc::trailers(status);
            let status = grpc::status(&trailers);
            let told = stream.write_trailers(trailers).await.is_ok();
            cx.grpc_status = if told { status } else { cx.grpc_status };
            told
        }
        None => false,
    };
    if !told {
        stream.abandon("").await;
    }
}

/// The last thing that happens to every request.
pub(crate) fn conclude(session: &Session, error: Option<&Error>, cx: &mut Request) {
    cx.leave_upstream();
    let status = answered(session).map(|head| head.status);
    count_attempt(error, status, cx);
    let duration = cx.exchange.started.elapsed();
    if let Some(route) = &cx.route {
        route.metrics.ended(status, duration);
    } else {
        cx.snapshot.unrouted.ended(status, duration);
    }
    if cx.error.is_none()
        && let Some(error) = error
    {
        cx.error = Some(text_of(error));
    }
    let upstream = (cx.attempt.number > 0).then(|| cx.attempt.upstream.clone());
    let summary = Summary {
        status,
        duration,
        bytes_in: session.body_bytes_read() as u64,
        bytes_out: session.body_bytes_sent() as u64,
        upstream,
        attempts: cx.attempt.number + u32::from(cx.hedge.is_some()),
        error: cx.error.take(),
    };
    cx.log(&summary, session.req_header());
    // After the log hooks, of which none can change it any more.
    let ended = Ended { by_gateway: cx.answered, grpc_status: cx.grpc_status };
    record_usage(&cx.snapshot.usage, &cx.exchange, &summary, ended);
    if cx.snapshot.access_log.is_on() {
        write_line(session, &summary, cx);
    }
}

/// An attempt that brought an answer is counted here; those that failed were counted where they failed.
fn count_attempt(error: Option<&Error>, status: Option<StatusCode>, cx: &Request) {
    let from_target = !cx.answered && status.is_some() && cx.attempt.number > 0;
    let broken = error.is_some_and(|error| *error.esource() == ErrorSource::Upstream);
    if let Some(pool) = cx.pool().filter(|_| from_target && !broken) {
        pool.metrics.answered();
    }
}

fn write_line(session: &Session, summary: &Summary, cx: &Request) {
    // One that nobody has asked for is made for the line alone.
    let (digits, request_id);
    if let Some(known) = cx.exchange.known_request_id() {
        request_id = &**known;
    } else {
        digits = RequestId::fresh();
        request_id = digits.as_str();
    }
    let request = session.req_header();
    cx.snapshot.access_log.write(&Line {
        request_id,
        generation: cx.snapshot.generation,
        client_ip: cx.exchange.client_ip(),
        listener: &cx.exchange.listener,
        method: request.method.as_str(),
        host: head::host(request),
        path: cx.asked.as_ref().map_or_else(|| request.uri.path(), PathAndQuery::path),
        status: summary.status.map(|status| status.as_u16()),
        grpc_status: cx.grpc_status,
        route: cx.exchange.route.as_deref(),
        consumer: cx.exchange.consumer.as_ref().map(|consumer| &*consumer.id),
        auth_method: cx.exchange.consumer.as_ref().and_then(|consumer| consumer.method.as_deref()),
        credential: cx.exchange.consumer.as_ref().and_then(|consumer| consumer.credential.as_deref()),
        upstream: cx.pool().map(|pool| &*pool.name),
        target: cx.attempt.target,
        attempts: summary.attempts,
        hedge: cx.hedge.map(|won| if won { "won" } else { "lost" }),
        duration: summary.duration,
        bytes_in: summary.bytes_in,
        bytes_out: summary.bytes_out,
        reason: cx.reason(summary.status),
        error: summary.error.as_deref(),
        decisions: &cx.exchange.decisions,
    });
}
