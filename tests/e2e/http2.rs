//! HTTP/2 clients: interim answers reach them, and the listener's limits hold for them as for others.

use std::time::{Duration, Instant};

use bytes::Bytes;
use h2::client::{Connection, ResponseFuture, SendRequest};
use h2::{RecvStream, SendStream};
use http::{Request, Response};
use portreeve_tests::{Gateway, RawOrigin, Wire, until, within};
use tokio::net::TcpStream;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";

fn yaml(target: std::net::SocketAddr, listener: &str, upstream: &str) -> String {
    format!(
        r#"
listeners: [{{ name: public, bind: "127.0.0.1:0", {listener} }}]
upstreams: {{ raw: {{ targets: ["{target}"], {upstream} }} }}
routes: [{{ name: all, match: {{ path: "/**" }}, public: true, upstream: raw }}]
"#
    )
}

async fn before(origin: &RawOrigin, listener: &str) -> Gateway {
    Gateway::setup().workers(1).spawn(&yaml(origin.address(), listener, "")).await
}

type Driven = tokio::task::JoinHandle<Result<(), h2::Error>>;

async fn connect(gateway: &Gateway) -> (SendRequest<Bytes>, Driven) {
    let stream = TcpStream::connect(gateway.address()).await.unwrap();
    let (sender, connection): (_, Connection<_, Bytes>) =
        within("a handshake", h2::client::handshake(stream)).await.unwrap();
    (sender, tokio::spawn(connection))
}

async fn ask(
    sender: &SendRequest<Bytes>,
    method: &str,
    fields: &[(&str, &str)],
) -> (ResponseFuture, SendStream<Bytes>) {
    let mut request = Request::builder().method(method).uri("http://a.example/");
    for (name, value) in fields {
        request = request.header(*name, *value);
    }
    let mut sender = within("a stream", sender.clone().ready()).await.unwrap();
    sender.send_request(request.body(()).unwrap(), method == "GET").unwrap()
}

async fn interim(answer: &mut ResponseFuture) -> Response<()> {
    let next = within("an interim answer", std::future::poll_fn(|cx| answer.poll_informational(cx))).await;
    next.expect("an interim answer").unwrap()
}

async fn answered(answer: ResponseFuture) -> Response<RecvStream> {
    within("an answer", answer).await.unwrap()
}

