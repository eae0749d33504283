//! What comes before an attempt at a target, and what is made of one that failed.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::Method;
use pingora::http::RequestHeader;
use pingora::protocols::http::ServerSession as Session;
use pingora::{Error, ErrorSource, ErrorType, Result};
use portreeve_wire::http1::Asked;
use portreeve_wire::proxy_protocol::Header;

use crate::fault::Fault;
use crate::http::head;
use crate::listener::{AttemptTime, Reason};
use crate::request::context::{Request, Try};
use crate::request::phases::{answered, facts, fatal, is_http2};
use crate::upstream::{RetryCause, Staleness, UpstreamAttempt, UpstreamHandle};

/// The error by which an answer's status asks for another attempt.
pub(crate) const RETRY_STATUS: &str = "status worth a retry";

/// Prepares an attempt: another target each time.
pub(crate) async fn begin(session: &mut Session, cx: &mut Request) -> Result<UpstreamHandle> {
    if let Some(facts) = facts(session.digest()) {
        facts.line.set_deadline(cx.until());
    }
    cx.wait_for_turn(session).await?;
    let per_try = cx.per_try();
    let head = session.req_header();
    // One with a body gets the answer that it would get without asking (RFC 9110 §7.8).
    let upgrade = session.is_upgrade_req() && cx.whole_body().is_none_or(Bytes::is_empty);
    let asked = Asked { is_head: head.method == Method::HEAD, upgrade };
    let is_safe = matches!(head.method, Method::GET | Method::HEAD | Method::OPTIONS) && !asked.upgrade;
    let told = told(session, cx);
    let sends_body = cx.sends_body(session);
    let try_of = Try { asked, is_safe: is_safe && !sends_body, told };
    let made = cx.next_attempt(try_of, per_try.filter(|_| is_http2(session)))?;
    let is_whole = session.is_body_done();
    if let Some(facts) = facts(session.digest()) {
        facts.line.set_deadline(cx.until());
        if let Some(per_try) = per_try {
            let until = AttemptTime::Until(Instant::now() + per_try);
            facts.line.set_attempt(if is_whole { until } else { AttemptTime::OnceWhole(per_try) });
        }
    }
    Ok(made)
}

/// The head of an attempt, without what was only between the client and us: the hooks of plugins.
///
/// # Errors
/// A hook failed: 500.
pub(crate) fn prepares(upstream: &mut RequestHeader, cx: &mut Request) -> Result<()> {
    cx.hide_cookie(upstream);
    if let Some(host) = cx.target_host().cloned() {
        // Of a plugin or of the file, and a host either way.
        let bad = |error| Error::because(ErrorType::InvalidHTTPHeader, "the host of a target", error);
        head::set_host(upstream, host).map_err(bad)?;
    }
    cx.upstream_request(upstream).map_err(|failure| fatal(cx, &failure))
}

/// No connection: nothing was sent, so any request may be tried elsewhere.
#[expect(clippy::unnecessary_box_returns, reason = "Pingora's hooks return boxed errors")]
pub(crate) fn on_connect_error(cx: &mut Request, mut error: Box<Error>) -> Box<Error> {
    let fault = Fault::of_connecting(&error);
    cx.failed(fault);
    cx.leave_target();
    if fault == Fault::NoDescriptors {
        // No better elsewhere.
        return fault.error();
    }
    error.set_retry(cx.may_retry(RetryCause::Connect, None));
    error
}

/// A client that gives less time than this has no say on whether a connection is dead. Arbitrary.
const SUSPICIOUS: Duration = Duration::from_secs(1);

/// Whether a clock has ended an attempt after the connection, and not one that a client in a hurry has set.
pub(crate) fn is_timeout(session: &Session, cx: &Request, error: &Error) -> bool {
    let Some(line) = facts(session.digest()).map(|facts| &facts.line) else { return false };
    let is_hasty = || cx.is_hurried() && cx.exchange.started.elapsed() < SUSPICIOUS;
    match error.esource() {
        ErrorSource::Upstream => matches!(error.etype(), ErrorType::ReadTimedout | ErrorType::WriteTimedout),
        _ => line.is_attempt_over() || (line.refused() == Some(Reason::Late) && !is_hasty()),
    }
}

