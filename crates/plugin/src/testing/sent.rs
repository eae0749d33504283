//! What became of a request, and what becomes of an answer to it.

use std::cell::RefCell;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use http::{HeaderName, HeaderValue, Method, StatusCode};
use pingora_http::{RequestHeader, ResponseHeader};

use super::message::{Answered, Forwarded, code, written};
use super::request::Live;
use crate::consumer::Consumer;
use crate::cx::{Attempt, Origin, Summary};
use crate::decision::Decision;
use crate::error::{Cause, Failure};
use crate::reply::Reply;

/// A request that went through the request hooks. Dropping it ends the request.
pub struct Sent<'p> {
    live: RefCell<Live<'p>>,
    chunks: Vec<Bytes>,
    attempts: RefCell<u32>,
    failure: RefCell<Option<Failure>>,
    outcome: RefCell<Outcome>,
}

#[derive(Clone)]
enum Outcome {
    Answered(Answered),
    Forwarded(Forwarded),
}

impl<'p> Sent<'p> {
    pub(super) fn new(live: Live<'p>, chunks: Vec<Bytes>, outcome: Result<Option<Reply>, Failure>) -> Self {
        // Replaced below; no request is ever seen with it.
        let nothing = Outcome::Answered(written(&Reply::status(StatusCode::INTERNAL_SERVER_ERROR)));
        let sent = Self {
            live: RefCell::new(live),
            chunks,
            attempts: RefCell::new(0),
            failure: RefCell::new(None),
            outcome: RefCell::new(nothing),
        };
        let outcome = match outcome {
            Ok(Some(reply)) => Outcome::Answered(sent.answer(&reply)),
            Ok(None) => sent.attempt(),
            Err(failure) => {
                // The client is told what is wrong with its body, and no plugin is to blame.
                let incomplete = matches!(failure.cause, Cause::Incomplete);
                let status = if incomplete { StatusCode::BAD_REQUEST } else { StatusCode::INTERNAL_SERVER_ERROR };
                Outcome::Answered(sent.fail(failure, status))
            }
        };
        sent.outcome.replace(outcome);
        sent
    }

    /// The answer the client got without any target being asked, after the response hooks; a bare 500 if the plugin
    /// failed (see [`Sent::failure`]).
    pub fn answered(&self) -> Option<Answered> {
        match &*self.outcome.borrow() {
            Outcome::Answered(answered) => Some(answered.clone()),
            Outcome::Forwarded(_) => None,
        }
    }

    /// As [`Sent::answered`].
    ///
    /// # Panics
    /// If the request was forwarded, or the plugin failed.
    #[track_caller]
    pub fn refused(&self) -> Answered {
        if let Some(failure) = self.failure() {
            panic!("the plugin did not answer but failed: {failure}");
        }
        match &*self.outcome.borrow() {
            Outcome::Answered(answered) => answered.clone(),
            Outcome::Forwarded(forwarded) => panic!("not answered but forwarded: {forwarded:?}"),
        }
    }

    /// The request as a target got it, after the upstream-request and body hooks.
    ///
    /// # Panics
    /// If it was answered instead.
    #[track_caller]
    pub fn forwarded(&self) -> Forwarded {
        match &*self.outcome.borrow() {
            Outcome::Forwarded(forwarded) => forwarded.clone(),
            Outcome::Answered(answered) => {
                let why: Vec<_> = self.decisions().into_iter().map(|decision| decision.why).collect();
                panic!("not forwarded but answered: {answered:?}, because {why:?}")
            }
        }
    }

    /// Why the plugin failed the request, with its name and place, if it did.
    pub fn failure(&self) -> Option<String> {
        self.failure.borrow().as_ref().map(ToString::to_string)
    }

    /// Sends a forwarded request once more, as after a failed attempt: upstream-request hooks on a fresh copy, and the
    /// body from its first byte. From then on [`Sent::forwarded`] is this attempt.
    #[track_caller]
    pub fn retry(&self) -> Forwarded {
        self.forwarded();
        self.live.borrow_mut().run.restart_bodies();
        let outcome = self.attempt();
        self.outcome.replace(outcome);
        self.forwarded()
    }

