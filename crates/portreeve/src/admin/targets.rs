//! What an operator does with single targets: drain, disable, enable, weigh. Who did it is the address that the call came from.

use std::net::SocketAddr;

use axum::Json;
use axum::extract::rejection::JsonRejection;
use axum::extract::{ConnectInfo, Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use portreeve_proxy::Operation;
use serde::Deserialize;

use super::Shown;

/// Longest name or address that is shown back.
const MAX_SHOWN: usize = 256;

/// No new requests; those in flight end.
pub(super) async fn drain(
    state: State<Shown>,
    from: ConnectInfo<SocketAddr>,
    target: Path<(String, String)>,
) -> Response {
    operate(&state, from, &target, Operation::Drain)
}

/// No new requests and no checks.
pub(super) async fn disable(
    state: State<Shown>,
    from: ConnectInfo<SocketAddr>,
    target: Path<(String, String)>,
) -> Response {
    operate(&state, from, &target, Operation::Disable)
}

/// Requests again.
pub(super) async fn enable(
    state: State<Shown>,
    from: ConnectInfo<SocketAddr>,
    target: Path<(String, String)>,
) -> Response {
    operate(&state, from, &target, Operation::Enable)
}

/// `{"weight": 3}`; `{"weight": null}` gives back what the file says.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Weight {
    /// Without a default: an empty body is a slip, not an order.
    #[serde(deserialize_with = "Option::deserialize")]
    weight: Option<u16>,
}

/// Another share than the file's.
pub(super) async fn weigh(
    state: State<Shown>,
    from: ConnectInfo<SocketAddr>,
    target: Path<(String, String)>,
    body: Result<Json<Weight>, JsonRejection>,
) -> Response {
    match body {
        Ok(Json(Weight { weight })) => operate(&state, from, &target, Operation::Weight(weight)),
        Err(error) => {
            let expected = r#"expected {"weight": 0 to 65535, or null for the file's} as application/json"#;
            (StatusCode::BAD_REQUEST, format!("{expected}: {}\n", error.body_text())).into_response()
        }
    }
}

fn operate(
    State(shown): &State<Shown>,
    ConnectInfo(from): ConnectInfo<SocketAddr>,
    Path((upstream, target)): &Path<(String, String)>,
    operation: Operation,
) -> Response {
    if upstream.len().max(target.len()) > MAX_SHOWN {
        return (StatusCode::NOT_FOUND, "no upstream or target has so long a name\n").into_response();
    }
    match shown.engine.operate(upstream, target, operation, &from.ip().to_canonical().to_string()) {
        Ok(status) => Json(status).into_response(),
        Err(error) => (StatusCode::NOT_FOUND, format!("{error}\n")).into_response(),
    }
}
