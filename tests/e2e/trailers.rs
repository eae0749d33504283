//! Trailers, between every two sides that can carry them.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::net::SocketAddr;

use bytes::Bytes;
use h2::client::SendRequest;
use http::{HeaderMap, Request, Response};
use portreeve_tests::{Gateway, RawOrigin, Wire, within};
use tokio::net::{TcpListener, TcpStream};

use crate::rpc::{RpcOrigin, message};

async fn before(targets: &[SocketAddr], upstream: &str) -> Gateway {
    let targets = targets.iter().map(|target| format!("\"{target}\"")).collect::<Vec<_>>().join(", ");
    let yaml = format!(
        "upstreams: {{ raw: {{ targets: [{targets}], {upstream} }} }}
routes: [{{ name: all, match: {{ path: '/**' }}, public: true, upstream: raw }}]"
    );
    Gateway::setup().workers(1).spawn(&yaml).await
}

pub(crate) async fn http2(gateway: &Gateway) -> SendRequest<Bytes> {
    let stream = TcpStream::connect(gateway.address()).await.unwrap();
    let (sender, connection) = within("a handshake", h2::client::handshake(stream)).await.unwrap();
    tokio::spawn(async move { connection.await.ok() });
    sender
}

fn fields(pairs: &[(&str, &str)]) -> HeaderMap {
    pairs.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect()
}

/// The head of an upload in chunks.
fn upload(more: &str) -> String {
    format!("POST /up HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n{more}\r\n")
}

const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

