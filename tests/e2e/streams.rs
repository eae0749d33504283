//! Upgraded connections and event streams: silence bounds them once they are open, and until then the time that anybody has.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use portreeve_tests::{Gateway, RawOrigin, Wire};

/// Far beyond both timeouts of [`before`], so that a test tells which of them ended it.
const LONG: Duration = Duration::from_millis(900);

/// A gateway whose timeouts are short, with an upstream that a test plays.
async fn before(origin: SocketAddr, idle: &str) -> Gateway {
    let yaml = r#"
upstreams: { raw: { targets: ["@raw"], timeouts: { first_byte: 200ms } } }
routes: [{ name: all, match: { path: "/**" }, public: true, upstream: raw, timeout: 300ms, timeouts: { idle: IDLE } }]
"#;
    Gateway::spawn(&yaml.replace("@raw", &origin.to_string()).replace("IDLE", idle)).await
}

/// Both ends of a WebSocket that has just been opened.
async fn open_socket(gateway: &Gateway, origin: &RawOrigin) -> (Wire, Wire) {
    let mut client = gateway.wire().await;
    client
        .send(
            "GET /ws HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\n\
             sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
        )
        .await;
    let (mut target, head) = origin.request().await;
    assert!(head.to_ascii_lowercase().contains("\r\nupgrade: websocket\r\n"), "{head}");
    target
        .send(
            "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
             sec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n",
        )
        .await;
    let head = client.read_until("\r\n\r\n").await;
    assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
    (client, target)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_silent_web_socket_outlives_first_byte_and_the_routes_timeout() {
    let origin = RawOrigin::start().await;
    let gateway = before(origin.address(), "1h").await;
    let (mut client, mut target) = open_socket(&gateway, &origin).await;
    assert!(client.is_silent_for(LONG).await && target.is_silent_for(Duration::from_millis(1)).await);
    client.send("ping").await;
    assert_eq!(target.read_until("ping").await, "ping");
    target.send("pong").await;
    assert_eq!(client.read_until("pong").await, "pong");
}

/// Whichever side ends it, and however slowly the other takes what came before.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_sent_before_a_web_socket_ended_arrives_whole_on_the_other_side() {
    let origin = RawOrigin::start().await;
    let gateway = before(origin.address(), "1h").await;
    let large = vec![b'x'; 4_000_000];
    for target_ends in [true, false] {
        let (client, target) = open_socket(&gateway, &origin).await;
        let (mut sender, mut receiver) = if target_ends { (target, client) } else { (client, target) };
        let length = (large.len() as u64).to_be_bytes();
        let (masked, key): (u8, &[u8]) = if target_ends { (0, &[]) } else { (0x80, &[0; 4]) };
        let frame = [&[0x82, masked | 127][..], &length, key, &large].concat();
        let all = frame.len();
        let sending = tokio::spawn(async move {
            sender.send(frame).await;
            sender.finish().await;
            sender
        });
        assert_eq!(receiver.rest().await.len(), all, "{target_ends}");
        // Half a WebSocket is none.
        assert_eq!(sending.await.unwrap().rest().await, b"");
    }
}

