//! Targets that fail in every way targets fail, one and half of them, under load, and come back: what clients notice.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use portreeve_tests::{Beat, Gateway, Origin, until};
use serde_json::Value;
use tokio::task::JoinSet;

/// How a target fails. Health checks are answered no better than requests.
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

impl Way {
    async fn strike(self, origin: &mut Origin) {
        let beats = match self {
            Self::Refuses => return origin.die().await,
            Self::Resets => vec![Beat::Reset],
            Self::BlackHole => vec![Beat::Await(u64::MAX)],
            Self::Slow => vec![Beat::Pause(Duration::from_secs(20)), Beat::answer(200, &[], "late")],
            Self::Errors => vec![Beat::answer(503, &[], "sick")],
            Self::HalfOpen => vec![Beat::write("HTTP/1.1 200 OK\r\ncontent-"), Beat::Await(u64::MAX)],
        };
        origin.play(move |_| beats.clone());
    }

    async fn heal(self, origin: &mut Origin) {
        match self {
            Self::Refuses => origin.revive().await,
            _ => origin.echo(),
        }
    }
}

/// Clients that ask without a pause, each for itself.
struct Load {
    clients: JoinSet<()>,
    stop: Arc<AtomicBool>,
    served: Arc<AtomicUsize>,
    failed: Arc<AtomicUsize>,
}

impl Load {
    fn on(gateway: &Arc<Gateway>) -> Self {
        let mut load =
            Self { clients: JoinSet::new(), stop: Arc::default(), served: Arc::default(), failed: Arc::default() };
        for _ in 0..8 {
            let (gateway, stop) = (gateway.clone(), load.stop.clone());
            let (served, failed) = (load.served.clone(), load.failed.clone());
            load.clients.spawn(async move {
                while !stop.load(Ordering::Relaxed) {
                    let answer = gateway.get("/").send().await;
                    let ok = answer.is_ok_and(|answer| answer.status == 200);
                    if ok { &served } else { &failed }.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        load
    }

    fn failed(&self) -> usize {
        self.failed.load(Ordering::Relaxed)
    }

    /// Until so many more have been served.
    async fn serve(&self, more: usize) {
        let goal = self.served.load(Ordering::Relaxed) + more;
        until("load is served", async || (self.served.load(Ordering::Relaxed) >= goal).then_some(())).await;
    }

    async fn end(mut self) -> usize {
        self.stop.store(true, Ordering::Relaxed);
        while self.clients.join_next().await.is_some() {}
        self.failed()
    }
}

async fn health(gateway: &Gateway, origin: &Origin, healthy: bool) {
    until(&format!("{origin:?} is found healthy: {healthy}"), async || {
        let target = gateway.admin().target("pool", origin.address()).await;
        (target["healthy"] == Value::Bool(healthy)).then_some(())
    })
    .await;
}

async fn before(origins: &[Origin]) -> Arc<Gateway> {
    let targets = origins.iter().map(|origin| format!("\"{}\"", origin.address())).collect::<Vec<_>>().join(", ");
    let yaml = format!(
        r#"
upstreams:
  pool:
    targets: [{targets}]
    health: {{ http: /healthz, interval: 200ms, timeout: 1s, unhealthy_after: 1, healthy_after: 1 }}
    timeouts: {{ per_try: 1s }}
    retry: {{ attempts: 4, on: [connect, reset, timeout, 503], budget: 100% }}
routes: [{{ name: all, match: {{ path: "/**" }}, public: true, upstream: pool }}]
"#
    );
    Arc::new(Gateway::spawn(&yaml).await)
}

async fn origins() -> Vec<Origin> {
    let mut origins = Vec::new();
    for name in ["a", "b", "c", "d"] {
        origins.push(Origin::start(name).await);
    }
    origins
}

async fn struck(way: Way, count: usize) {
    let mut origins = origins().await;
    let gateway = before(&origins).await;
    let load = Load::on(&gateway);
    load.serve(100).await;
    assert_eq!(load.failed(), 0);
    for origin in &mut origins[..count] {
        way.strike(origin).await;
    }
    for origin in &origins[..count] {
        health(&gateway, origin, false).await;
    }
    // Each request may meet every target that failed before anybody knew, and still one that did not: a few of those that
    // were half answered cannot be helped.
    let found = load.failed();
    assert!(found <= 8, "{way:?} at {count}: {found} requests failed before it was found");
    // Those that were sent before it was found end first.
    load.serve(50).await;
    let settled = load.failed();
    load.serve(150).await;
    assert_eq!(load.failed(), settled, "{way:?} at {count}: requests failed after it was found");
    for origin in &mut origins[..count] {
        way.heal(origin).await;
    }
    for origin in &origins[..count] {
        health(&gateway, origin, true).await;
        let before = origin.count();
        until("it is asked again", async || (origin.count() > before).then_some(())).await;
    }
    load.serve(100).await;
    let failed = load.end().await;
    assert!(failed <= 8, "{way:?} at {count}: {failed} requests failed in all");
    for origin in &origins {
        // A client may have its answer a moment before the gateway is done with the request.
        until("nothing in flight", async || {
            let target = gateway.admin().target("pool", origin.address()).await;
            (target["in_flight"] == 0).then_some(())
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn targets_that_refuse_connections_are_not_noticed() {
    for count in [1, 2] {
        struck(Way::Refuses, count).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn targets_that_reset_connections_are_not_noticed() {
    for count in [1, 2] {
        struck(Way::Resets, count).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn targets_that_swallow_requests_are_not_noticed() {
    for count in [1, 2] {
        struck(Way::BlackHole, count).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn targets_that_are_much_too_slow_are_not_noticed() {
    for count in [1, 2] {
        struck(Way::Slow, count).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn targets_that_answer_with_errors_are_not_noticed() {
    for count in [1, 2] {
        struck(Way::Errors, count).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn targets_that_go_silent_in_their_answer_are_not_noticed() {
    for count in [1, 2] {
        struck(Way::HalfOpen, count).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_targets_restarted_one_after_the_other_fail_no_request() {
    let mut origins = origins().await;
    let gateway = before(&origins).await;
    let load = Load::on(&gateway);
    load.serve(50).await;
    for origin in &mut origins {
        origin.die().await;
        load.serve(50).await;
        origin.revive().await;
        health(&gateway, origin, true).await;
        let before = origin.count();
        until("it is asked again", async || (origin.count() > before).then_some(())).await;
    }
    load.serve(50).await;
    assert_eq!(load.end().await, 0);
}
