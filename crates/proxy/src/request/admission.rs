//! From the head to a decision: normalise, the listener's chain, the router, the route's limits and chain.

use std::any::Any;
use std::net::IpAddr;
use std::sync::Arc;

use http::{HeaderValue, Method, StatusCode, Version, header};
use pingora::http::RequestHeader;
use pingora::protocols::http::ServerSession as Session;
use portreeve_plugin::Reply;
use portreeve_plugin::engine::{Param, Params};
use portreeve_router::{Allow, Found, Lookup, Outcome};

use crate::http::{cookies, forwarding, grpc, head, trailers};
use crate::listener::ALLOW;
use crate::request::context::{Request, Stopped};
use crate::request::phases::{end_after, facts};
use crate::request::upload;
use crate::snapshot::Snapshot;
use crate::snapshot::route::Route;

/// Decides about a request whose head has been read. `Some` is an answer to send; `None` goes to an upstream.
pub(crate) async fn admit(session: &mut Session, cx: &mut Request) -> Result<Option<Reply>, Stopped> {
    if let Err(refusal) = arrive(session, cx) {
        return Ok(Some(refusal));
    }
    if let Some(refusal) = oversized(session.req_header(), cx) {
        return Ok(Some(refusal));
    }
    cx.trailers = trailers::TrailerRules::of(session.req_header());
    let ambiguity = match head::normalise_request(session.req_header_mut()) {
        Ok(ambiguity) => ambiguity,
        Err(bad) => {
            // Where this request ends is as doubtful as the rest of it.
            end_after(session);
            if let Some(facts) = facts(session.digest()) {
                facts.line.is_malformed();
            }
            return Ok(Some(refuse(cx, bad.status(), bad.to_string())));
        }
    };
    cx.body_length = upload::announced(session.req_header());
    cookies::join(session.req_header_mut());
    if let Err(refusal) = forward(session, cx) {
        return Ok(Some(refusal));
    }
    let challenges = cx.entrance.as_ref().and_then(|entrance| entrance.challenges.as_ref());
    if let Some(page) = challenges.and_then(|challenges| challenges.page(session.req_header().uri.path())) {
        return Ok(Some(page));
    }
    let answer = cx.through_entrance(session).await?;
    if answer.is_some() {
        return Ok(answer);
    }
    if head::is_asterisk(session.req_header()) {
        return Ok(Some(options()));
    }
    if let Some(answer) = last_hop(session.req_header_mut(), cx) {
        return Ok(Some(answer));
    }
    let redirect = cx.entrance.as_ref().and_then(|entrance| entrance.https.redirect(session.req_header()));
    if redirect.is_some() {
        return Ok(redirect);
    }
    let (route, preflight) = match find(session.req_header(), cx) {
        Ok(found) => found,
        Err(refusal) => return Ok(Some(refusal)),
    };
    cx.preflight = preflight.is_some();
    cx.enter(route.clone());
    if grpc::is_grpc(&session.req_header().headers) {
        match grpc::timeout(&session.req_header().headers) {
            Ok(Some(patience)) => cx.set_client_deadline(patience),
            Ok(None) => {}
            Err(bad) => return Ok(Some(refuse(cx, StatusCode::BAD_REQUEST, bad.to_string()))),
        }
    }
    if let Err(error) = ambiguity.admitted_by(route.policy) {
        return Ok(Some(refuse(cx, StatusCode::BAD_REQUEST, error.to_string())));
    }
    if cx.body_length.is_some_and(|length| length > route.max_body) {
        return Ok(Some(refuse(
            cx,
            StatusCode::PAYLOAD_TOO_LARGE,
            "the request body is longer than this route allows",
        )));
    }
    let answer = cx.through_route(session).await?;
    // Without `cors`, or another plugin that answers preflights, OPTIONS is what it was: a method the route does not take.
    match answer.or(preflight) {
        Some(answer) => Ok(Some(answer)),
        None => cx.settle_body(session).await,
    }
}

/// Takes over what the connection knows: the client and the listener. A connection of a listener that is no longer in the
/// configuration is not served: its chain is not there any more to be passed.
fn arrive(session: &mut Session, cx: &mut Request) -> Result<(), Reply> {
    let Some(facts) = facts(session.digest()) else {
        return Err(Reply::status(StatusCode::INTERNAL_SERVER_ERROR).because("the connection is not one of ours"));
    };
    cx.exchange.client = facts.client;
    cx.exchange.tls = facts.tls.as_ref().map(|tls| tls.client.clone());
    let entrance = cx.snapshot.listeners.get(facts.listener).and_then(Option::as_ref);
    let Some(entrance) = entrance.filter(|entrance| entrance.tcp.is_none()).cloned() else {
        end_after(session);
        return Err(refuse(cx, StatusCode::MISDIRECTED_REQUEST, "this listener is no longer served"));
    };
    cx.exchange.listener = entrance.name.clone();
    cx.entrance = Some(entrance);
    if cx.snapshot.access_log.is_on() {
        cx.asked = session.req_header().uri.path_and_query().cloned();
    }
    Ok(())
}

