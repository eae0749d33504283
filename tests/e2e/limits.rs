//! Limits on bodies, and streams that have none.

use std::time::Duration;

use futures::{SinkExt, StreamExt};
use portreeve_tests::{Beat, Gateway, Origin, at, within};
use tokio::net::TcpListener;
use tokio_tungstenite::tungstenite::Message;

const LIMITED: &str = r#"
upstreams: { a: { targets: ["@a"] } }
routes: [{ name: all, match: { path: "/**" }, public: true, upstream: a, limits: { body: 1KiB } }]
"#;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_over_the_limit_is_413_by_its_length_before_a_byte_is_sent() {
    let a = Origin::start("a").await;
    let gateway = Gateway::spawn(&at(&[&a], LIMITED)).await;
    let answer = gateway.raw("POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 1025\r\n\r\n").await;
    assert_eq!(answer.status, 413);
    assert!(answer.is_problem(), "{answer:?}");
    assert_eq!(a.count(), 0);
    assert_eq!(gateway.ask("POST", "/").body("x".repeat(1_024)).await.status, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_over_the_limit_is_413_by_counting_its_chunks() {
    let a = Origin::start("a").await;
    let gateway = Gateway::spawn(&at(&[&a], LIMITED)).await;
    let chunk = format!("200\r\n{}\r\n", "x".repeat(512));
    let head = "POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n";
    let answer = gateway.raw(format!("{head}{chunk}{chunk}0\r\n\r\n")).await;
    assert_eq!(answer.status, 200);
    let answer = gateway.raw(format!("{head}{chunk}{chunk}{chunk}0\r\n\r\n")).await;
    assert_eq!(answer.status, 413);
    assert!(a.seen().iter().all(|received| received.body.len() <= 1_024));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn large_bodies_pass_unchanged_both_ways() {
    let a = Origin::start("a").await;
    let large: Vec<u8> = (0..3_000_000_u32).map(|i| (i % 251) as u8).collect();
    let answered = large.clone();
    a.play(move |_| vec![Beat::answer(200, &[], &answered)]);
    let yaml = LIMITED.replace("1KiB", "4MiB");
    let gateway = Gateway::spawn(&at(&[&a], &yaml)).await;
    let answer = gateway.ask("PUT", "/").body(large.clone()).await;
    assert!(answer.status == 200 && answer.body == large);
    assert!(a.last().body == large);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_arrive_one_by_one_and_outlive_the_routes_timeout() {
    let a = Origin::start("a").await;
    a.play(|_| {
        let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n";
        let late = Beat::Pause(Duration::from_millis(300));
        let events = [Beat::chunk("data: one\n\n"), Beat::Await(1), late, Beat::chunk("data: two\n\n"), Beat::Await(2)];
        [Beat::write(head)].into_iter().chain(events).chain([Beat::write("0\r\n\r\n")]).collect()
    });
    let yaml = r#"
upstreams: { a: { targets: ["@a"], timeouts: { first_byte: 100ms } } }
routes: [{ name: all, match: { path: "/**" }, public: true, upstream: a, timeout: 200ms }]
"#;
    let gateway = Gateway::spawn(&at(&[&a], yaml)).await;
    let mut wire = gateway.wire().await;
    wire.send("GET / HTTP/1.1\r\nhost: x\r\naccept: text/event-stream\r\n\r\n").await;
    // The second event is sent only after the first has been read here.
    wire.read_until("data: one").await;
    a.cue();
    wire.read_until("data: two").await;
    a.cue();
    wire.read_until("0\r\n\r\n").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_web_socket_carries_messages_both_ways() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let echo = tokio::spawn(async move {
        let (connection, _) = listener.accept().await.unwrap();
        let mut socket = tokio_tungstenite::accept_async(connection).await.unwrap();
        while let Some(Ok(message)) = socket.next().await {
            if message.is_close() {
                break;
            }
            socket.send(message).await.unwrap();
        }
    });
    let yaml = format!(
        "upstreams: {{ ws: {{ targets: [\"{address}\"] }} }}
routes: [{{ name: ws, match: {{ path: /ws }}, public: true, upstream: ws, limits: {{ body: 1KiB }} }}]"
    );
    let gateway = Gateway::spawn(&yaml).await;
    let url = format!("ws://{}/ws", gateway.address());
    let (mut socket, answer) = within("the upgrade", tokio_tungstenite::connect_async(url)).await.unwrap();
    assert_eq!(answer.status(), 101);
    for size in [0, 1, 125, 126, 70_000] {
        let message = Message::binary(vec![7; size]);
        socket.send(message.clone()).await.unwrap();
        assert_eq!(within("the echo", socket.next()).await.unwrap().unwrap(), message);
    }
    socket.send(Message::text("bye")).await.unwrap();
    assert_eq!(within("the echo", socket.next()).await.unwrap().unwrap(), Message::text("bye"));
    socket.close(None).await.unwrap();
    within("the end of the echo", echo).await.unwrap();
}
