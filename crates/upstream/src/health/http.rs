//! Health checks over HTTP: a request for a path, a look at the status, and where it is asked for at the beginning of the body.

use bytes::BytesMut;
use http::uri::PathAndQuery;
use http::{HeaderName, HeaderValue, Method, header};
use pingora::Result;
use pingora::http::RequestHeader;
use portreeve_config::Health as HealthConfig;
use portreeve_config::units::StatusRange;
use regex::bytes::Regex;

use super::probe::unwell;
use crate::Wrong;
use crate::client::Conversation;
use portreeve_wire::http1::is_hop_by_hop;

/// So much of a body is looked at; what comes after is not read.
const MAX_BODY: usize = 64 << 10;
/// Memory that a regular expression of the file may take.
const MAX_REGEX: usize = 256 << 10;

/// A check by path.
pub(super) struct HttpProbe {
    method: Method,
    path: PathAndQuery,
    headers: Vec<(HeaderName, HeaderValue)>,
    /// What the file calls the target, instead of its address.
    host: Option<HeaderValue>,
    statuses: Box<[StatusRange]>,
    body: Option<Body>,
}

/// What a body must hold.
enum Body {
    Text(Box<[u8]>),
    Pattern(Regex, Box<str>),
}

impl HttpProbe {
    pub(super) fn new(path: &str, config: &HealthConfig) -> Result<Self, Vec<Wrong>> {
        let mut wrong = Vec::new();
        let path = PathAndQuery::try_from(path).unwrap_or_else(|error| {
            wrong.push(Wrong::new("health.http", format!("not a path: {error}")));
            PathAndQuery::from_static("/")
        });
        let body = config.expect.body.as_deref().map(Body::new).transpose().unwrap_or_else(|message| {
            wrong.push(Wrong::new("health.expect.body", message));
            None
        });
        let (mut headers, mut host) = (Vec::new(), None);
        for (name, value) in &config.headers {
            let at = || format!("health.headers.{}", name.as_str());
            match (HeaderName::try_from(name.as_str()), HeaderValue::try_from(value.as_str())) {
                (Ok(name), Ok(value)) if name == header::HOST => host = Some(value),
                (Ok(name), _) if is_hop_by_hop(&name) || name == header::CONTENT_LENGTH => {
                    wrong.push(Wrong::new(at(), "this header belongs to the connection; the gateway sets it itself"));
                }
                (Ok(name), Ok(value)) => headers.push((name, value)),
                _ => wrong.push(Wrong::new(at(), "a header holds no control characters")),
            }
        }
        if !wrong.is_empty() {
            return Err(wrong);
        }
        let method = Method::try_from(config.method.as_str()).unwrap_or_default();
        let statuses = config.expect.status.iter().copied().collect();
        Ok(Self { method, path, headers, host, statuses, body })
    }

    /// What is asked. `authority`: what the target is called where the file does not say.
    pub(super) fn request(&self, authority: &str) -> Result<RequestHeader> {
        let mut request = head(self.method.clone(), &self.path, self.host.as_ref(), authority)?;
        for (name, value) in &self.headers {
            request.append_header(name.clone(), value.clone())?;
        }
        if self.method == Method::POST {
            request.insert_header(header::CONTENT_LENGTH, 0)?;
        }
        Ok(request)
    }

    /// Takes the answer, within the deadline of the prober.
    pub(super) async fn judge(&self, conversation: &mut Conversation) -> Result<()> {
        let status = conversation.head().await?.status.as_u16();
        if !self.statuses.iter().any(|range| range.contains(status)) {
            return unwell(format!("{status} instead of {}", self.expected()));
        }
        let Some(body) = &self.body else { return Ok(()) };
        let mut seen = BytesMut::new();
        while !body.is_in(&seen) {
            let left = MAX_BODY.saturating_sub(seen.len());
            match conversation.chunk().await? {
                Some(chunk) if left > 0 => seen.extend_from_slice(chunk.get(..left).unwrap_or(&chunk)),
                _ => return unwell(format!("{status}, but the body does not hold {body}")),
            }
        }
        Ok(())
    }

    fn expected(&self) -> String {
        self.statuses.iter().map(ToString::to_string).collect::<Vec<_>>().join(" or ")
    }
}

impl Body {
    fn new(text: &str) -> Result<Self, String> {
        let Some(pattern) = text.strip_prefix("regex:") else { return Ok(Self::Text(text.as_bytes().into())) };
        let built = regex::bytes::RegexBuilder::new(pattern).size_limit(MAX_REGEX).dfa_size_limit(MAX_REGEX).build();
        built.map(|regex| Self::Pattern(regex, pattern.into())).map_err(|error| error.to_string())
    }

    fn is_in(&self, seen: &[u8]) -> bool {
        match self {
            Self::Text(text) => seen.windows(text.len()).any(|window| window == &**text),
            Self::Pattern(regex, _) => regex.is_match(seen),
        }
    }
}

impl std::fmt::Display for Body {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Text(text) => write!(f, "{:?}", String::from_utf8_lossy(text)),
            Self::Pattern(_, pattern) => write!(f, "what {pattern:?} stands for"),
        }
    }
}

/// The head of a check, in whatever version it goes out.
pub(super) fn head(
    method: Method,
    path: &PathAndQuery,
    host: Option<&HeaderValue>,
    authority: &str,
) -> Result<RequestHeader> {
    let host = host.cloned().or_else(|| HeaderValue::try_from(authority).ok());
    let mut head = RequestHeader::build_no_case(method, path.as_str().as_bytes(), Some(8))?;
    head.insert_header(header::HOST, host.unwrap_or(HeaderValue::from_static("localhost")))?;
    // In HTTP/1.1; in HTTP/2 it is left out.
    head.insert_header(header::CONNECTION, "close")?;
    head.insert_header(header::USER_AGENT, "portreeve-health-check")?;
    Ok(head)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_is_looked_through_for_a_text_or_a_pattern() {
        let text = Body::new("up").unwrap();
        assert!(text.is_in(b"it is up") && !text.is_in(b"it is down") && !text.is_in(b"u") && !text.is_in(b""));
        let pattern = Body::new(r#"regex:"status"\s*:\s*"(up|ok)""#).unwrap();
        assert!(pattern.is_in(br#"{"status" : "ok"}"#) && !pattern.is_in(br#"{"status":"down"}"#));
        assert!(pattern.is_in(b"\xff{\"status\":\"up\"}"), "bytes that are no text do not matter");
        assert!(Body::new("regex:(").is_err());
        assert!(Body::new(&format!("regex:{}", "(a{1000}){1000}")).is_err(), "a pattern is bounded");
    }

    #[test]
    fn what_is_wrong_with_a_check_is_told_with_its_key() {
        let config = serde_json::json!({
            "http": "/a b", "headers": { "transfer-encoding": "chunked", "x": "a\nb" }, "expect": { "body": "regex:(" },
        });
        let wrong = HttpProbe::new("/a b", &serde_json::from_value(config).unwrap()).err().unwrap();
        let at: Vec<_> = wrong.iter().map(|wrong| &*wrong.at).collect();
        assert_eq!(at, ["health.http", "health.expect.body", "health.headers.transfer-encoding", "health.headers.x"]);
    }
}
