//! The life of a request as one list: Pingora's hooks in the order in which it calls them, each a few lines.
//! docs/life-of-a-request.md walks through it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use async_trait::async_trait;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, StatusCode, Version, header};
use pingora::http::{RequestHeader, ResponseHeader};
use pingora::modules::http::HttpModules;
use pingora::protocols::Digest;
use pingora::upstreams::peer::HttpPeer;
use pingora::{Error, ErrorSource, ErrorType, ImmutStr, Result};
use pingora_proxy::{FailToProxy, ProxyHttp, Session};
use portreeve_plugin::Reply;
use portreeve_plugin::engine::{Cause, Failure, Origin};
use portreeve_wire::http1::Asked;
use portreeve_wire::proxy_protocol::Header;

use crate::context::{Context, Request, Try};
use crate::fault::Fault;
use crate::listener::{AttemptTime, Facts, Reason};
use crate::observe::Metrics;
use crate::snapshot::Snapshot;
use crate::upstream::{Leg, RetryCause};
use crate::web_socket::WebSocket;
use crate::{admission, conclusion, grpc, head, reply, web_socket};

/// The error by which an answer's status asks for another attempt.
const RETRY_STATUS: &str = "status worth a retry";

/// An error page of a request whose time is up has still so long to be taken. Arbitrary.
const LAST_WORD: Duration = Duration::from_secs(1);

/// Serves requests with the generation that is live when they arrive. Cheap to clone: each worker has one.
#[derive(Debug, Clone)]
pub(crate) struct Phases {
    pub(crate) live: Arc<ArcSwap<Snapshot>>,
    pub(crate) metrics: Metrics,
    /// What a request is called before its listener is known.
    nowhere: Arc<str>,
}

impl Phases {
    pub(crate) fn new(live: Arc<ArcSwap<Snapshot>>, metrics: Metrics) -> Self {
        Self { live, metrics, nowhere: Arc::from("") }
    }
}

#[async_trait]
impl ProxyHttp for Phases {
    type CTX = Context;

    /// No modules: Pingora's compression would cost every request a box. Plugins do what modules do.
    fn init_downstream_modules(&self, _modules: &mut HttpModules) {}

    /// The head has been read: pins the generation.
    fn new_ctx(&self) -> Context {
        Request::new(self.live.load_full(), self.nowhere.clone())
    }

    /// Path, listener's chain, router, route's chain. `Ok(true)`: an answer has been sent.
    async fn request_filter(&self, session: &mut Session, cx: &mut Context) -> Result<bool> {
        // The connection keeps its own time: for a body, for what it takes of the answer, for the next request.
        session.set_read_timeout(None);
        let answer = match admission::admit(session, cx).await {
            Ok(answer) => answer,
            Err(failure) => Some(failed(cx, &failure)),
        };
        bound_writes(session, cx);
        match answer {
            Some(answer) => reply::send(session, cx, answer).await.map(|()| true),
            None => Ok(false),
        }
    }

    /// Once per attempt: another target each time.
    async fn upstream_peer(&self, session: &mut Session, cx: &mut Context) -> Result<Box<HttpPeer>> {
        if let Some(facts) = facts(session.digest()) {
            facts.line.set_deadline(cx.until());
        }
        cx.wait_for_turn(session).await?;
        let per_try = cx.per_try();
        let head = session.req_header();
        let asked = Asked { is_head: head.method == Method::HEAD, upgrade: head.headers.contains_key(header::UPGRADE) };
        let is_safe = matches!(head.method, Method::GET | Method::HEAD | Method::OPTIONS) && !asked.upgrade;
        let told = told(session, cx);
        let try_of = Try { asked, is_safe: is_safe && session.as_mut().is_body_empty(), told };
        let mut peer = cx.next_attempt(try_of, per_try.filter(|_| is_http2(session)))?;
        if let Some(per_try) = per_try {
            let connect = peer.options.total_connection_timeout;
            peer.options.total_connection_timeout = Some(connect.map_or(per_try, |connect| connect.min(per_try)));
        }
        let is_whole = session.as_mut().is_body_done();
        if let Some(facts) = facts(session.digest()) {
            facts.line.set_deadline(cx.until());
            if let Some(per_try) = per_try {
                let until = AttemptTime::Until(Instant::now() + per_try);
                facts.line.set_attempt(if is_whole { until } else { AttemptTime::OnceWhole(per_try) });
            }
        }
        Ok(peer)
    }