    /// A target's answer, passed through the response hooks to the client.
    ///
    /// # Panics
    /// If the request was answered already, or a header is none.
    #[track_caller]
    pub fn respond(&self, status: u16, headers: &[(&str, &str)], body: impl Into<Bytes>) -> Answered {
        self.respond_chunks(status, headers, [body.into()])
    }

    /// As [`Sent::respond`], the body in these chunks.
    #[track_caller]
    pub fn respond_chunks<B: Into<Bytes>>(
        &self,
        status: u16,
        headers: &[(&str, &str)],
        chunks: impl IntoIterator<Item = B>,
    ) -> Answered {
        self.forwarded();
        let mut head = response(code(status));
        for (name, value) in headers {
            let name = HeaderName::try_from(*name).unwrap_or_else(|error| panic!("{name}: {error}"));
            let value = HeaderValue::from_str(value).unwrap_or_else(|error| panic!("value of {name}: {error}"));
            head.append_header(name, value).ok();
        }
        self.live.borrow_mut().run.restart_bodies();
        let chunks: Vec<Bytes> = chunks.into_iter().map(Into::into).collect();
        match self.through_response(head, chunks, Origin::Upstream) {
            Ok(answered) => answered,
            Err(failure) => self.fail(failure, StatusCode::BAD_GATEWAY),
        }
    }

    /// What was decided and is worth telling; everything if the request was [verbose](super::Request::verbose).
    pub fn decisions(&self) -> Vec<Decision> {
        self.live.borrow().exchange.decisions.to_vec()
    }

    /// Who calls, as the plugin left it.
    pub fn consumer(&self) -> Option<Arc<Consumer>> {
        self.live.borrow().exchange.consumer.clone()
    }

