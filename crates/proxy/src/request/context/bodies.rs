//! The bodies of a request and of its answer on their way through plugins, and the copy for a mirror.

use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{StatusCode, header};
use pingora::http::RequestHeader;
use pingora::protocols::http::ServerSession as Session;
use portreeve_plugin::engine::{Failure, GatheredBody};
use portreeve_plugin::{BodyError, Reply};
use tokio::time::timeout;

use super::{Request, Stopped};
use crate::request::gather::ClientBody;

/// Bytes of a gathered body that are put at once: a slow target is not sent all of it into memory.
const PIECE: usize = 64 * 1024;
/// Longest that the body hooks of a plugin may wait over one chunk.
const BODY_HOOKS: Duration = Duration::from_secs(30);

impl Request {
    /// The head of this attempt as it goes out: of a body, if there is one, the copy is still to come.
    pub(crate) fn copy_head(&mut self, head: &RequestHeader, is_whole: bool) {
        if self.upstream_attempt.as_ref().is_some_and(|attempt| attempt.offers_upgrade()) {
            self.copy = None;
        }
        if let Some(copy) = &mut self.copy {
            copy.take_head(head);
        }
        if is_whole && let Some(copy) = self.copy.take() {
            copy.send();
        }
    }

    /// A chunk of this attempt's body as it goes out.
    pub(crate) fn copy_chunk(&mut self, chunk: Option<&Bytes>, last: bool) {
        let Some(copy) = &mut self.copy else { return };
        let fits = chunk.is_none_or(|chunk| copy.take_chunk(chunk));
        if (last || !fits)
            && let Some(copy) = self.copy.take().filter(|_| fits)
        {
            copy.send();
        }
    }

    /// Another body takes the place of the one in hand: what plugins hold of that is forgotten.
    pub(crate) fn restart_bodies(&mut self) {
        self.at_entrance.restart_bodies();
        self.at_route.restart_bodies();
    }

    /// Whether any plugin may change the body of the request.
    pub(crate) fn touches_request_body(&self) -> bool {
        self.route.as_ref().is_some_and(|route| route.chain.touches_request_body(&self.at_route))
            || self.entrance.as_ref().is_some_and(|entrance| entrance.chain.touches_request_body(&self.at_entrance))
    }

    /// Whether any plugin may change the body of the answer.
    pub(crate) fn touches_response_body(&self) -> bool {
        self.route.as_ref().is_some_and(|route| route.chain.touches_response_body(&self.at_route))
            || self.entrance.as_ref().is_some_and(|entrance| entrance.chain.touches_response_body(&self.at_entrance))
    }

    /// The longest request body that is let through: what the route allows, or less if a plugin says so.
    pub(crate) fn max_body(&self) -> u64 {
        let route = self.route.as_ref().map_or(u64::MAX, |route| route.max_body);
        self.exchange.max_body.map_or(route, |max| max.min(route))
    }

    /// The smallest bound of the plugins that want the answer's body whole.
    pub(crate) fn response_body_limit(&self) -> Option<usize> {
        let route = self.route.as_ref().and_then(|route| route.chain.response_body_limit(&self.at_route));
        let entrance =
            self.entrance.as_ref().and_then(|entrance| entrance.chain.response_body_limit(&self.at_entrance));
        route.into_iter().chain(entrance).min()
    }

    /// All that goes to targets as the body, if plugins have had it gathered or set it.
    pub(crate) fn whole_body(&self) -> Option<&Bytes> {
        self.exchange.body.as_ref()?.whole()
    }

    /// What has come already of a body that was longer than a plugin holds.
    pub(crate) fn body_beginning(&self) -> &[u8] {
        self.exchange.body.as_deref().map_or(&[], GatheredBody::beginning)
    }

    /// Whether some of a gathered body has still to be put in this attempt.
    pub(crate) fn has_unsent_body(&self) -> bool {
        self.exchange.body.as_ref().is_some_and(|body| body.has_unsent())
    }

    /// The next piece of a gathered body for this attempt.
    pub(crate) fn next_piece(&mut self) -> Option<Bytes> {
        self.exchange.body.as_mut()?.next_piece(PIECE)
    }

