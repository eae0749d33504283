//! From the head to a decision: normalise, the listener's chain, the router, the route's limits and chain.

use std::any::Any;
use std::net::IpAddr;
use std::sync::Arc;

use http::{HeaderValue, Method, StatusCode, header};
use pingora::http::RequestHeader;
use pingora_proxy::Session;
use portreeve_plugin::Reply;
use portreeve_plugin::engine::{Failure, Param, Params};
use portreeve_router::{Allow, Found, Lookup, Outcome};

use crate::context::Request;
use crate::head;
use crate::phases::facts;
use crate::route::Route;
use crate::snapshot::Snapshot;

/// Decides about a request whose head has been read. `Some` is an answer to send; `None` goes to an upstream.
pub(crate) async fn admit(session: &mut Session, cx: &mut Request) -> Result<Option<Reply>, Failure> {
    arrive(session, cx);
    let upgrade = session.is_upgrade_req();
    let ambiguity = match head::normalise_request(session.req_header_mut()) {
        Ok(ambiguity) => ambiguity,
        Err(bad) => return Ok(Some(refuse(cx, StatusCode::BAD_REQUEST, bad.to_string()))),
    };
    if let Some(entrance) = cx.entrance.clone() {
        let head = session.req_header_mut();
        let answer = entrance.chain.request(head, &mut cx.exchange, &mut cx.at_entrance).await?;
        if answer.is_some() {
            return Ok(answer);
        }
    }
    let route = match find(session.req_header(), cx) {
        Ok(route) => route,
        Err(refusal) => return Ok(Some(refusal)),
    };
    if let Err(error) = ambiguity.admitted_by(route.policy) {
        return Ok(Some(refuse(cx, StatusCode::BAD_REQUEST, error.to_string())));
    }
    if announced_body(session.req_header()).is_some_and(|length| length > route.max_body) {
        return Ok(Some(refuse(
            cx,
            StatusCode::PAYLOAD_TOO_LARGE,
            "the request body is longer than this route allows",
        )));
    }
    cx.streams = upgrade || wants_events(session.req_header());
    cx.enter(route);
    let answer = cx.through_route(session.req_header_mut()).await?;
    // A preflight comes only as far as the chain: the route itself does not take OPTIONS.
    if answer.is_none() && cx.preflight {
        return Ok(Some(Reply::status(StatusCode::METHOD_NOT_ALLOWED).because("no plugin answers preflights here")));
    }
    Ok(answer)
}

/// Takes over what the connection knows: the client and the listener.
fn arrive(session: &Session, cx: &mut Request) {
    let Some(facts) = facts(session.digest()) else { return };
    cx.exchange.client = facts.peer;
    cx.forwarded_for = Some(facts.forwarded_for.clone());
    let entrance = cx.snapshot.listeners.get(facts.listener).and_then(Option::as_ref);
    if let Some(entrance) = entrance.cloned() {
        cx.exchange.listener = entrance.name.clone();
        cx.entrance = Some(entrance);
    }
}

/// Asks the router, and keeps the path parameters of what it found.
fn find(head: &RequestHeader, cx: &mut Request) -> Result<Arc<Route>, Reply> {
    let client: IpAddr = cx.exchange.client_ip();
    let facts: &(dyn Any + Send + Sync) = &client;
    let lookup = Lookup {
        method: &head.method,
        host: head::host(head),
        path: head.uri.path(),
        query: head.uri.query().unwrap_or(""),
        headers: &head.headers,
        facts: Some(facts),
    };
    match cx.snapshot.router.find(&lookup) {
        Outcome::Found(found) => {
            let route = cx.snapshot.routes.get(found.rule.0).cloned();
            let route = route.ok_or_else(|| Reply::status(StatusCode::INTERNAL_SERVER_ERROR))?;
            cx.exchange.params = params(head, &route, &found);
            Ok(route)
        }
        Outcome::MethodNotAllowed(allow) => {
            let asked_about = preflight(&lookup, &cx.snapshot);
            cx.preflight = asked_about.is_some();
            asked_about.ok_or_else(|| method_not_allowed(&allow))
        }
        Outcome::NotFound => Err(Reply::status(StatusCode::NOT_FOUND).because("no route has this host and path")),
    }
}

/// The route that a CORS preflight asks about (Fetch standard §3.3.2): the one of the method it announces. Its chain runs, so
/// that `cors` can answer; nothing else of the route does.
fn preflight(lookup: &Lookup<'_>, snapshot: &Snapshot) -> Option<Arc<Route>> {
    if *lookup.method != Method::OPTIONS || !lookup.headers.contains_key(header::ORIGIN) {
        return None;
    }
    let announced = lookup.headers.get(header::ACCESS_CONTROL_REQUEST_METHOD)?;
    let method = Method::from_bytes(announced.as_bytes()).ok()?;
    let Outcome::Found(found) = snapshot.router.find(&Lookup { method: &method, ..*lookup }) else { return None };
    snapshot.routes.get(found.rule.0).cloned()
}

fn params(head: &RequestHeader, route: &Route, found: &Found<'_>) -> Params {
    let (Some(target), Some(names)) = (head.uri.path_and_query(), route.params.get(found.path_index)) else {
        return Params::default();
    };
    if names.is_empty() {
        return Params::default();
    }
    let spans = names.iter().enumerate().filter_map(|(position, name)| {
        let range = found.params.range(position)?;
        Some(Param { name: name.clone(), start: u32::try_from(range.start).ok()?, end: u32::try_from(range.end).ok()? })
    });
    Params::new(target.clone(), spans)
}

/// RFC 9110 §15.5.6: 405 names the methods there are.
fn method_not_allowed(allow: &Allow<'_>) -> Reply {
    let reply = Reply::status(StatusCode::METHOD_NOT_ALLOWED).because("a route has this path, but not this method");
    match HeaderValue::from_str(&allow.to_string()) {
        Ok(allow) => reply.header(header::ALLOW, allow),
        Err(_) => reply,
    }
}

/// The length of the request body, if the head tells it.
fn announced_body(head: &RequestHeader) -> Option<u64> {
    head.headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// Server-sent events have no end by design: the client says so in `Accept`.
fn wants_events(head: &RequestHeader) -> bool {
    let accept = head.headers.get(header::ACCEPT).and_then(|accept| accept.to_str().ok());
    accept.is_some_and(|accept| accept.contains("text/event-stream"))
}

/// An answer of the engine itself, with what it is about kept for the log.
fn refuse(cx: &mut Request, status: StatusCode, detail: impl Into<String>) -> Reply {
    let detail = detail.into();
    cx.error = Some(detail.clone());
    Reply::problem(status, detail)
}
