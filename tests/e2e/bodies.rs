//! Bodies of requests: how they are framed towards targets, what comes of them when both sides speak at once, and when only one does.

use bytes::Bytes;
use h2::client::SendRequest;
use http::Request;
use portreeve_plugin::prelude::*;
use portreeve_tests::{Answer, Gateway, Origin, RawOrigin, Wire, at, until, within};
use tokio::net::TcpStream;

use crate::exchanges::{Idle, Nothing};
use crate::rpc::RpcOrigin;

/// Refuses every request when its body has been seen.
#[derive(Debug)]
struct Never;

#[async_trait]
impl Plugin for Never {
    fn hooks(&self) -> Hooks {
        Hooks::REQUEST_BODY
    }

    async fn on_request_body(&self, cx: &mut RequestBodyCx<'_>) -> Result<Flow> {
        if cx.is_last() { Ok(Reply::status(StatusCode::FORBIDDEN).into()) } else { Ok(Flow::Continue) }
    }
}

impl Build for Never {
    const NAME: &'static str = "never";
    type Config = Nothing;

    fn build(_config: Nothing, _host: &Host) -> Result<Self, BuildError> {
        Ok(Self)
    }
}

const ROUTES: &str = r#"
upstreams: { a: { targets: ["@a"] } }
routes:
  - { name: all, match: { path: "/**" }, public: true, upstream: a, limits: { body: 20MiB } }
  - { name: seen, match: { path: "/seen/**" }, public: true, plugins: [idle: {}], upstream: a, limits: { body: 20MiB } }
"#;

async fn before(origin: &Origin) -> Gateway {
    Gateway::with_plugin::<Idle>().workers(1).spawn(&at(&[origin], ROUTES)).await
}

async fn before_raw(origin: &RawOrigin) -> Gateway {
    let yaml = ROUTES.replace("@a", &origin.address().to_string());
    Gateway::with_plugin::<Idle>().workers(1).spawn(&yaml).await
}

async fn http2(gateway: &Gateway) -> SendRequest<Bytes> {
    let stream = TcpStream::connect(gateway.address()).await.unwrap();
    let (sender, connection) = within("a handshake", h2::client::handshake(stream)).await.unwrap();
    tokio::spawn(async move { connection.await.ok() });
    sender
}

/// Sends a body as chunks of such sizes.
fn chunks(content: &[u8], sizes: &[usize]) -> Vec<u8> {
    let (mut rest, mut out, mut sizes) = (content, Vec::new(), sizes.iter().cycle());
    while !rest.is_empty() {
        let (chunk, after) = rest.split_at(rest.len().min(*sizes.next().unwrap()));
        out.extend_from_slice(format!("{:x};a=b\r\n", chunk.len()).as_bytes());
        out.extend_from_slice(chunk);
        out.extend_from_slice(b"\r\n");
        rest = after;
    }
    out.extend_from_slice(b"0\r\n\r\n");
    out
}

