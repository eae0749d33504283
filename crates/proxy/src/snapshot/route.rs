//! A route as requests meet it: its chain, its limits, and what it ends in.

use std::sync::Arc;
use std::time::Duration;

use http::{HeaderName, HeaderValue, StatusCode, header};
use portreeve_plugin::engine::{Chain, View};
use portreeve_plugin::template::Escape;
use portreeve_plugin::{Reply, Template};
use portreeve_router::path::PathPolicy;

use crate::observe::RouteMetrics;
use crate::snapshot::mirror::Mirror;
use crate::snapshot::split::Split;
use crate::upstream::{Pool, RetryOverride};

/// One compiled route.
#[derive(Debug)]
pub(crate) struct Route {
    pub(crate) name: Arc<str>,
    /// The names of the parameters of each path, in the order of the pattern.
    pub(crate) params: Box<[Box<[Arc<str>]>]>,
    /// Shared by all routes with the same steps.
    pub(crate) chain: Arc<Chain>,
    pub(crate) end: End,
    pub(crate) policy: PathPolicy,
    /// Whether it names TRACE: what that tells of a request, with all that the gateway has added, is not for everybody.
    pub(crate) takes_trace: bool,
    /// Longest request body in bytes.
    pub(crate) max_body: u64,
    /// From the request's head to the last byte of the answer's head.
    pub(crate) timeout: Duration,
    /// Longest silence after it.
    pub(crate) idle: Duration,
    /// What of the upstream's retry policy is otherwise here.
    pub(crate) retry: Option<Box<RetryOverride>>,
    pub(crate) mirror: Option<Arc<Mirror>>,
    pub(crate) metrics: RouteMetrics,
}

/// What a route ends in.
#[derive(Debug)]
pub(crate) enum End {
    /// One upstream.
    Upstream(Arc<Pool>),
    /// Several, by expression and by weight.
    Split(Split),
    /// An answer of the route's own.
    Respond(Respond),
    /// Another place.
    Redirect(Redirect),
    /// A plugin of the chain always answers or chooses.
    Plugin,
}

/// An answer of the route's own.
#[derive(Debug)]
pub(crate) struct Respond {
    pub(crate) status: StatusCode,
    pub(crate) headers: Box<[(HeaderName, Template)]>,
    pub(crate) body: Template,
}

impl Respond {
    pub(crate) fn reply(&self, view: &View<'_>) -> Reply {
        let body = self.body.render(view).unwrap_or_default().into_owned();
        let typed = self.headers.iter().any(|(name, _)| *name == header::CONTENT_TYPE);
        let reply = if typed || body.is_empty() {
            Reply::untyped(self.status, body.into())
        } else {
            Reply::text(self.status, body)
        };
        self.headers.iter().fold(reply, |reply, (name, template)| match template.render_header(view) {
            Some(value) => reply.header(name.clone(), value),
            None => reply,
        })
    }
}

/// Another place.
#[derive(Debug)]
pub(crate) struct Redirect {
    pub(crate) status: StatusCode,
    pub(crate) to: Template,
}

impl Redirect {
    /// The redirect; 400 if a value of the request cannot stand in a URL.
    pub(crate) fn reply(&self, view: &View<'_>) -> Reply {
        let target = self.to.render_with(view, Escape::Url);
        match target.as_deref().map(HeaderValue::from_str) {
            Some(Ok(location)) => Reply::status(self.status).header(header::LOCATION, location),
            _ => Reply::problem(StatusCode::BAD_REQUEST, "the request cannot be redirected"),
        }
    }
}