    /// The fact of this type that the plugin left.
    pub fn fact<T: Clone + 'static>(&self) -> Option<T> {
        self.live.borrow().exchange.fact().cloned()
    }

    /// The version of the API that the plugin said the request is for.
    pub fn version(&self) -> Option<Arc<str>> {
        self.live.borrow().exchange.version.clone()
    }

    /// What the plugin said the target is called.
    pub fn target_host(&self) -> Option<HeaderValue> {
        self.live.borrow().exchange.target_host.as_deref().cloned()
    }

    /// What the plugin said the request costs.
    pub fn cost(&self) -> Option<u64> {
        self.live.borrow().exchange.cost
    }

    /// The id of the request, if the plugin asked for one or set it.
    pub fn request_id(&self) -> Option<Arc<str>> {
        self.live.borrow().exchange.known_request_id().cloned()
    }

    /// The end of the request: runs the log hooks. `status` is what the client was sent.
    #[track_caller]
    pub fn log(&self, status: u16) {
        let live = self.live.borrow();
        let asked = matches!(&*self.outcome.borrow(), Outcome::Forwarded(_));
        let summary = Summary {
            status: Some(code(status)),
            duration: live.world.stubs.clock.now().saturating_duration_since(live.exchange.started),
            bytes_in: self.chunks.iter().map(|chunk| chunk.len() as u64).sum(),
            bytes_out: 0,
            upstream: asked.then(|| upstream(&live)),
            attempts: *self.attempts.borrow(),
            error: self.failure(),
        };
        live.chain.log(&summary, &live.head, &live.exchange, &live.run);
    }

    /// One try at a target.
    fn attempt(&self) -> Outcome {
        self.attempts.replace_with(|attempts| *attempts + 1);
        match self.try_target() {
            Ok(Ok(forwarded)) => Outcome::Forwarded(forwarded),
            Ok(Err(reply)) => Outcome::Answered(self.answer(&reply)),
            Err(failure) => Outcome::Answered(self.fail(failure, StatusCode::INTERNAL_SERVER_ERROR)),
        }
    }

    /// The hooks of one attempt; the inner error is an answer by a body hook.
    fn try_target(&self) -> Result<Result<Forwarded, Reply>, Failure> {
        let mut live = self.live.borrow_mut();
        let mut head = live.head.clone();
        let attempt = Attempt { number: *self.attempts.borrow(), upstream: upstream(&live), target: None };
        let chunks = live.body(&self.chunks);
        let Live { chain, world, head: request, exchange, run, .. } = &mut *live;
        chain.upstream_request(&mut head, &attempt, exchange, run)?;
        chain.send(&mut head, &attempt, exchange, run)?;
        let mut body = BytesMut::new();
        for (mut chunk, last) in marked(chunks) {
            if let Some(reply) = world.wait(chain.request_body(&mut chunk, last, request, exchange, run))? {
                return Ok(Err(reply));
            }
            body.extend_from_slice(&chunk);
        }
        let RequestHeaderParts { method, uri, headers } = parts(&head);
        let chosen = exchange.upstream.as_ref().map(|upstream| upstream.name().to_string());
        Ok(Ok(Forwarded { method, uri, headers, body: body.freeze(), upstream: chosen }))
    }

    /// An answer of the gateway's own, passed through the response hooks.
    fn answer(&self, reply: &Reply) -> Answered {
        let Answered { status, headers, body } = written(reply);
        let mut head = response(status);
        for (name, value) in &headers {
            head.append_header(name, value.clone()).ok();
        }
        self.live.borrow_mut().run.restart_bodies();
        match self.through_response(head, vec![body], Origin::Gateway) {
            Ok(answered) => answered,
            // The bare page: response hooks are not tried a second time.
            Err(failure) => {
                self.failure.replace(Some(failure));
                written(&Reply::status(StatusCode::INTERNAL_SERVER_ERROR))
            }
        }
    }

    /// The gateway's answer to a failure. One in the request hooks still passes the response hooks, one in those does not.
    fn fail(&self, failure: Failure, status: StatusCode) -> Answered {
        self.failure.replace(Some(failure));
        let reply = Reply::status(status);
        if status == StatusCode::BAD_GATEWAY { written(&reply) } else { self.answer(&reply) }
    }

    fn through_response(
        &self,
        mut head: ResponseHeader,
        chunks: Vec<Bytes>,
        origin: Origin,
    ) -> Result<Answered, Failure> {
        let mut live = self.live.borrow_mut();
        let Live { chain, world, head: request, exchange, run, .. } = &mut *live;
        world.wait(chain.response(&mut head, request, origin, exchange, run))?;
        let mut body = BytesMut::new();
        let chunks = if request.method == Method::HEAD { Vec::new() } else { chunks };
        for (mut chunk, last) in marked(chunks) {
            world.wait(chain.response_body(&mut chunk, last, request, exchange, run))?;
            body.extend_from_slice(&chunk);
        }
        Ok(Answered { status: head.status, headers: head.headers.clone(), body: body.freeze() })
    }
}

struct RequestHeaderParts {
    method: Method,
    uri: http::Uri,
    headers: http::HeaderMap,
}

fn parts(head: &RequestHeader) -> RequestHeaderParts {
    RequestHeaderParts { method: head.method.clone(), uri: head.uri.clone(), headers: head.headers.clone() }
}

pub(super) fn response(status: StatusCode) -> ResponseHeader {
    ResponseHeader::build(status, None).unwrap_or_else(|error| panic!("no response: {error}"))
}

/// Name of the upstream asked: the one the plugin chose, else that of the route.
fn upstream(live: &Live<'_>) -> Arc<str> {
    live.exchange.upstream.as_ref().map_or_else(|| "probe".into(), |upstream| upstream.name().clone())
}

/// The chunks, each with whether it is the last. No body at all is one empty last chunk, as on the wire.
pub(super) fn marked(mut chunks: Vec<Bytes>) -> impl Iterator<Item = (Bytes, bool)> {
    if chunks.is_empty() {
        chunks.push(Bytes::new());
    }
    let last = chunks.len() - 1;
    chunks.into_iter().enumerate().map(move |(index, chunk)| (chunk, index == last))
}

impl std::fmt::Debug for Sent<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &*self.outcome.borrow() {
            Outcome::Answered(answered) => answered.fmt(f),
            Outcome::Forwarded(forwarded) => forwarded.fmt(f),
        }
    }
}
