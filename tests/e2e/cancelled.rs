//! Requests that are given up at any moment, before targets that fail in any way: whatever is counted returns to zero, and every
//! place can be taken again.

use std::sync::Arc;
use std::time::Duration;

use fastrand::Rng;
use portreeve_tests::{Beat, Gateway, Origin, at, until};
use tokio::task::JoinSet;

/// Everything at once that counts something.
const YAML: &str = r#"
upstreams:
  pool:
    targets: ["@a", "@b", "@c"]
    timeouts: { per_try: 80ms, first_byte: 120ms, connect: 1s }
    retry: { attempts: 3, on: [connect, reset, timeout, 503], budget: 50%, backoff: { base: 5ms, max: 20ms } }
    hedge: { after: 15ms, budget: 50% }
    limits: { requests: 12, connections_per_target: 6, queue: 6, queue_timeout: 50ms }
    outlier: { consecutive_failures: 5, eject_for: 1s, max_eject_for: 1s }
routes: [{ name: all, match: { path: "/**" }, public: true, upstream: pool, timeout: 2s }]
"#;

/// A target that does what chance says.
async fn fickle(name: &'static str, seed: u64) -> Origin {
    let chance = parking_lot::Mutex::new(Rng::with_seed(seed));
    Origin::start(name).await.playing(move |_| {
        let (kind, pause) = {
            let mut chance = chance.lock();
            (chance.u8(..8), Duration::from_millis(chance.u64(0..100)))
        };
        match kind {
            0 => vec![Beat::Close],
            1 => vec![Beat::Reset],
            2 => vec![Beat::answer(503, &[], "busy")],
            3 => {
                vec![Beat::write("HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf"), Beat::Pause(pause), Beat::Close]
            }
            4 => vec![Beat::write("HTTP/1.1 200"), Beat::Pause(pause), Beat::Reset],
            _ => vec![Beat::Pause(pause), Beat::answer(200, &[], "well")],
        }
    })
}

/// A client that asks again and again, and leaves when chance says so: with a close, with a reset, or not.
async fn hasty(gateway: Arc<Gateway>, seed: u64) {
    let mut chance = Rng::with_seed(seed);
    for _ in 0..20 {
        let mut wire = gateway.wire().await;
        let request = if chance.bool() {
            "GET / HTTP/1.1\r\nhost: x\r\n\r\n"
        } else {
            "POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 4\r\n\r\nbody"
        };
        // Sometimes it has not even said all of it.
        let said = if chance.u8(..10) == 0 { request.split_at(chance.usize(1..request.len())).0 } else { request };
        wire.send(said).await;
        let patience = Duration::from_millis(chance.u64(0..60));
        let answered = said.len() == request.len()
            && tokio::time::timeout(patience * chance.u32(1..4), wire.try_answer("GET")).await.is_ok();
        if !answered && chance.bool() {
            wire.reset();
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn under_random_cancels_and_faults_every_count_returns_to_zero_and_every_place_comes_back() {
    let seed = 20_261_130;
    let (a, b, c) = (fickle("a", seed).await, fickle("b", seed + 1).await, fickle("c", seed + 2).await);
    let gateway = Arc::new(Gateway::spawn(&at(&[&a, &b, &c], YAML)).await);
    let mut clients = JoinSet::new();
    for client in 0..24 {
        clients.spawn(hasty(gateway.clone(), seed + 100 + client));
    }
    while let Some(done) = clients.join_next().await {
        done.unwrap();
    }
    let admin = gateway.admin();
    for origin in [&a, &b, &c] {
        admin.is_quiet("pool", origin.address()).await;
    }
    let limits = async || admin.json("/api/v1/upstreams").await[0]["limits"].clone();
    until("nobody is in flight or waits", async || {
        let now = limits().await;
        (now["in_flight"] == 0 && now["waiting"] == 0).then_some(())
    })
    .await;
    // As many as may be are served at once: of the places and of the connections none was lost, and a reload loses none.
    for origin in [&a, &b, &c] {
        origin.play(|_| vec![Beat::Await(1), Beat::answer(200, &[], "well")]);
    }
    let patient = YAML
        .replace("per_try: 80ms, first_byte: 120ms", "per_try: 20s, first_byte: 20s")
        .replace("timeout: 2s", "timeout: 20s")
        .replace("requests: 12", "requests: 18");
    gateway.reload(&at(&[&a, &b, &c], &patient)).await.unwrap();
    until("nobody is ejected any more", async || (limits().await["limit"] == 18).then_some(())).await;
    let mut asked = JoinSet::new();
    for _ in 0..18 {
        // Nobody asks twice for these.
        asked.spawn(gateway.ask("PATCH", "/").send());
    }
    until("all are at their targets", async || {
        let at = [&a, &b, &c].map(|origin| origin.seen().iter().filter(|seen| seen.method() == "PATCH").count());
        (at == [6; 3]).then_some(())
    })
    .await;
    for origin in [&a, &b, &c] {
        origin.cue();
    }
    while let Some(answer) = asked.join_next().await {
        assert_eq!(answer.unwrap().unwrap().status, 200);
    }
}
