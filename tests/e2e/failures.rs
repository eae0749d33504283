//! Targets that fail in every way targets fail, one and half of them, under load, and come back: what clients notice. Here they
//! are played; in `killed.rs` they are processes.

#![expect(clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use portreeve_tests::{Beat, CLIENTS, Gateway, Load, Origin, until};

/// A target that fails in one way. Health checks are answered no better than requests.
pub(crate) trait Victim {
    fn address(&self) -> SocketAddr;
    /// Whether it breaks off answers it has begun, which nobody can help.
    fn breaks_off(&self) -> bool;
    /// Fails from now on. `gateway` sends it requests.
    async fn strike(&mut self, gateway: &Gateway);
    async fn heal(&mut self);
    /// Until it has been sent a request, again.
    async fn is_asked(&self, gateway: &Gateway);
}

/// One that is played.
struct Played {
    way: Way,
    origin: Origin,
}

/// How it fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    /// Its process is gone: connections are refused, those that were open closed.
    Refuses,
    /// It takes requests and resets the connection.
    Resets,
    /// It takes requests and says nothing.
    BlackHole,
    /// It answers much too late.
    Slow,
    /// It answers with errors.
    Errors,
    /// It begins an answer and goes silent.
    HalfOpen,
}

impl Victim for Played {
    fn address(&self) -> SocketAddr {
        self.origin.address()
    }

    fn breaks_off(&self) -> bool {
        // What it has begun is less than a head.
        false
    }

    async fn strike(&mut self, _: &Gateway) {
        let beats = match self.way {
            Way::Refuses => return self.origin.die().await,
            Way::Resets => vec![Beat::Reset],
            Way::BlackHole => vec![Beat::Await(u64::MAX)],
            Way::Slow => vec![Beat::Pause(Duration::from_secs(20)), Beat::answer(200, &[], "late")],
            Way::Errors => vec![Beat::answer(503, &[], "sick")],
            Way::HalfOpen => vec![Beat::write("HTTP/1.1 200 OK\r\ncontent-"), Beat::Await(u64::MAX)],
        };
        self.origin.play(move |_| beats.clone());
    }

    async fn heal(&mut self) {
        match self.way {
            Way::Refuses => self.origin.revive().await,
            _ => self.origin.echo(),
        }
    }

    async fn is_asked(&self, _: &Gateway) {
        let before = self.origin.count();
        until("it is asked", async || (self.origin.count() > before).then_some(())).await;
    }
}

/// A gateway before these targets, that tries again whatever may be tried again.
pub(crate) async fn before(targets: impl IntoIterator<Item = SocketAddr>) -> Arc<Gateway> {
    let targets = targets.into_iter().map(|target| format!("\"{target}\"")).collect::<Vec<_>>().join(", ");
    let yaml = format!(
        r#"
upstreams:
  pool:
    targets: [{targets}]
    health: {{ http: /healthz, interval: 200ms, timeout: 1s, unhealthy_after: 1, healthy_after: 1 }}
    timeouts: {{ per_try: 1s, first_byte: 3s }}
    retry: {{ attempts: 4, on: [connect, reset, timeout, 500, 503], budget: 100% }}
routes: [{{ name: all, match: {{ path: "/**" }}, public: true, upstream: pool }}]
"#
    );
    Arc::new(Gateway::spawn(&yaml).await)
}

/// Strikes so many of these under load, and heals them: no idempotent request fails once it is found, few before.
pub(crate) async fn struck<V: Victim>(what: &str, mut targets: Vec<V>, count: usize) {
    let gateway = before(targets.iter().map(Victim::address)).await;
    let admin = gateway.admin();
    let load = Load::on(&gateway);
    load.serve(100).await;
    assert_eq!(load.failed(), 0);
    for target in &mut targets[..count] {
        target.strike(&gateway).await;
    }
    for target in &targets[..count] {
        admin.finds("pool", target.address(), false).await;
    }
    // Those that were sent before it was found end first.
    for target in &targets[..count] {
        admin.is_quiet("pool", target.address()).await;
    }
    load.serve(50).await;
    let found = load.failed();
    // Each request may meet every target that failed before anybody knew, and still one that did not. Those that were half
    // answered cannot be helped: each client has one at a time, and may meet one target after the other.
    let broken_off = targets[..count].iter().filter(|target| target.breaks_off()).count();
    assert!(found <= CLIENTS * broken_off, "{what} at {count}: {found} requests failed before it was found");
    load.serve(150).await;
    assert_eq!(load.failed(), found, "{what} at {count}: requests failed after it was found");
    for target in &mut targets[..count] {
        target.heal().await;
    }
    for target in &targets[..count] {
        admin.finds("pool", target.address(), true).await;
        target.is_asked(&gateway).await;
    }
    load.serve(100).await;
    let failed = load.end().await;
    assert_eq!(failed, found, "{what} at {count}: requests failed when it came back");
    for target in &targets {
        // A client may have its answer a moment before the gateway is done with the request.
        admin.is_quiet("pool", target.address()).await;
    }
}

async fn origins() -> Vec<Origin> {
    let mut origins = Vec::new();
    for name in ["a", "b", "c", "d"] {
        origins.push(Origin::start(name).await);
    }
    origins
}

async fn one_and_half(way: Way) {
    for count in [1, 2] {
        let played = origins().await.into_iter().map(|origin| Played { way, origin });
        struck(&format!("{way:?}"), played.collect(), count).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn targets_that_refuse_connections_are_not_noticed() {
    one_and_half(Way::Refuses).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn targets_that_reset_connections_are_not_noticed() {
    one_and_half(Way::Resets).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn targets_that_swallow_requests_are_not_noticed() {
    one_and_half(Way::BlackHole).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn targets_that_are_much_too_slow_are_not_noticed() {
    one_and_half(Way::Slow).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn targets_that_answer_with_errors_are_not_noticed() {
    one_and_half(Way::Errors).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn targets_that_go_silent_in_their_answer_are_not_noticed() {
    one_and_half(Way::HalfOpen).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_targets_restarted_one_after_the_other_fail_no_request() {
    let mut origins = origins().await;
    let gateway = before(origins.iter().map(Origin::address)).await;
    let load = Load::on(&gateway);
    load.serve(50).await;
    for origin in &mut origins {
        origin.die().await;
        load.serve(50).await;
        origin.revive().await;
        gateway.admin().finds("pool", origin.address(), true).await;
        let before = origin.count();
        until("it is asked again", async || (origin.count() > before).then_some(())).await;
    }
    load.serve(50).await;
    assert_eq!(load.end().await, 0);
}