    /// No connection: nothing was sent, so any request may be tried elsewhere.
    fn fail_to_connect(&self, _: &mut Session, _: &HttpPeer, cx: &mut Context, mut error: Box<Error>) -> Box<Error> {
        let fault = Fault::of(&error);
        // Whatever it was: there is no connection.
        let is_known = fault.retry_cause() == Some(RetryCause::Connect);
        cx.failed(if is_known { fault } else { Fault::ConnectFailed });
        cx.leave_target();
        error.set_retry(cx.may_retry(RetryCause::Connect, None));
        error
    }

    /// Once per attempt, on a copy of the request.
    async fn upstream_request_filter(
        &self,
        session: &mut Session,
        upstream: &mut RequestHeader,
        cx: &mut Context,
    ) -> Result<()> {
        if cx.touches_request_body() && !session.is_upgrade_req() && !session.as_mut().is_body_empty() {
            // The length is known only when the last plugin is done with the body.
            upstream.remove_header(&header::CONTENT_LENGTH);
        }
        if cx.pool().is_some_and(|pool| !pool.transport().speaks(upstream.version)) {
            return Err(bad_target("the target does not speak HTTP/2"));
        }
        cx.hide_cookie(upstream);
        // Pingora passes no interim answer of a target in HTTP/2 on: the client's wait for one ends here (RFC 9110 §10.1.1).
        if upstream.version == Version::HTTP_2 && upstream.headers.contains_key(header::EXPECT) {
            upstream.remove_header(&header::EXPECT);
            if session.req_header().version >= Version::HTTP_11 && cx.is_first_attempt() {
                session.write_continue_response().await?;
            }
        }
        cx.upstream_request(upstream).map_err(|failure| fatal(cx, &failure, StatusCode::INTERNAL_SERVER_ERROR))?;
        grpc::set_te(upstream);
        if !session.is_upgrade_req() {
            cx.copy_head(upstream, session.as_mut().is_body_empty());
        }
        cx.head_goes_out(upstream, !session.as_mut().is_body_empty());
        Ok(())
    }

    /// Each chunk of the request body, and again from the start in each attempt.
    async fn request_body_filter(
        &self,
        session: &mut Session,
        body: &mut Option<Bytes>,
        last: bool,
        cx: &mut Context,
    ) -> Result<()> {
        // As the client's error: of any other, Pingora only stops the body towards a target in HTTP/2, and then waits for an
        // answer to half a request.
        take_chunk(session, body, last, cx).map_err(Error::into_down)?;
        cx.copy_chunk(body.as_ref(), last);
        if last && let Some(facts) = facts(session.digest()) {
            cx.request_ends(&facts.line.trailers);
        }
        Ok(())
    }

