//! Who is waited for, for how long, and whose fault it is: where both sides of an exchange may speak at once, and either may be slow.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::Response;
use portreeve_tests::{Gateway, Origin, RawOrigin, until, within};
use socket2::SockRef;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::sleep;

use crate::multiplexed::accept;
use crate::rpc::{RpcClient, RpcOrigin, message};

/// More than the system takes of what nobody reads.
const LARGE: usize = 24 << 20;

/// A gateway before one target that a single failure would put out of service.
async fn before(origin: SocketAddr, settings: &str, route: &str) -> Gateway {
    let yaml = format!(
        "listeners: [{{ name: public, bind: '127.0.0.1:0', limits: {{ min_body_rate: 0B }} }}]
upstreams: {{ raw: {{ targets: ['{origin}'], retry: {{ attempts: 1 }}, outlier: {{ consecutive_failures: 1 }}, {settings} }} }}
routes: [{{ name: all, match: {{ path: '/**' }}, public: true, upstream: raw, limits: {{ body: 1GiB }}, {route} }}]"
    );
    Gateway::setup().workers(1).spawn(&yaml).await
}

async fn assert_not_blamed(gateway: &Gateway, origin: SocketAddr) {
    gateway.admin().is_quiet("raw", origin).await;
    let told = gateway.admin().target("raw", origin).await;
    assert_eq!(told["available"], true, "{told}");
}

