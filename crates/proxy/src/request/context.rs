//! What one request carries through its phases: the generation it sees, where it is, and what it holds.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use http::uri::PathAndQuery;
use http::{HeaderValue, StatusCode};
use pingora::http::{RequestHeader, ResponseHeader};
use pingora::protocols::http::ServerSession as Session;
use pingora::{Error, ErrorType};
use portreeve_balance::{InFlight, Tried};
use portreeve_plugin::engine::{Attempt, Chain, Exchange, Failure, Origin, Run, Summary, View};
use portreeve_plugin::{Reply, Upstream};
use portreeve_wire::http1::Asked;
use portreeve_wire::proxy_protocol::Header;

use tokio::time::{timeout, timeout_at};

mod bodies;
mod trailers;
mod tries;

use crate::fault::Fault;
use crate::http::grpc;
use crate::http::trailers::TrailerRules;
use crate::listener::RequestControl;
use crate::request::gather::ClientBody;
use crate::request::upload;
use crate::snapshot::mirror::{Copy, Mirror};
use crate::snapshot::route::{End, Route};
use crate::snapshot::{CompiledListener, Snapshot};
use crate::upstream::{
    AttemptOptions, AttemptOutcome, BadAnswer, MAX_INTERIM, Pool, Silence, Slot, UpstreamAttempt, UpstreamHandle,
    Wants, check_response,
};

/// The context of one request. Boxed, since it is moved by value.
pub(crate) type Context = Box<Request>;

/// One request on its way.
#[derive(Debug)]
pub(crate) struct Request {
    /// Pinned at the first byte: the request sees no other generation until its log line.
    pub(crate) snapshot: Arc<Snapshot>,
    pub(crate) exchange: Exchange,
    pub(crate) entrance: Option<Arc<CompiledListener>>,
    pub(crate) route: Option<Arc<Route>>,
    pub(crate) at_entrance: Run,
    pub(crate) at_route: Run,
    chosen: Option<Chosen>,
    wants: Wants,
    tried: Tried,
    /// Attempts that met a stale connection and do not count.
    stale: u32,
    in_flight: Option<InFlight>,
    /// The connection's side of this attempt, where the target speaks HTTP/1.1.
    upstream_attempt: Option<Arc<UpstreamAttempt>>,
    /// Whether a second target was asked beside the first, and was the one that was heard.
    pub(crate) hedge: Option<bool>,
    /// What came of the attempt, once the pool knows it.
    told: Option<AttemptOutcome>,
    /// The place among those that the upstream has at once, until the end of the request.
    slot: Option<Slot>,
    /// Before the next attempt.
    pause: Duration,
    /// What was wrong with the last attempt, or why there is none.
    fault: Option<Fault>,
    /// The copy for another upstream, while it is made.
    copy: Option<Box<Copy>>,
    pub(crate) attempt: Attempt,
    /// Path and query as they came, for the log.
    pub(crate) asked: Option<PathAndQuery>,
    /// What a gRPC call ended with, for the log.
    pub(crate) grpc_status: Option<u16>,
    pub(crate) body_in: u64,
    pub(crate) leave: Leave,
    /// The length of the body, if its client has told it: before any plugin could say something else.
    pub(crate) body_length: Option<u64>,
    pub(crate) trailers: TrailerRules,
    /// A CORS preflight for another method of the route: it comes as far as the chain.
    pub(crate) preflight: bool,
    /// The head of the answer has come, or been made here: from now on silence is bounded, and no longer the time.
    has_begun: bool,
    /// Until when that must be so.
    deadline: Instant,
    /// When the client itself gives up, or a plugin, if they say so: an answer ends by then as well.
    patience: Option<Instant>,
    /// Interim answers of this attempt.
    interim: u8,
    /// An answer that a body hook gave, to be sent when the request ends.
    pub(crate) pending: Option<Reply>,
    /// Whether the answer was made here.
    pub(crate) answered: bool,
    /// What went wrong, for the operator.
    pub(crate) error: Option<String>,
}

/// Whether the client has been told to send the body, by `100 Continue`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Leave {
    NotGiven,
    Given,
}

/// Where a chain stands.
#[derive(Clone, Copy)]
enum Place {
    CompiledListener,
    Route,
}

/// Why no request hook after this one runs.
#[derive(Debug)]
pub(crate) enum Stopped {
    /// A plugin failed.
    Failed(Failure),
    /// The body that a plugin asked for did not come: the error that ends the request.
    ByClient(Box<Error>),
}