    /// The target's head, before anything else sees it: the place to try again by status.
    async fn upstream_response_filter(
        &self,
        session: &mut Session,
        answer: &mut ResponseHeader,
        cx: &mut Context,
    ) -> Result<()> {
        cx.check_answer(answer, session.req_header()).map_err(|bad| bad_target(bad.to_string()))?;
        cx.target_answered(answer.status);
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
    async fn response_filter(
        &self,
        session: &mut Session,
        answer: &mut ResponseHeader,
        cx: &mut Context,
    ) -> Result<()> {
        if answer.status.is_informational() && answer.status != StatusCode::SWITCHING_PROTOCOLS {
            return Ok(());
        }
        // RFC 9110 §2.5: the version of a message is that of whoever sends it.
        answer.set_version(Version::HTTP_11);
        let nominated = head::strip_hop_by_hop(answer);
        cx.grpc_status = grpc::status(&answer.headers);
        cx.answer_begins(answer);
        bound_writes(session, cx);
        if answer.status == StatusCode::SWITCHING_PROTOCOLS {
            session.set_read_timeout(Some(cx.idle()));
        }
        if let Some(facts) = facts(session.digest()) {
            facts.line.set_deadline(cx.until());
            cx.trailers.answer_begins(nominated, session.req_header(), answer, &facts.line.trailers);
            if answer.status == StatusCode::SWITCHING_PROTOCOLS {
                open_tunnel(answer, facts, cx.leg());
            }
        }
        if session.is_process_shutting_down() {
            session.set_keepalive(None);
        }
        if session.req_header().version < Version::HTTP_11 && answer.headers.contains_key(header::TRANSFER_ENCODING) {
            // RFC 9112 §6.1: never chunks for a 1.0 client; the end of the connection is the end of the body.
            session.set_keepalive(None);
            answer.remove_header(&header::TRANSFER_ENCODING);
        }
        if cx.touches_response_body() && has_body(session.req_header(), answer) {
            let announced = answer.headers.get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok());
            let announced: Option<usize> = announced.and_then(|length| length.parse().ok());
            if let (Some(length), Some(limit)) = (announced, cx.response_body_limit())
                && length > limit
            {
                return Error::e_explain(ErrorType::HTTPStatus(502), "the answer is longer than a plugin holds");
            }
            head::strip_body_facts(answer);
            if session.req_header().version == Version::HTTP_11 {
                answer.insert_header(header::TRANSFER_ENCODING, HeaderValue::from_static("chunked"))?;
            }
        }
        let asked = session.req_header();
        cx.remember_target(asked, answer);
        let hooks = cx.response(answer, asked, Origin::Upstream).await;
        hooks.map_err(|failure| fatal(cx, &failure, StatusCode::BAD_GATEWAY))?;
        cx.mark(answer);
        Ok(())
    }

    /// Each chunk of the answer's body.
    fn response_body_filter(
        &self,
        session: &mut Session,
        body: &mut Option<Bytes>,
        last: bool,
        cx: &mut Context,
    ) -> Result<Option<Duration>> {
        if session.was_upgraded() {
            return Ok(None);
        }
        if cx.is_late() {
            return Error::e_explain(
                ErrorType::HTTPStatus(504),
                "the route's timeout passed while the answer was sent",
            );
        }
        if cx.touches_response_body() && (last || body.is_some()) {
            let mut chunk = body.take().unwrap_or_default();
            let outcome = cx.response_body(&mut chunk, last, session.req_header());
            *body = (!chunk.is_empty()).then_some(chunk);
            outcome.map_err(|failure| fatal(cx, &failure, StatusCode::BAD_GATEWAY))?;
        }
        if last && let Some(facts) = facts(session.digest()) {
            cx.answer_ends(session.req_header(), &facts.line.trailers);
        }
        Ok(None)
    }

    /// What follows the body of a target in HTTP/2.
    fn upstream_response_trailer_filter(
        &self,
        session: &mut Session,
        trailers: &mut HeaderMap,
        cx: &mut Context,
    ) -> Result<()> {
        let line = facts(session.digest()).map(|facts| &facts.line);
        cx.answer_ends_with(trailers, session.req_header(), line.map(|line| &line.trailers));
        Ok(())
    }

