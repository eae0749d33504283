//! `limits: { connection_rate: … }` of listeners: who makes connections too fast is turned away, in HTTP and in TCP
//! alike, over reloads, and without filling a log.

use std::net::{Ipv4Addr, SocketAddr};

use portreeve_tests::{Gateway, Origin, Process, at, until};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpSocket;

const PROGRAM: &str = env!("CARGO_BIN_EXE_portreeve-under-test");
const ONE: Ipv4Addr = Ipv4Addr::LOCALHOST;
const ANOTHER: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);
const GET: &str = "GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n";

/// Whether a connection from this address is served, after it has said `first`.
async fn is_served_after(client: Ipv4Addr, to: SocketAddr, first: &str) -> bool {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(SocketAddr::from((client, 0))).unwrap();
    let mut stream = socket.connect(to).await.unwrap();
    // Who is turned away may be so before a word.
    stream.write_all(format!("{first}{GET}").as_bytes()).await.ok();
    let mut answer = *b"HTTP/1.1 ???";
    let outcome = tokio::time::timeout(crate::wire::PATIENCE, stream.read_exact(&mut answer)).await.unwrap();
    outcome.is_ok() && answer == *b"HTTP/1.1 200"
}

async fn is_served(client: Ipv4Addr, to: SocketAddr) -> bool {
    is_served_after(client, to, "").await
}

/// How many of so many connections, one after the other, are served.
async fn served(client: Ipv4Addr, to: SocketAddr, of: usize) -> usize {
    let mut count = 0;
    for _ in 0..of {
        count += usize::from(is_served(client, to).await);
    }
    count
}

/// A listener for HTTP and one for TCP, with this limit.
fn both(origin: &Origin, rate: &str, more: &str) -> String {
    let limits = format!("limits: {{ connection_rate: {rate} }}");
    at(
        &[origin],
        &format!(
            "listeners:
- {{ name: public, bind: '127.0.0.1:0', {limits} }}
- {{ name: raw, bind: '127.0.0.1:0', {limits}, tcp: {{ upstream: behind }} }}
upstreams: {{ a: {{ targets: ['@a'] }}, behind: {{ targets: ['@a'] }} }}
routes: [{{ name: all, match: {{ path: '/**' }}, public: true, upstream: a {more} }}]
"
        ),
    )
}

#[tokio::test]
async fn who_connects_too_fast_is_turned_away_and_counted_and_others_are_served() {
    let a = Origin::start("a").await;
    let gateway = Gateway::spawn(&both(&a, "{ rate: 1/h, burst: 3 }", "")).await;
    for name in ["public", "raw"] {
        let to = gateway.listener(name);
        assert_eq!(served(ONE, to, 10).await, 3, "{name}");
        assert_eq!(served(ANOTHER, to, 2).await, 2, "{name}: a client of its own");
        let refused = format!("portreeve_connections_refused_total{{listener=\"{name}\",reason=\"too_fast\"}}");
        until("they are counted", async || (gateway.admin().count(&refused).await == Some(7)).then_some(())).await;
    }
}

#[tokio::test]
async fn a_reload_forgives_nobody_until_it_changes_the_rate() {
    let a = Origin::start("a").await;
    let gateway = Gateway::spawn(&both(&a, "2/h", "")).await;
    let listeners = ["public", "raw"].map(|name| gateway.listener(name));
    for to in listeners {
        assert_eq!(served(ONE, to, 4).await, 2);
    }
    gateway.reload(&both(&a, "2/h", ", timeout: 9s")).await.unwrap();
    for to in listeners {
        assert_eq!((served(ONE, to, 2).await, served(ANOTHER, to, 1).await), (0, 1));
    }
    gateway.reload(&both(&a, "3/h", ", timeout: 9s")).await.unwrap();
    for to in listeners {
        assert_eq!(served(ONE, to, 5).await, 3);
    }
}

#[tokio::test]
async fn behind_a_trusted_proxy_the_clients_are_counted_that_it_names() {
    let a = Origin::start("a").await;
    let yaml = "trusted_proxies: ['127.0.0.0/8']
listeners: [{ name: public, bind: '127.0.0.1:0', proxy_protocol: true, limits: { connection_rate: 2/h } }]
upstreams: { a: { targets: ['@a'] } }
routes: [{ name: all, match: { path: '/**' }, public: true, upstream: a }]
";
    let gateway = Gateway::spawn(&at(&[&a], yaml)).await;
    let named = async |client: &str| {
        is_served_after(ONE, gateway.address(), &format!("PROXY TCP4 {client} 192.0.2.1 8080 80\r\n")).await
    };
    for client in ["203.0.113.7", "203.0.113.8"] {
        assert_eq!([named(client).await, named(client).await, named(client).await], [true, true, false], "{client}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_is_told_once_and_the_access_log_has_only_who_was_served() {
    let a = Origin::start("a").await;
    let folder = tempfile::tempdir().unwrap();
    let (path, log) = (folder.path().join("gateway.yaml"), folder.path().join("access.log"));
    let head = "version: 1\nadmin: { bind: '127.0.0.1:0' }\naccess_log: { to: 'file:access.log' }\n";
    std::fs::write(&path, format!("{head}{}", both(&a, "{ rate: 1/h, burst: 2 }", ""))).unwrap();
    let process = Process::start(PROGRAM, &["run", "--no-watch", "--workers", "2", "-c", path.to_str().unwrap()]);
    let to = process.listener("public").await;
    assert_eq!(served(ONE, to, 40).await, 2);
    let is_told = |event: &serde_json::Value| {
        event["message"].as_str().is_some_and(|text| text.contains("limits.connection_rate"))
    };
    let told = process.event(is_told).await;
    assert_eq!((told["level"].as_str(), told["listener"].as_str()), (Some("WARN"), Some("public")), "{told}");
    assert_eq!(told["client"], "127.0.0.1", "{told}");
    process.signal("TERM").await;
    let exit = process.exit().await;
    assert_eq!(exit.log.matches("limits.connection_rate").count(), 1, "{}", exit.log);
    assert_eq!(std::fs::read_to_string(log).unwrap().lines().count(), 2);
}