fn upload() -> String {
    format!("POST / HTTP/1.1\r\nhost: x\r\ncontent-length: {LARGE}\r\n\r\n") + &"x".repeat(LARGE)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_goes_on_though_its_target_reads_no_more_of_the_request() {
    let origin = RawOrigin::start().await;
    let gateway = before(origin.address(), "timeouts: { write: 300ms }", "timeout: 1m").await;
    let target = async {
        let (mut target, _) = origin.request().await;
        target.send("HTTP/1.1 200 OK\r\ncontent-length: 20\r\n\r\n").await;
        // Four times as long as it may take nothing.
        for _ in 0..20 {
            sleep(Duration::from_millis(60)).await;
            target.send("x").await;
        }
        target
    };
    let mut client = gateway.wire().await;
    let (heard, _target) = tokio::join!(client.send_and_hear(upload()), target);
    assert_eq!(heard.unwrap().1.text(), "x".repeat(20));
    assert_not_blamed(&gateway, origin.address()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_goes_on_though_its_target_in_http2_takes_no_more_of_the_request() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let gateway = before(address, "protocol: http2, timeouts: { write: 300ms }", "timeout: 1m").await;
    let target = async {
        // Its window stays shut.
        let (body, mut respond) = accept(&listener).await;
        let mut sending = respond.send_response(Response::new(()), false).unwrap();
        for _ in 0..20 {
            sleep(Duration::from_millis(60)).await;
            sending.send_data(Bytes::from_static(b"x"), false).ok();
        }
        sending.send_data(Bytes::new(), true).ok();
        body
    };
    let mut client = gateway.wire().await;
    let (heard, _target) = tokio::join!(client.send_and_hear(upload()), target);
    assert_eq!(heard.unwrap().1.text(), "x".repeat(20));
    assert_not_blamed(&gateway, address).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_target_is_not_waited_for_while_its_client_takes_nothing() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let gateway = before(address, "timeouts: { write: 2s }", "timeout: 1m").await;
    let (mut answer, mut request) = TcpStream::connect(gateway.address()).await.unwrap().into_split();
    tokio::spawn(async move { request.write_all(upload().as_bytes()).await.ok().map(|()| request) });
    let (mut asked, mut sending) = within("a connection", listener.accept()).await.unwrap().0.into_split();
    asked.readable().await.unwrap();
    let sent = tokio::spawn(async move {
        let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {LARGE}\r\n\r\n");
        sending.write_all(head.as_bytes()).await.unwrap();
        sending.write_all(&vec![b'y'; LARGE]).await.map(|()| sending)
    });
    // Longer than a target may take nothing: it could not say more, and nobody listened. Not much longer: kernels ask ever more
    // rarely whether a window has opened (after 0.2, 0.6, 1.4, 3, 6.2 s), and may have to ask to find out that it has.
    sleep(Duration::from_millis(2_800)).await;
    tokio::spawn(async move {
        let mut sink = tokio::io::sink();
        tokio::io::copy(&mut asked, &mut sink).await
    });
    let mut all = Vec::new();
    let mut piece = vec![0; 65_536];
    while !all.windows(4).any(|window| window == b"\r\n\r\n") {
        let n = within("the head", answer.read(&mut piece)).await.unwrap();
        assert!(n > 0, "closed");
        all.extend_from_slice(&piece[..n]);
    }
    let begins = all.windows(4).position(|window| window == b"\r\n\r\n").unwrap() + 4;
    let mut got = all.len() - begins;
    while got < LARGE {
        let n = within("the answer", answer.read(&mut piece)).await.unwrap();
        assert!(n > 0, "cut after {got}");
        got += n;
    }
    let _sending = sent.await.unwrap().unwrap();
    assert_not_blamed(&gateway, address).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_whose_request_is_still_open_ends_when_both_sides_are_silent() {
    let origin = RawOrigin::start().await;
    let gateway = before(origin.address(), "", "timeouts: { idle: 2s }").await;
    let mut client = gateway.wire().await;
    let head = "POST / HTTP/1.1\r\nhost: x\r\naccept: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n";
    client.send(format!("{head}1\r\nx\r\n")).await;
    let (mut target, _) = origin.request().await;
    target.send("HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n").await;
    client.read_until("\r\n\r\n").await;
    // What either side sends is heard.
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(3) {
        sleep(Duration::from_millis(300)).await;
        client.send("4\r\nsaid\r\n").await;
        target.read_until("said").await;
    }
    let silent = Instant::now();
    assert!(!String::from_utf8_lossy(&client.rest().await).contains("0\r\n\r\n"), "a stream that was cut is not whole");
    target.rest().await;
    let took = silent.elapsed();
    assert!(took >= Duration::from_millis(1_500) && took < Duration::from_secs(10), "{took:?}");
    assert_not_blamed(&gateway, origin.address()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_whose_request_is_still_open_ends_when_both_sides_are_silent() {
    let origin = RpcOrigin::start().await;
    let gateway = before(origin.address(), "protocol: http2", "timeouts: { idle: 1s }").await;
    let mut client = RpcClient::connect(gateway.address()).await;
    let mut call = client.begin("/echo.Echo/Bidi", &[]).await;
    call.sending.send_data(message("one"), false).unwrap();
    let begun = Instant::now();
    let answer = call.finish().await;
    assert_eq!((answer.code(), &answer.body[..]), (Some("4"), &message("one")[..]));
    assert!(begun.elapsed() >= Duration::from_millis(900) && begun.elapsed() < Duration::from_secs(10));
    assert_not_blamed(&gateway, origin.address()).await;
}

/// Longer than a body may trickle before its rate counts, and its connection lives on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_rate_is_asked_of_a_stream() {
    let origin = RpcOrigin::start().await;
    let yaml = format!(
        "upstreams: {{ rpc: {{ targets: ['{}'], protocol: http2 }} }}
routes: [{{ name: rpc, match: {{ path: '/**' }}, public: true, upstream: rpc }}]",
        origin.address()
    );
    let gateway = Gateway::spawn(&yaml).await;
    let mut client = RpcClient::connect(gateway.address()).await;
    let mut call = client.begin("/echo.Echo/Bidi", &[]).await;
    let mut body = within("a head", call.answer).await.unwrap().into_body();
    let silent = tokio::time::timeout(Duration::from_secs(12), body.data()).await;
    assert!(silent.is_err(), "{silent:?}");
    call.sending.send_data(message("still here"), true).unwrap();
    assert_eq!(within("an echo", body.data()).await.unwrap().unwrap(), message("still here"));
}

/// A request whose rest was not waited for any longer says nothing of the next one on its connection.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_that_was_refused_within_its_body_is_forgotten_with_it() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let dead = Origin::dead("dead").await;
    let yaml = format!(
        "upstreams: {{ shut: {{ targets: ['{}'], protocol: http2 }}, dead: {{ targets: ['{}'] }} }}
routes:
  - {{ name: all, match: {{ path: '/**' }}, public: true, upstream: shut, timeout: 500ms }}
  - {{ name: dead, match: {{ path: '/dead' }}, public: true, upstream: dead }}",
        listener.local_addr().unwrap(),
        dead.address()
    );
    let gateway = Gateway::spawn(&yaml).await;
    let mut client = gateway.wire().await;
    client
        .send("POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 8\r\n\r\nhalfrestGET /dead HTTP/1.1\r\nhost: x\r\n\r\n")
        .await;
    let (stream, _) = within("a connection", listener.accept()).await.unwrap();
    // It takes nothing, so the time of the request passes.
    let mut connection = h2::server::Builder::new().initial_window_size(0).handshake::<_, Bytes>(stream).await.unwrap();
    let (_request, mut respond) = within("a request", connection.accept()).await.unwrap().unwrap();
    respond.send_response(Response::new(()), true).unwrap();
    tokio::spawn(async move { while connection.accept().await.is_some() {} });
    assert_eq!(client.answer().await.status, 200);
    assert_eq!(client.answer().await.status, 502);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_resets_its_connection_within_an_upload_that_is_stuck_is_noticed() {
    let origin = RawOrigin::start().await;
    let gateway = before(origin.address(), "timeouts: { write: 5m, first_byte: 5m }", "timeout: 10m").await;
    let mut client = TcpStream::connect(gateway.address()).await.unwrap();
    let upload = upload();
    let mut rest = upload.as_bytes();
    let (_target, _) = {
        client.write_all(rest.split_off(..1_000).unwrap()).await.unwrap();
        origin.request().await
    };
    while let Ok(written) = tokio::time::timeout(Duration::from_millis(500), client.write(rest)).await {
        rest = &rest[written.unwrap()..];
    }
    assert!(!rest.is_empty(), "all was taken");
    SockRef::from(&client).set_linger(Some(Duration::ZERO)).unwrap();
    drop(client);
    until("the target is left", async || {
        let told = gateway.admin().target("raw", origin.address()).await;
        (told["in_flight"] == 0).then_some(())
    })
    .await;
    assert_not_blamed(&gateway, origin.address()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_waits_for_a_body_that_its_client_was_not_asked_for() {
    let origin = RawOrigin::start().await;
    let gateway = before(origin.address(), "", "timeout: 5m").await;
    let mut client = gateway.wire().await;
    client.send("POST / HTTP/1.1\r\nhost: x\r\nexpect: 100-continue\r\ncontent-length: 60000\r\n\r\n").await;
    let (mut target, _) = origin.request().await;
    target.send("HTTP/1.1 401 Unauthorized\r\ncontent-length: 2\r\n\r\nno").await;
    assert_eq!(client.answer().await.status, 401);
    assert_eq!(target.rest().await, b"", "the target is let go");
    assert_not_blamed(&gateway, origin.address()).await;
    assert_eq!(client.rest().await, b"");
}
