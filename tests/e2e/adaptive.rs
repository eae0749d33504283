//! A bound that follows how fast an upstream answers: before an origin that works on four requests at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use portreeve_tests::{Beat, Gateway, Origin, until};
use serde_json::Value;

const SERVICE: Duration = Duration::from_millis(50);

/// Four workers: a request waits for whichever is free first.
fn four_at_once() -> impl Fn() -> Duration {
    let free = Mutex::new([Instant::now(); 4]);
    move || {
        let (mut free, now) = (free.lock(), Instant::now());
        let first = free.iter_mut().min().unwrap();
        *first = now.max(*first) + SERVICE;
        *first - now
    }
}

async fn limits(gateway: &Gateway) -> Value {
    gateway.admin().json("/api/v1/upstreams").await[0]["limits"].clone()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_bound_goes_down_to_what_an_upstream_can_work_on_and_what_is_beyond_it_waits() {
    let origin = Origin::start("a").await;
    let takes = four_at_once();
    origin.play(move |_| vec![Beat::Pause(takes()), Beat::answer(200, &[], "served")]);
    let gateway = Gateway::spawn(&format!(
        "upstreams: {{ pool: {{ targets: [\"{}\"], limits: {{ adaptive: {{ min: 2, max: 100 }}, queue_timeout: 25s }} }} }}
routes: [{{ name: all, match: {{ path: '/**' }}, public: true, upstream: pool }}]
",
        origin.address()
    ))
    .await;
    // With one at a time it learns what an answer takes.
    for _ in 0..25 {
        assert_eq!(gateway.get("/").await.status, 200);
    }
    let calm = limits(&gateway).await;
    assert_eq!((&calm["limit"], &calm["probing"]), (&20.into(), &false.into()));
    assert!(calm["min_rtt_ms"].as_f64().unwrap() >= 50.0, "{calm}");
    let gateway = Arc::new(gateway);
    let is_over = Arc::new(AtomicBool::new(false));
    let clients: Vec<_> = (0..60)
        .map(|_| {
            let (gateway, is_over) = (gateway.clone(), is_over.clone());
            tokio::spawn(async move {
                while !is_over.load(Ordering::Relaxed) {
                    assert_eq!(gateway.get("/").await.status, 200);
                }
            })
        })
        .collect();
    until("the bound has gone down", async || {
        let now = limits(&gateway).await;
        let limit = now["limit"].as_u64().unwrap();
        (limit <= 13 && now["waiting"].as_u64().unwrap() > 30).then_some(())
    })
    .await;
    let gauge = gateway.admin().metric("portreeve_upstream_limit_requests{upstream=\"pool\"}").await;
    assert!(gauge.is_some_and(|limit| (2.0..=20.0).contains(&limit)), "{gauge:?}");
    is_over.store(true, Ordering::Relaxed);
    for client in clients {
        client.await.unwrap();
    }
}