    /// Another attempt has it from its first byte on.
    pub(crate) fn rewind_body(&mut self) {
        if let Some(body) = &mut self.exchange.body {
            body.rewind();
        }
    }

    /// Whether a plugin has set the body.
    pub(crate) fn body_is_set(&self) -> bool {
        self.exchange.body.as_ref().is_some_and(|body| body.is_changed())
    }

    /// Whether targets are sent a body.
    pub(crate) fn sends_body(&self, session: &mut Session) -> bool {
        self.whole_body().map_or_else(|| !session.is_body_empty(), |body| !body.is_empty())
    }

    /// All request hooks have run, and a target is to be asked. Nothing of a body that is too long gets there, as far as is known;
    /// and one that a plugin has set takes the place of the client's, which is read to its end.
    pub(crate) async fn settle_body(&mut self, session: &mut Session) -> Result<Option<Reply>, Stopped> {
        let max = self.max_body();
        if !self.body_is_set() {
            let gathered = self.whole_body().map_or(self.body_beginning().len(), Bytes::len) as u64;
            let is_too_long = gathered.max(self.body_length.unwrap_or_default()) > max;
            return Ok(is_too_long.then(|| self.too_large()));
        }
        if session.is_body_empty() || session.is_body_done() {
            return Ok(None);
        }
        let head = session.req_header().clone();
        let mut body = ClientBody::new(session, &head, &mut self.leave, max, self.deadline);
        let read = GatheredBody::discard_rest(&mut body, max).await;
        let ended = body.ended();
        session.req_header_mut().remove_header(&header::EXPECT);
        match (read, ended) {
            (Ok(()), _) => Ok(None),
            (Err(BodyError::TooLarge { .. }), _) | (Err(_), None) => Ok(Some(self.too_large())),
            (Err(_), Some(error)) => Err(Stopped::ByClient(error)),
        }
    }

    fn too_large(&mut self) -> Reply {
        self.error = Some("the request body is longer than is allowed".to_owned());
        Reply::problem(StatusCode::PAYLOAD_TOO_LARGE, "the request body is longer than is allowed here")
    }

    /// Runs the request-body hooks on one chunk: the listener's, then the route's.
    pub(crate) async fn request_body(
        &mut self,
        chunk: &mut Bytes,
        last: bool,
        request: &RequestHeader,
    ) -> Result<Option<Reply>, Failure> {
        let bound = self.body_hooks_bound();
        let Self { exchange, route, entrance, at_route, at_entrance, .. } = self;
        let hooks = async {
            if let Some(entrance) = entrance
                && let Some(reply) = entrance.chain.request_body(chunk, last, request, exchange, at_entrance).await?
            {
                return Ok(Some(reply));
            }
            match route {
                Some(route) => route.chain.request_body(chunk, last, request, exchange, at_route).await,
                None => Ok(None),
            }
        };
        timeout(bound, hooks).await.unwrap_or_else(|_| Err(Failure::late(bound)))
    }

    /// Runs the response-body hooks on one chunk: the route's, then the listener's, each in reverse.
    pub(crate) async fn response_body(
        &mut self,
        chunk: &mut Bytes,
        last: bool,
        request: &RequestHeader,
    ) -> Result<(), Failure> {
        let bound = self.body_hooks_bound();
        let Self { exchange, route, entrance, at_route, at_entrance, .. } = self;
        let hooks = async {
            if let Some(route) = route {
                route.chain.response_body(chunk, last, request, exchange, at_route).await?;
            }
            if let Some(entrance) = entrance {
                entrance.chain.response_body(chunk, last, request, exchange, at_entrance).await?;
            }
            Ok(())
        };
        timeout(bound, hooks).await.unwrap_or_else(|_| Err(Failure::late(bound)))
    }

    /// How long body hooks may wait over a chunk: within what is left of the request's time.
    fn body_hooks_bound(&self) -> Duration {
        let left = self.until().map(|until| until.saturating_duration_since(Instant::now()));
        left.map_or(BODY_HOOKS, |left| left.min(BODY_HOOKS))
    }
}
