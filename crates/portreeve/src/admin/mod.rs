//! The admin port: metrics, health, status, reload, targets. On loopback by default; elsewhere only with a token.

mod guests;
mod limits;
mod pages;
mod port;
mod targets;
mod token;
mod usage;

use std::net::{SocketAddr, TcpListener as StdListener};
use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::Instant;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::routing::{get, post, put};
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

/// Begins to serve the admin port, on the socket of the process before this one if it is the same address.
///
/// Returns its address, and its socket once more for the process after this one.
///
/// # Errors
/// When the address cannot be listened on.
pub(crate) async fn serve(
    bind: SocketAddr,
    inherited: Option<StdListener>,
    engine: Arc<Engine>,
    reloader: Arc<Reloader>,
    tasks: &mut JoinSet<()>,
) -> Result<(SocketAddr, Option<StdListener>), String> {
    let failed = |error| format!("admin: cannot listen on {bind}: {error}");
    let is_it = |address: SocketAddr| address == bind || (bind.port() == 0 && address.ip() == bind.ip());
    let same = inherited.filter(|socket| socket.local_addr().is_ok_and(is_it));
    let listener = match same {
        Some(socket) => socket.set_nonblocking(true).and_then(|()| TcpListener::from_std(socket)).map_err(failed)?,
        None => TcpListener::bind(bind).await.map_err(failed)?,
    };
    let address = listener.local_addr().map_err(failed)?;
    // Without a copy there is only no admin port to hand over.
    let copy = listener.as_fd().try_clone_to_owned().ok().map(StdListener::from);
    let shown = Shown { engine, reloader, since: Instant::now() };
    // Ends only with the process, or when the task is dropped.
    tasks.spawn(port::serve(listener, shown));
    Ok((address, copy))
}

/// What is asked where. Who may ask is decided before: see [`token::refusal`].
fn router(shown: Shown) -> Router {
    Router::new()
        .route("/livez", get(pages::livez))
        .route("/readyz", get(pages::readyz))
        .route("/metrics", get(pages::metrics))
        .route("/api/v1/status", get(pages::status))
        .route("/api/v1/config", get(pages::config))
        .route("/api/v1/routes", get(pages::routes))
        .route("/api/v1/upstreams", get(pages::upstreams))
        .route("/api/v1/consumers", get(pages::consumers))
        .route("/api/v1/plugins", get(pages::plugins))
        .route("/api/v1/usage", get(usage::usage))
        .route("/api/v1/limits", get(limits::limits))
        .route("/api/v1/limits/reset", post(limits::reset))
        .route("/api/v1/reload", post(pages::reload))
        .route("/api/v1/upstreams/{name}/targets/{address}/drain", post(targets::drain))
        .route("/api/v1/upstreams/{name}/targets/{address}/disable", post(targets::disable))
        .route("/api/v1/upstreams/{name}/targets/{address}/enable", post(targets::enable))
        .route("/api/v1/upstreams/{name}/targets/{address}/weight", put(targets::weigh).post(targets::weigh))
        .layer(DefaultBodyLimit::max(port::BODY))
        .with_state(shown)
}