/// What is known of an attempt that failed after the connection.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct AttemptFailure {
    /// Its connection had been used before.
    pub(crate) is_reused: bool,
    /// The target had all that its client had sent by then, and may have waited for the rest.
    pub(crate) is_of_client: bool,
}

/// A failure after the connection: tried elsewhere only if nothing is lost by it.
#[expect(clippy::unnecessary_box_returns, reason = "Pingora's hooks return boxed errors")]
pub(crate) fn on_attempt_error(
    session: &mut Session,
    cx: &mut Request,
    mut error: Box<Error>,
    of: AttemptFailure,
) -> Box<Error> {
    if matches!(error.etype(), ErrorType::CustomCode(RETRY_STATUS, _)) {
        cx.failed(Fault::UpstreamStatus);
        cx.leave_target();
        error.set_retry(true);
        return error;
    }
    let line = facts(session.digest()).map(|facts| &facts.line);
    let out_of_patience = line.is_some_and(|line| line.take_attempt_over());
    if *error.esource() != ErrorSource::Upstream && !out_of_patience {
        if line.is_some_and(|line| line.refused() == Some(Reason::Late)) {
            if session.is_body_done() { cx.failed(Fault::Deadline) } else { cx.gave_up(Fault::Deadline) }
        }
        cx.leave_target();
        // The client's fault or ours: nothing of the target's, and not better elsewhere.
        error.set_retry(false);
        return error;
    }
    if let Some(attempt) = cx.upstream_attempt() {
        attempt.explain(&mut error);
    }
    let fault = match () {
        () if out_of_patience => Fault::PerTryTimeout,
        () if answered(session).is_some() => Fault::AnswerBroken,
        () => cx.fault_of(&error, is_http2(session)),
    };
    if out_of_patience {
        error = Error::create(ErrorType::ReadTimedout, ErrorSource::Upstream, None, None);
    }
    // A kept connection that the target had closed meanwhile says nothing of the target: again, and there if need be. Nor
    // does a stream that it did not begin with, which any request survives.
    let staleness = Staleness::of(&mut error, cx.upstream_attempt().map(UpstreamAttempt::was_stale), of.is_reused);
    let untouched = staleness == Staleness::Untouched;
    let is_stale = staleness != Staleness::Fresh && (replayable(session, cx) || (untouched && resendable(session)));
    if is_stale && cx.forget_stale_attempt() {
        cx.leave_target();
        error.set_retry(true);
        return error;
    }
    // Who waits for the rest of a request is not slow; who does not take it is.
    let is_silent = fault.is_timeout() || *error.etype() == ErrorType::ReadTimedout;
    // A target that has not even begun is not to blame, whether it can be asked again or not.
    if untouched || is_silent && *error.etype() != ErrorType::WriteTimedout && of.is_of_client {
        cx.gave_up(fault);
    } else {
        cx.failed(fault);
    }
    cx.leave_target();
    let cause = fault.retry_cause();
    let retry = cause.is_some_and(|cause| replayable(session, cx) && cx.may_retry(cause, None));
    error.set_retry(retry);
    error
}

/// For whom a request is, where its targets want to be told by the PROXY protocol: the real client, and where it had connected to.
fn told(session: &Session, cx: &Request) -> Header {
    if cx.pool().is_none_or(|pool| pool.transport().announces().is_none()) {
        return Header::Local;
    }
    if cx.exchange.client.ip().is_unspecified() {
        return Header::Unknown;
    }
    let of_proxy = facts(session.digest()).and_then(|facts| facts.destination);
    let own = || session.server_addr().and_then(|address| address.as_inet().copied());
    let destination = of_proxy.or_else(own).unwrap_or_else(|| SocketAddr::from(([0, 0, 0, 0], 0)));
    let destination = SocketAddr::new(destination.ip().to_canonical(), destination.port());
    Header::Proxied { source: cx.exchange.client, destination }
}

/// Whether sending this request again can neither do a thing twice nor lose a part of it.
pub(crate) fn replayable(session: &Session, cx: &Request) -> bool {
    let asked = session.req_header();
    let repeats = cx.retry_terms().is_some_and(|terms| terms.repeats(&asked.method, &asked.headers));
    repeats && resendable(session)
}

/// Whether this request is still there as a whole, and its client has heard nothing yet.
fn resendable(session: &Session) -> bool {
    !session.retry_buffer_truncated() && answered(session).is_none()
}
