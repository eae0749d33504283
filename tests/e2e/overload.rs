//! Upstreams that are full: who waits, who is refused, who goes first, and that every place comes back.

use std::time::{Duration, Instant};

use portreeve_tests::{Beat, Gateway, Origin, RawOrigin, Wire, at, until};

const ALL: &str = "routes: [{ name: all, match: { path: '/**' }, public: true, upstream: pool }]\n";

/// Before origins that answer only when they are cued.
async fn holding(origins: &[&Origin], settings: &str) -> Gateway {
    for origin in origins {
        origin.play(|_| vec![Beat::Await(1), Beat::answer(200, &[], "served")]);
    }
    let targets = origins.iter().map(|origin| format!("\"{}\"", origin.address())).collect::<Vec<_>>().join(", ");
    Gateway::spawn(&format!("upstreams: {{ pool: {{ targets: [{targets}], {settings} }} }}\n{ALL}")).await
}

async fn ask(gateway: &Gateway, headers: &str) -> Wire {
    let mut wire = gateway.wire().await;
    wire.send(format!("GET / HTTP/1.1\r\nhost: x\r\n{headers}\r\n")).await;
    wire
}

/// Waits until so many are in flight and wait.
async fn crowd(gateway: &Gateway, in_flight: u32, waiting: u32) {
    let admin = gateway.admin();
    let gauge = async |what: &str| {
        admin.metric(&format!("portreeve_upstream_{what}_requests{{upstream=\"pool\"}}")).await.unwrap_or(-1.0)
    };
    until(&format!("{in_flight} in flight and {waiting} waiting"), async || {
        let now = (gauge("in_flight").await, gauge("waiting").await);
        (now == (f64::from(in_flight), f64::from(waiting))).then_some(())
    })
    .await;
}

