//! What each address of the admin port answers.

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use portreeve_config::Diagnostic;
use portreeve_proxy::{CertificateStatus, Closed};
use serde::Serialize;
use serde_json::{Value, json};

use super::Shown;
use crate::commands::table;
use crate::reload::LastReload;

/// The process lives.
pub(super) async fn livez() -> &'static str {
    "ok\n"
}

/// Requests may be sent here; 503 while starting or stopping. With a listener that has stayed closed, 200 and a word: the
/// others serve, and turning them away would help nobody.
pub(super) async fn readyz(State(shown): State<Shown>) -> (StatusCode, String) {
    if !shown.engine.is_ready() {
        return (StatusCode::SERVICE_UNAVAILABLE, "stopping\n".to_owned());
    }
    let snapshot = shown.engine.snapshot();
    let closed: Vec<&str> = snapshot.closed().iter().map(|closed| &*closed.name).collect();
    let word = if closed.is_empty() { "ok\n".to_owned() } else { format!("degraded: closed: {}\n", closed.join(", ")) };
    (StatusCode::OK, word)
}

/// Prometheus text format.
pub(super) async fn metrics(State(shown): State<Shown>) -> Response {
    let kind = (header::CONTENT_TYPE, HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8"));
    match shown.engine.metrics() {
        Ok(text) => ([kind], text).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}

#[derive(Serialize)]
struct Status {
    version: &'static str,
    generation: u64,
    ready: bool,
    uptime_seconds: u64,
    connections: usize,
    listeners: Vec<Value>,
    /// Listeners that have stayed closed since their TLS cannot work, and why.
    closed_listeners: Vec<Value>,
    certificates: Vec<CertificateStatus>,
    /// What is worth a word in the configuration in effect.
    warnings: Vec<String>,
    last_reload: LastReload,
}

/// How the gateway is.
pub(super) async fn status(State(shown): State<Shown>) -> impl IntoResponse {
    let listeners = shown.engine.addresses();
    let snapshot = shown.engine.snapshot();
    let why = |closed: &Closed| closed.why.iter().map(Diagnostic::headline).collect::<Vec<_>>();
    let closed = snapshot.closed().iter().map(|closed| json!({ "name": closed.name, "why": why(closed) }));
    Json(Status {
        version: env!("CARGO_PKG_VERSION"),
        generation: snapshot.generation(),
        ready: shown.engine.is_ready(),
        uptime_seconds: shown.since.elapsed().as_secs(),
        connections: shown.engine.connections(),
        listeners: listeners.iter().map(|(name, address)| json!({ "name": name, "address": address })).collect(),
        closed_listeners: closed.collect(),
        certificates: snapshot.certificate_status(),
        warnings: snapshot.warnings().iter().map(Diagnostic::headline).collect(),
        last_reload: shown.reloader.last(),
    })
}

/// The configuration in effect, secrets as `***`.
pub(super) async fn config(State(shown): State<Shown>) -> Json<Value> {
    Json(shown.reloader.loaded().redacted())
}

/// The routes in effect.
pub(super) async fn routes(State(shown): State<Shown>) -> impl IntoResponse {
    Json(table::rows(&shown.reloader.loaded().config))
}

/// Upstreams and their targets.
pub(super) async fn upstreams(State(shown): State<Shown>) -> impl IntoResponse {
    Json(shown.engine.upstreams())
}

/// Declared consumers, without their keys.
pub(super) async fn consumers(State(shown): State<Shown>) -> impl IntoResponse {
    let loaded = shown.reloader.loaded();
    let rows = loaded.config.consumers.iter().map(|consumer| {
        json!({ "name": consumer.name, "tier": consumer.tier, "groups": consumer.groups, "keys": consumer.keys.len() })
    });
    Json(rows.collect::<Vec<_>>())
}

/// The plugins of this binary.
pub(super) async fn plugins(State(shown): State<Shown>) -> impl IntoResponse {
    let plugins = shown.reloader.registry().iter();
    Json(plugins.map(|plugin| json!({ "name": plugin.name, "summary": plugin.summary() })).collect::<Vec<_>>())
}

/// Reads the file again. 200 with the new generation, or 422 with every error.
pub(super) async fn reload(State(shown): State<Shown>) -> Response {
    // It goes on to its end, whether whoever has asked waits for it or not.
    let reload = tokio::spawn(async move { shown.reloader.reload("admin").await });
    match reload.await {
        Ok(Ok(generation)) => Json(json!({ "generation": generation })).into_response(),
        Ok(Err(error)) => (StatusCode::UNPROCESSABLE_ENTITY, error).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")).into_response(),
    }
}