/// What a target was sent after the head.
async fn body(target: &mut Wire, head: &str) -> String {
    let (_, begun) = head.split_once("\r\n\r\n").unwrap();
    if begun.ends_with("\r\n\r\n") {
        return begun.to_owned();
    }
    begun.to_owned() + &target.read_until("\r\n\r\n").await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn trailers_of_a_request_reach_its_target_and_no_other_request() {
    let origin = RawOrigin::start().await;
    let gateway = before(&[origin.address()], "").await;
    let mut client = gateway.wire().await;
    // A body that looks like its own end; and the trailers come after a while.
    client.send(upload("trailer: x-sum\r\n") + "5\r\n0\r\n\r\n\r\n").await;
    let (mut target, head) = origin.request().await;
    let mut sent = head.split_once("\r\n\r\n").unwrap().1.to_owned();
    while !sent.ends_with("0\r\n\r\n\r\n") {
        sent.push_str(&String::from_utf8(target.next().await).unwrap());
    }
    client.send("0\r\nX-Sum: 6\r\nX-Odd:   \u{e4} b\t\r\n\r\n").await;
    sent.push_str(&target.read_until("b\r\n\r\n").await);
    assert_eq!(sent, "5\r\n0\r\n\r\n\r\n0\r\nx-sum: 6\r\nx-odd: \u{e4} b\r\n\r\n");
    target.send(OK).await;
    assert_eq!(client.answer().await.text(), "ok");
    // The next one on both connections has none.
    client.send(upload("") + "0\r\n\r\n").await;
    let head = target.read_until("\r\n\r\n").await;
    assert_eq!(body(&mut target, &head).await, "0\r\n\r\n");
    target.send(OK).await;
    assert_eq!(client.answer().await.text(), "ok");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn trailers_cannot_say_what_a_head_may_not_or_has_said() {
    let origin = RawOrigin::start().await;
    let yaml = format!(
        "upstreams: {{ raw: {{ targets: [\"{}\"] }} }}
routes:
  - {{ name: all, match: {{ path: '/**' }}, public: true, upstream: raw }}
  - name: other
    match: {{ path: /other }}
    public: true
    plugins:
      - headers: {{ request: {{ set: {{ x-tenant: ours }}, remove: [x-secret] }} }}
      - rate-limit: {{ by: '${{request.headers.x-plan:-none}}', limit: {{ rate: 9/s }} }}
    upstream: raw",
        origin.address()
    );
    let gateway = Gateway::setup().workers(1).spawn(&yaml).await;
    let mut client = gateway.wire().await;
    let forged = "x-user-id: root\r\nX_User_Id: root\r\nx-consumer-tier: gold\r\nx-real_ip: ::1\r\nremote.user: root\r\n\
                  x-auth-request-email: root\r\nx-tenant: root\r\nx.tenant: root\r\nx-secret: 1\r\nx-plan: gold\r\n";
    let said = "x-tier: gold\r\nX_Tier: gold\r\nx.tier: gold\r\nuser-agent: b\r\n";
    let hop = "x-hop: 1\r\n";
    client.send(upload("x-tier: free\r\nuser-agent: a\r\nconnection: x-hop\r\n")).await;
    client.send(format!("3\r\nabc\r\n0\r\n{forged}{said}{hop}x-good: 1\r\n\r\n")).await;
    let (mut target, head) = origin.request().await;
    assert_eq!(body(&mut target, &head).await, "3\r\nabc\r\n0\r\nx-good: 1\r\n\r\n");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn trailers_of_a_request_are_sent_again_in_another_attempt() {
    let origins = [RawOrigin::start().await, RawOrigin::start().await];
    let gateway = before(&[origins[0].address(), origins[1].address()], "retry: { attempts: 2, on: [503] }").await;
    let mut client = gateway.wire().await;
    client.send(upload("").replace("POST", "PUT") + "3\r\nabc\r\n0\r\nx-sum: 6\r\n\r\n").await;
    for status in [503, 200] {
        let (mut target, head) = tokio::select! {
            asked = origins[0].request() => asked,
            asked = origins[1].request() => asked,
        };
        assert_eq!(body(&mut target, &head).await, "3\r\nabc\r\n0\r\nx-sum: 6\r\n\r\n", "{status}");
        target.send(format!("HTTP/1.1 {status} X\r\ncontent-length: 2\r\n\r\nok")).await;
        drop(target);
    }
    assert_eq!(client.answer().await.status, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn trailers_of_an_answer_reach_a_client_of_http1_that_takes_them_and_no_other() {
    let origin = RawOrigin::start().await;
    let gateway = before(&[origin.address()], "").await;
    let mut client = gateway.wire().await;
    let chunked = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\nconnection: x-hop\r\n\r\n";
    let mut target = None::<Wire>;
    for (version, te, takes) in [
        ("1.1", "connection: te\r\nte: trailers\r\n", true),
        ("1.1", "", false),
        ("1.1", "te: gzip, trailers\r\n", true),
        ("1.0", "te: trailers\r\n", false),
    ] {
        client.send(format!("GET / HTTP/{version}\r\nhost: x\r\n{te}\r\n")).await;
        let (wire, asked) = match &mut target {
            Some(wire) => {
                let head = wire.read_until("\r\n\r\n").await;
                (wire, head)
            }
            empty => {
                let (wire, head) = origin.request().await;
                (empty.insert(wire), head)
            }
        };
        let asked = asked.to_ascii_lowercase();
        assert_eq!(
            asked.contains("\r\nte: trailers\r\n") && asked.contains("\r\nconnection: te\r\n"),
            takes,
            "{asked}"
        );
        // What has come goes on at once, whatever is still to follow it.
        wire.send(format!("{chunked}5\r\n0\r\n\r\n\r\n")).await;
        let first = client.read_until("0\r\n\r\n").await;
        wire.send("3\r\nabc\r\n").await;
        let more = client.read_until("abc").await;
        wire.send("0\r\nX-Sum: 6\r\nx-hop: 1\r\nServer-Timing: a\r\n\r\n").await;
        let head = first.split_once("\r\n\r\n").unwrap().0.to_ascii_lowercase();
        assert!(!head.contains("\r\nx-sum") && !head.contains("\r\ntrailer"), "{head}");
        let body = first.split_once("\r\n\r\n").unwrap().1.to_owned() + &more;
        if version == "1.0" {
            let body = body + &String::from_utf8(client.rest().await).unwrap();
            assert_eq!(body, "0\r\n\r\nabc");
            break;
        }
        let end = if takes { "x-sum: 6\r\nserver-timing: a\r\n\r\n" } else { "0\r\n\r\n" };
        let body = body + &client.read_until(end).await;
        let last = if takes { format!("0\r\n{end}") } else { end.to_owned() };
        assert_eq!(body, format!("5\r\n0\r\n\r\n\r\n3\r\nabc\r\n{last}"), "{te}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn trailers_pass_between_a_client_of_http2_and_a_target_of_http1() {
    let origin = RawOrigin::start().await;
    let gateway = before(&[origin.address()], "").await;
    let sender = http2(&gateway).await;
    for _ in 0..2 {
        let request = Request::post("http://a.example/").body(()).unwrap();
        let (answer, mut sending) =
            within("a stream", sender.clone().ready()).await.unwrap().send_request(request, false).unwrap();
        sending.send_data(Bytes::from_static(b"abc"), false).unwrap();
        sending.send_trailers(fields(&[("x-sum", "6"), ("x-user-id", "root")])).unwrap();
        let (mut target, head) = origin.request().await;
        assert_eq!(body(&mut target, &head).await, "3\r\nabc\r\n0\r\nx-sum: 6\r\n\r\n");
        let chunked =
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nGrpc-Status: 0\r\nx-a: b\r\n\r\n";
        target.send(chunked).await;
        let mut answer = within("an answer", answer).await.unwrap().into_body();
        assert_eq!(within("the body", answer.data()).await.unwrap().unwrap(), "ok");
        assert!(within("the end of the body", answer.data()).await.is_none());
        let trailers = within("trailers", answer.trailers()).await.unwrap();
        assert_eq!(trailers, Some(fields(&[("grpc-status", "0"), ("x-a", "b")])));
        // Another connection for the next.
        drop(target);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn trailers_of_http2_that_frame_or_authenticate_are_refused_as_those_of_http1() {
    let origin = RawOrigin::start().await;
    let gateway = before(&[origin.address()], "").await;
    let sender = http2(&gateway).await;
    let large = "a".repeat(9_000);
    for (name, value, status) in [("authorization", "Basic YTpi", 400), ("host", "b", 400), ("x-large", &*large, 431)] {
        let request = Request::post("http://a.example/").body(()).unwrap();
        let (answer, mut sending) =
            within("a stream", sender.clone().ready()).await.unwrap().send_request(request, false).unwrap();
        sending.send_data(Bytes::from_static(b"abc"), false).unwrap();
        let (mut target, _) = origin.request().await;
        sending.send_trailers(fields(&[(name, value)])).unwrap();
        assert_eq!(within("an answer", answer).await.unwrap().status(), status, "{name}");
        let rest = String::from_utf8(target.rest().await).unwrap();
        assert!(!rest.contains("0\r\n"), "a whole request: {rest:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn trailers_of_a_target_of_http2_reach_a_client_of_http1_that_takes_them() {
    let origin = RpcOrigin::start().await;
    let gateway = before(&[origin.address()], "protocol: http2").await;
    let mut client = gateway.wire().await;
    let sent = message("hello");
    for takes in [true, false, true] {
        let te = if takes { "te: trailers\r\n" } else { "" };
        let head = format!("POST /a/Unary HTTP/1.1\r\nhost: x\r\n{te}content-length: {}\r\n\r\n", sent.len());
        client.send([head.as_bytes(), &sent].concat()).await;
        let answer = client.read_until(if takes { "x-checksum: 7\r\n\r\n" } else { "0\r\n\r\n" }).await;
        let body = answer.split_once("\r\n\r\n").unwrap().1;
        let trailers = if takes { "grpc-status: 0\r\ngrpc-message: done\r\nx-checksum: 7\r\n" } else { "" };
        assert_eq!(body, format!("a\r\n\0\0\0\0\x05hello\r\n0\r\n{trailers}\r\n"));
    }
    let told: Vec<_> = origin.heads().iter().map(|head| head.headers.contains_key("te")).collect();
    assert_eq!(told, [true, false, true]);
}

/// What one request to a target in HTTP/2 was: its content, and what followed it.
async fn accept_http2(listener: &TcpListener) -> (String, Option<HeaderMap>) {
    let (stream, _) = within("a connection", listener.accept()).await.unwrap();
    let mut connection = h2::server::handshake(stream).await.unwrap();
    let (request, mut respond) = within("a request", connection.accept()).await.unwrap().unwrap();
    tokio::spawn(async move { while connection.accept().await.is_some() {} });
    let (mut body, mut content) = (request.into_body(), Vec::new());
    while let Some(data) = within("the body", body.data()).await {
        content.extend_from_slice(&data.unwrap());
    }
    let trailers = within("trailers", body.trailers()).await.unwrap();
    respond.send_response(Response::new(()), true).unwrap();
    (String::from_utf8(content).unwrap(), trailers)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn trailers_of_a_request_reach_a_target_of_http2_as_they_do_one_of_http1() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    for follows in [true, false] {
        // One for each, so that each is asked on a connection of its own.
        let gateway = before(&[listener.local_addr().unwrap()], "protocol: http2").await;
        let good = follows.then(|| fields(&[("x-sum", "6"), ("x-odd", "b")]));
        let mut client = gateway.wire().await;
        let sent = if follows { "X-Sum: 6\r\nx-user-id: root\r\nx-odd:  b\r\nX_Tier: gold\r\n" } else { "" };
        client.send(upload("x-tier: free\r\n") + "3\r\nabc\r\n").await;
        client.send(format!("2\r\nde\r\n0\r\n{sent}\r\n")).await;
        assert_eq!(accept_http2(&listener).await, ("abcde".to_owned(), good.clone()));
        assert_eq!(client.answer().await.status, 200);
    }
    let gateway = before(&[listener.local_addr().unwrap()], "protocol: http2").await;
    let request = Request::post("http://a.example/").body(()).unwrap();
    let (answer, mut sending) =
        within("a stream", http2(&gateway).await.ready()).await.unwrap().send_request(request, false).unwrap();
    sending.send_data(Bytes::from_static(b"abc"), false).unwrap();
    sending.send_trailers(fields(&[("x-sum", "6"), ("x-user-id", "root")])).unwrap();
    assert_eq!(accept_http2(&listener).await, ("abc".to_owned(), Some(fields(&[("x-sum", "6")]))));
    assert_eq!(within("an answer", answer).await.unwrap().status(), 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_targets_that_were_asked_only_the_trailers_of_the_one_that_is_heard_pass() {
    let (a, b) = (RawOrigin::start().await, RawOrigin::start().await);
    let gateway = before(&[a.address(), b.address()], "hedge: { after: 10ms, budget: 100% }").await;
    let answer = |status: &str, trailers: &str| {
        let head = format!("HTTP/1.1 {status}\r\ntransfer-encoding: chunked\r\nconnection: close\r\n\r\n");
        head + &format!("2\r\nok\r\n0\r\n{trailers}\r\n")
    };
    for trailers in ["x-sum: good\r\n", ""] {
        let mut client = gateway.wire().await;
        client.send("GET / HTTP/1.1\r\nhost: x\r\nte: trailers\r\nconnection: te, close\r\n\r\n").await;
        let ((mut one, _), (mut other, _)) = tokio::join!(a.request(), b.request());
        one.send(answer("503 Service Unavailable", "x-sum: bad\r\n")).await;
        other.send(answer("200 OK", trailers)).await;
        let came = String::from_utf8(client.rest().await).unwrap();
        assert!(came.starts_with("HTTP/1.1 200 ") && came.ends_with(&format!("ok\r\n0\r\n{trailers}\r\n")), "{came}");
    }
}
