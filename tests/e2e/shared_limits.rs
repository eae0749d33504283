//! Limits that several gateways share through a real Redis: the bound over all of them, and what is promised while Redis is
//! away, slow, or has forgotten everything.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use portreeve_tests::{Beat, Counting, Origin, Process, Road, Way, servers, until};

/// A gateway that counts in the Redis that is there.
async fn counting(redis: SocketAddr, rate: &str, more: &str) -> Counting {
    Counting::spawn(&format!("url: 'redis://{redis}', timeout: 250ms"), rate, more).await
}

/// Three gateways as three processes that share one tier; how many of `requests` in all were let through.
async fn three_processes(store: SocketAddr, more: &str, requests: u32) -> u32 {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("ada.key"), "ada-has-this-key").unwrap();
    let path = folder.path().join("gateway.yaml");
    let yaml = format!(
        "version: 1
listeners: [{{ name: public, bind: '127.0.0.1:0' }}]
access_log: {{ to: off }}
tiers: {{ free: {{ rate: 200/h, quota: 100000/month }} }}
consumers: [{{ name: ada, tier: free, keys: ['file:ada.key'] }}]
routes:
  - name: all
    match: {{ path: '/**' }}
    plugins:
      - key-auth
      - rate-limit:
          by: '${{consumer.id}}'
          limit: tier
          store: {{ redis: {{ url: 'redis://{store}', timeout: 5s }} }}
          on_store_error: closed
          {more}
    respond: {{ status: 200 }}
"
    );
    std::fs::write(&path, yaml).unwrap();
    let program = env!("CARGO_BIN_EXE_portreeve-under-test");
    let gateways: Vec<Process> =
        (0..3).map(|_| Process::start(program, &["run", "-c", path.to_str().unwrap(), "--workers", "1"])).collect();
    let admitted = Arc::new(AtomicU32::new(0));
    let mut clients = Vec::new();
    for gateway in &gateways {
        let url = format!("http://{}/", gateway.listener("public").await);
        for _ in 0..4 {
            let (url, admitted) = (url.clone(), admitted.clone());
            clients.push(tokio::spawn(async move {
                let client = reqwest::Client::builder().no_proxy().build().unwrap();
                for _ in 0..requests / 12 {
                    let status =
                        client.get(&url).header("x-api-key", "ada-has-this-key").send().await.unwrap().status();
                    assert!(status == 200 || status == 429, "{status}");
                    admitted.fetch_add(u32::from(status == 200), Ordering::Relaxed);
                }
            }));
        }
    }
    for client in clients {
        client.await.unwrap();
    }
    admitted.load(Ordering::Relaxed)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_processes_under_load_admit_exactly_what_their_tier_has() {
    for (name, store) in [("Redis", servers::redis().await), ("Valkey", servers::valkey().await)] {
        let admitted = three_processes(store.address(), "", 720).await;
        println!("admitted ÷ allowed, {name}: {:.3}", f64::from(admitted) / 200.0);
        assert_eq!(admitted, 200, "{name}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_processes_with_leases_stay_within_a_slice_each() {
    let (redis, valkey) = (servers::redis().await, servers::valkey().await);
    for (share, slice, store) in
        [(1, 2, &redis), (5, 10, &redis), (5, 10, &valkey), (25, 50, &redis), (50, 100, &redis)]
    {
        // What was counted before is in the store under the same key.
        store.say("FLUSHALL").await;
        let admitted = three_processes(store.address(), &format!("lease: {share}%"), 720).await;
        println!("admitted ÷ allowed, lease of {share}%: {:.3}", f64::from(admitted) / 200.0);
        assert!(admitted <= 200 + 3 * slice, "{admitted}");
        // What lies in slices that are not used up is not given to others: at most as much again is missing.
        assert!(admitted + 3 * slice >= 200, "{admitted}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_the_store_each_gateway_holds_the_limit_by_itself_and_goes_back_by_itself() {
    let redis = servers::redis().await;
    let road = Road::to(redis.address()).await;
    let local = "on_store_error: local";
    let (one, two) = (counting(road.address(), "5/h", local).await, counting(road.address(), "5/h", local).await);
    assert_eq!((one.status("ada").await, two.status("ada").await), (200, 200));
    assert_eq!(one.metric("store_fallbacks_total").await, Some(0));
    road.turn(Way::Shut);
    let mut admitted = [1, 1];
    for (gateway, admitted) in [&one, &two].into_iter().zip(&mut admitted) {
        gateway.sees(false).await;
        for _ in 0..10 {
            *admitted += u32::from(gateway.status("ada").await == 200);
        }
        assert!(gateway.metric("store_fallbacks_total").await >= Some(4));
    }
    // Each by itself: the whole limit, and not once more.
    assert_eq!(admitted, [5, 5]);
    road.turn(Way::To(redis.address()));
    one.sees(true).await;
    two.sees(true).await;
    // Now together again.
    let before = one.metric("store_fallbacks_total").await;
    let together: Vec<u16> = [one.status("eve").await, two.status("eve").await].into();
    assert_eq!(together, [200, 200]);
    for _ in 0..3 {
        assert_eq!(one.status("eve").await, 200);
    }
    assert_eq!((two.status("eve").await, one.status("eve").await), (429, 429));
    assert_eq!(one.metric("store_fallbacks_total").await, before);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn closed_refuses_and_open_passes_while_the_store_is_away() {
    let redis = servers::redis().await;
    for (word, expected) in [("closed", 503), ("open", 200)] {
        let road = Road::to(redis.address()).await;
        let gateway = counting(road.address(), "2/h", &format!("on_store_error: {word}")).await;
        let who = format!("{word}-ada");
        assert_eq!(gateway.status(&who).await, 200);
        road.turn(Way::Shut);
        gateway.sees(false).await;
        for _ in 0..5 {
            assert_eq!(gateway.status(&who).await, expected);
        }
        assert!(gateway.metric("store_fallbacks_total").await >= Some(5));
        road.turn(Way::To(redis.address()));
        gateway.sees(true).await;
        assert_eq!((gateway.status(&who).await, gateway.status(&who).await), (200, 429));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_is_slow_holds_nobody_up_beyond_the_deadline_and_is_counted() {
    let redis = servers::redis().await;
    let road = Road::to(redis.address()).await;
    let gateway = counting(road.address(), "100/h", "on_store_error: closed").await;
    assert_eq!(gateway.status("ada").await, 200);
    road.turn(Way::Slow(redis.address()));
    let begun = Instant::now();
    assert_eq!(gateway.status("ada").await, 503);
    // The deadline is 250 ms; the rest is for a machine that builds meanwhile.
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    assert!(gateway.metric("store_failures_total").await >= Some(1));
    road.turn(Way::To(redis.address()));
    until("the store decides again", async || (gateway.status("ada").await == 200).then_some(())).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_comes_back_empty_gives_no_gateway_its_limit_again() {
    let (redis, empty) = (servers::redis().await, servers::redis().await);
    let road = Road::to(redis.address()).await;
    let gateway = counting(road.address(), "5/h", "").await;
    for _ in 0..5 {
        assert_eq!(gateway.status("ada").await, 200);
    }
    road.turn(Way::To(empty.address()));
    until("the other server knows the gateway", async || {
        (gateway.status("eve").await == 429 && gateway.metric("store_up").await == Some(1)).then_some(())
    })
    .await;
    assert_eq!(gateway.status("ada").await, 429);
}

/// An origin that says its answers cost ten, once it is given the cue.
async fn dear() -> Origin {
    let origin = Origin::start("dear").await;
    origin.play(|_| vec![Beat::Await(1), Beat::answer(200, &[("x-cost", "10")], "dear")]);
    origin
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_charge_after_the_answer_counts_on_every_node_and_on_its_own_when_the_store_forgets_it() {
    let (redis, origin) = (servers::redis().await, dear().await);
    origin.cue();
    let url = format!("url: 'redis://{}', timeout: 5s", redis.address());
    for (who, more) in [("ada", "on_store_error: closed"), ("eve", "lease: 50%")] {
        let spawn = async || Counting::charging(&origin, &url, "{ rate: 10/h }", more).await;
        let (one, two) = (spawn().await, spawn().await);
        let first = one.ask(who).await;
        assert_eq!((first.status, two.status(who).await), (200, 429), "{who}");
        let is_told = first.header("ratelimit").is_some_and(|field| field.starts_with(r#""all/rate-limit";r=0;"#));
        assert!(is_told, "{who}: {first:?}");
        redis.say("FLUSHALL").await;
        // Each node still knows what it has counted itself, and nothing else.
        assert_eq!((one.status(who).await, two.status(who).await), (429, 200), "{who}");
        assert_eq!(
            (one.metric("store_failures_total").await, two.metric("store_failures_total").await),
            (Some(0), Some(0))
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_charge_that_the_store_cannot_be_told_counts_on_the_node_that_has_it() {
    let redis = servers::redis().await;
    for (word, who) in [("local", "ada"), ("closed", "bob"), ("open", "eve")] {
        let (road, origin) = (Road::to(redis.address()).await, dear().await);
        let url = format!("url: 'redis://{}', timeout: 5s", road.address());
        let gateway =
            Arc::new(Counting::charging(&origin, &url, "{ rate: 10/h }", &format!("on_store_error: {word}")).await);
        gateway.sees(true).await;
        let first = tokio::spawn({
            let gateway = gateway.clone();
            async move { gateway.ask(who).await }
        });
        until("it is under way", async || (origin.count() == 1).then_some(())).await;
        road.turn(Way::Shut);
        gateway.sees(false).await;
        origin.cue();
        let first = first.await.unwrap();
        let is_told = first.header("ratelimit").is_some_and(|field| field.starts_with(r#""all/rate-limit";r=0;"#));
        assert!(first.status == 200 && is_told, "{word}: {first:?}");
        // By its own count, which goes before what the file says of the store.
        assert_eq!(gateway.status(who).await, 429, "{word}");
        road.turn(Way::To(redis.address()));
        gateway.sees(true).await;
        assert_eq!(gateway.status(who).await, 429, "{word}");
        assert_eq!(gateway.told(who).await[0]["used"], 1, "{word}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_passes_uncounted_is_not_charged_and_what_a_node_decides_itself_is() {
    let (redis, origin) = (servers::redis().await, dear().await);
    origin.cue();
    for (word, who, expected) in [("local", "ada", [200, 429, 429]), ("open", "eve", [200, 200, 200])] {
        let road = Road::to(redis.address()).await;
        let url = format!("url: 'redis://{}', timeout: 5s", road.address());
        let gateway = Counting::charging(&origin, &url, "{ rate: 10/h }", &format!("on_store_error: {word}")).await;
        gateway.sees(true).await;
        road.turn(Way::Shut);
        gateway.sees(false).await;
        let meanwhile = [gateway.status(who).await, gateway.status(who).await];
        road.turn(Way::To(redis.address()));
        gateway.sees(true).await;
        assert_eq!([meanwhile[0], meanwhile[1], gateway.status(who).await], expected, "{word}");
    }
}
