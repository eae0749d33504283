//! File descriptors that run out: whoever takes them, others are served, and the operator is told what to do.

use std::net::{Ipv4Addr, SocketAddr};

use portreeve_tests::{Beat, Gateway, Origin, Process, Wire, at, until};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};

use crate::wire::frames::{Frames, REFUSED_STREAM, get};

const PROGRAM: &str = env!("CARGO_BIN_EXE_portreeve-under-test");
const HEAD: &str = "version: 1\nadmin: { bind: '127.0.0.1:0' }\naccess_log: { to: off }\n";
const LISTENER: &str = "listeners: [{ name: public, bind: '127.0.0.1:0' }]\n";
const ROUTE: &str = "routes: [{ name: all, match: { path: '/**' }, public: true, upstream: a }]\n";

/// A gateway in a process that may have so many descriptors.
async fn with_few(descriptors: usize, yaml: &str) -> (TempDir, Process, SocketAddr, SocketAddr) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("gateway.yaml");
    std::fs::write(&path, yaml).unwrap();
    let limit = format!("ulimit -n {descriptors}; exec \"$0\" \"$@\"");
    let run = ["run", "--no-watch", "--workers", "2", "-c", path.to_str().unwrap()];
    let process = Process::start("sh", &[&["-c", &limit, PROGRAM], &run[..]].concat());
    let (public, admin) = (process.listener("public").await, process.admin().await);
    (folder, process, public, admin)
}

/// A connection from another address of this machine.
async fn from(client: Ipv4Addr, to: SocketAddr) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(SocketAddr::from((client, 0))).unwrap();
    socket.connect(to).await.unwrap()
}

async fn ask(to: SocketAddr, path: &str) -> (u16, String) {
    let mut wire = Wire::connect(to).await;
    wire.send(format!("GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")).await;
    let answer = wire.answer().await;
    (answer.status, answer.text())
}

async fn metric(admin: SocketAddr, line: &str) -> u64 {
    let text = ask(admin, "/metrics").await.1;
    let line = text.lines().find_map(|known| known.strip_prefix(line)).unwrap_or(" 0");
    line.trim().parse().unwrap()
}

/// Of 256, 128 are kept back and the rest is halved: 64 for clients, 32 for one of them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_holds_all_connections_it_can_leaves_others_served() {
    let a = Origin::start("a").await;
    let yaml = at(
        &[&a],
        &format!(
            "{HEAD}{LISTENER}upstreams: {{ a: {{ targets: ['@a'], health: {{ tcp: true, interval: 1s }} }} }}\n{ROUTE}"
        ),
    );
    let (_folder, process, public, admin) = with_few(256, &yaml).await;
    let mut held = Vec::new();
    for n in 0..1_000 {
        let mut stream = from(Ipv4Addr::new(127, 0, 0, 2), public).await;
        // Some say nothing, some not all of a head, some have asked and ask no more.
        let said = ["", "GET / HTTP/1.1\r\nhost: a\r\nx-a", "GET / HTTP/1.1\r\nhost: a\r\n\r\n"][n % 3];
        stream.write_all(said.as_bytes()).await.ok();
        held.push(stream);
        if n % 50 == 0 {
            assert_eq!(ask(public, "/").await.0, 200, "after {n}");
            assert_eq!(ask(admin, "/livez").await.0, 200, "after {n}");
        }
    }
    let refused = r#"portreeve_connections_refused_total{listener="public",reason="too_many_of_client"}"#;
    until("they are counted", async || (metric(admin, refused).await == 1_000 - 32).then_some(())).await;
    assert_eq!(
        metric(admin, &format!("portreeve_upstream_target_available{{target=\"{}\",upstream=\"a\"}}", a.address()))
            .await,
        1
    );
    // Nothing has run out.
    assert!(!process.events().iter().any(|event| event["level"] == "ERROR"), "{:?}", process.events());
}

/// From everywhere.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn when_clients_hold_all_that_there_is_the_admin_port_and_those_who_are_connected_are_served() {
    let a = Origin::start("a").await;
    let yaml = at(&[&a], &format!("{HEAD}{LISTENER}upstreams: {{ a: {{ targets: ['@a'] }} }}\n{ROUTE}"));
    let (_folder, process, public, admin) = with_few(256, &yaml).await;
    let mut early = Wire::connect(public).await;
    early.send("GET / HTTP/1.1\r\nhost: a\r\n\r\n").await;
    assert_eq!(early.answer().await.status, 200);
    let mut held = Vec::new();
    for n in 0..1_000_u16 {
        let [high, low] = n.to_be_bytes();
        held.push(from(Ipv4Addr::new(127, 1, high, low), public).await);
    }
    // Whoever comes now is closed at once, and not left to wait.
    let mut late = from(Ipv4Addr::new(127, 2, 0, 1), public).await;
    let mut nothing = Vec::new();
    assert!(tokio::time::timeout(crate::wire::PATIENCE, late.read_to_end(&mut nothing)).await.is_ok());
    early.send("GET / HTTP/1.1\r\nhost: a\r\n\r\n").await;
    assert_eq!(early.answer().await.status, 200);
    for page in ["/livez", "/metrics", "/api/v1/status", "/api/v1/upstreams"] {
        assert_eq!(ask(admin, page).await.0, 200, "{page}");
    }
    let refused = r#"portreeve_connections_refused_total{listener="public",reason="no_descriptors"}"#;
    until("they are counted", async || (metric(admin, refused).await == 1_000 - 63 + 1).then_some(())).await;
    // Told once, however often it happened, with what to do.
    let told = |event: &serde_json::Value| event["message"].as_str().is_some_and(|text| text.contains("LimitNOFILE="));
    let errors: Vec<_> = process.events().into_iter().filter(|event| event["level"] == "ERROR").collect();
    assert!(errors.len() == 1 && told(&errors[0]) && errors[0]["limit"] == 256, "{errors:?}");
    // And whoever leaves makes room.
    drop(held);
    until("a new client is served", async || {
        let mut wire = Wire::connect(public).await;
        wire.send("GET / HTTP/1.1\r\nhost: a\r\n\r\n").await;
        (!wire.next().await.is_empty()).then_some(())
    })
    .await;
}