async fn in_pieces(wire: &mut Wire, bytes: &[u8], sizes: &[usize]) -> Answer {
    let (mut rest, mut sizes) = (bytes, sizes.iter().cycle());
    while !rest.is_empty() {
        let (piece, after) = rest.split_at(rest.len().min(*sizes.next().unwrap()));
        wire.send(piece).await;
        tokio::task::yield_now().await;
        rest = after;
    }
    wire.answer().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_reaches_its_target_as_it_was_however_it_was_framed_and_cut() {
    let a = Origin::start("a").await;
    let gateway = before(&a).await;
    let mut wire = gateway.wire().await;
    let sender = http2(&gateway).await;
    for length in [1, 5, 1_000, 40_000, 300_000] {
        // What looks like the end of a request in it is a part of it.
        let content: Vec<u8> =
            b"0\r\n\r\nGET /smuggled HTTP/1.1\r\nhost: x\r\n\r\n".iter().copied().cycle().take(length).collect();
        for path in ["/plain", "/seen/by-a-plugin"] {
            let told = |told: bool| (told && path == "/plain").then(|| length.to_string());
            for sizes in [&[usize::MAX][..], &[1_000, 7], &[20_000]] {
                let head = format!("PUT {path} HTTP/1.1\r\nhost: x\r\ncontent-length: {length}\r\n\r\n");
                in_pieces(&mut wire, &[head.as_bytes(), &content].concat(), sizes).await;
                assert_framed(&a, &content, told(true));
                let head = format!("PUT {path} HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n");
                let body = chunks(&content, &[3, 700, 9_000]);
                in_pieces(&mut wire, &[head.as_bytes(), &body].concat(), sizes).await;
                assert_framed(&a, &content, told(false));
            }
            for with_length in [true, false] {
                let mut request = Request::put(format!("http://x{path}")).body(()).unwrap();
                if with_length {
                    request.headers_mut().insert("content-length", length.into());
                }
                let mut sender = within("a stream", sender.clone().ready()).await.unwrap();
                let (answer, mut sending) = sender.send_request(request, false).unwrap();
                for piece in content.chunks(10_000) {
                    sending.send_data(Bytes::copy_from_slice(piece), false).unwrap();
                }
                sending.send_data(Bytes::new(), true).unwrap();
                assert_eq!(within("an answer", answer).await.unwrap().status(), 200);
                assert_framed(&a, &content, told(with_length));
            }
        }
    }
    assert!(a.seen().iter().all(|received| received.method() == "PUT"), "{:?}", a.seen());
}

/// The origin was sent this content last, with a length, or else in chunks.
fn assert_framed(origin: &Origin, content: &[u8], length: Option<String>) {
    let received = origin.last();
    let chunked = length.is_none().then_some("chunked");
    assert_eq!((received.header("content-length"), received.header("transfer-encoding")), (length.as_deref(), chunked));
    assert!(received.body == content, "{} bytes of {}", received.body.len(), content.len());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_without_a_body_says_so_where_one_is_usual() {
    let a = Origin::start("a").await;
    let gateway = before(&a).await;
    for (method, said) in [("POST", Some("0")), ("PUT", Some("0")), ("GET", None), ("DELETE", None)] {
        let sender = http2(&gateway).await;
        let request = Request::builder().method(method).uri("http://x/").body(()).unwrap();
        let (answer, _) = within("a stream", sender.ready()).await.unwrap().send_request(request, true).unwrap();
        assert_eq!(within("an answer", answer).await.unwrap().status(), 200);
        let received = a.last();
        assert_eq!((received.header("content-length"), received.header("transfer-encoding")), (said, None), "{method}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn both_sides_may_speak_at_once() {
    let origin = RawOrigin::start().await;
    let gateway = before_raw(&origin).await;
    let mut client = gateway.wire().await;
    client.send("POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 11\r\n\r\n").await;
    let (mut target, _) = origin.request().await;
    target.send("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n").await;
    client.read_until("\r\n\r\n").await;
    for word in ["one", "two", "three"] {
        client.send(word).await;
        assert_eq!(target.read_until(word).await, word);
        target.send(format!("{:x}\r\n{word}\r\n", word.len())).await;
        assert_eq!(client.read_until(&format!("{word}\r\n")).await, format!("{:x}\r\n{word}\r\n", word.len()));
    }
    target.send("0\r\n\r\n").await;
    client.read_until("0\r\n\r\n").await;
    // Both connections are as good as before.
    client.send("GET /next HTTP/1.1\r\nhost: x\r\n\r\n").await;
    assert!(target.read_until("\r\n\r\n").await.starts_with("GET /next "));
    target.send("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await;
    assert_eq!(client.answer().await.text(), "ok");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_small_body_that_is_answered_early_and_comes_in_time_leaves_both_connections_as_they_were() {
    let origin = RawOrigin::start().await;
    let gateway = before_raw(&origin).await;
    let mut client = gateway.wire().await;
    client.send("POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 8\r\n\r\nhalf").await;
    let (mut target, _) = origin.request().await;
    target.send("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nearly").await;
    let answer = client.answer().await;
    assert_eq!((answer.text().as_str(), answer.header("connection")), ("early", Some("keep-alive")));
    client.send("restGET /next HTTP/1.1\r\nhost: x\r\n\r\n").await;
    let more = target.read_until("\r\n\r\n").await;
    assert!(more.contains("restGET /next "), "{more}");
    target.send("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await;
    assert_eq!(client.answer().await.text(), "ok");
}

/// It need not send the body it has announced (RFC 9110 §10.1.1): what it sends instead might be taken for it, or that for a request.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_waits_for_leave_to_send_a_body_and_gets_another_answer_asks_nothing_more_here() {
    let (origin, next) = (RawOrigin::start().await, "GET /next HTTP/1.1\r\nhost: x\r\n\r\n");
    let gateway = before_raw(&origin).await;
    for length in [5, next.len(), 1_000] {
        let mut client = gateway.wire().await;
        let head = format!("POST / HTTP/1.1\r\nhost: x\r\nexpect: 100-continue\r\ncontent-length: {length}\r\n\r\n");
        client.send(head).await;
        let (mut target, _) = origin.request().await;
        target.send("HTTP/1.1 417 Expectation Failed\r\ncontent-length: 2\r\n\r\nno").await;
        let answer = client.answer().await;
        assert_eq!((answer.status, answer.header("connection")), (417, Some("close")), "{length}");
        client.send(next.repeat(2)).await;
        client.finish().await;
        assert_eq!(String::from_utf8_lossy(&client.rest().await), "", "{length}");
        assert_eq!(target.rest().await, b"", "{length}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_target_that_breaks_off_within_an_upload_is_followed_by_another_only_if_nothing_is_done_twice() {
    let origins = [RawOrigin::start().await, RawOrigin::start().await];
    let yaml = format!(
        "upstreams: {{ pool: {{ targets: ['{}', '{}'], retry: {{ attempts: 2, budget: 100% }} }} }}
routes: [{{ name: all, match: {{ path: '/**' }}, public: true, upstream: pool }}]",
        origins[0].address(),
        origins[1].address()
    );
    let gateway = Gateway::setup().workers(1).spawn(&yaml).await;
    for (method, status) in [("PUT", 200), ("POST", 502)] {
        let mut client = gateway.wire().await;
        client.send(format!("{method} / HTTP/1.1\r\nhost: x\r\ncontent-length: 8\r\n\r\nhalf")).await;
        let either = async || {
            tokio::select! {
                asked = origins[0].request() => asked,
                asked = origins[1].request() => asked,
            }
        };
        let (mut first, mut begun) = either().await;
        while !begun.contains("half") {
            begun.push_str(&first.read_until("half").await);
        }
        first.reset();
        if status == 200 {
            let (mut second, mut sent) = either().await;
            client.send("rest").await;
            while !sent.contains("halfrest") {
                sent.push_str(&second.read_until("rest").await);
            }
            second.send("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await;
        }
        assert_eq!(client.answer().await.status, status, "{method}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_plugin_refuses_for_its_body_reaches_nobody_though_there_is_none() {
    let (rpc, plain, shadow) = (RpcOrigin::start().await, Origin::start("plain").await, Origin::start("shadow").await);
    let yaml = format!(
        "upstreams:
  rpc: {{ targets: ['{}'], protocol: http2 }}
  plain: {{ targets: ['{}'] }}
  shadow: {{ targets: ['{}'] }}
routes:
  - {{ name: rpc, match: {{ path: '/rpc' }}, public: true, plugins: [never: {{}}], upstream: rpc, mirror: {{ upstream: shadow }} }}
  - {{ name: plain, match: {{ path: '/plain' }}, public: true, plugins: [never: {{}}], upstream: plain, mirror: {{ upstream: shadow }} }}
  - {{ name: passes, match: {{ path: '/passes' }}, public: true, plugins: [idle: {{}}], upstream: plain, mirror: {{ upstream: shadow }} }}",
        rpc.address(),
        plain.address(),
        shadow.address()
    );
    let gateway = Gateway::with_plugin::<Never>().with_plugin::<Idle>().workers(1).spawn(&yaml).await;
    for path in ["/rpc", "/plain"] {
        for method in ["DELETE", "POST"] {
            assert_eq!(gateway.ask(method, path).await.status, 403, "{method} {path}");
        }
    }
    assert_eq!(gateway.ask("DELETE", "/passes").await.status, 200);
    until("a copy of the one that passed", async || (shadow.count() > 0).then_some(())).await;
    assert_eq!((rpc.heads().len(), plain.count(), shadow.count()), (0, 1, 1));
    assert_eq!(shadow.last().target(), "/passes");
}
