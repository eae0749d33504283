//! The switches: `POST /kill/users-v2-b`, `POST /revive/users-v2-b`, and `GET /` for how they all are.

use std::fmt::Write;
use std::sync::{Arc, OnceLock, Weak};

use axum::Router;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::routing::{get, post};

use super::{Samples, SwitchError};

/// Set once everything has started. Weak, since the samples own the instance that serves the switches.
pub(super) type Switches = Arc<OnceLock<Weak<Samples>>>;
type Said = (StatusCode, String);

pub(super) fn router(switches: Switches) -> Router {
    Router::new()
        .route("/", get(states))
        .route("/kill/{name}", post(kill))
        .route("/revive/{name}", post(revive))
        .with_state(switches)
}

fn samples(switches: &Switches) -> Result<Arc<Samples>, Said> {
    let samples = switches.get().and_then(Weak::upgrade);
    samples.ok_or_else(|| (StatusCode::SERVICE_UNAVAILABLE, "the demo is starting or stopping\n".to_owned()))
}

async fn states(State(switches): State<Switches>) -> Result<String, Said> {
    let mut text = String::new();
    for (name, address, alive) in samples(&switches)?.states() {
        writeln!(text, "{name:16} {address}  {}", if alive { "alive" } else { "killed" }).ok();
    }
    Ok(text)
}

async fn kill(State(switches): State<Switches>, Path(name): Path<String>) -> Result<String, Said> {
    samples(&switches)?.kill(&name).map_err(said)?;
    Ok(format!("{name} is killed\n"))
}

async fn revive(State(switches): State<Switches>, Path(name): Path<String>) -> Result<String, Said> {
    let samples = samples(&switches)?;
    let revived = name.clone();
    // May wait for the port.
    let revival = tokio::task::spawn_blocking(move || samples.revive(&revived)).await;
    match revival {
        Ok(result) => result.map_err(said)?,
        Err(error) => return Err((StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n"))),
    }
    Ok(format!("{name} is alive\n"))
}

fn said(error: SwitchError) -> Said {
    match error {
        SwitchError::Unknown(text) => (StatusCode::NOT_FOUND, format!("{text}\n")),
        SwitchError::Failed(text) => (StatusCode::INTERNAL_SERVER_ERROR, format!("{text}\n")),
    }
}