/// What requests hold at targets has its own half: 64. Each of these asks for four things at once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_to_targets_that_no_descriptor_is_left_for_are_503_and_speak_against_no_target() {
    let a = Origin::start("a")
        .await
        .playing(|_| vec![Beat::Await(1), Beat::answer(200, &[("content-type", "application/json")], "{}")]);
    let call = "{ upstream: a, path: / }";
    let yaml = format!(
        "{HEAD}{LISTENER}upstreams: {{ a: {{ targets: ['@a'], retry: {{ attempts: 1 }}, outlier: {{ consecutive_failures: 1 }} }} }}
routes:
  - {{ name: all, match: {{ path: '/**' }}, public: true, upstream: a }}
  - name: four
    match: {{ path: /four }}
    public: true
    plugins: [aggregate: {{ timeout: 20s, calls: {{ a: {call}, b: {call}, c: {call}, d: {call} }}, body: {{ a: '${{calls.a}}' }} }}]\n"
    );
    let (_folder, process, public, admin) = with_few(256, &at(&[&a], &yaml)).await;
    let mut waiting = Vec::new();
    for _ in 0..16 {
        let mut wire = Wire::connect(public).await;
        wire.send("GET /four HTTP/1.1\r\nhost: a\r\n\r\n").await;
        waiting.push(wire);
    }
    until("all are in use", async || (a.count() == 64).then_some(())).await;
    let refused = ask(public, "/").await;
    assert_eq!(refused.0, 503, "{}", refused.1);
    let failures = r#"portreeve_upstream_failures_total{reason="no_descriptors",upstream="a"}"#;
    assert_eq!(metric(admin, failures).await, 1);
    assert_eq!(
        metric(admin, &format!("portreeve_upstream_target_ejected{{target=\"{}\",upstream=\"a\"}}", a.address())).await,
        0
    );
    process.event(|event| event["why"].as_str().is_some_and(|why| why.contains("connections to targets"))).await;
    a.cue();
    for wire in &mut waiting {
        assert_eq!(wire.answer().await.status, 200);
    }
    assert_eq!(ask(public, "/").await.0, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_limit_of_open_files_that_does_not_fit_the_listeners_is_told_with_the_numbers() {
    let saying = "routes: [{ name: all, match: { path: '/**' }, public: true, respond: { status: 200 } }]\n";
    let (_folder, process, ..) = with_few(1_024, &format!("{HEAD}{LISTENER}{saying}")).await;
    let told = process.event(|event| event["level"] == "WARN").await;
    for (number, value) in [
        ("limit", 1_024),
        ("kept_back", 132),
        ("clients", 446),
        ("one_client", 223),
        ("targets", 446),
        ("limits_connections", 50_000),
        ("needed", 131_072),
    ] {
        assert_eq!(told[number], value, "{told}");
    }
    assert!(told["message"].as_str().unwrap().contains("LimitNOFILE="), "{told}");
    let fits = LISTENER.replace("' }", "', limits: { connections: 446 } }");
    let (_folder, process, public, _) = with_few(1_024, &format!("{HEAD}{fits}{saying}")).await;
    assert_eq!(ask(public, "/").await.0, 200);
    assert!(!process.events().iter().any(|event| event["level"] == "WARN"), "{:?}", process.events());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_at_once_over_http2_count_for_their_client_as_connections_do() {
    let a = Origin::start("a").await.playing(|_| vec![Beat::Await(1), Beat::answer(200, &[], "")]);
    let listener = "listeners: [{ name: public, bind: '127.0.0.1:0', limits: { connections_per_client: 8 } }]\n";
    let yaml = at(&[&a], &format!("{listener}upstreams: {{ a: {{ targets: ['@a'] }} }}\n{ROUTE}"));
    let gateway = Gateway::setup().workers(1).spawn(&yaml).await;
    let mut first = Frames::open(gateway.address()).await;
    first.send((0..50).flat_map(|n| get(2 * n + 1)).collect::<Vec<_>>()).await;
    // The connection and seven requests beside the first.
    assert!(first.hear(|told| told.resets.len() == 42).await, "{:?}", first.told);
    assert!(first.told.resets.values().all(|code| *code == REFUSED_STREAM), "{:?}", first.told);
    until("the others are asked", async || (a.count() == 8).then_some(())).await;
    // Another connection of this client finds no room, either.
    let mut second = Frames::open(gateway.address()).await;
    assert!(second.hear(|told| told.closed).await);
    let refused = r#"portreeve_requests_refused_total{listener="public",reason="too_many_of_client"}"#;
    assert_eq!(gateway.admin().count(refused).await, Some(42));
    a.cue();
    assert!(first.hear(|told| told.ended.len() == 8).await, "{:?}", first.told);
    first.send(get(101)).await;
    assert!(first.hear(|told| told.ended.contains(&101)).await, "there is room again: {:?}", first.told);
    assert_eq!(a.connections(), 8);
}
