//! HTTP/2 on a connection: its streams are accepted here, within the limits of the listener, and each is a session of ours.
//!
//! Pingora's own loop and session are left aside: they drop interim answers, have no time for a body and no end of a
//! connection by count (docs/adr/0015).

mod answer;
mod body;
mod reset_limiter;
mod running;
mod stream;
mod uploads;

use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures::FutureExt;
use h2::server::{Builder, SendResponse};
use h2::{Reason as Code, RecvStream};
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use pingora::apps::HttpServerApp;
use pingora::protocols::Digest;
use pingora::protocols::http::ServerSession;
use pingora::protocols::http::date::get_cached_date;
use portreeve_plugin::engine::fresh_request_id;
use portreeve_wire::http1::Refusal;
use tokio::time::timeout;

pub(super) use self::reset_limiter::Overhead;
use self::reset_limiter::{OF_REQUEST, ResetLimiter};
use self::running::Running;
use self::stream::Stream;
pub(super) use self::uploads::Uploads;
use super::connection::Connection;
use super::connection_info::ConnectionInfo;
use super::connection_limiter::Place;
use super::refused::{ALLOW, Reason};
use super::rules::ListenerRules;
use super::serve::Serving;
use crate::deadline::Deadline;
use crate::descriptors;
use crate::snapshot::CompiledListener;

/// Requests at once on one connection.
const STREAMS: u32 = 128;
/// Bytes of one request body that may be on the way before we have taken them, and of all of a connection.
const STREAM_WINDOW: u32 = 256 * 1024;
const CONNECTION_WINDOW: u32 = 1024 * 1024;
/// What frames of less than 256 bytes may cost in memory while they wait to be taken, beside their content. The window of a
/// stream holds that many of the shortest messages of gRPC, and a client that keeps to it has done nothing wrong.
const SMALL_FRAMES: usize = 8 * 1024 * 1024;
/// Bytes of one answer that wait for a slow client here, beside what its target has sent ahead. A client may have all its
/// streams wait.
const SEND_BUFFER: usize = 64 * 1024;
/// Streams that the client gave up before they were served (rapid reset, CVE-2023-44487).
const PENDING_RESETS: usize = 20;
/// Streams that the client made us give up (`MadeYouReset`, CVE-2025-8671).
const FORCED_RESETS: usize = 64;
/// Requests that may still come after the client was told to make no more here (RFC 9113 §6.8): those on the way.
const AFTER_GOAWAY: u32 = STREAMS;
/// Malformed requests, after which a connection is ended (RFC 9113 §10.5). As many as Pingora allows.
const MALFORMED: u32 = 32;
/// For the last frames of a connection to be taken.
const FAREWELL: Duration = Duration::from_secs(1);

type Http2 = h2::server::Connection<Connection, Bytes>;

/// Bounds on what a client may make us hold and do (RFC 9113 §10.5).
fn options(terms: &ListenerRules) -> Builder {
    let mut options = Builder::new();
    options
        .max_concurrent_streams(STREAMS)
        .initial_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_header_list_size(u32::try_from(terms.bounds.head_bytes).unwrap_or(u32::MAX))
        .data_frame_budget(SMALL_FRAMES)
        .max_send_buffer_size(SEND_BUFFER)
        .max_pending_accept_reset_streams(PENDING_RESETS)
        .max_local_error_reset_streams(Some(FORCED_RESETS));
    options
}

/// One connection and what its requests are served with.
struct Streams<'s> {
    serving: &'s Serving,
    facts: &'s ConnectionInfo,
    entrance: &'s CompiledListener,
    digest: Digest,
    uploads: Arc<Uploads>,
    running: Arc<Running>,
    /// Requests until the client is told to make no more here; then, until that is enforced.
    left: u32,
    leaving: bool,
    /// What the client has asked for in vain.
    waste: ResetLimiter,
}

/// Serves a connection to its end.
pub(super) async fn serve(
    mut connection: Connection,
    serving: &Serving,
    facts: &ConnectionInfo,
    entrance: &CompiledListener,
    place: Arc<Place>,
) {
    let digest = connection.digest();
    let uploads = Arc::<Uploads>::default();
    connection.pass_frames(uploads.clone());
    let started = Instant::now();
    // The connection itself keeps the time of the preface and of every head.
    match options(&entrance.terms).handshake(connection).await {
        Ok(mut http2) => {
            let left = entrance.terms.requests_per_connection;
            let (running, leaving, waste) = (Running::new(place), false, ResetLimiter::new(started));
            let mut streams = Streams { serving, facts, entrance, digest, uploads, running, left, leaving, waste };
            // What is still running afterwards finds out for itself that its client has left, and has its line in the log.
            streams.run(&mut http2).await;
        }
        Err(error) => blame(facts, &error),
    }
    if let Some(reason) = facts.line.refused() {
        // The connection could say nothing of it: in the middle of a head no other frame may be sent for its stream.
        serving.phases.request_refused(entrance, facts, reason, &fresh_request_id(), started.elapsed(), None);
    }
}

/// Notes what the client did wrong, if that is why its connection has ended.
fn blame(facts: &ConnectionInfo, error: &h2::Error) {
    if error.is_library() {
        let is_flood = error.reason() == Some(Code::ENHANCE_YOUR_CALM);
        facts.line.refuse(if is_flood { Reason::Flood } else { Reason::Breach });
    }
}