/// What a tunnel holds while nobody takes it, systems' buffers included, is less.
const MUCH: usize = 24_000_000;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_side_of_a_web_socket_that_takes_nothing_holds_up_nothing_that_it_sends() {
    let origin = RawOrigin::start().await;
    let gateway = before(origin.address(), "1h").await;
    for target_takes in [true, false] {
        let (client, target) = open_socket(&gateway, &origin).await;
        let (mut takes, mut sends) = if target_takes { (target, client) } else { (client, target) };
        // As much as the way there holds, and then no more of it is taken.
        let (frame, key): (u8, &[u8]) = if target_takes { (0, &[]) } else { (0x80, &[0; 4]) };
        let frame = [&[0x82, frame | 127][..], &(MUCH as u64).to_be_bytes(), key, &vec![b'x'; MUCH]].concat();
        let flooded = tokio::time::timeout(Duration::from_millis(500), takes.send(&frame)).await;
        assert!(flooded.is_err(), "{target_takes}: all of it was taken");
        let (masked, key): (u8, &[u8]) = if target_takes { (0x80, &[0; 4]) } else { (0, &[]) };
        let frame = [&[0x82, masked | 0x7e, 0x10, 0][..], key, &vec![b'y'; 0x1000]].concat();
        for _ in 0..64 {
            sends.send(&frame).await;
            let mut came = 0;
            while came < frame.len() {
                came += takes.next().await.len();
            }
            assert_eq!(came, frame.len(), "{target_takes}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_client_sends_before_its_web_socket_is_open_waits_for_the_101() {
    let origin = RawOrigin::start().await;
    let gateway = before(origin.address(), "1h").await;
    let mut client = gateway.wire().await;
    let upgrade = "connection: upgrade\r\nupgrade: websocket\r\n";
    client.send(format!("GET /ws HTTP/1.1\r\nhost: x\r\n{upgrade}\r\nearly")).await;
    let (mut target, head) = origin.request().await;
    assert!(head.ends_with("\r\n\r\n"), "{head}");
    assert!(target.is_silent_for(Duration::from_millis(50)).await);
    target.send(format!("HTTP/1.1 101 Switching Protocols\r\n{upgrade}\r\nfirst")).await;
    assert_eq!(target.read_until("early").await, "early");
    let answer = client.read_until("first").await;
    let (head, rest) = answer.split_once("\r\n\r\n").unwrap();
    assert_eq!(rest, "first");
    let says = |line: &str| head.lines().filter(|said| said.eq_ignore_ascii_case(line)).count();
    assert_eq!((says("connection: upgrade"), says("upgrade: websocket")), (1, 1), "{head}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_web_socket_that_is_silent_for_too_long_is_closed_on_both_sides() {
    let origin = RawOrigin::start().await;
    let gateway = before(origin.address(), "300ms").await;
    let (mut client, mut target) = open_socket(&gateway, &origin).await;
    let begun = Instant::now();
    client.send("ping").await;
    target.read_until("ping").await;
    assert_eq!((client.rest().await, target.rest().await), (vec![], vec![]));
    let took = begun.elapsed();
    assert!(took >= Duration::from_millis(250) && took < Duration::from_secs(5), "{took:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_web_socket_lives_on_as_long_as_either_side_speaks() {
    let origin = RawOrigin::start().await;
    let gateway = before(origin.address(), "600ms").await;
    for client_speaks in [true, false] {
        let (client, target) = open_socket(&gateway, &origin).await;
        let (mut speaker, mut listener) = if client_speaks { (client, target) } else { (target, client) };
        let begun = Instant::now();
        while begun.elapsed() < Duration::from_millis(1_800) {
            speaker.send("tick").await;
            assert_eq!(listener.read_until("tick").await, "tick", "{client_speaks}");
            tokio::time::sleep(Duration::from_millis(150)).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_stream_outlives_the_routes_timeout_in_silence_and_ends_after_too_much_of_it() {
    let origin = RawOrigin::start().await;
    let gateway = before(origin.address(), "1500ms").await;
    let mut client = gateway.wire().await;
    client.send("GET / HTTP/1.1\r\nhost: x\r\naccept: text/event-stream\r\n\r\n").await;
    let (mut target, _) = origin.request().await;
    target.send("HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n").await;
    client.read_until("\r\n\r\n").await;
    assert!(client.is_silent_for(LONG).await);
    target.send("b\r\ndata: one\n\n\r\n").await;
    client.read_until("data: one").await;
    let begun = Instant::now();
    let rest = client.rest().await;
    assert!(!String::from_utf8_lossy(&rest).contains("0\r\n\r\n"), "a stream that was cut must not look whole");
    let took = begun.elapsed();
    assert!(took >= Duration::from_secs(1) && took < Duration::from_secs(10), "{took:?}");
}

/// Requests that ask for a stream, each in its way.
const WISHES: [&str; 3] = [
    "accept: text/event-stream\r\n",
    "connection: upgrade\r\nupgrade: websocket\r\n",
    "connection: upgrade\r\nupgrade: websocket\r\naccept: text/event-stream\r\n",
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_asks_for_a_stream_waits_no_longer_for_a_silent_target_than_anybody_else() {
    for wish in WISHES {
        let origin = RawOrigin::start().await;
        let gateway = before(origin.address(), "1h").await;
        let mut client = gateway.wire().await;
        client.send(format!("GET / HTTP/1.1\r\nhost: x\r\n{wish}\r\n")).await;
        let (_silent, _) = origin.request().await;
        let begun = Instant::now();
        assert_eq!(client.answer().await.status, 504, "{wish}");
        assert!(begun.elapsed() < Duration::from_secs(5), "{wish}");
    }
}
