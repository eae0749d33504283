//! The prober against real sockets: how soon it finds out, and that nothing but the target decides.

use std::net::TcpListener;
use std::time::Instant;

use pingora_load_balancing::BackendView;
use pingora_load_balancing::discovery::Static;
use serde_json::{Value, json};
use socket2::{Domain, Socket, Type};

use super::*;

fn config(settings: Value) -> HealthConfig {
    serde_json::from_value(settings).unwrap()
}

/// Plain HTTP/1.1.
fn transport() -> Arc<Transport> {
    let upstream = serde_json::from_value(json!({ "targets": ["127.0.0.1:1"] })).unwrap();
    Arc::new(Transport::load(&upstream, std::path::Path::new("")).unwrap())
}

/// A port that is ours and refuses connections, until it is listened on.
fn dead() -> (Socket, SocketAddr) {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
    let address = socket.local_addr().unwrap().as_socket().unwrap();
    (socket, address)
}

async fn join(group: &HealthGroup, address: SocketAddr) -> (BackendView, Arc<Target>) {
    let discovery = Static::try_from_iter([address]).unwrap();
    let view = BackendView::new_with_health_registry(discovery, group.registry.clone());
    view.update(|_| {}).await.unwrap();
    (view, group.target(address, None))
}

async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < Duration::from_secs(10), "{what}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

#[tokio::test]
async fn a_target_that_comes_is_checked_at_once() {
    let group =
        HealthGroup::new(Some(&config(json!({ "tcp": true, "interval": "1h", "unhealthy_after": 1 }))), transport());
    group.start(&tokio::runtime::Handle::current(), transport());
    let (one, two) = (dead(), dead());
    let (_first_view, first) = join(&group, one.1).await;
    until("the first is out", || !first.is_healthy()).await;
    let (_second_view, second) = join(&group, two.1).await;
    until("the second is out", || !second.is_healthy()).await;
}

#[tokio::test]
async fn a_group_that_is_never_started_checks_nobody() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let group = HealthGroup::new(Some(&config(json!({ "tcp": true, "interval": "10ms" }))), transport());
    let (_view, target) = join(&group, listener.local_addr().unwrap()).await;
    // A group that was started shows when a check would have come.
    let (_socket, refusing) = dead();
    let started =
        HealthGroup::new(Some(&config(json!({ "tcp": true, "interval": "10ms", "unhealthy_after": 3 }))), transport());
    started.start(&tokio::runtime::Handle::current(), transport());
    let (_other_view, other) = join(&started, refusing).await;
    until("the other is out", || !other.is_healthy()).await;
    assert_eq!(listener.accept().unwrap_err().kind(), std::io::ErrorKind::WouldBlock);
    assert!(target.is_healthy());
}

#[tokio::test]
async fn a_target_that_goes_and_comes_back_is_judged_afresh() {
    let health = config(json!({ "tcp": true, "interval": "5ms", "unhealthy_after": 2, "healthy_after": 1 }));
    let group = HealthGroup::new(Some(&health), transport());
    group.start(&tokio::runtime::Handle::current(), transport());
    let (_socket, address) = dead();
    for _ in 0..3 {
        let (view, target) = join(&group, address).await;
        assert!(target.is_healthy());
        until("it is out again", || !target.is_healthy()).await;
        // The membership goes and nobody holds the target: the next of that address is another.
        view.update(|_| {}).await.unwrap();
        drop((view, target));
    }
}

#[tokio::test]
async fn a_target_recovers_when_its_checks_pass_again() {
    let (socket, address) = dead();
    let health = config(json!({ "tcp": true, "interval": "5ms", "unhealthy_after": 1, "healthy_after": 2 }));
    let group = HealthGroup::new(Some(&health), transport());
    group.start(&tokio::runtime::Handle::current(), transport());
    let (_view, target) = join(&group, address).await;
    until("it is out", || !target.is_healthy()).await;
    socket.listen(8).unwrap();
    until("it is back", || target.is_healthy()).await;
}