/// Ends a connection that the last has been said on. Whoever does not take it is not waited for.
async fn farewell(http2: &mut Http2) {
    timeout(FAREWELL, poll_fn(|cx| http2.poll_closed(cx))).await.ok();
}

impl Streams<'_> {
    /// Accepts streams until the connection ends, or has been idle for too long.
    async fn run(&mut self, http2: &mut Http2) {
        let (mut silence, mut stop) = (Deadline::default(), self.serving.stop.clone());
        let mut stopping = std::pin::pin!(stop.wait_for(|stopping| *stopping).map(drop));
        loop {
            tokio::select! {
                biased;
                () = stopping.as_mut(), if !self.leaving => self.leave(http2),
                accepted = http2.accept() => match accepted {
                    Some(Ok((request, respond))) => {
                        silence.clear();
                        self.take(http2, request, respond);
                    }
                    Some(Err(error)) => return blame(self.facts, &error),
                    None => return,
                },
                // Found out while more was asked for, which this has just been.
                () = poll_fn(|_| if self.facts.line.is_flooded() { Poll::Ready(()) } else { Poll::Pending }) => {
                    self.end(http2);
                    return farewell(http2).await;
                }
                () = poll_fn(|cx| self.poll_idle(cx, &mut silence)) => {
                    http2.abrupt_shutdown(Code::NO_ERROR);
                    return farewell(http2).await;
                }
            }
        }
    }

    /// Ready when no request has been served for as long as the listener lets a connection be idle.
    fn poll_idle(&self, cx: &mut Context<'_>, silence: &mut Deadline) -> Poll<()> {
        if self.running.poll_none(cx).is_pending() {
            silence.clear();
            return Poll::Pending;
        }
        silence.poll_within(cx, descriptors::idle(self.entrance.terms.idle))
    }

    /// Asks the client to make no more requests here. Those that are on the way are served.
    fn leave(&mut self, http2: &mut Http2) {
        http2.graceful_shutdown();
        (self.leaving, self.left) = (true, AFTER_GOAWAY);
    }

    /// The client asks for more than is good for others.
    fn end(&self, http2: &mut Http2) {
        self.facts.line.refuse(Reason::Flood);
        http2.abrupt_shutdown(Code::ENHANCE_YOUR_CALM);
    }

    fn take(&mut self, http2: &mut Http2, request: Request<RecvStream>, respond: SendResponse<Bytes>) {
        if self.facts.line.malformed() >= MALFORMED {
            return self.end(http2);
        }
        self.left = self.left.saturating_sub(1);
        if self.waste.is_too_much(self.facts.line.given_up(), Instant::now) && !self.leaving {
            self.facts.line.refuse(Reason::Flood);
            self.leave(http2);
        }
        if self.left == 0 {
            if self.leaving {
                return self.end(http2);
            }
            self.leave(http2);
        }
        if request.method() == Method::CONNECT {
            return self.refuse(respond, Reason::Malformed(Refusal::Connect));
        }
        let Ok(counted) = self.running.begins() else { return self.put_off(respond) };
        self.facts.line.served(OF_REQUEST);
        // Each stream has a line of its own to the hooks of its request.
        let facts = ConnectionInfo { line: self.facts.line.of_stream(), ..self.facts.clone() };
        let line = facts.line.clone();
        let Ok(carried) = facts.carried() else { return };
        let digest = Digest { proxy_digest: Some(carried), ..self.digest.clone() };
        let stream = Box::new(Stream::new(request, respond, digest, line, &self.uploads, &self.entrance.terms));
        let (proxy, stop) = (self.serving.proxy.clone(), self.serving.stop.clone());
        tokio::spawn(async move {
            proxy.process_new_http(ServerSession::new_custom(stream), &stop).await;
            drop(counted);
        });
    }

    /// The client has as much at once as it may. Nothing of the request was looked at, so it may ask again (RFC 9113 §8.7).
    fn put_off(&self, mut respond: SendResponse<Bytes>) {
        respond.send_reset(Code::REFUSED_STREAM);
        let id = fresh_request_id();
        self.serving.phases.request_refused(self.entrance, self.facts, Reason::Crowded, &id, Duration::ZERO, None);
    }

    /// Answers what no hook is to see.
    fn refuse(&self, mut respond: SendResponse<Bytes>, reason: Reason) {
        let mut answer = Response::new(());
        *answer.status_mut() = reason.status();
        answer.headers_mut().insert(header::DATE, get_cached_date());
        if reason.status() == StatusCode::METHOD_NOT_ALLOWED {
            answer.headers_mut().insert(header::ALLOW, HeaderValue::from_static(ALLOW));
        }
        if let Some(hsts) = self.entrance.https.hsts() {
            answer.headers_mut().insert(header::STRICT_TRANSPORT_SECURITY, hsts.clone());
        }
        // The client may have given the stream up.
        let sent = respond.send_response(answer, true).ok().map(|_| 0);
        let id = fresh_request_id();
        self.serving.phases.request_refused(self.entrance, self.facts, reason, &id, Duration::ZERO, sent);
    }
}
