//! Heads at the edge: what is checked before anything else looks, what a stranger may not say, and which fields stay on one hop.

use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderName, Uri, Version, header};
use pingora::http::{RequestHeader, ResponseHeader};
use portreeve_router::path::{Ambiguity, normalise};

const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
const PROXY_CONNECTION: HeaderName = HeaderName::from_static("proxy-connection");

/// Fields that upstreams believe and that only a gateway may set: removed from every request (design: safe defaults).
static FORGEABLE: [HeaderName; 10] = [
    header::FORWARDED,
    HeaderName::from_static("x-forwarded-for"),
    HeaderName::from_static("x-forwarded-host"),
    HeaderName::from_static("x-forwarded-port"),
    HeaderName::from_static("x-forwarded-proto"),
    HeaderName::from_static("x-forwarded-prefix"),
    HeaderName::from_static("x-real-ip"),
    HeaderName::from_static("x-user-id"),
    HeaderName::from_static("x-consumer-id"),
    HeaderName::from_static("x-consumer-tier"),
];

static HOP_BY_HOP: [HeaderName; 9] = [
    header::CONNECTION,
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
    header::PROXY_AUTHENTICATE,
    header::PROXY_AUTHORIZATION,
    KEEP_ALIVE,
    PROXY_CONNECTION,
];

/// Why a request is refused before any plugin sees it. The text is for the client: it names only what the client sent.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum BadHead {
    /// RFC 9112 §3.2: exactly one `Host`.
    #[error("a request has exactly one Host field")]
    Host,
    /// The target is not a path that can be routed.
    #[error("{0}")]
    Target(String),
}

/// Brings the target into the one form that is matched and forwarded, and removes what only a gateway may say.
///
/// Returns what in the path is ambiguous; the matched route decides whether that is allowed.
pub(crate) fn normalise_request(head: &mut RequestHeader) -> Result<Ambiguity, BadHead> {
    let hosts = head.headers.get_all(header::HOST).iter().count();
    // HTTP/2 has `:authority`, which Pingora keeps in the URI; HTTP/1.0 may have neither.
    if hosts > 1 || (hosts == 0 && head.uri.authority().is_none() && head.version == Version::HTTP_11) {
        return Err(BadHead::Host);
    }
    if !head.raw_path_is_utf8() {
        return Err(BadHead::Target("the path is not valid UTF-8".to_owned()));
    }
    let path = normalise(head.uri.path()).map_err(|error| BadHead::Target(error.to_string()))?;
    let ambiguity = path.ambiguity;
    let as_it_came = matches!(path.path, std::borrow::Cow::Borrowed(_)) && head.raw_path().first() == Some(&b'/');
    if !as_it_came {
        let text = match head.uri.query() {
            Some(query) => format!("{}?{query}", path.path),
            None => path.path.into_owned(),
        };
        let target = PathAndQuery::try_from(text).map_err(|error| BadHead::Target(error.to_string()))?;
        let mut parts = head.uri.clone().into_parts();
        parts.path_and_query = Some(target);
        let uri = Uri::from_parts(parts).map_err(|error| BadHead::Target(error.to_string()))?;
        head.set_uri(uri);
    }
    remove_forged(head);
    Ok(ambiguity)
}

/// Usually there is nothing to remove, and one look at each field's first letters finds that out.
fn remove_forged(head: &mut RequestHeader) {
    let suspicious = |name: &HeaderName| name.as_str().starts_with("x-") || *name == header::FORWARDED;
    if head.headers.keys().any(suspicious) {
        for name in &FORGEABLE {
            head.remove_header(name);
        }
    }
}

/// The host that was asked for, without the port.
pub(crate) fn host(head: &RequestHeader) -> &str {
    portreeve_plugin::engine::host(&head.uri, &head.headers)
}

/// Fields that concern one connection only (RFC 9110 §7.6.1).
pub(crate) fn is_hop_by_hop(name: &HeaderName) -> bool {
    HOP_BY_HOP.contains(name)
}

/// Removes from a target's answer what concerned the connection to the target. Pingora does so for requests only.
pub(crate) fn strip_hop_by_hop(head: &mut ResponseHeader) {
    let nominated = nominated(&head.headers);
    for name in nominated {
        head.remove_header(&name);
    }
    for name in [&KEEP_ALIVE, &PROXY_CONNECTION, &header::PROXY_AUTHENTICATE] {
        head.remove_header(name);
    }
}

/// Names that `Connection` nominates, except those that framing and upgrades need.
fn nominated(headers: &HeaderMap) -> Vec<HeaderName> {
    let fields = headers.get_all(header::CONNECTION).iter().filter_map(|value| value.to_str().ok());
    let names = fields.flat_map(|field| field.split(',')).filter_map(|name| name.trim().parse().ok());
    let framing = [header::UPGRADE, header::TRANSFER_ENCODING, header::CONTENT_LENGTH, header::CONNECTION];
    names.filter(|name| !framing.contains(name)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(target: &str, headers: &[(&str, &str)]) -> RequestHeader {
        let mut head = RequestHeader::build("GET", target.as_bytes(), None).unwrap();
        for (name, value) in headers {
            head.append_header((*name).to_owned(), *value).unwrap();
        }
        head
    }

    #[test]
    fn what_was_matched_is_what_is_forwarded() {
        let mut head = request("/a/./b//%7ec?q=1", &[("host", "x")]);
        normalise_request(&mut head).unwrap();
        assert_eq!(head.uri.to_string(), "/a/b/~c?q=1");
        assert_eq!(head.raw_path(), b"/a/b/~c?q=1");
    }

    #[test]
    fn an_absolute_target_becomes_a_path() {
        let mut head = request("http://x/a?b", &[("host", "x")]);
        normalise_request(&mut head).unwrap();
        assert_eq!(head.raw_path(), b"/a?b");
    }

    #[test]
    fn two_hosts_or_none_are_refused() {
        assert_eq!(normalise_request(&mut request("/", &[("host", "a"), ("host", "b")])), Err(BadHead::Host));
        assert_eq!(normalise_request(&mut request("/", &[])), Err(BadHead::Host));
    }

    #[test]
    fn a_path_that_climbs_out_is_refused() {
        assert!(matches!(normalise_request(&mut request("/../x", &[("host", "x")])), Err(BadHead::Target(_))));
    }

    #[test]
    fn a_stranger_cannot_say_who_it_is() {
        let mut head = request("/", &[("host", "x"), ("x-user-id", "root"), ("x-forwarded-for", "127.0.0.1")]);
        normalise_request(&mut head).unwrap();
        assert_eq!(head.headers.len(), 1);
    }

    #[test]
    fn an_answer_loses_the_fields_of_its_connection() {
        let mut head = ResponseHeader::build(200, None).unwrap();
        for (name, value) in
            [("connection", "close, x-private"), ("keep-alive", "timeout=5"), ("x-private", "1"), ("etag", "1")]
        {
            head.append_header(name, value).unwrap();
        }
        strip_hop_by_hop(&mut head);
        let left: Vec<_> = head.headers.keys().map(HeaderName::as_str).collect();
        assert_eq!(left, ["connection", "etag"]);
    }
}
