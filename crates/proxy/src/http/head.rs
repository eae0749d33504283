//! Heads at the edge: what is checked before anything else looks, what a stranger may not say, and which fields stay on one hop.

use std::borrow::Cow;

use http::uri::{Authority, PathAndQuery};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri, Version, header};
use pingora::http::{RequestHeader, ResponseHeader};
use portreeve_router::path::{Ambiguity, normalise};
use portreeve_wire::http1::{MAX_METHOD, is_host, is_look_alike};

use crate::http::query;

const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
const PROXY_CONNECTION: HeaderName = HeaderName::from_static("proxy-connection");

/// Those of an answer that Pingora leaves in place.
static OF_HOP: [HeaderName; 3] = [KEEP_ALIVE, PROXY_CONNECTION, header::PROXY_AUTHENTICATE];

static BODY_FACTS: [HeaderName; 8] = [
    header::CONTENT_LENGTH,
    header::ETAG,
    header::LAST_MODIFIED,
    header::ACCEPT_RANGES,
    HeaderName::from_static("content-md5"),
    HeaderName::from_static("digest"),
    HeaderName::from_static("content-digest"),
    HeaderName::from_static("repr-digest"),
];

/// Why a request is refused before any plugin sees it. The text is for the client: it names only what the client sent.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum BadHead {
    /// RFC 9113 §8.3.1: exactly one authority.
    #[error("a request has exactly one Host field")]
    Host,
    /// The target is not a path that can be routed.
    #[error("{0}")]
    Target(String),
    /// `Connection` would take away a field that every request needs.
    #[error("Connection names a field that is not of one connection")]
    Connection,
    /// RFC 9113 §8.2.1: a value neither begins nor ends with white space.
    #[error("a field value begins or ends with white space")]
    Padding,
    /// As in HTTP/1.x.
    #[error("the method is longer than 32 characters")]
    Method,
    /// RFC 9110 §10.1.1: 417.
    #[error("an Expect other than 100-continue")]
    Expect,
    /// Two servers could read the length of the body differently.
    #[error("the length of the body is not given in one clear way")]
    Framing,
}

impl BadHead {
    pub(crate) fn status(&self) -> StatusCode {
        if matches!(self, Self::Expect) { StatusCode::EXPECTATION_FAILED } else { StatusCode::BAD_REQUEST }
    }
}

/// Brings the target into the one form that is matched and forwarded, and removes what only a gateway may say.
///
/// Returns what in the path is ambiguous; the matched route decides whether that is allowed.
pub(crate) fn normalise_request(head: &mut RequestHeader) -> Result<Ambiguity, BadHead> {
    if head.version == Version::HTTP_2 {
        check_http2(head)?;
    }
    remove_nominated(head)?;
    if !head.raw_path_is_utf8() {
        return Err(BadHead::Target("the path is not valid UTF-8".to_owned()));
    }
    if is_asterisk(head) {
        return Ok(Ambiguity::default());
    }
    let path = normalise(head.uri.path()).map_err(|error| BadHead::Target(error.to_string()))?;
    let ambiguity = path.ambiguity;
    let query = head.uri.query().map(query::normalise).transpose();
    let query = query.map_err(|error| BadHead::Target(error.to_string()))?;
    let as_it_came = matches!(path.path, Cow::Borrowed(_))
        && matches!(query, None | Some(Cow::Borrowed(_)))
        && head.raw_path().first() == Some(&b'/');
    if !as_it_came {
        let text = match query {
            Some(query) => format!("{}?{query}", path.path),
            None => path.path.into_owned(),
        };
        let target = PathAndQuery::try_from(text).map_err(|error| BadHead::Target(error.to_string()))?;
        let mut parts = head.uri.clone().into_parts();
        parts.path_and_query = Some(target);
        let uri = Uri::from_parts(parts).map_err(|error| BadHead::Target(error.to_string()))?;
        head.set_uri(uri);
    }
    Ok(ambiguity)
}

/// Says which host a request is for, wherever it is said.
///
/// # Errors
/// `host` is no host.
pub(crate) fn set_host(head: &mut RequestHeader, host: HeaderValue) -> Result<(), BadHead> {
    if head.uri.authority().is_some() {
        set_authority(head, host.as_bytes())?;
    }
    head.insert_header(header::HOST, host).map_err(|_| BadHead::Host)
}

fn set_authority(head: &mut RequestHeader, name: &[u8]) -> Result<(), BadHead> {
    let mut parts = head.uri.clone().into_parts();
    parts.authority = Some(Authority::try_from(name).map_err(|_| BadHead::Host)?);
    head.set_uri(Uri::from_parts(parts).map_err(|_| BadHead::Host)?);
    Ok(())
}

/// Whether this asks about the server as a whole (RFC 9110 §9.3.7), and so about no path.
pub(crate) fn is_asterisk(head: &RequestHeader) -> bool {
    head.method == Method::OPTIONS && head.raw_path() == b"*"
}

