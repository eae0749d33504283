//! The admin port: metrics, health, status, reload. On loopback by default; elsewhere only with a token.

mod pages;
mod token;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use axum::Router;
use axum::middleware::from_fn_with_state;
use axum::routing::{get, post};
use portreeve_proxy::Engine;
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use crate::reload::Reloader;

/// What the pages show.
#[derive(Debug, Clone)]
struct Shown {
    engine: Arc<Engine>,
    reloader: Arc<Reloader>,
    since: Instant,
}

/// Begins to serve the admin port.
///
/// # Errors
/// When the address cannot be listened on.
pub(crate) async fn serve(
    bind: SocketAddr,
    engine: Arc<Engine>,
    reloader: Arc<Reloader>,
    tasks: &mut JoinSet<()>,
) -> Result<SocketAddr, String> {
    let failed = |error| format!("admin: cannot listen on {bind}: {error}");
    let listener = TcpListener::bind(bind).await.map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?;
    let shown = Shown { engine, reloader, since: Instant::now() };
    tasks.spawn(async move {
        // Ends only with the process, or when the task is dropped.
        axum::serve(listener, router(shown)).await.ok();
    });
    Ok(address)
}

fn router(shown: Shown) -> Router {
    let guarded = Router::new()
        .route("/metrics", get(pages::metrics))
        .route("/api/v1/status", get(pages::status))
        .route("/api/v1/config", get(pages::config))
        .route("/api/v1/routes", get(pages::routes))
        .route("/api/v1/upstreams", get(pages::upstreams))
        .route("/api/v1/consumers", get(pages::consumers))
        .route("/api/v1/plugins", get(pages::plugins))
        .route("/api/v1/reload", post(pages::reload))
        .layer(from_fn_with_state(shown.clone(), token::required));
    let open = Router::new().route("/livez", get(pages::livez)).route("/readyz", get(pages::readyz));
    guarded.merge(open).with_state(shown)
}