    /// A failure after the connection: tried elsewhere only if nothing is lost by it.
    fn error_while_proxy(
        &self,
        _peer: &HttpPeer,
        session: &mut Session,
        mut error: Box<Error>,
        cx: &mut Context,
        reused: bool,
    ) -> Box<Error> {
        if matches!(error.etype(), ErrorType::CustomCode(RETRY_STATUS, _)) {
            cx.failed(Fault::TargetAnswered);
            cx.leave_target();
            error.set_retry(true);
            return error;
        }
        let line = facts(session.digest()).map(|facts| &facts.line);
        let out_of_patience = line.is_some_and(|line| line.take_attempt_over());
        if *error.esource() != ErrorSource::Upstream && !out_of_patience {
            if line.is_some_and(|line| line.refused() == Some(Reason::Late)) {
                if session.as_mut().is_body_done() { cx.failed(Fault::Deadline) } else { cx.gave_up(Fault::Deadline) }
            }
            cx.leave_target();
            // The client's fault or ours: nothing of the target's, and not better elsewhere.
            error.set_retry(false);
            return error;
        }
        if let Some(leg) = cx.leg() {
            leg.explain(&mut error);
        }
        let fault = match () {
            () if out_of_patience => Fault::PerTryTimeout,
            () if answered(session).is_some() => Fault::AnswerBroken,
            () => cx.fault_of(&error, is_http2(session)),
        };
        if out_of_patience {
            error = Error::create(ErrorType::ReadTimedout, ErrorSource::Upstream, None, None);
        }
        error.retry.decide_reuse(reused);
        // A kept connection that the target had closed meanwhile says nothing of the target: again, and there if need be. Nor
        // does a stream that it did not begin with (RFC 9113 §8.7), which any request survives.
        let untouched = *error.etype() == ErrorType::H2Error && error.retry();
        let stale = cx.leg().map_or_else(|| error.retry(), Leg::was_stale);
        let is_stale = stale && (replayable(session, cx) || (untouched && resendable(session)));
        if is_stale && cx.forget_stale_attempt() {
            cx.leave_target();
            error.set_retry(true);
            return error;
        }
        // Who waits for the rest of a request is not slow; who does not take it is.
        let waits =
            fault.is_of_time() && *error.etype() != ErrorType::WriteTimedout && !session.as_mut().is_body_done();
        if waits {
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

    /// Nothing more can be tried: the error page.
    async fn fail_to_proxy(&self, session: &mut Session, error: &Error, cx: &mut Context) -> FailToProxy {
        if let (Some(facts), Some(entrance)) = (facts(session.digest()), &cx.entrance)
            && let Some(reason) = facts.line.refused().filter(|reason| *reason != Reason::Late)
        {
            self.metrics.request_refused(&entrance.name, reason.label());
        }
        conclusion::fail(session, error, cx).await
    }

    /// Errors are in the access log and in metrics; Pingora's own lines would say them twice.
    fn suppress_error_log(&self, _session: &Session, _cx: &Context, _error: &Error) -> bool {
        true
    }

    /// Always last, whatever happened: log hooks, metrics, the line.
    async fn logging(&self, session: &mut Session, error: Option<&Error>, cx: &mut Context) {
        conclusion::conclude(session, error, cx);
    }
}

/// Takes one chunk of the request body through the bounds and the plugins.
fn take_chunk(session: &Session, body: &mut Option<Bytes>, last: bool, cx: &mut Request) -> Result<()> {
    if session.was_upgraded() {
        return Ok(());
    }
    cx.body_in += body.as_ref().map_or(0, |chunk| chunk.len() as u64);
    if last {
        cx.sent();
    }
    if cx.body_in > cx.max_body() {
        return Error::e_explain(ErrorType::HTTPStatus(413), "the request body is longer than is allowed");
    }
    if cx.is_late() {
        return Error::e_explain(ErrorType::HTTPStatus(408), "the route's timeout passed while the body was sent");
    }
    if !cx.touches_request_body() {
        return Ok(());
    }
    let mut chunk = body.take().unwrap_or_default();
    let outcome = cx.request_body(&mut chunk, last, session.req_header());
    // `Some` even while plugins hold bytes back, since `None` would end the upload there and then. At the end it is the
    // other way round: an empty chunk would be written as a second terminator, the start of a request nobody sent.
    *body = if last && chunk.is_empty() { None } else { Some(chunk) };
    match outcome {
        Ok(None) => Ok(()),
        Ok(Some(answer)) => {
            cx.pending = Some(answer);
            Error::e_explain(ErrorType::HTTPStatus(400), "a plugin answered while the body was sent")
        }
        Err(failure) => Err(fatal(cx, &failure, StatusCode::PAYLOAD_TOO_LARGE)),
    }
}

/// What our connection type told of itself.
pub(crate) fn facts(digest: Option<&Digest>) -> Option<&Facts> {
    digest?.proxy_digest.as_ref()?.user_data.as_ref()?.downcast_ref()
}

/// For whom a request is, where its targets want to be told by the PROXY protocol: the real client, and where it had connected to.
fn told(session: &Session, cx: &Request) -> Header {
    if cx.pool().is_none_or(|pool| pool.transport().announces().is_none()) {
        return Header::Local;
    }
    let of_proxy = facts(session.digest()).and_then(|facts| facts.destination);
    let own = || session.server_addr().and_then(|address| address.as_inet().copied());
    let destination = of_proxy.or_else(own).unwrap_or_else(|| SocketAddr::from(([0, 0, 0, 0], 0)));
    let destination = SocketAddr::new(destination.ip().to_canonical(), destination.port());
    Header::Proxied { source: cx.exchange.client, destination }
}

/// Whether the client speaks HTTP/2: its streams are sessions of our own, which Pingora does not know as such.
fn is_http2(session: &Session) -> bool {
    session.req_header().version == Version::HTTP_2
}

/// In HTTP/2 a client can leave a single stream without a window, which its connection does not notice: what the stream is
/// sent must be taken in the time of the request, or within the silence that a stream may keep, and within `limits.stall`.
fn bound_writes(session: &mut Session, cx: &Request) {
    if is_http2(session) {
        let left = cx.until().map_or_else(|| cx.idle(), |until| until.saturating_duration_since(Instant::now()));
        let stall = cx.entrance.as_ref().map_or(left, |entrance| entrance.terms.stall);
        session.set_write_timeout(Some(left.min(stall).max(LAST_WORD)));
    }
}

/// Whether sending this request again can neither do a thing twice nor lose a part of it.
fn replayable(session: &Session, cx: &Request) -> bool {
    let asked = session.req_header();
    let repeats = cx.retry_terms().is_some_and(|terms| terms.repeats(&asked.method, &asked.headers));
    repeats && resendable(session)
}

/// Whether this request is still there as a whole, and its client has heard nothing yet.
fn resendable(session: &Session) -> bool {
    !session.as_ref().retry_buffer_truncated() && answered(session).is_none()
}

/// The answer whose head has been sent, if one has. An interim one (1xx) is not yet an answer.
pub(crate) fn answered(session: &Session) -> Option<&ResponseHeader> {
    let final_one =
        |head: &&ResponseHeader| !head.status.is_informational() || head.status == StatusCode::SWITCHING_PROTOCOLS;
    session.response_written().filter(final_one)
}

/// From here on the bytes are another protocol's.
fn open_tunnel(answer: &ResponseHeader, facts: &Facts, leg: Option<&Leg>) {
    match leg.filter(|_| web_socket::is_agreed_on(&answer.headers)) {
        None => facts.line.open_tunnel(),
        Some(leg) => {
            let socket = WebSocket::open();
            leg.open_web_socket(socket.clone());
            facts.line.open_web_socket(socket);
        }
    }
}

/// Whether a body follows this head (RFC 9112 §6.3).
fn has_body(asked: &RequestHeader, answer: &ResponseHeader) -> bool {
    asked.method != Method::HEAD && !answer.status.is_informational() && !matches!(answer.status.as_u16(), 204 | 304)
}

/// The target does not keep to the protocol: 502, its connection is closed, and it is not asked again.
#[expect(clippy::unnecessary_box_returns, reason = "Pingora's hooks return boxed errors")]
fn bad_target(why: impl Into<ImmutStr>) -> Box<Error> {
    Error::create(ErrorType::HTTPStatus(502), ErrorSource::Upstream, Some(why.into()), None)
}

/// A plugin failed before the upstream was asked: 500, told in the log.
fn failed(cx: &mut Request, failure: &Failure) -> Reply {
    tracing::error!(plugin = failure.plugin, place = %failure.place, error = %failure, "A plugin failed and the request with it.");
    cx.error = Some(failure.to_string());
    Reply::status(StatusCode::INTERNAL_SERVER_ERROR).because("a plugin failed")
}

/// A plugin failed later: the error that makes Pingora end the request. A body that is longer than the plugin holds is the
/// fault of whoever sends it: `too_large`.
#[expect(clippy::unnecessary_box_returns, reason = "Pingora's hooks return boxed errors")]
fn fatal(cx: &mut Request, failure: &Failure, too_large: StatusCode) -> Box<Error> {
    let status = match failure.cause {
        Cause::TooLarge { .. } => {
            cx.error = Some(failure.to_string());
            too_large
        }
        _ => failed(cx, failure).status_code(),
    };
    Error::explain(ErrorType::HTTPStatus(status.as_u16()), "a plugin failed")
}
