//! The sample services. Every answer says who gave it: service, version, instance.

use axum::Router;
use axum::extract::{Path, Query};
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;

use serde::Deserialize;
use serde_json::{Value, json};

/// Their users, by number.
const NAMES: [(&str, &str); 4] =
    [("Ada", "Lovelace"), ("Grace", "Hopper"), ("Edsger", "Dijkstra"), ("Radia", "Perlman")];

/// Users, version 1: a name is one text.
pub(super) fn users_v1(instance: &'static str) -> Router {
    users("v1", instance, |given, family| json!({ "name": format!("{given} {family}") }))
}

/// Users, version 2: a name has two parts, which is why there is a version 2.
pub(super) fn users_v2(instance: &'static str) -> Router {
    users("v2", instance, |given, family| json!({ "given_name": given, "family_name": family }))
}

fn users(version: &'static str, instance: &'static str, name: fn(&str, &str) -> Value) -> Router {
    let user = move |Path(id): Path<u32>, headers: HeaderMap| async move {
        // What the gateway says of the caller; a client cannot say it for itself.
        let caller = headers.get("x-user-id").and_then(|value| value.to_str().ok());
        let (given, family) = pick(&NAMES, id).unwrap_or_default();
        answer(json!({
            "service": "users", "version": version, "instance": instance, "caller": caller,
            "id": id, "user": name(given, family),
        }))
    };
    service().route("/users/{id}", get(user))
}

/// Whose orders or recommendations.
#[derive(Deserialize)]
struct Of {
    user: u32,
}

/// Orders of a user.
pub(super) fn orders(instance: &'static str) -> Router {
    let orders = move |Query(Of { user }): Query<Of>| async move {
        let items = [("lamp", 1), ("chair", 4), ("desk", 1)];
        let orders: Vec<_> = items.iter().take(1 + user as usize % items.len()).collect();
        let orders: Vec<_> = orders.iter().map(|(item, count)| json!({ "item": item, "count": count })).collect();
        answer(json!({ "service": "orders", "version": "v1", "instance": instance, "user": user, "orders": orders }))
    };
    service().route("/orders", get(orders))
}

/// What a user may like.
pub(super) fn recommendations(instance: &'static str) -> Router {
    let recommendations = move |Query(Of { user }): Query<Of>| async move {
        let item = pick(&["bookshelf", "globe", "clock", "plant"], user);
        answer(json!({
            "service": "recommendations", "version": "v1", "instance": instance, "user": user, "items": [item],
        }))
    };
    service().route("/recommendations", get(recommendations))
}

/// What every service has.
fn service() -> Router {
    Router::new().route("/healthz", get(|| async { "ok\n" }))
}

fn pick<T: Copy>(list: &[T], number: u32) -> Option<T> {
    list.iter().cycle().nth(number as usize % list.len()).copied()
}

/// A service tells what it runs on; the gateway keeps it from strangers.
fn answer(body: Value) -> Response {
    let head = [(header::SERVER, "sample/1.0"), (header::CONTENT_TYPE, "application/json")];
    (head, format!("{body}\n")).into_response()
}
