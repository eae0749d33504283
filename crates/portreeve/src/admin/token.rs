//! Who may use the admin port: who has its token, or without one whoever is on this machine.

use std::net::{IpAddr, SocketAddr};

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::digest::{SHA256, digest};
use axum::http::{HeaderValue, Method, Request, StatusCode, header};
use axum::response::{IntoResponse, Response};

use super::Shown;

/// Whether anybody may ask this: whoever balances load has no token.
pub(super) fn is_probe<B>(request: &Request<B>) -> bool {
    matches!(request.uri().path(), "/livez" | "/readyz") && matches!(*request.method(), Method::GET | Method::HEAD)
}

/// The answer to a request that does not carry the token of the configuration in effect; without one, to a request that comes
/// from elsewhere than this machine. Decided by the head alone, before anything of its body is read and whatever it asks for.
pub(super) fn refusal<B>(shown: &Shown, request: &Request<B>) -> Option<Response> {
    if is_probe(request) {
        return None;
    }
    let loaded = shown.reloader.loaded();
    let Some(token) = loaded.config.admin.as_ref().and_then(|admin| admin.token.as_ref()) else {
        return match request.headers().get(header::HOST).and_then(|host| host.to_str().ok()) {
            Some(_) if is_of_another_page(request) => Some(
                (StatusCode::FORBIDDEN, "without a token, web pages of others change nothing here\n").into_response(),
            ),
            Some(host) if is_of_this_machine(host) => None,
            _ => {
                let how = "without a token, the admin port is asked by address or as localhost\n";
                Some((StatusCode::FORBIDDEN, how).into_response())
            }
        };
    };
    let given =
        request.headers().get(header::AUTHORIZATION).and_then(|value| value.as_bytes().strip_prefix(b"Bearer "));
    if given.is_some_and(|given| same(given, token.expose().as_bytes())) {
        return None;
    }
    let challenge = [(header::WWW_AUTHENTICATE, "Bearer")];
    Some((StatusCode::UNAUTHORIZED, challenge, "the admin port wants its token\n").into_response())
}

/// Whether a `Host` is one that nobody else can own: an address, `localhost`, or a name without a dot, as containers have. A web
/// page that lets its own name resolve to 127.0.0.1 (DNS rebinding) would send that name.
fn is_of_this_machine(host: &str) -> bool {
    if host.parse::<SocketAddr>().is_ok() || host.starts_with('[') {
        return true;
    }
    let name = host.rsplit_once(':').map_or(host, |(name, _)| name);
    name.parse::<IpAddr>().is_ok() || !name.contains('.') || name.to_ascii_lowercase().ends_with(".localhost")
}

/// Whether a browser sends this for a page that is not ours: it tells whose it is whenever a request may change something
/// (Fetch, §3.2), also to 127.0.0.1 and without being asked. `curl` and scripts send neither header.
fn is_of_another_page<B>(request: &Request<B>) -> bool {
    if matches!(*request.method(), Method::GET | Method::HEAD) {
        return false;
    }
    let text = |name| request.headers().get(name).map(HeaderValue::as_bytes);
    match (text("sec-fetch-site"), text("origin"), text("host")) {
        (Some(site), _, _) => !matches!(site, b"same-origin" | b"none"),
        (None, Some(origin), Some(host)) => origin.strip_prefix(b"http://") != Some(host),
        (None, Some(_), None) => true,
        (None, None, _) => false,
    }
}

/// Compares in a time that says nothing of what is the same, nor how long it is, so that a token cannot be found out byte by
/// byte.
fn same(given: &[u8], token: &[u8]) -> bool {
    let (given, token) = (digest(&SHA256, given), digest(&SHA256, token));
    verify_slices_are_equal(given.as_ref(), token.as_ref()).is_ok()
}

#[cfg(test)]
mod tests {
    use super::{Request, is_of_another_page, is_of_this_machine, same};

    #[test]
    fn a_web_page_of_somebody_else_changes_nothing() {
        let request = |method: &str, headers: &[(&str, &str)]| {
            let request = Request::builder().method(method).header("host", "127.0.0.1:9901");
            headers.iter().fold(request, |request, (name, value)| request.header(*name, *value)).body(()).unwrap()
        };
        for theirs in [
            &[("origin", "https://evil.example")][..],
            &[("origin", "null")],
            &[("origin", "http://127.0.0.1:8080")],
            &[("sec-fetch-site", "cross-site")],
            &[("sec-fetch-site", "same-site"), ("origin", "http://127.0.0.1:9901")],
        ] {
            assert!(is_of_another_page(&request("POST", theirs)), "{theirs:?}");
            assert!(!is_of_another_page(&request("GET", theirs)), "reading is what the browser itself forbids");
        }
        for ours in [&[][..], &[("origin", "http://127.0.0.1:9901")], &[("sec-fetch-site", "same-origin")]] {
            assert!(!is_of_another_page(&request("POST", ours)), "{ours:?}");
        }
    }

    #[test]
    fn a_web_page_that_points_its_name_here_is_told_apart() {
        for ours in [
            "127.0.0.1:9901",
            "127.0.0.1",
            "[::1]:9901",
            "[::1]",
            "localhost:9901",
            "LOCALHOST",
            "gateway:9901",
            "a.localhost",
        ] {
            assert!(is_of_this_machine(ours), "{ours}");
        }
        for theirs in ["evil.example:9901", "evil.example", "127.0.0.1.evil.example", "localhost.evil.example:9901"] {
            assert!(!is_of_this_machine(theirs), "{theirs}");
        }
    }

    #[test]
    fn only_the_very_token_is_the_same() {
        assert!(same(b"secret", b"secret"));
        assert!(!same(b"secret", b"secreT"));
        assert!(!same(b"secret", b"secret2"));
        assert!(!same(b"secre", b"secret"));
        assert!(!same(b"", b"x"));
    }
}
