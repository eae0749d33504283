//! Limits that are shared through Redis as it is run where it must not stop: under Sentinel, as a cluster, over TLS.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant};

use portreeve_tests::{Authority, Certificates, Counting, redis, until};

/// A gateway that counts in this Redis, and refuses while it is away.
async fn counting(redis: &str, rate: &str) -> Counting {
    Counting::spawn(&format!("{redis}, timeout: 500ms"), rate, "on_store_error: closed").await
}

/// What two gateways let through of one key while the master is lost, or hands over, in the middle of it.
async fn admitted_over_a_failover(allowed: u32, is_killed: bool) -> u32 {
    let mut group = redis::sentinels().await;
    let settings = format!("sentinel: {{ master: limits, urls: {} }}", group.urls());
    let rate = format!("{allowed}/h");
    let gateways = [Arc::new(counting(&settings, &rate).await), Arc::new(counting(&settings, &rate).await)];
    let (admitted, is_over) = (Arc::new(AtomicU32::new(0)), Arc::new(AtomicBool::new(false)));
    let mut clients = Vec::new();
    for gateway in &gateways {
        gateway.sees(true).await;
        for _ in 0..2 {
            let (gateway, admitted, is_over) = (gateway.clone(), admitted.clone(), is_over.clone());
            clients.push(tokio::spawn(async move {
                while !is_over.load(Ordering::Relaxed) {
                    let begun = Instant::now();
                    let status = gateway.status("ada").await;
                    assert!(matches!(status, 200 | 429 | 503), "{status}");
                    admitted.fetch_add(u32::from(status == 200), Ordering::Relaxed);
                    // The deadline is 500 ms; the rest is for a machine that builds meanwhile.
                    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
                    tokio::time::sleep(Duration::from_millis(1)).await;
                }
            }));
        }
    }
    until("a third is used", async || (admitted.load(Ordering::Relaxed) > allowed / 3).then_some(())).await;
    if is_killed {
        group.kill_master();
    } else {
        group.swap().await;
    }
    group.failed_over().await;
    for gateway in &gateways {
        until("the limit is decided again", async || (gateway.status("eve").await == 200).then_some(())).await;
        until("all is used", async || {
            let status = gateway.status("ada").await;
            admitted.fetch_add(u32::from(status == 200), Ordering::Relaxed);
            (status == 429).then_some(())
        })
        .await;
    }
    is_over.store(true, Ordering::Relaxed);
    for client in clients {
        client.await.unwrap();
    }
    admitted.load(Ordering::Relaxed)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_master_that_dies_under_load_costs_at_most_what_its_replica_did_not_have_yet() {
    let allowed = 600;
    let admitted = admitted_over_a_failover(allowed, true).await;
    println!("admitted ÷ allowed, a master killed under load: {:.3}", f64::from(admitted) / f64::from(allowed));
    // Four clients, and a replica that is milliseconds behind.
    assert!(admitted <= allowed + 40, "{admitted}");
    // What the master had counted, and nobody was told.
    assert!(admitted >= allowed - 40, "{admitted}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_master_that_hands_over_is_not_asked_any_more() {
    let allowed = 600;
    let admitted = admitted_over_a_failover(allowed, false).await;
    println!("admitted ÷ allowed, a master that hands over: {:.3}", f64::from(admitted) / f64::from(allowed));
    assert!((allowed - 40..=allowed + 40).contains(&admitted), "{admitted}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn over_a_cluster_every_key_has_exactly_its_limit() {
    let mut cluster = redis::cluster().await;
    let settings = format!("cluster: {}", cluster.urls());
    let (one, two) = (counting(&settings, "4/h").await, counting(&settings, "4/h").await);
    for key in 0..30 {
        let who = format!("consumer-{key}");
        let mut admitted = 0;
        for _ in 0..3 {
            for gateway in [&one, &two] {
                admitted += u32::from(gateway.status(&who).await == 200);
            }
        }
        assert_eq!(admitted, 4, "{who}");
    }
    let keys = cluster.keys().await;
    assert!(keys.iter().all(|count| *count > 0) && keys.iter().sum::<u32>() == 30, "{keys:?}");
    // A node is lost, and its keys with it: they are refused, those of the others stay what they were.
    cluster.kill_one();
    until("somebody is refused for want of a store", async || {
        let mut is_refused = false;
        for key in 0..30 {
            let status = one.status(&format!("consumer-{key}")).await;
            assert!(matches!(status, 429 | 503), "{status}");
            is_refused |= status == 503;
        }
        is_refused.then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn over_tls_both_sides_show_who_they_are() {
    let (ours, others) = (Authority::new("Ours"), Authority::new("Others"));
    let certificates = Certificates::new();
    certificates.write("ca.crt", ours.pem());
    certificates.write("others.crt", others.pem());
    certificates.put("gateway", &ours.certify(&["gateway"]));
    certificates.put("stranger", &others.certify(&["gateway"]));
    let redis = redis::over_tls(&certificates, &ours.certify(&["127.0.0.1"])).await;
    let file = |name: &str| certificates.path(name).display().to_string();
    let settings = |ca: &str, client: &str| {
        let (ca, cert, key) = (file(ca), file(&format!("{client}.crt")), file(&format!("{client}.key")));
        format!("url: 'rediss://{}', ca: '{ca}', cert: '{cert}', key: '{key}'", redis.address())
    };
    let good = settings("ca.crt", "gateway");
    let (one, two) = (counting(&good, "2/h").await, counting(&good, "2/h").await);
    let answers = [one.status("ada").await, two.status("ada").await, one.status("ada").await];
    assert_eq!(answers, [200, 200, 429]);
    let without = format!("url: 'rediss://{}', ca: '{}'", redis.address(), file("ca.crt"));
    for bad in [settings("others.crt", "gateway"), settings("ca.crt", "stranger"), without] {
        let gateway = counting(&bad, "2/h").await;
        assert_eq!(gateway.status("eve").await, 503, "{bad}");
        gateway.sees(false).await;
    }
}
