//! The token of the admin port.

use axum::extract::{Request, State};
use axum::http::{StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::Shown;

/// Lets a request pass that carries the token of the configuration in effect, or any if it has none.
pub(super) async fn required(State(shown): State<Shown>, request: Request, next: Next) -> Response {
    let loaded = shown.reloader.loaded();
    let Some(token) = loaded.config.admin.as_ref().and_then(|admin| admin.token.as_ref()) else {
        return next.run(request).await;
    };
    let given =
        request.headers().get(header::AUTHORIZATION).and_then(|value| value.as_bytes().strip_prefix(b"Bearer "));
    if given.is_some_and(|given| same(given, token.expose().as_bytes())) {
        return next.run(request).await;
    }
    (StatusCode::UNAUTHORIZED, [(header::WWW_AUTHENTICATE, "Bearer")], "the admin port wants its token\n")
        .into_response()
}

/// Compares in a time that depends on the length alone, so that a token cannot be found out byte by byte.
fn same(a: &[u8], b: &[u8]) -> bool {
    a.len() == b.len() && a.iter().zip(b).fold(0, |difference, (a, b)| difference | (a ^ b)) == 0
}

#[cfg(test)]
mod tests {
    use super::same;

    #[test]
    fn only_the_very_token_is_the_same() {
        assert!(same(b"secret", b"secret"));
        assert!(!same(b"secret", b"secreT"));
        assert!(!same(b"secret", b"secret2"));
        assert!(!same(b"", b"x"));
    }
}