/// What an attempt is about.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Try {
    pub(crate) asked: Asked,
    /// Whether asking two targets at once does no harm: nothing is changed, and there is no body.
    pub(crate) is_safe: bool,
    /// For whom it is, where targets want to know.
    pub(crate) told: Header,
}

/// The upstream of a request.
#[derive(Debug)]
enum Chosen {
    ByRoute(Arc<Pool>),
    ByPlugin(Upstream),
}

/// Longest that the response hooks of a request may wait, all together.
const RESPONSE_HOOKS: Duration = Duration::from_secs(30);
/// Kept connections that may turn out dead for one request: as many as a target is likely to have closed at once.
const MAX_STALE: u32 = 3;

/// Bounds the time before the route and with it the real deadline is known.
const UNTIL_ROUTED: Duration = Duration::from_mins(1);

impl Request {
    pub(crate) fn new(snapshot: Arc<Snapshot>, nowhere: Arc<str>) -> Context {
        let now = Instant::now();
        let nobody = SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0));
        Box::new(Self {
            snapshot,
            exchange: Exchange::new(nobody, nowhere.clone(), now),
            entrance: None,
            route: None,
            at_entrance: Run::default(),
            at_route: Run::default(),
            chosen: None,
            wants: Wants::default(),
            tried: Tried::new(),
            stale: 0,
            in_flight: None,
            upstream_attempt: None,
            hedge: None,
            told: None,
            slot: None,
            pause: Duration::ZERO,
            fault: None,
            copy: None,
            attempt: Attempt { number: 0, upstream: nowhere, target: None },
            asked: None,
            grpc_status: None,
            body_in: 0,
            leave: Leave::NotGiven,
            body_length: None,
            trailers: TrailerRules::default(),
            preflight: false,
            has_begun: false,
            deadline: now + UNTIL_ROUTED,
            patience: None,
            interim: 0,
            pending: None,
            answered: false,
            error: None,
        })
    }

    /// Takes the route that was found.
    pub(crate) fn enter(&mut self, route: Arc<Route>) {
        self.exchange.route = Some(route.name.clone());
        self.deadline = self.exchange.started + route.timeout;
        self.route = Some(route);
        self.narrow();
    }

    /// Takes over how long plugins let the request take.
    fn narrow(&mut self) {
        if let Some(patience) = self.exchange.patience {
            let until = self.exchange.started.checked_add(patience);
            self.patience = self.patience.into_iter().chain(until).min();
            self.deadline = self.patience.map_or(self.deadline, |patience| patience.min(self.deadline));
        }
    }

    /// Until when the connection, which watches the client while the target is waited for, is to go on doing so. An answer that
    /// has begun may take as long as it comes.
    pub(crate) fn until(&self) -> Option<Instant> {
        if self.has_begun { self.patience } else { Some(self.deadline) }
    }

    /// The client waits for so long only. It can shorten what the route allows, never lengthen it.
    pub(crate) fn set_client_deadline(&mut self, patience: Duration) {
        // `None` is further away than anybody lives.
        let until = self.exchange.started.checked_add(patience);
        self.patience = self.patience.into_iter().chain(until).min();
        self.deadline = self.patience.map_or(self.deadline, |patience| patience.min(self.deadline));
    }

    /// Runs the route's request hooks, then its end. `Some` is an answer to send; `None` goes to the chosen upstream.
    pub(crate) async fn through_route(&mut self, session: &mut Session) -> Result<Option<Reply>, Stopped> {
        let Some(route) = self.route.clone() else { return Ok(None) };
        let answer = self.pass(&route.chain, session, Place::Route).await?;
        if answer.is_some() {
            return Ok(answer);
        }
        if self.preflight {
            // It comes as far as the chain: the route itself does not take OPTIONS.
            return Ok(None);
        }
        let view = View { request: session.req_header(), response: None, exchange: &self.exchange };
        // What a plugin chose goes before what the route names.
        self.chosen = match (&self.exchange.upstream, &route.end) {
            (Some(upstream), _) => Some(Chosen::ByPlugin(upstream.clone())),
            (None, End::Upstream(pool)) => Some(Chosen::ByRoute(pool.clone())),
            (None, End::Split(split)) => split.choose(&view).cloned().map(Chosen::ByRoute),
            (None, End::Respond(respond)) => return Ok(Some(respond.reply(&view))),
            (None, End::Redirect(redirect)) => return Ok(Some(redirect.reply(&view))),
            (None, End::Plugin) => None,
        };
        if let Some(pool) = self.pool() {
            let (wants, name) = (pool.wants(&view), pool.name.clone());
            pool.earn_retry();
            self.wants = wants;
            self.attempt.upstream = name;
            self.copy = route.mirror.as_ref().and_then(Mirror::begin);
        }
        Ok(None)
    }

    /// Runs the listener's request hooks.
    pub(crate) async fn through_entrance(&mut self, session: &mut Session) -> Result<Option<Reply>, Stopped> {
        match self.entrance.clone() {
            Some(entrance) => self.pass(&entrance.chain, session, Place::CompiledListener).await,
            None => Ok(None),
        }
    }

    /// Runs the request hooks of one chain, for at most what is left of the request's time.
    async fn pass(&mut self, chain: &Chain, session: &mut Session, place: Place) -> Result<Option<Reply>, Stopped> {
        let limit = self.route.as_ref().map_or(u64::MAX, |route| route.max_body);
        let run = match place {
            Place::CompiledListener => &mut self.at_entrance,
            Place::Route => &mut self.at_route,
        };
        if !chain.touches_request() {
            chain.pass_by(run);
            return Ok(None);
        }
        // Plugins change the head while the body is read from the session that has it.
        let mut head = std::mem::replace(session.req_header_mut(), http::Request::new(()).into_parts().0.into());
        let mut body = ClientBody::new(session, &head, &mut self.leave, limit, self.deadline);
        let passing = chain.request(&mut head, &mut body, &mut self.exchange, run);
        let passed = timeout_at(self.deadline.into(), passing).await;
        let (late, ended) = (passed.is_err() && body.is_awaited(), body.ended());
        *session.req_header_mut() = head;
        match passed {
            Ok(Err(failure)) => Err(ended.map_or(Stopped::Failed(failure), Stopped::ByClient)),
            Ok(Ok(answer)) => {
                self.narrow();
                Ok(answer)
            }
            Err(_) if late => Err(Stopped::ByClient(upload::too_late())),
            Err(_) => {
                self.error = Some("the time of the request passed in a plugin".to_owned());
                self.fault = Some(Fault::Deadline);
                Ok(Some(
                    Reply::status(StatusCode::GATEWAY_TIMEOUT).because("the time of the request passed in a plugin"),
                ))
            }
        }
    }

    pub(crate) fn pool(&self) -> Option<&Pool> {
        match self.chosen.as_ref()? {
            Chosen::ByRoute(pool) => Some(pool),
            Chosen::ByPlugin(upstream) => upstream.pool().as_any().downcast_ref(),
        }
    }

    /// Begins the next attempt: at another target than those tried, with what is left of the time, and at most `limit` for each
    /// silence of the target.
    pub(crate) fn next_attempt(&mut self, try_of: Try, limit: Option<Duration>) -> pingora::Result<UpstreamHandle> {
        let now = Instant::now();
        let left = self.deadline.saturating_duration_since(now);
        if left.is_zero() {
            return Err(self.refused(Fault::Deadline));
        }
        let Some(pool) = self.pool() else {
            return Error::e_explain(
                ErrorType::HTTPStatus(500),
                "no plugin of the chain answered or chose an upstream",
            );
        };
        let (member, in_flight) = match pool.pick_for(&self.wants, &self.tried) {
            Ok(picked) => picked,
            Err(fault) => return Err(self.refused(fault)),
        };
        // A client in HTTP/2 has no line of its own to keep the time of an attempt.
        let first_byte = member.prepared.timeouts().first_byte.get().min(limit.unwrap_or(left)).min(left);
        let patience = self.patience.map(|patience| patience.saturating_duration_since(now));
        let silence = Silence { first_byte, later: patience.map_or(self.idle(), |patience| patience.min(self.idle())) };
        let is_first = self.attempt.number == 0 && self.hedge.is_none();
        // Who is where the client was before knows what no other does: being slow is no reason to move the client.
        let stays = self.wants.stay.is_some_and(|stay| stay.address == member.target.address);
        let hedge = if try_of.is_safe && is_first && !stays {
            let mut tried = self.tried.clone();
            tried.push(member.target.address);
            pool.hedge(&self.wants, tried, now)
        } else {
            None
        };
        let Try { asked, told, .. } = try_of;
        let handle = member.prepared.attempt(AttemptOptions { asked, silence, told, hedge });
        self.interim = 0;
        self.upstream_attempt = handle.upstream_attempt().cloned();
        self.in_flight = Some(in_flight);
        self.told = None;
        self.grpc_status = None;
        self.tried.push(member.target.address);
        self.attempt.number += 1;
        self.attempt.target = Some(member.target.address);
        if self.attempt.number + self.stale > 1 {
            self.body_in = 0;
            self.restart_bodies();
        }
        Ok(handle)
    }

    /// What the connection of this attempt has to say of it.
    pub(crate) fn upstream_attempt(&self) -> Option<&UpstreamAttempt> {
        self.upstream_attempt.as_deref()
    }

    /// An attempt met a kept connection that was dead: it does not count, a few times.
    pub(crate) fn forget_stale_attempt(&mut self) -> bool {
        if self.stale >= MAX_STALE {
            return false;
        }
        self.stale += 1;
        let target = self.attempt.target;
        self.tried.retain(|tried| Some(*tried) != target);
        // Another that was asked beside it was asked: not once more.
        self.settle();
        self.attempt.number = self.attempt.number.saturating_sub(1);
        true
    }

    /// Longest silence once the answer has begun.
    pub(crate) fn idle(&self) -> Duration {
        // Nobody is asked without a route.
        self.route.as_ref().map_or(UNTIL_ROUTED, |route| route.idle)
    }

    /// The time of the request ends here: that of an answer which is made here, too.
    pub(crate) fn begins(&mut self, line: &RequestControl) {
        self.has_begun = true;
        line.set_deadline(self.until());
        line.set_answering();
    }

    /// The head of the target's answer has come.
    pub(crate) fn answer_begins(&mut self, answer: &ResponseHeader) {
        let says_no = matches!(answer.status.as_u16(), 502..=504);
        self.fault = says_no.then_some(Fault::UpstreamStatus);
        if let (Some(fault), Some(pool)) = (self.fault, self.pool()) {
            pool.metrics.blame(fault);
        }
    }

    /// Refuses what no client should be sent: an answer that could be read in two ways, or interim ones without end.
    pub(crate) fn check_answer(&mut self, answer: &mut ResponseHeader, asked: &RequestHeader) -> Result<(), BadAnswer> {
        check_response(answer, asked)?;
        if answer.status.is_informational() && answer.status != StatusCode::SWITCHING_PROTOCOLS {
            self.interim += 1;
        }
        if self.interim > MAX_INTERIM { Err(BadAnswer::Interim) } else { Ok(()) }
    }

    /// Whether the time of this request is up. An answer that has begun has none but what its client gives it.
    pub(crate) fn is_late(&self) -> bool {
        self.until().is_some_and(|until| Instant::now() > until)
    }

    /// The request has been sent whole: the target's time begins.
    pub(crate) fn sent(&mut self) {
        if let Some(attempt) = self.in_flight.as_mut().filter(|_| self.body_in > 0) {
            attempt.sent(Instant::now());
        }
    }

    /// The target has begun its answer.
    pub(crate) fn target_answered(&mut self, answer: &ResponseHeader) {
        self.settle();
        if !answer.status.is_informational() || answer.status == StatusCode::SWITCHING_PROTOCOLS {
            self.grpc_status = grpc::status(&answer.headers);
            self.report(AttemptOutcome::by_answer(answer.status, self.grpc_status));
        }
    }

    fn report(&mut self, told: AttemptOutcome) {
        if let (Some(pool), Some(attempt), None) = (self.pool(), &self.in_flight, self.told) {
            pool.report(attempt, told);
            self.told = Some(told);
        }
    }

    /// Takes off what is only between the client and us.
    pub(crate) fn hide_cookie(&self, head: &mut RequestHeader) {
        if let Some(pool) = self.pool() {
            pool.hide_cookie(head);
        }
    }

    /// Lets the client come back to the target that answers, if the upstream is sticky.
    pub(crate) fn remember_target(&self, asked: &RequestHeader, answer: &mut ResponseHeader) {
        if let (Some(pool), Some(target)) = (self.pool(), self.attempt.target) {
            // Ours, whoever the client is: `forwarding` has seen to it.
            let is_secure = || asked.headers.get("x-forwarded-proto").is_some_and(|scheme| scheme == "https");
            pool.remember(target, self.wants.stay, is_secure, answer);
        }
    }

    /// The target has nothing more to do for this request.
    pub(crate) fn leave_target(&mut self) {
        self.in_flight = None;
    }

    /// Nothing more is done for this request: whoever waits for its place may have it.
    pub(crate) fn leave_upstream(&mut self) {
        self.leave_target();
        self.slot = None;
    }

    /// Why no target served it, in a word for the log, if the client was told that none did.
    pub(crate) fn reason(&self, status: Option<StatusCode>) -> Option<&'static str> {
        let fault = self.fault?;
        let told = status.is_some_and(|status| matches!(status.as_u16(), 502..=504));
        (told || fault == Fault::AnswerBroken).then(|| fault.as_str())
    }

    /// Runs the response hooks: the route's, then the listener's, each in reverse.
    pub(crate) async fn response(
        &mut self,
        head: &mut ResponseHeader,
        request: &RequestHeader,
        origin: Origin,
    ) -> Result<(), Failure> {
        let Self { exchange, route, entrance, at_route, at_entrance, .. } = self;
        let of_route = route.as_ref().is_some_and(|route| route.chain.touches_response());
        if !of_route && !entrance.as_ref().is_some_and(|entrance| entrance.chain.touches_response()) {
            return Ok(());
        }
        let hooks = async {
            if let Some(route) = route {
                route.chain.response(head, request, origin, exchange, at_route).await?;
            }
            if let Some(entrance) = entrance {
                entrance.chain.response(head, request, origin, exchange, at_entrance).await?;
            }
            Ok(())
        };
        timeout(RESPONSE_HOOKS, hooks).await.unwrap_or_else(|_| Err(Failure::late(RESPONSE_HOOKS)))
    }

    /// What the listener says in every answer, after all hooks.
    pub(crate) fn mark(&self, head: &mut ResponseHeader) {
        if let Some(entrance) = &self.entrance {
            entrance.https.mark(head);
        }
    }

    /// Runs the upstream-request hooks of this attempt.
    pub(crate) fn upstream_request(&mut self, head: &mut RequestHeader) -> Result<(), Failure> {
        let Self { exchange, route, entrance, at_route, at_entrance, attempt, .. } = self;
        if let Some(entrance) = entrance {
            entrance.chain.upstream_request(head, attempt, exchange, at_entrance)?;
        }
        match route {
            Some(route) => route.chain.upstream_request(head, attempt, exchange, at_route),
            None => Ok(()),
        }
    }

    /// Runs the last hooks of this attempt, when nothing else changes its head.
    pub(crate) fn send(&mut self, head: &mut RequestHeader) -> Result<(), Failure> {
        let Self { exchange, route, entrance, at_route, at_entrance, attempt, .. } = self;
        if let Some(entrance) = entrance {
            entrance.chain.send(head, attempt, exchange, at_entrance)?;
        }
        match route {
            Some(route) => route.chain.send(head, attempt, exchange, at_route),
            None => Ok(()),
        }
    }

    /// What the target is called in `Host`, if it is not what the client asked for: a plugin's word goes before the upstream's.
    pub(crate) fn target_host(&self) -> Option<&HeaderValue> {
        self.exchange.target_host.as_deref().or_else(|| self.pool()?.host())
    }

    /// Whether the head that goes to a target in HTTP/1.1 is anything but what the chain has left, or is needed otherwise.
    pub(crate) fn changes_the_head(&self) -> bool {
        self.route.as_ref().is_some_and(|route| route.chain.touches_upstream_request(&self.at_route))
            || self.entrance.as_ref().is_some_and(|entrance| entrance.chain.touches_upstream_request(&self.at_entrance))
            || self.copy.is_some()
            || self.target_host().is_some()
            || self.trailers.are_taken()
            || self.pool().is_some_and(Pool::is_sticky)
    }

    /// Runs the log hooks of every plugin of both chains.
    pub(crate) fn log(&self, summary: &Summary, request: &RequestHeader) {
        if let Some(route) = &self.route {
            route.chain.log(summary, request, &self.exchange, &self.at_route);
        }
        if let Some(entrance) = &self.entrance {
            entrance.chain.log(summary, request, &self.exchange, &self.at_entrance);
        }
    }
}
