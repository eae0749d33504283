//! For whom a request is forwarded: whom we believe, and what the upstream is told.
//!
//! `X-Forwarded-For`, `-Proto`, `-Host`, `Forwarded` (RFC 7239) and `Via` (RFC 9110 §7.6.3) are the gateway's to say. What a
//! client says there is believed, and passed on, only if it is one of `trusted_proxies`.

use std::net::SocketAddr;

use bytes::Bytes;
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Version, header};
use pingora::http::RequestHeader;
use portreeve_wire::forwarded::{Element, by_forwarded, by_x_forwarded_for};

use crate::listener::Facts;

const FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const HOST: HeaderName = HeaderName::from_static("x-forwarded-host");

/// What proxies say of the client. Kept only from those that are trusted.
static OF_PROXIES: [HeaderName; 4] = [FOR, PROTO, HOST, header::FORWARDED];

/// Fields that upstreams believe and that nobody but a gateway may set: removed from every request (design: safe defaults).
static FORGEABLE: [HeaderName; 7] = [
    HeaderName::from_static("x-forwarded-port"),
    HeaderName::from_static("x-forwarded-prefix"),
    HeaderName::from_static("x-real-ip"),
    HeaderName::from_static("x-user-id"),
    HeaderName::from_static("x-consumer-id"),
    HeaderName::from_static("x-consumer-tier"),
    // Of copies alone: see `mirror.rs`.
    HeaderName::from_static("x-mirrored"),
];

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

/// Finds out who the client is, and tells the upstream. `of_places` are the fields by which proxies say where clients are.
///
/// # Errors
/// [`Loop`] if `Via` says that the request goes in a circle.
pub(crate) fn forward(head: &mut RequestHeader, facts: &Facts, of_places: &[HeaderName]) -> Result<SocketAddr, Loop> {
    remove_forged(head, facts.trusted);
    if !facts.trusted && !of_places.is_empty() {
        let reads_as = |name: &HeaderName, place: &HeaderName| {
            name == place || name.as_str().contains('_') && name.as_str().replace('_', "-") == place.as_str()
        };
        let tells = |name: &&HeaderName| of_places.iter().any(|place| reads_as(name, place));
        let told: Vec<_> = head.headers.keys().filter(tells).cloned().collect();
        for name in &told {
            head.remove_header(name);
        }
    }
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

/// Usually there is nothing to remove, and one look at each field's first letters finds that out.
fn remove_forged(head: &mut RequestHeader, trusted: bool) {
    let suspicious = |name: &HeaderName| {
        let text = name.as_str();
        text.starts_with("x-") || *name == header::FORWARDED || text.contains('_')
    };
    if !head.headers.keys().any(suspicious) {
        return;
    }
    let ours = || OF_PROXIES.iter().chain(&FORGEABLE);
    for name in &FORGEABLE {
        head.remove_header(name);
    }
    if !trusted {
        for name in &OF_PROXIES {
            head.remove_header(name);
        }
    }
    // CGI and its heirs read `X_User_Id` as `X-User-Id`.
    let folded = |name: &HeaderName| {
        name.as_str().contains('_') && ours().any(|our| name.as_str().replace('_', "-") == our.as_str())
    };
    let alike: Vec<_> = head.headers.keys().filter(|name| folded(name)).cloned().collect();
    for name in &alike {
        head.remove_header(name);
    }
}

/// Whether this field is a gateway's to set, or is read as one that is.
pub(crate) fn is_ours(name: &HeaderName) -> bool {
    let ours = || OF_PROXIES.iter().chain(&FORGEABLE);
    let text = name.as_str();
    ours().any(|our| name == our) || text.contains('_') && ours().any(|our| text.replace('_', "-") == our.as_str())
}

/// The client, as the trusted proxy we talk to says. Only the address is known then.
fn believed(headers: &HeaderMap, facts: &Facts) -> SocketAddr {
    let values = |name: &HeaderName| headers.get_all(name).iter().map(HeaderValue::as_bytes);
    let (peer, trusted) = (facts.client.ip(), |address| facts.trusted_proxies.contain(address));
    let client = if headers.contains_key(FOR) {
        by_x_forwarded_for(peer, trusted, values(&FOR))
    } else {
        by_forwarded(peer, trusted, values(&header::FORWARDED))
    };
    if client == peer { facts.client } else { SocketAddr::new(client, 0) }
}

/// Adds to what the proxies before us said.
fn pass_on(head: &mut RequestHeader, facts: &Facts, scheme: &'static str, host: Option<&HeaderValue>) {
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

fn element(mut out: Vec<u8>, facts: &Facts, proto: &'static str, host: Option<&HeaderValue>) -> Option<HeaderValue> {
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