async fn text(mut body: RecvStream) -> String {
    let mut all = Vec::new();
    while let Some(piece) = within("a body", body.data()).await {
        all.extend_from_slice(&piece.unwrap());
    }
    String::from_utf8(all).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn early_hints_reach_clients_of_http2() {
    let origin = RawOrigin::start().await;
    let gateway = before(&origin, "").await;
    let (sender, _driven) = connect(&gateway).await;
    let (mut answer, _) = ask(&sender, "GET", &[]).await;
    let (mut target, _) = origin.request().await;
    for n in ["1", "2"] {
        target.send(format!("HTTP/1.1 103 Early Hints\r\nlink: </{n}.css>\r\nconnection: x-hop\r\n\r\n")).await;
        let hints = interim(&mut answer).await;
        assert_eq!(hints.status(), 103);
        assert_eq!(hints.headers()["link"], format!("</{n}.css>"));
        assert!(!hints.headers().contains_key("connection"), "{hints:?}");
    }
    target.send("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nwhole").await;
    let answer = answered(answer).await;
    assert_eq!(answer.status(), 200);
    assert_eq!(text(answer.into_body()).await, "whole");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_of_http2_that_waits_for_100_continue_sends_once_the_target_wants_it() {
    let origin = RawOrigin::start().await;
    let gateway = before(&origin, "").await;
    let (sender, _driven) = connect(&gateway).await;
    let (mut answer, mut body) = ask(&sender, "POST", &[("expect", "100-continue"), ("content-length", "5")]).await;
    let (mut target, head) = origin.request().await;
    assert!(head.to_ascii_lowercase().contains("\r\nexpect: 100-continue\r\n"), "{head}");
    target.send("HTTP/1.1 100 Continue\r\n\r\n").await;
    assert_eq!(interim(&mut answer).await.status(), 100);
    body.send_data(Bytes::from_static(b"hello"), true).unwrap();
    target.read_until("hello").await;
    target.send("HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nread").await;
    assert_eq!(text(answered(answer).await.into_body()).await, "read");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_so_many_requests_a_client_of_http2_is_asked_to_connect_anew_and_loses_none() {
    let origin = RawOrigin::start().await;
    let gateway = before(&origin, "limits: { requests_per_connection: 3 }").await;
    let (sender, driven) = connect(&gateway).await;
    let mut answers = Vec::new();
    let mut targets = Vec::new();
    for _ in 0..3 {
        answers.push(ask(&sender, "GET", &[]).await.0);
        targets.push(origin.request().await.0);
    }
    // The three are in flight while the client is told: none of them is lost by it.
    for target in &mut targets {
        target.send("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await;
    }
    for answer in answers {
        assert_eq!(text(answered(answer).await.into_body()).await, "ok");
    }
    within("the end of the connection", driven).await.unwrap().unwrap();
    assert!(sender.ready().await.is_err());
}

/// As in HTTP/1.1: what is not allowed is to take nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_of_http2_that_takes_a_little_now_and_then_is_served() {
    let origin = RawOrigin::start().await;
    let gateway = before(&origin, "limits: { stall: 500ms }").await;
    let stream = TcpStream::connect(gateway.address()).await.unwrap();
    let mut narrow = h2::client::Builder::new();
    let (sender, connection): (SendRequest<Bytes>, Connection<_, Bytes>) =
        within("a handshake", narrow.initial_window_size(1_024).handshake(stream)).await.unwrap();
    tokio::spawn(connection);
    let (answer, _) = ask(&sender, "GET", &[]).await;
    let (mut target, _) = origin.request().await;
    target.send(format!("HTTP/1.1 200 OK\r\ncontent-length: 15000\r\n\r\n{}", "x".repeat(15_000))).await;
    let (mut body, mut taken) = (answered(answer).await.into_body(), 0);
    while let Some(piece) = within("some of the body", body.data()).await {
        let length = piece.expect("the body goes on").len();
        taken += length;
        // All of it takes far longer than `stall`, no single wait does.
        tokio::time::sleep(Duration::from_millis(100)).await;
        body.flow_control().release_capacity(length).unwrap();
    }
    assert_eq!(taken, 15_000);
    // And whoever takes nothing is let go.
    let (answer, _) = ask(&sender, "GET", &[]).await;
    target.read_until("\r\n\r\n").await;
    target.send(format!("HTTP/1.1 200 OK\r\ncontent-length: 15000\r\n\r\n{}", "x".repeat(15_000))).await;
    let mut body = answered(answer).await.into_body();
    let cut = async { while let Some(Ok(_)) = body.data().await {} };
    within("a reset", cut).await;
}

/// Each wait is shorter than `stall`, all together would hold the answer for half an hour.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_of_http2_that_takes_next_to_nothing_is_let_go() {
    let origin = RawOrigin::start().await;
    let gateway = before(&origin, "limits: { stall: 500ms, min_body_rate: 1KiB }").await;
    let stream = TcpStream::connect(gateway.address()).await.unwrap();
    let mut narrow = h2::client::Builder::new();
    let (sender, connection): (SendRequest<Bytes>, Connection<_, Bytes>) =
        within("a handshake", narrow.initial_window_size(8).handshake(stream)).await.unwrap();
    tokio::spawn(connection);
    let (answer, _) = ask(&sender, "GET", &[]).await;
    let (mut target, _) = origin.request().await;
    target.send(format!("HTTP/1.1 200 OK\r\ncontent-length: 150000\r\n\r\n{}", "x".repeat(150_000))).await;
    let (mut body, begun) = (answered(answer).await.into_body(), Instant::now());
    let taking = async {
        while let Some(Ok(piece)) = body.data().await {
            tokio::time::sleep(Duration::from_millis(100)).await;
            body.flow_control().release_capacity(piece.len()).unwrap();
        }
    };
    within("a reset", taking).await;
    let took = begun.elapsed();
    assert!(took >= Duration::from_millis(400) && took < Duration::from_secs(10), "{took:?}");
}

/// Until the connection ends: how long it took.
async fn until_ended(wire: &mut Wire) -> Duration {
    let begun = Instant::now();
    wire.rest().await;
    begun.elapsed()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_head_of_http2_that_does_not_come_to_an_end_ends_its_connection_in_time() {
    let origin = RawOrigin::start().await;
    let gateway = before(&origin, "limits: { head: 500ms, idle: 1m }").await;
    let open_head = b"\0\0\x02\x01\x00\0\0\0\x01\x82\x86";
    let part_of_a_frame = b"\0\0\x20\x01\x05\0\0\0\x01\x82";
    for held in [&PREFACE[..20], &[PREFACE, open_head].concat(), &[PREFACE, part_of_a_frame].concat()] {
        let mut wire = gateway.wire().await;
        wire.send(held).await;
        let took = until_ended(&mut wire).await;
        assert!(took > Duration::from_millis(400) && took < Duration::from_secs(5), "{held:?}: {took:?}");
    }
    let refused = r#"portreeve_requests_refused_total{listener="public",reason="slow_head"}"#;
    until("all are counted", async || gateway.admin().count(refused).await.filter(|count| *count == 3)).await;
    // Whoever has sent whole heads, and is silent, has `idle`.
    let mut idle = gateway.wire().await;
    idle.send(PREFACE).await;
    while !idle.is_silent_for(Duration::from_secs(1)).await {
        assert!(!idle.next().await.is_empty(), "closed");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_that_trickles_over_http2_is_408_and_leaves_the_other_streams_alone() {
    let origin = RawOrigin::start().await;
    let gateway = before(&origin, "limits: { min_body_rate: 1MiB }").await;
    let (sender, _driven) = connect(&gateway).await;
    let (slow, mut body) = ask(&sender, "POST", &[]).await;
    let begun = Instant::now();
    let trickle = tokio::spawn(async move {
        while body.send_data(Bytes::from_static(b"x"), false).is_ok() {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    });
    let _held = origin.request().await;
    let (other, _) = ask(&sender, "GET", &[]).await;
    let (mut target, _) = origin.request().await;
    let answer = tokio::time::timeout(Duration::from_secs(20), slow).await.expect("an answer").unwrap();
    assert!(begun.elapsed() >= Duration::from_secs(9), "{:?}", begun.elapsed());
    assert_eq!(answer.status(), 408);
    within("a reset", trickle).await.unwrap();
    target.send("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await;
    assert_eq!(text(answered(other).await.into_body()).await, "ok");
    let refused = r#"portreeve_requests_refused_total{listener="public",reason="slow_body"}"#;
    until("it is counted", async || gateway.admin().count(refused).await.filter(|count| *count == 1)).await;
}