/// Refuses what an HTTP/1.1 target could read differently (RFC 9113 §8.2.2, §8.3.1). HTTP/1.x heads are checked before
/// they come here, by `portreeve-wire`.
fn check_http2(head: &RequestHeader) -> Result<(), BadHead> {
    // What would be a target in absolute form of HTTP/1.1 is of these schemes alone, too.
    let is_ours = |scheme: &str| ["http", "https"].iter().any(|ours| scheme.eq_ignore_ascii_case(ours));
    if !head.uri.scheme_str().is_none_or(is_ours) {
        return Err(BadHead::Target("the scheme is neither http nor https".to_owned()));
    }
    // RFC 9113 §8.3.1. h2 takes any text for a path that could be a part of a URI.
    let target = head.raw_path();
    if (target.first() != Some(&b'/') && !is_asterisk(head))
        || !target.iter().all(|byte| matches!(byte, 0x21..=0x7e | 0x80..))
    {
        return Err(BadHead::Target("the path does not begin with a slash".to_owned()));
    }
    let mut hosts = head.headers.get_all(header::HOST).iter();
    let host = hosts.next();
    if hosts.next().is_some() || (host.is_none() && head.uri.authority().is_none()) {
        return Err(BadHead::Host);
    }
    if let (Some(host), Some(authority)) = (host, head.uri.authority())
        && !host.as_bytes().eq_ignore_ascii_case(authority.as_str().as_bytes())
    {
        return Err(BadHead::Host);
    }
    let asked = host.map(HeaderValue::as_bytes).or_else(|| Some(head.uri.authority()?.as_str().as_bytes()));
    if !asked.is_some_and(is_host) {
        return Err(BadHead::Host);
    }
    if head.method.as_str().len() > MAX_METHOD {
        return Err(BadHead::Method);
    }
    if head.headers.get_all(header::EXPECT).iter().any(|value| !value.as_bytes().eq_ignore_ascii_case(b"100-continue"))
    {
        return Err(BadHead::Expect);
    }
    let mut lengths = head.headers.get_all(header::CONTENT_LENGTH).iter();
    let one = |length: &HeaderValue| !length.is_empty() && length.as_bytes().iter().all(u8::is_ascii_digit);
    let clear = lengths.next().is_none_or(one) && lengths.next().is_none();
    // RFC 9113 §8.2.2, and what some server takes for it.
    let is_forbidden = |name: &HeaderName| {
        let text = name.as_str();
        matches!(text, "connection" | "transfer-encoding" | "upgrade" | "keep-alive" | "proxy-connection")
            || is_look_alike(text.as_bytes())
    };
    if !clear || head.headers.keys().any(is_forbidden) {
        return Err(BadHead::Framing);
    }
    // RFC 9113 §8.2.1. In HTTP/1.1 they are not of the value.
    let is_padded = |value: &HeaderValue| {
        let of_space = |byte: Option<&u8>| matches!(byte, Some(b' ' | b'\t'));
        of_space(value.as_bytes().first()) || of_space(value.as_bytes().last())
    };
    if head.headers.values().any(is_padded) { Err(BadHead::Padding) } else { Ok(()) }
}

/// Removes the fields that the client's `Connection` nominates, before any plugin runs. Pingora would remove them after the
/// chain, and so let a stranger take away what a plugin has set.
fn remove_nominated(head: &mut RequestHeader) -> Result<(), BadHead> {
    let stays =
        |option: &str| ["close", "keep-alive", "upgrade"].iter().any(|stays| option.eq_ignore_ascii_case(stays));
    let options = || {
        let fields = head.headers.get_all(header::CONNECTION).iter();
        fields.flat_map(|field| field.to_str().unwrap_or("?").split(',')).map(|option| option.trim_matches([' ', '\t']))
    };
    if options().all(stays) {
        return Ok(());
    }
    let left = options().filter(|option| stays(option)).collect::<Vec<_>>().join(", ");
    let nominated = nominated(&head.headers);
    if nominated.contains(&header::HOST) {
        return Err(BadHead::Connection);
    }
    for name in &nominated {
        head.remove_header(name);
    }
    head.remove_header(&header::CONNECTION);
    if !left.is_empty() {
        head.insert_header(header::CONNECTION, left).map_err(|_| BadHead::Connection)?;
    }
    Ok(())
}

/// The host that was asked for, without the port.
pub(crate) fn host(head: &RequestHeader) -> &str {
    portreeve_plugin::engine::host(&head.uri, &head.headers)
}

/// Removes from a target's answer what concerned the connection to the target, and tells what `Connection` named. Pingora does
/// so for requests only.
pub(crate) fn strip_hop_by_hop(head: &mut ResponseHeader) -> Vec<HeaderName> {
    let nominated = nominated(&head.headers);
    for name in &nominated {
        head.remove_header(name);
    }
    // Looked for together, and removed by name only where there are any: removing looks in two maps each time.
    let is_of_hop = |name: &HeaderName| {
        matches!(name.as_str(), "keep-alive" | "proxy-connection" | "proxy-authenticate" | "upgrade")
    };
    if head.headers.keys().any(is_of_hop) {
        for name in &OF_HOP {
            head.remove_header(name);
        }
        // But where it is the answer, an offer to speak something else is about the connection to the target.
        if !matches!(head.status, StatusCode::SWITCHING_PROTOCOLS | StatusCode::UPGRADE_REQUIRED) {
            head.remove_header(&header::UPGRADE);
        }
    }
    nominated
}

