//! For whom a request is forwarded: whom we believe, and what the upstream is told.
//!
//! `X-Forwarded-For`, `-Proto`, `-Host`, `Forwarded` (RFC 7239) and `Via` (RFC 9110 §7.6.3) are the gateway's to say. What a
//! client says there is believed, and passed on, only if it is one of `trusted_proxies`.

use std::net::{IpAddr, SocketAddr};

use bytes::Bytes;
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Version, header};
use pingora::http::RequestHeader;
use portreeve_wire::forwarded::{Element, by_forwarded, by_x_forwarded_for};

use crate::http::strangers::Strangers;
use crate::listener::{ConnectionInfo, nobody};

const FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const HOST: HeaderName = HeaderName::from_static("x-forwarded-host");

/// The version that the request was received in, and how we call ourselves (RFC 9110 §7.6.3).
fn via_of(version: Version) -> &'static str {
    match version {
        Version::HTTP_2 => "2 portreeve",
        Version::HTTP_10 => "1.0 portreeve",
        _ => "1.1 portreeve",
    }
}

/// A request that has come through here so often goes in a circle.
const MAX_LOOPS: usize = 8;

/// The request has passed this gateway too often: 508 (RFC 5842 §7.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Loop;

/// Takes off what strangers may not say, finds out who the client is, and tells the upstream.
///
/// # Errors
/// [`Loop`] if `Via` says that the request goes in a circle.
pub(crate) fn forward(
    head: &mut RequestHeader,
    facts: &ConnectionInfo,
    strangers: &Strangers,
) -> Result<SocketAddr, Loop> {
    strangers.strip(head, facts.trusted);
    let client = if facts.trusted { believed(&head.headers, facts) } else { facts.client };
    let scheme = if facts.tls.is_some() { "https" } else { "http" };
    let (host, via) = (asked_host(head), via(head)?);
    if facts.trusted {
        pass_on(head, facts, scheme, host.as_ref());
        set(head, [(&header::VIA, "Via", via)]);
        return Ok(client);
    }
    let write = || element(Vec::with_capacity(96), facts, scheme, host.as_ref());
    let element = facts.line.element(host.as_ref(), write);
    let fields = [
        (&FOR, "X-Forwarded-For", Some(facts.client_text.clone())),
        (&PROTO, "X-Forwarded-Proto", Some(HeaderValue::from_static(scheme))),
        (&HOST, "X-Forwarded-Host", host),
        (&header::FORWARDED, "Forwarded", element),
        (&header::VIA, "Via", via),
    ];
    set(head, fields);
    Ok(client)
}

/// The client, as the trusted proxy we talk to says. Only the address is known then; nobody's, if it cannot be read.
///
/// Where both fields are there, `X-Forwarded-For` counts, which nearly every proxy writes; but an address of ours that it gives
/// does not stand against one of somebody else in `Forwarded`.
fn believed(headers: &HeaderMap, facts: &ConnectionInfo) -> SocketAddr {
    let values = |name: &HeaderName| headers.get_all(name).iter().map(HeaderValue::as_bytes);
    let (peer, trusted) = (facts.client.ip(), |address| facts.trusted_proxies.contain(address));
    let client = by_x_forwarded_for(peer, trusted, values(&FOR));
    let is_ours = |client: Option<IpAddr>| client.is_some_and(trusted);
    let client = if is_ours(client) && headers.contains_key(header::FORWARDED) {
        let other = by_forwarded(peer, trusted, values(&header::FORWARDED));
        if is_ours(other) && client != Some(peer) { client } else { other }
    } else {
        client
    };
    match client {
        Some(client) if client == peer => facts.client,
        Some(client) => SocketAddr::new(client, 0),
        None => nobody(),
    }
}