/// The bounds of the listener that HTTP/2 has no setting for. Those of HTTP/1.x are kept where it is read.
fn oversized(head: &RequestHeader, cx: &mut Request) -> Option<Reply> {
    if head.version != Version::HTTP_2 {
        return None;
    }
    let bounds = cx.entrance.as_ref()?.terms.bounds;
    if head.raw_path().len() > bounds.target_bytes {
        return Some(refuse(cx, StatusCode::URI_TOO_LONG, "the target is longer than is allowed here"));
    }
    let many = head.headers.len() > bounds.fields;
    many.then(|| refuse(cx, StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, "there are more fields than are allowed here"))
}

/// Finds out for whom the request is forwarded, and tells the upstream.
fn forward(session: &mut Session, cx: &mut Request) -> Result<(), Reply> {
    // A handle of its own, since the head is changed while the facts are looked at.
    let digest = session.digest().and_then(|digest| digest.proxy_digest.clone());
    let facts = digest.as_ref().and_then(|digest| digest.user_data.as_ref()?.downcast_ref());
    let Some(facts) = facts else { return Ok(()) };
    match forwarding::forward(session.req_header_mut(), facts, &cx.snapshot.strangers) {
        Ok(client) => cx.exchange.client = client,
        Err(forwarding::Loop) => return Err(refuse(cx, StatusCode::LOOP_DETECTED, "the request goes in a circle")),
    }
    Ok(())
}

/// Asks the router, and keeps the path parameters of what it found. For a preflight, with the answer it gets if no plugin has one.
fn find(head: &RequestHeader, cx: &mut Request) -> Result<(Arc<Route>, Option<Reply>), Reply> {
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
            if head.method == Method::TRACE && !route.takes_trace {
                return Err(no_trace());
            }
            cx.exchange.params = params(head, &route, &found);
            Ok((route, None))
        }
        Outcome::MethodNotAllowed(allow) => {
            let refusal = method_not_allowed(&allow);
            match preflight(&lookup, &cx.snapshot) {
                Some(route) => Ok((route, Some(refusal))),
                None => Err(refusal),
            }
        }
        Outcome::Ambiguous => Err(refuse(cx, StatusCode::BAD_REQUEST, AMBIGUOUS)),
        Outcome::NotFound => Err(Reply::status(StatusCode::NOT_FOUND).because("no route has this host and path")),
    }
}

const AMBIGUOUS: &str = "without the parameters in its path (`;`) the request would be for another route, or for none";

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

/// `OPTIONS *` asks about the server as a whole (RFC 9110 §9.3.7): which is this one, so nobody else is asked.
fn options() -> Reply {
    Reply::status(StatusCode::NO_CONTENT).header(header::ALLOW, HeaderValue::from_static(ALLOW))
}

fn no_trace() -> Reply {
    let reply = Reply::status(StatusCode::METHOD_NOT_ALLOWED).because("TRACE is only for routes that name it");
    reply.header(header::ALLOW, HeaderValue::from_static(ALLOW))
}

/// OPTIONS and TRACE may say how often they want to be passed on (RFC 9110 §7.6.2): once less from here on, and at 0 this is
/// whom they are for.
fn last_hop(head: &mut RequestHeader, cx: &mut Request) -> Option<Reply> {
    if !matches!(head.method, Method::OPTIONS | Method::TRACE) {
        return None;
    }
    let mut all = head.headers.get_all(header::MAX_FORWARDS).iter();
    let left = match (all.next(), all.next()) {
        (None, _) => return None,
        (Some(one), None) if one.as_bytes().iter().all(u8::is_ascii_digit) => one.to_str().ok()?.parse::<u32>().ok(),
        _ => None,
    };
    match left {
        Some(0) if head.method == Method::TRACE => Some(no_trace()),
        Some(0) => Some(options()),
        Some(left) => {
            // It cannot fail for this name.
            head.insert_header("Max-Forwards", left - 1).ok();
            None
        }
        None => Some(refuse(cx, StatusCode::BAD_REQUEST, "Max-Forwards is one number")),
    }
}

/// An answer of the engine itself, with what it is about kept for the log.
fn refuse(cx: &mut Request, status: StatusCode, detail: impl Into<String>) -> Reply {
    let detail = detail.into();
    cx.error = Some(detail.clone());
    Reply::problem(status, detail)
}
