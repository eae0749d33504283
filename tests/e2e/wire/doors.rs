//! Who gets a connection, for how long, and as whom.

use std::time::{Duration, Instant};

use portreeve_tests::{Gateway, Wire, until};
use tokio::task::JoinSet;

use super::{Recorder, statuses, to_the_end};

const GET: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";

async fn gateway(origin: &Recorder, listener: &str, more: &str) -> Gateway {
    let yaml = format!(
        r#"
listeners: [{{ name: public, bind: "127.0.0.1:0", {listener} }}]
upstreams: {{ origin: {{ targets: ["{}"] }} }}
routes: [{{ name: all, match: {{ path: "/**" }}, public: true, upstream: origin }}]
{more}
"#,
        origin.address()
    );
    Gateway::setup().workers(1).spawn(&yaml).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_listener_has_so_many_connections_in_all_and_of_one_client() {
    let origin = Recorder::start().await;
    for limit in ["connections: 3", "connections_per_client: 3"] {
        let gateway = gateway(&origin, &format!("limits: {{ {limit} }}"), "").await;
        let mut kept = Vec::new();
        for _ in 0..3 {
            let mut wire = gateway.wire().await;
            wire.send(GET).await;
            assert_eq!(wire.answer().await.status, 200, "{limit}");
            kept.push(wire);
        }
        let mut beyond = gateway.wire().await;
        beyond.send(GET).await;
        assert_eq!(to_the_end(&mut beyond).await.as_deref(), Some(""), "{limit}");
        for wire in &mut kept {
            wire.send(GET).await;
            assert_eq!(wire.answer().await.status, 200, "{limit}");
        }
        kept.pop();
        until("a free place", async || {
            let mut wire = gateway.wire().await;
            wire.send(GET).await;
            wire.try_answer("GET").await.ok()
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_that_trickle_are_all_ended_in_time_while_others_are_served() {
    let origin = Recorder::start().await;
    let gateway = gateway(&origin, "limits: { head: 2s, idle: 2s }", "").await;
    let begun = Instant::now();
    let mut slow = JoinSet::new();
    for n in 0..1_000 {
        let mut wire = gateway.wire().await;
        slow.spawn(async move {
            // Half of them have begun a head, half of them nothing.
            wire.send(if n % 2 == 0 { "GET / HTTP/1.1\r\nHost: a\r\nX-A: " } else { "" }).await;
            while wire.is_silent_for(Duration::from_millis(200)).await {
                wire.send(if n % 2 == 0 { "b" } else { "" }).await;
            }
            (n, to_the_end(&mut wire).await)
        });
    }
    let mut served = 0;
    while !slow.is_empty() {
        assert_eq!(gateway.raw(GET).await.status, 200);
        served += 1;
        while let Some(ended) = slow.try_join_next() {
            let (n, answer) = ended.unwrap();
            let answer = answer.expect("the end of the connection");
            assert_eq!(statuses(&answer), if n % 2 == 0 { vec![408] } else { vec![] }, "{answer}");
        }
        tokio::task::yield_now().await;
    }
    assert!(begun.elapsed() < Duration::from_secs(25), "{:?}", begun.elapsed());
    assert!(served > 20, "only {served} others were served meanwhile");
    assert!(origin.take().broken.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_address_in_a_proxy_header_is_believed_from_trusted_peers_alone() {
    let origin = Recorder::start().await;
    let mut v2 = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c".to_vec();
    v2.extend([203, 0, 113, 7, 192, 0, 2, 1, 0x1f, 0x90, 0, 80]);
    let v1 = b"PROXY TCP4 203.0.113.7 192.0.2.1 8080 80\r\n".to_vec();
    let request = b"GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 10.0.0.1\r\n\r\n";
    let behind = gateway(&origin, "proxy_protocol: true", "trusted_proxies: [\"127.0.0.0/8\"]").await;
    for header in [&v1, &v2] {
        let mut wire = behind.wire().await;
        wire.send([header, &request[..]].concat()).await;
        assert_eq!(wire.answer().await.status, 200);
        let [message] = &origin.take().whole[..] else { panic!("not one request") };
        let message = String::from_utf8_lossy(message).to_lowercase();
        assert!(message.contains("\r\nx-forwarded-for: 203.0.113.7\r\n"), "{message}");
    }
    // No header, a bad one, one too many: no answer at all.
    for bytes in [&request[..], b"PROXY TCP4 x y 1 2\r\n\r\n", b"PROXY TCP4 1.2.3.4 5.6.7.8 1 99999\r\n"] {
        let mut wire = behind.wire().await;
        wire.send(bytes).await;
        assert_eq!(to_the_end(&mut wire).await.as_deref(), Some(""));
    }
    let mut twice = behind.wire().await;
    twice.send([&v1, &v1, &request[..]].concat()).await;
    assert_eq!(statuses(&to_the_end(&mut twice).await.expect("the end")), [400]);
    let strangers = gateway(&origin, "proxy_protocol: true", "trusted_proxies: [\"192.0.2.0/24\"]").await;
    let mut wire = Wire::connect(strangers.address()).await;
    wire.send([&v1, &request[..]].concat()).await;
    assert_eq!(to_the_end(&mut wire).await.as_deref(), Some(""));
    assert!(origin.take().whole.is_empty());
}

/// What a client is told of an error names no target, no version and no cause.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_error_names_nothing() {
    let dead = portreeve_tests::Origin::dead("dead").await;
    let yaml = "upstreams: { secret-pool: { targets: [\"@dead\"] } }\nroutes: [{ name: secret-route, match: { path: /x }, public: true, upstream: secret-pool }]\n";
    let gateway = Gateway::spawn(&portreeve_tests::at(&[&dead], yaml)).await;
    let port = dead.address().port().to_string();
    for (request, status) in [
        ("GET /x HTTP/1.1\r\nHost: a\r\n\r\n", 502),
        ("GET /y HTTP/1.1\r\nHost: a\r\n\r\n", 404),
        ("GET /x HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400),
        ("CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n\r\n", 405),
    ] {
        let answer = gateway.raw(request).await;
        assert_eq!(answer.status, status);
        assert!(answer.is_problem(), "{answer:?}");
        let all = format!("{:?} {}", answer.head, answer.text()).to_lowercase();
        for word in [port.as_str(), "127.0.0.1", "secret", "pingora", "rust", "server\"", "connect refused", "upstream"]
        {
            assert!(!all.contains(word), "{word} in {all}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_comes_before_http_comes_in_time_or_not_at_all() {
    let origin = Recorder::start().await;
    let listener = "proxy_protocol: true, limits: { handshake: 300ms }";
    let gateway = gateway(&origin, listener, "trusted_proxies: [\"127.0.0.0/8\"]").await;
    for part in ["", "PROXY TCP4 "] {
        let mut wire = gateway.wire().await;
        wire.send(part).await;
        assert_eq!(to_the_end(&mut wire).await.as_deref(), Some(""), "{part:?}");
    }
}
