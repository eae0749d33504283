//! What consumers have used: `GET /api/v1/usage`.

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};

use super::Shown;

/// The parameters of a query in the order given, so that one that is given twice is seen.
pub(super) type Parameters = Result<Query<Vec<(String, String)>>, QueryRejection>;

/// Usage by consumer, tier, route and version. 400 says what is wrong with a parameter, 503 that a disk hangs.
pub(super) async fn usage(State(shown): State<Shown>, parameters: Parameters) -> Response {
    let parameters = match read(parameters) {
        Ok(parameters) => parameters,
        Err(why) => return bad(&why),
    };
    let engine = shown.engine;
    match tokio::task::spawn_blocking(move || engine.usage(&parameters)).await {
        Ok(Ok(Some(page))) => Json(page).into_response(),
        Ok(Ok(None)) => {
            (StatusCode::SERVICE_UNAVAILABLE, "the disk that usage is saved on does not answer\n").into_response()
        }
        Ok(Err(error)) => bad(&error),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")).into_response(),
    }
}

/// The parameters, or what is wrong with the query.
pub(super) fn read(parameters: Parameters) -> Result<Vec<(String, String)>, String> {
    match parameters {
        Ok(Query(parameters)) => Ok(parameters),
        Err(error) => Err(error.body_text()),
    }
}

/// The query is wrong.
pub(super) fn bad(why: &str) -> Response {
    (StatusCode::BAD_REQUEST, format!("{why}\n")).into_response()
}
