//! Limits that several gateways share through a real Redis: the bound over all of them, and what is promised while Redis is
//! away, slow, or has forgotten everything.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use portreeve_tests::{Gateway, Process, servers, until};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// What a way to Redis does with bytes.
#[derive(Debug, Clone, Copy)]
enum Way {
    To(SocketAddr),
    Slow(SocketAddr),
    Shut,
}

/// A way to Redis that a test can shut, slow down, and turn to another server.
struct Road {
    address: SocketAddr,
    way: watch::Sender<Way>,
}

impl Road {
    async fn to(redis: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (way, ways) = watch::channel(Way::To(redis));
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let way = *ways.borrow();
                if let Way::To(redis) | Way::Slow(redis) = way
                    && let Ok(server) = TcpStream::connect(redis).await
                {
                    let ((from, to), (back, forth)) = (client.into_split(), server.into_split());
                    tokio::spawn(carry(from, forth, ways.clone()));
                    tokio::spawn(carry(back, to, ways.clone()));
                }
            }
        });
        Self { address, way }
    }

    fn turn(&self, way: Way) {
        self.way.send_replace(way);
    }
}

/// Carries bytes until the way leads elsewhere; holds them back while it is slow.
async fn carry(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, mut ways: watch::Receiver<Way>) {
    let mut bytes = vec![0; 64 * 1024];
    let (Way::To(home) | Way::Slow(home)) = *ways.borrow_and_update() else { return };
    loop {
        let read = tokio::select! {
            read = from.read(&mut bytes) => read,
            changed = ways.changed() => match (changed, *ways.borrow()) {
                (Ok(()), Way::To(server) | Way::Slow(server)) if server == home => continue,
                _ => return,
            },
        };
        let Ok(read @ 1..) = read else { return };
        let open = ways.wait_for(|way| !matches!(way, Way::Slow(server) if *server == home)).await.map(|way| *way);
        match open {
            Ok(Way::To(server)) if server == home => {}
            _ => return,
        }
        if to.write_all(&bytes[..read]).await.is_err() {
            return;
        }
    }
}

fn limited(redis: SocketAddr, rate: &str, more: &str) -> String {
    format!(
        "routes:
  - name: all
    match: {{ path: '/**' }}
    public: true
    plugins:
      - rate-limit:
          by: '${{request.headers.x-who}}'
          limit: {{ rate: {rate} }}
          store: {{ redis: {{ url: 'redis://{redis}', timeout: 250ms }} }}
          {more}
    respond: {{ status: 200 }}
"
    )
}

async fn status(gateway: &Gateway, who: &str) -> u16 {
    gateway.get("/").header("x-who", who).await.status
}

async fn metric(gateway: &Gateway, name: &str) -> Option<u64> {
    let name = format!("portreeve_plugin_rate_limit_{name}{{step=\"all/rate-limit\"}}");
    format!("{:.0}", gateway.admin().metric(&name).await?).parse().ok()
}

async fn is_up(gateway: &Gateway, up: bool) {
    let wanted = Some(u64::from(up));
    until("the store is seen as it is", async || (metric(gateway, "store_up").await == wanted).then_some(())).await;
}

/// Three gateways as three processes that share one tier; how many of `requests` in all were let through.
async fn three_processes(more: &str, requests: u32) -> u32 {
    let redis = servers::redis().await;
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
          store: {{ redis: {{ url: 'redis://{}', timeout: 5s }} }}
          on_store_error: closed
          {more}
    respond: {{ status: 200 }}
",
        redis.address()
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
    let admitted = three_processes("", 720).await;
    println!("admitted ÷ allowed: {:.3}", f64::from(admitted) / 200.0);
    assert_eq!(admitted, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_processes_with_leases_stay_within_a_slice_each() {
    for (share, slice) in [(1, 2), (5, 10), (25, 50), (50, 100)] {
        let admitted = three_processes(&format!("lease: {share}%"), 720).await;
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
    let yaml = limited(road.address, "5/h", "on_store_error: local");
    let (one, two) = (Gateway::spawn(&yaml).await, Gateway::spawn(&yaml).await);
    assert_eq!((status(&one, "ada").await, status(&two, "ada").await), (200, 200));
    assert_eq!(metric(&one, "store_fallbacks_total").await, Some(0));
    road.turn(Way::Shut);
    let mut admitted = [1, 1];
    for (gateway, admitted) in [&one, &two].into_iter().zip(&mut admitted) {
        is_up(gateway, false).await;
        for _ in 0..10 {
            *admitted += u32::from(status(gateway, "ada").await == 200);
        }
        assert!(metric(gateway, "store_fallbacks_total").await >= Some(4));
    }
    // Each by itself: the whole limit, and not once more.
    assert_eq!(admitted, [5, 5]);
    road.turn(Way::To(redis.address()));
    is_up(&one, true).await;
    is_up(&two, true).await;
    // Now together again.
    let before = metric(&one, "store_fallbacks_total").await;
    let together: Vec<u16> = [status(&one, "eve").await, status(&two, "eve").await].into();
    assert_eq!(together, [200, 200]);
    for _ in 0..3 {
        assert_eq!(status(&one, "eve").await, 200);
    }
    assert_eq!((status(&two, "eve").await, status(&one, "eve").await), (429, 429));
    assert_eq!(metric(&one, "store_fallbacks_total").await, before);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn closed_refuses_and_open_passes_while_the_store_is_away() {
    let redis = servers::redis().await;
    for (word, expected) in [("closed", 503), ("open", 200)] {
        let road = Road::to(redis.address()).await;
        let gateway = Gateway::spawn(&limited(road.address, "2/h", &format!("on_store_error: {word}"))).await;
        let who = format!("{word}-ada");
        assert_eq!(status(&gateway, &who).await, 200);
        road.turn(Way::Shut);
        is_up(&gateway, false).await;
        for _ in 0..5 {
            assert_eq!(status(&gateway, &who).await, expected);
        }
        assert!(metric(&gateway, "store_fallbacks_total").await >= Some(5));
        road.turn(Way::To(redis.address()));
        is_up(&gateway, true).await;
        assert_eq!((status(&gateway, &who).await, status(&gateway, &who).await), (200, 429));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_is_slow_holds_nobody_up_beyond_the_deadline_and_is_counted() {
    let redis = servers::redis().await;
    let road = Road::to(redis.address()).await;
    let gateway = Gateway::spawn(&limited(road.address, "100/h", "on_store_error: closed")).await;
    assert_eq!(status(&gateway, "ada").await, 200);
    road.turn(Way::Slow(redis.address()));
    let begun = Instant::now();
    assert_eq!(status(&gateway, "ada").await, 503);
    // The deadline is 250 ms; the rest is for a machine that builds meanwhile.
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    assert!(metric(&gateway, "store_failures_total").await >= Some(1));
    road.turn(Way::To(redis.address()));
    until("the store decides again", async || (status(&gateway, "ada").await == 200).then_some(())).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_comes_back_empty_gives_no_gateway_its_limit_again() {
    let (redis, empty) = (servers::redis().await, servers::redis().await);
    let road = Road::to(redis.address()).await;
    let gateway = Gateway::spawn(&limited(road.address, "5/h", "")).await;
    for _ in 0..5 {
        assert_eq!(status(&gateway, "ada").await, 200);
    }
    road.turn(Way::To(empty.address()));
    until("the other server knows the gateway", async || {
        (status(&gateway, "eve").await == 429 && metric(&gateway, "store_up").await == Some(1)).then_some(())
    })
    .await;
    assert_eq!(status(&gateway, "ada").await, 429);
}
