//! Bringing clients to HTTPS: the redirect of a listener in clear, and the field by which browsers stay (HSTS).

use std::fmt::Write as _;

use http::{HeaderValue, StatusCode, header};
use pingora::http::{RequestHeader, ResponseHeader};
use portreeve_config::{Hsts, Listener};
use portreeve_plugin::Reply;

use crate::http::head;

/// What a listener does to bring its clients to HTTPS.
#[derive(Debug)]
pub(crate) struct Https {
    /// The port to send clients to.
    redirect: Option<u16>,
    /// Set on every answer.
    hsts: Option<HeaderValue>,
}

impl Https {
    pub(crate) fn new(listener: &Listener) -> Self {
        let hsts = listener.tls.as_ref().and_then(|tls| tls.hsts.as_ref());
        Self { redirect: listener.redirect_to_https.map(|to| to.port), hsts: hsts.and_then(field) }
    }

    /// The answer that sends a client to HTTPS, if this listener does so. The head has been normalised.
    ///
    /// 308 keeps method and body (RFC 9110 §15.4.9).
    pub(crate) fn redirect(&self, asked: &RequestHeader) -> Option<Reply> {
        let port = self.redirect?;
        let host = head::host(asked);
        if host.is_empty() {
            let why = "this port only redirects to HTTPS, and the request does not say for which host it is";
            return Some(Reply::problem(StatusCode::BAD_REQUEST, why));
        }
        let authority = if port == 443 { host.to_owned() } else { format!("{host}:{port}") };
        let target = asked.uri.path_and_query().map_or("/", |target| target.as_str());
        let Ok(location) = HeaderValue::from_str(&format!("https://{authority}{target}")) else {
            return Some(Reply::problem(StatusCode::BAD_REQUEST, "the host cannot stand in a URL"));
        };
        Some(Reply::status(StatusCode::PERMANENT_REDIRECT).header(header::LOCATION, location).because("HTTPS only"))
    }

    /// What `Strict-Transport-Security` says, for answers that no hook marks.
    pub(crate) fn hsts(&self) -> Option<&HeaderValue> {
        self.hsts.as_ref()
    }

    /// Sets `Strict-Transport-Security`, in the place of one that came from elsewhere: browsers look at the first only
    /// (RFC 6797 §8.1).
    pub(crate) fn mark(&self, answer: &mut ResponseHeader) {
        if let Some(hsts) = &self.hsts {
            // It can fail for a name only, and this one is known.
            answer.insert_header(header::STRICT_TRANSPORT_SECURITY, hsts.clone()).ok();
        }
    }
}

fn field(hsts: &Hsts) -> Option<HeaderValue> {
    let mut text = format!("max-age={}", hsts.max_age.get().as_secs());
    for (is_set, word) in [(hsts.include_subdomains, "includeSubDomains"), (hsts.preload, "preload")] {
        if is_set {
            // Writing into a text cannot fail.
            write!(text, "; {word}").ok();
        }
    }
    HeaderValue::from_str(&text).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn redirect(port: u16, target: &str, host: Option<&str>) -> Reply {
        let mut asked = RequestHeader::build("POST", target.as_bytes(), None).unwrap();
        if let Some(host) = host {
            asked.insert_header(header::HOST, host).unwrap();
        }
        Https { redirect: Some(port), hsts: None }.redirect(&asked).unwrap()
    }

    #[test]
    fn a_redirect_keeps_host_path_and_query_and_puts_in_its_own_port() {
        let to = |port, target, host| {
            let reply = redirect(port, target, Some(host));
            assert_eq!(reply.status_code(), StatusCode::PERMANENT_REDIRECT);
            let location = reply.headers().iter().find(|(name, _)| *name == header::LOCATION);
            location.unwrap().1.to_str().unwrap().to_owned()
        };
        assert_eq!(to(443, "/a?b=c", "api.example.com:8080"), "https://api.example.com/a?b=c");
        assert_eq!(to(8443, "/", "api.example.com"), "https://api.example.com:8443/");
        assert_eq!(to(8443, "/x", "[::1]:8080"), "https://[::1]:8443/x");
    }

    #[test]
    fn a_request_without_a_host_is_not_redirected_to_nowhere() {
        assert_eq!(redirect(443, "/", None).status_code(), StatusCode::BAD_REQUEST);
    }

    #[test]
    fn hsts_takes_the_place_of_what_a_target_said() {
        let hsts = Hsts { include_subdomains: true, ..Hsts::default() };
        let https = Https { redirect: None, hsts: field(&hsts) };
        let mut answer = ResponseHeader::build(200, None).unwrap();
        answer.append_header(header::STRICT_TRANSPORT_SECURITY, "max-age=1").unwrap();
        https.mark(&mut answer);
        let all: Vec<_> = answer.headers.get_all(header::STRICT_TRANSPORT_SECURITY).iter().collect();
        assert_eq!(all, ["max-age=31536000; includeSubDomains"]);
    }
}
