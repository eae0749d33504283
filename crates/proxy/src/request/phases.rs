//! The life of a request as one list: Pingora's hooks in the order in which it calls them, each a few lines.
//! docs/life-of-a-request.md walks through it.

use std::sync::Arc;

use arc_swap::ArcSwap;
use async_trait::async_trait;
use http::{StatusCode, Version};
use pingora::http::ResponseHeader;
use pingora::modules::http::HttpModules;
use pingora::protocols::Digest;
use pingora::protocols::http::ServerSession;
use pingora::upstreams::peer::HttpPeer;
use pingora::{Error, ErrorType, Result};
use pingora_proxy::{FailToProxy, ProxyHttp, Session};
use portreeve_plugin::Reply;
use portreeve_plugin::engine::{Cause, Failure};

use crate::listener::{ConnectionInfo, Reason};
use crate::observe::Metrics;
use crate::request::context::{Context, Request, Stopped};
use crate::request::{admission, conclusion, exchange, reply};
use crate::snapshot::Snapshot;

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

    /// Pins the generation that is live.
    fn new_ctx(&self) -> Context {
        Request::new(self.live.load_full(), self.nowhere.clone())
    }

    /// Path, listener's chain, router, route's chain. `Ok(true)`: an answer has been sent.
    async fn request_filter(&self, session: &mut Session, cx: &mut Context) -> Result<bool> {
        let answer = match admission::admit(session, cx).await {
            Ok(answer) => answer,
            Err(Stopped::Failed(failure)) => Some(failed(cx, &failure)),
            Err(Stopped::ByClient(error)) => return Err(error),
        };
        match answer {
            Some(answer) => reply::send(session, cx, answer).await.map(|()| true),
            None => Ok(false),
        }
    }

    /// The exchange with targets of the pool: attempts, retries, hedges, upgrades. What it answers has been sent.
    async fn proxy_upstream_filter(&self, session: &mut Session, cx: &mut Context) -> Result<bool> {
        exchange::run(session, cx).await.map(|()| false)
    }

    /// Never called: `proxy_upstream_filter` leaves nothing to be done.
    async fn upstream_peer(&self, _session: &mut Session, _cx: &mut Context) -> Result<Box<HttpPeer>> {
        Error::e_explain(ErrorType::InternalError, "exchanges with targets are not Pingora's")
    }

    /// Nothing more can be tried: the error page.
    async fn fail_to_proxy(&self, session: &mut Session, error: &Error, cx: &mut Context) -> FailToProxy {
        if let (Some(facts), Some(entrance)) = (facts(session.digest()), &cx.entrance)
            && let Some(reason) = facts.line.refused().filter(|reason| *reason != Reason::Late)
        {
            self.metrics.request_refused(&entrance.name, reason.label());
        }
        let sent = conclusion::fail(session, error, cx).await;
        FailToProxy { error_code: sent.map_or(0, |status| status.as_u16()), can_reuse_downstream: false }
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

/// What our connection type told of itself.
pub(crate) fn facts(digest: Option<&Digest>) -> Option<&ConnectionInfo> {
    digest?.proxy_digest.as_ref()?.user_data.as_ref()?.downcast_ref()
}

/// No other request follows this one on a connection of HTTP/1.x.
pub(crate) fn end_after(session: &mut ServerSession) {
    if let Some(facts) = facts(session.digest()) {
        facts.line.set_last();
    }
}

/// Whether the client speaks HTTP/2: its streams are sessions of our own, which Pingora does not know as such.
pub(crate) fn is_http2(session: &ServerSession) -> bool {
    session.req_header().version == Version::HTTP_2
}

/// The answer whose head has been sent, if one has. An interim one (1xx) is not yet an answer.
pub(crate) fn answered(session: &ServerSession) -> Option<&ResponseHeader> {
    let final_one =
        |head: &&ResponseHeader| !head.status.is_informational() || head.status == StatusCode::SWITCHING_PROTOCOLS;
    session.response_written().filter(final_one)
}

/// A plugin failed before the upstream was asked: 500, told in the log.
fn failed(cx: &mut Request, failure: &Failure) -> Reply {
    tracing::error!(plugin = failure.plugin, place = %failure.place, error = %failure, "A plugin failed and the request with it.");
    cx.error = Some(failure.to_string());
    Reply::status(StatusCode::INTERNAL_SERVER_ERROR).because("a plugin failed")
}

/// A plugin failed later: the error that ends the request. An answer that is longer than the plugin holds, or that did not come
/// whole, is the fault of whoever sent it.
#[expect(clippy::unnecessary_box_returns, reason = "Pingora's hooks return boxed errors")]
pub(crate) fn fatal(cx: &mut Request, failure: &Failure) -> Box<Error> {
    let status = match failure.cause {
        Cause::TooLarge { .. } | Cause::Incomplete => {
            cx.error = Some(failure.to_string());
            StatusCode::BAD_GATEWAY
        }
        _ => failed(cx, failure).status_code(),
    };
    Error::explain(ErrorType::HTTPStatus(status.as_u16()), "a plugin failed")
}