/// Adds to what the proxies before us said.
fn pass_on(head: &mut RequestHeader, facts: &ConnectionInfo, scheme: &'static str, host: Option<&HeaderValue>) {
    if let Some(list) = joined(&head.headers, &FOR, facts.client_text.as_bytes()) {
        head.insert_header("X-Forwarded-For", list).ok();
    }
    let one = |name: &HeaderName| {
        let mut values = head.headers.get_all(name).iter();
        values.next().filter(|_| values.next().is_none())
    };
    if !one(&PROTO).is_some_and(|proto| ["http", "https"].iter().any(|known| proto == known)) {
        head.insert_header("X-Forwarded-Proto", HeaderValue::from_static(scheme)).ok();
    }
    let said = head.headers.get_all(&HOST).iter().count();
    if said > 1 {
        head.remove_header(&HOST);
    }
    if said != 1
        && let Some(host) = host
    {
        head.insert_header("X-Forwarded-Host", host.clone()).ok();
    }
    if let Some(own) = element(Vec::new(), facts, scheme, host)
        && let Some(list) = joined(&head.headers, &header::FORWARDED, own.as_bytes())
    {
        head.insert_header("Forwarded", list).ok();
    }
}

/// All values of a field and one more, as one list.
fn joined(headers: &HeaderMap, name: &HeaderName, last: &[u8]) -> Option<HeaderValue> {
    let mut list = Vec::new();
    for value in headers.get_all(name) {
        list.extend_from_slice(value.as_bytes());
        list.extend_from_slice(b", ");
    }
    list.extend_from_slice(last);
    HeaderValue::from_maybe_shared(Bytes::from(list)).ok()
}

fn element(
    mut out: Vec<u8>,
    facts: &ConnectionInfo,
    proto: &'static str,
    host: Option<&HeaderValue>,
) -> Option<HeaderValue> {
    Element { client: facts.client.ip(), proto, host: host.map(HeaderValue::as_bytes) }.write(&mut out);
    HeaderValue::from_maybe_shared(Bytes::from(out)).ok()
}

/// The authority that was asked for, with its port.
fn asked_host(head: &RequestHeader) -> Option<HeaderValue> {
    let by_field = head.headers.get(header::HOST).cloned();
    by_field.or_else(|| HeaderValue::from_str(head.uri.authority()?.as_str()).ok())
}

/// What `Via` is to say.
fn via(head: &RequestHeader) -> Result<Option<HeaderValue>, Loop> {
    if !head.headers.contains_key(header::VIA) {
        return Ok(Some(HeaderValue::from_static(via_of(head.version))));
    }
    let received = head.headers.get_all(header::VIA).iter();
    let ours = |value: &HeaderValue| {
        let hops = value.as_bytes().split(|byte| *byte == b',');
        hops.filter(|hop| hop.trim_ascii().ends_with(b" portreeve")).count()
    };
    if received.map(ours).sum::<usize>() >= MAX_LOOPS {
        return Err(Loop);
    }
    Ok(joined(&head.headers, &header::VIA, via_of(head.version).as_bytes()))
}

/// Sets those that have a value.
fn set<const N: usize>(head: &mut RequestHeader, fields: [(&HeaderName, &'static str, Option<HeaderValue>); N]) {
    let fields = fields.into_iter().filter_map(|(name, spelt, value)| Some((name, spelt, value?)));
    if head.has_case() {
        for (_, spelt, value) in fields {
            // It cannot fail for these names.
            head.insert_header(spelt, value).ok();
        }
        return;
    }
    // Pingora makes a name of text each time. Where no spelling is kept there is no need of it, and the target is the URI's by
    // now: nothing is lost on the way (`head::normalise_request`).
    let nothing = RequestHeader::from(Request::new(()).into_parts().0);
    let mut parts = Parts::from(std::mem::replace(head, nothing));
    for (name, _, value) in fields {
        parts.headers.insert(name, value);
    }
    *head = parts.into();
}

#[cfg(test)]
#[path = "forwarding_tests.rs"]
mod tests;