/// Removes what a target said of a body that plugins may change: its length, its validators, its digests.
pub(crate) fn strip_body_facts(head: &mut ResponseHeader) {
    for name in &BODY_FACTS {
        head.remove_header(name);
    }
}

/// Whether this tells something of a body, which is no longer true if that is changed.
pub(crate) fn is_body_fact(name: &HeaderName) -> bool {
    BODY_FACTS.contains(name)
}

/// Names that `Connection` nominates, except those that framing and upgrades need.
pub(crate) fn nominated(headers: &HeaderMap) -> Vec<HeaderName> {
    let fields = headers.get_all(header::CONNECTION).iter().filter_map(|value| value.to_str().ok());
    // By far the most common ones nominate nothing, and an empty list allocates nothing.
    let fields = fields
        .filter(|field| !["keep-alive", "close", "upgrade"].iter().any(|usual| field.eq_ignore_ascii_case(usual)));
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
    fn an_http2_request_has_one_authority_and_one_length() {
        let refused = |fields: &[(&str, &str)]| {
            let mut head = request("/", fields);
            head.set_version(Version::HTTP_2);
            normalise_request(&mut head).err()
        };
        assert_eq!(refused(&[("host", "a")]), None);
        assert_eq!(refused(&[("host", "a"), ("host", "b")]), Some(BadHead::Host));
        assert_eq!(refused(&[]), Some(BadHead::Host));
        for host in [
            "", ".", "..", "a..", "a..:80", ".a", "a..b", "a,b", "a, b", "a/b", "u@a", "a:", "a:+1", "a:65536",
            "a:1:2", "::1", "[::1", "[a]", "[::1]x",
        ] {
            assert_eq!(refused(&[("host", host)]), Some(BadHead::Host), "{host}");
        }
        for host in ["a", "A.example.:8080", "a_b", "192.0.2.1", "[::1]", "[2001:db8::1]:443"] {
            assert_eq!(refused(&[("host", host)]), None, "{host}");
        }
        for fields in [
            &[("content-length", "5, 5")][..],
            &[("content-length", "+5")],
            &[("content-length", "5"), ("content-length", "5")],
            &[("transfer-encoding", "chunked")],
            &[("connection", "close")],
            &[("upgrade", "websocket")],
            &[("content_length", "5")],
            &[("transfer.encoding", "chunked")],
        ] {
            assert_eq!(refused(&[&[("host", "x")], fields].concat()), Some(BadHead::Framing), "{fields:?}");
        }
        for value in [" a", "a ", "\ta", "a\t", " "] {
            assert_eq!(refused(&[("host", "x"), ("x-a", value)]), Some(BadHead::Padding), "{value:?}");
        }
        assert_eq!(refused(&[("host", "x"), ("x-a", "a \t b"), ("x-b", "")]), None);
    }

    #[test]
    fn a_path_that_climbs_out_is_refused() {
        assert!(matches!(normalise_request(&mut request("/../x", &[("host", "x")])), Err(BadHead::Target(_))));
    }

    #[test]
    fn what_connection_nominates_is_gone_before_any_plugin_runs() {
        let fields = [
            ("host", "x"),
            ("connection", "Upgrade, x-tier,content-length"),
            ("x-tier", "free"),
            ("content-length", "1"),
        ];
        let mut head = request("/", &fields);
        normalise_request(&mut head).unwrap();
        let left: Vec<_> = head.headers.iter().map(|(name, value)| (name.as_str(), value.to_str().unwrap())).collect();
        assert_eq!(left, [("host", "x"), ("content-length", "1"), ("connection", "Upgrade")]);
        let mut hostless = request("/", &[("host", "x"), ("connection", "close, Host")]);
        assert_eq!(normalise_request(&mut hostless), Err(BadHead::Connection));
    }

    #[test]
    fn an_answer_loses_the_fields_of_its_connection() {
        let left = |status: u16| {
            let mut head = ResponseHeader::build(status, None).unwrap();
            for (name, value) in [
                ("connection", "close, upgrade, x-private"),
                ("keep-alive", "timeout=5"),
                ("x-private", "1"),
                ("etag", "1"),
                ("upgrade", "h2c"),
            ] {
                head.append_header(name, value).unwrap();
            }
            strip_hop_by_hop(&mut head);
            let mut left: Vec<_> = head.headers.keys().map(HeaderName::to_string).collect();
            left.sort_unstable();
            left
        };
        assert_eq!(left(200), ["connection", "etag"]);
        // Who is told to speak something else is told what.
        assert_eq!(left(426), ["connection", "etag", "upgrade"]);
    }
}