async fn failures(gateway: &Gateway, reason: &str) -> Option<f64> {
    let metric = format!("portreeve_upstream_failures_total{{reason=\"{reason}\",upstream=\"pool\"}}");
    gateway.admin().metric(&metric).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn over_the_limit_a_request_waits_and_over_the_queue_it_is_refused() {
    let a = Origin::start("a").await;
    let gateway = holding(&[&a], "limits: { requests: 2, queue: 1, queue_timeout: 25s }").await;
    let (mut first, mut second) = (ask(&gateway, "").await, ask(&gateway, "").await);
    crowd(&gateway, 2, 0).await;
    let mut third = ask(&gateway, "").await;
    crowd(&gateway, 2, 1).await;
    let refused = gateway.get("/").await;
    assert_eq!(refused.status, 503);
    assert!(refused.is_problem() && refused.header("retry-after").is_some(), "{refused:?}");
    assert_eq!(failures(&gateway, "queue_full").await, Some(1.0));
    assert_eq!(a.count(), 2);
    a.cue();
    for wire in [&mut first, &mut second, &mut third] {
        assert_eq!(wire.answer().await.text(), "served");
    }
    crowd(&gateway, 0, 0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_whose_turn_does_not_come_in_time_is_503() {
    let a = Origin::start("a").await;
    let gateway = holding(&[&a], "limits: { requests: 1, queue_timeout: 300ms }").await;
    let mut first = ask(&gateway, "").await;
    crowd(&gateway, 1, 0).await;
    let begun = Instant::now();
    assert_eq!(gateway.get("/").await.status, 503);
    assert!(begun.elapsed() >= Duration::from_millis(290), "{:?}", begun.elapsed());
    assert_eq!(failures(&gateway, "queue_timeout").await, Some(1.0));
    a.cue();
    assert_eq!(first.answer().await.status, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn places_come_back_from_clients_that_leave_wherever_they_were() {
    let a = Origin::start("a").await;
    let gateway = holding(&[&a], "limits: { requests: 4, queue: 6, queue_timeout: 25s }").await;
    for round in 0..5 {
        let mut wires = Vec::new();
        for _ in 0..4 {
            wires.push(ask(&gateway, "").await);
        }
        crowd(&gateway, 4, 0).await;
        for _ in 0..6 {
            wires.push(ask(&gateway, "").await);
        }
        crowd(&gateway, 4, 6).await;
        // In another order each round: those in flight, those that wait, and those that get a place meanwhile.
        wires.rotate_left(round * 3 % 10);
        let half = wires.split_off(5);
        for wire in wires {
            if round % 2 == 0 { drop(wire) } else { wire.reset() }
        }
        drop(half);
        crowd(&gateway, 0, 0).await;
    }
    a.cue();
    assert_eq!(gateway.get("/").await.status, 200);
    until("nothing is in flight at the target", async || {
        let target = gateway.admin().target("pool", a.address()).await;
        (target["in_flight"] == 0).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_target_is_passed_over_and_when_all_are_full_requests_wait() {
    let (a, b) = (Origin::start("a").await, Origin::start("b").await);
    let gateway = holding(&[&a, &b], "limits: { requests_per_target: 2, queue_timeout: 25s }").await;
    let mut wires = Vec::new();
    for _ in 0..4 {
        wires.push(ask(&gateway, "").await);
    }
    crowd(&gateway, 4, 0).await;
    until("two at each", async || (a.count() == 2 && b.count() == 2).then_some(())).await;
    wires.push(ask(&gateway, "").await);
    crowd(&gateway, 4, 1).await;
    // Of those that come from now on, `b` has room for one at a time, and `a` for none.
    b.cue();
    b.echo();
    until("the one that waited", async || (b.count() == 3).then_some(())).await;
    for _ in 0..6 {
        assert_eq!(gateway.get("/").await.status, 200);
    }
    assert_eq!(a.count(), 2);
    a.cue();
    for wire in &mut wires {
        assert_eq!(wire.answer().await.status, 200);
    }
    crowd(&gateway, 0, 0).await;
}

const TIERS: &str = r#"
upstreams: { pool: { targets: ["@a"], limits: { requests: 1, queue: 2, queue_timeout: 25s } } }
tiers: { free: { rate: 1000/s }, paid: { rate: 1000/s, priority: 5 } }
consumers:
  - { name: ada, tier: paid, keys: ["file:FOLDER/ada"] }
  - { name: bob, tier: free, keys: ["file:FOLDER/bob"] }
routes:
  - name: all
    match: { path: "/**" }
    plugins: [key-auth: { header: x-api-key }]
    upstream: pool
"#;

const PAID: &str = "x-api-key: key-of-ada-0123456789abcdef\r\n";
const FREE: &str = "x-api-key: key-of-bob-0123456789abcdef\r\n";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn higher_tiers_go_first_and_take_the_places_of_lower_ones() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["ada", "bob"] {
        std::fs::write(folder.path().join(name), format!("key-of-{name}-0123456789abcdef")).unwrap();
    }
    let a = Origin::start("a").await.playing(|_| vec![Beat::Await(1), Beat::answer(200, &[], "served")]);
    let yaml = TIERS.replace("FOLDER", folder.path().to_str().unwrap());
    let gateway = Gateway::spawn(&at(&[&a], &yaml)).await;
    let mut holds = ask(&gateway, FREE).await;
    crowd(&gateway, 1, 0).await;
    let mut early = ask(&gateway, FREE).await;
    crowd(&gateway, 1, 1).await;
    let mut later = ask(&gateway, FREE).await;
    crowd(&gateway, 1, 2).await;
    // The queue is full of free ones: the last of them makes room.
    let mut paid = ask(&gateway, PAID).await;
    assert_eq!(later.answer().await.status, 503);
    assert_eq!(failures(&gateway, "shed").await, Some(1.0));
    let mut another = ask(&gateway, PAID).await;
    assert_eq!(early.answer().await.status, 503);
    // Nobody lower is left, so the next one is refused, as is anybody free.
    for headers in [PAID, FREE] {
        assert_eq!(ask(&gateway, headers).await.answer().await.status, 503);
    }
    assert_eq!(failures(&gateway, "queue_full").await, Some(2.0));
    a.cue();
    for wire in [&mut holds, &mut paid, &mut another] {
        assert_eq!(wire.answer().await.status, 200);
    }
    crowd(&gateway, 0, 0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_in_flight_counts_on_when_a_reload_changes_the_upstream() {
    let a = Origin::start("a").await;
    let gateway = holding(&[&a], "limits: { requests: 1, queue: 0 }").await;
    let mut held = ask(&gateway, "").await;
    crowd(&gateway, 1, 0).await;
    let address = a.address();
    let changed = format!(
        "upstreams: {{ pool: {{ targets: [\"{address}\"], timeouts: {{ connect: 2s }}, limits: {{ requests: 1, queue: 0 }} }} }}\n{ALL}"
    );
    gateway.reload(&changed).await.unwrap();
    assert_eq!(gateway.get("/").await.status, 503);
    a.cue();
    assert_eq!(held.answer().await.status, 200);
    crowd(&gateway, 0, 0).await;
    assert_eq!(gateway.get("/").await.status, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_target_never_has_more_connections_than_the_file_says_whichever_worker_asks() {
    let target = RawOrigin::start().await;
    let limits = "limits: { connections_per_target: 2, queue: 2, queue_timeout: 25s }";
    let yaml = format!("upstreams: {{ pool: {{ targets: [\"{}\"], {limits} }} }}\n{ALL}", target.address());
    let gateway = Gateway::spawn(&yaml).await;
    let answer = "HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\nserved";
    let (mut first, mut second) = (ask(&gateway, "").await, ask(&gateway, "").await);
    let ((mut one, _), (mut two, _)) = (target.request().await, target.request().await);
    // Of both workers, since each has connections of its own.
    let (mut third, mut fourth) = (ask(&gateway, "").await, ask(&gateway, "").await);
    crowd(&gateway, 2, 2).await;
    // Whoever of the two is on which.
    for wire in [&mut one, &mut two] {
        wire.send(answer).await;
    }
    for client in [&mut first, &mut second] {
        assert_eq!(client.answer().await.text(), "served");
    }
    // On the connections there are: a third would never be accepted here. Both come before either is answered: the one
    // that came free last is used first, so after the third's answer the fourth might follow it on the same connection.
    for wire in [&mut one, &mut two] {
        assert!(wire.read_until("\r\n\r\n").await.starts_with("GET / "));
    }
    for wire in [&mut one, &mut two] {
        wire.send(answer).await;
    }
    for client in [&mut third, &mut fourth] {
        assert_eq!(client.answer().await.text(), "served");
    }
    crowd(&gateway, 0, 0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_target_that_has_its_connections_is_passed_over_for_another() {
    let (a, b) = (Origin::start("a").await, Origin::start("b").await);
    let gateway = holding(&[&a, &b], "limits: { connections_per_target: 2, queue: 0 }").await;
    let mut clients = Vec::new();
    for _ in 0..4 {
        clients.push(ask(&gateway, "").await);
    }
    until("each has two", async || ((a.count(), b.count()) == (2, 2)).then_some(())).await;
    assert_eq!(gateway.get("/").await.status, 503);
    a.cue();
    b.cue();
    for client in &mut clients {
        assert_eq!(client.answer().await.text(), "served");
    }
    crowd(&gateway, 0, 0).await;
}
