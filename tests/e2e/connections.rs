//! Connections to targets in HTTP/2: how many there are, what is made of them, and what comes on them before an answer.

use std::future::poll_fn;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use h2::Reason;
use h2::server::SendResponse;
use http::{Request, Response};
use portreeve_tests::{Gateway, Origin, RawOrigin, Wire, until, within};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;

async fn before(target: SocketAddr, settings: &str) -> Gateway {
    let yaml = format!(
        "upstreams: {{ pool: {{ protocol: http2, targets: [\"{target}\"], {settings} }} }}
routes: [{{ name: all, match: {{ path: '/**' }}, public: true, upstream: pool, timeout: 5m }}]"
    );
    Gateway::setup().workers(1).spawn(&yaml).await
}

type Asked = (Request<h2::RecvStream>, SendResponse<Bytes>);

/// A target that hands over what it is asked.
struct Target {
    address: SocketAddr,
    connections: Arc<AtomicUsize>,
    /// Connections that have ended, with what was said at the end.
    ended: mpsc::UnboundedReceiver<Option<Reason>>,
    asked: mpsc::UnboundedReceiver<Asked>,
}

impl Target {
    /// It takes so many streams at once on a connection, and refuses those beyond.
    async fn start(streams: u32) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (ask, asked) = mpsc::unbounded_channel();
        let (end, ended) = mpsc::unbounded_channel();
        let connections = Arc::<AtomicUsize>::default();
        let made = connections.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                made.fetch_add(1, Ordering::Relaxed);
                let (ask, end) = (ask.clone(), end.clone());
                tokio::spawn(async move {
                    let mut options = h2::server::Builder::new();
                    let handshake = options.max_concurrent_streams(streams).handshake(stream).await;
                    let mut connection: h2::server::Connection<_, Bytes> = handshake.unwrap();
                    while let Some(asked) = connection.accept().await {
                        match asked {
                            Ok(asked) => ask.send(asked).unwrap(),
                            Err(error) => return end.send(error.reason()).unwrap_or_default(),
                        }
                    }
                    end.send(Some(Reason::NO_ERROR)).unwrap_or_default();
                });
            }
        });
        Self { address, connections, ended, asked }
    }

    async fn asked(&mut self) -> Asked {
        within("a request", self.asked.recv()).await.unwrap()
    }

    fn connections(&self) -> usize {
        self.connections.load(Ordering::Relaxed)
    }
}

fn ok(mut respond: SendResponse<Bytes>) {
    respond.send_response(Response::new(()), true).unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_that_come_at_once_share_connections_and_no_target_is_sent_more_streams_than_it_takes() {
    const AT_ONCE: usize = 60;
    let mut target = Target::start(10).await;
    let gateway = before(target.address, "retry: { attempts: 1 }").await;
    for _ in 0..3 {
        let mut clients = Vec::new();
        for _ in 0..AT_ONCE {
            let mut client = gateway.wire().await;
            client.send("POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 0\r\n\r\n").await;
            clients.push(client);
        }
        let mut responds = Vec::new();
        for _ in 0..AT_ONCE {
            responds.push(target.asked().await.1);
        }
        responds.into_iter().for_each(ok);
        for client in &mut clients {
            assert_eq!(client.answer().await.status, 200);
        }
        // As few as there can be, and the same ones each time.
        assert_eq!(target.connections(), AT_ONCE / 10);
    }
    let failed = "portreeve_upstream_attempts_total{result=\"failed\",upstream=\"pool\"}";
    assert_eq!(gateway.admin().count(failed).await.unwrap_or(0), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_in_http2_that_nobody_has_needed_for_a_while_is_ended_in_its_own_words() {
    let mut target = Target::start(10).await;
    let gateway = before(target.address, "timeouts: { idle: 100ms }").await;
    let mut client = gateway.wire().await;
    client.send("GET / HTTP/1.1\r\nhost: x\r\n\r\n").await;
    let (_, respond) = target.asked().await;
    // One that is being served is needed, however long that takes.
    let early = tokio::time::timeout(Duration::from_secs(2), target.ended.recv()).await;
    assert!(early.is_err(), "{early:?}");
    ok(respond);
    assert_eq!(client.answer().await.status, 200);
    assert_eq!(within("its end", target.ended.recv()).await, Some(Some(Reason::NO_ERROR)));
}

/// A target that makes connections, says this at once, and then reads.
async fn saying(words: &'static [u8]) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let read = async |mut stream: TcpStream| {
            use tokio::io::{AsyncReadExt, AsyncWriteExt};
            stream.write_all(words).await.ok();
            let mut nothing = Vec::new();
            stream.read_to_end(&mut nothing).await.ok();
        };
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(read(stream));
        }
    });
    address
}

const SETTINGS_WITHOUT_STREAMS: &[u8] = &[0, 0, 6, 4, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, 0];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_target_that_does_not_begin_with_http2_is_given_up_in_time() {
    for words in [&b""[..], SETTINGS_WITHOUT_STREAMS] {
        let gateway = before(saying(words).await, "timeouts: { connect: 300ms }, retry: { attempts: 1 }").await;
        let begun = Instant::now();
        assert_eq!(gateway.get("/").await.status, 504);
        assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
        let metric = "portreeve_upstream_failures_total{reason=\"connect_timeout\",upstream=\"pool\"}";
        assert_eq!(gateway.admin().count(metric).await, Some(1));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_target_that_speaks_something_else_is_502_and_not_asked_again() {
    let target = saying(b"HTTP/1.1 400 Bad Request\r\nconnection: close\r\n\r\n").await;
    let gateway = before(target, "retry: { attempts: 3, budget: 100% }").await;
    assert_eq!(gateway.get("/").await.status, 502);
    let metric = "portreeve_upstream_failures_total{reason=\"bad_answer\",upstream=\"pool\"}";
    assert_eq!(gateway.admin().count(metric).await, Some(1));
}

fn hints(n: usize) -> Response<()> {
    Response::builder().status(103).header("link", format!("</{n}.css>")).body(()).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn early_hints_of_a_target_in_http2_reach_clients_of_both_versions() {
    let mut target = Target::start(10).await;
    let gateway = before(target.address, "").await;
    let mut client = gateway.wire().await;
    client.send("GET / HTTP/1.1\r\nhost: x\r\n\r\n").await;
    let (_, mut respond) = target.asked().await;
    for n in 0..2 {
        respond.send_informational(hints(n)).unwrap();
        let answer = client.answer().await;
        assert_eq!((answer.status, answer.header("link")), (103, Some(&*format!("</{n}.css>"))));
    }
    ok(respond);
    assert_eq!(client.answer().await.status, 200);

    let stream = TcpStream::connect(gateway.address()).await.unwrap();
    let (mut sender, connection) = within("a handshake", h2::client::handshake(stream)).await.unwrap();
    tokio::spawn(async move { connection.await.ok() });
    let request = Request::get("http://a.example/").body(()).unwrap();
    let (mut answer, _): (_, h2::SendStream<Bytes>) = sender.send_request(request, true).unwrap();
    let (_, mut respond) = target.asked().await;
    for n in 0..2 {
        respond.send_informational(hints(n)).unwrap();
        let interim = within("an interim answer", poll_fn(|cx| answer.poll_informational(cx))).await.unwrap().unwrap();
        assert_eq!(interim.status(), 103);
        assert_eq!(interim.headers()["link"], format!("</{n}.css>"));
    }
    ok(respond);
    assert_eq!(within("an answer", answer).await.unwrap().status(), 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_that_waits_for_100_continue_is_sent_once_a_target_in_http2_wants_it() {
    let mut target = Target::start(10).await;
    let gateway = before(target.address, "").await;
    let mut client = gateway.wire().await;
    client.send("POST / HTTP/1.1\r\nhost: x\r\nexpect: 100-continue\r\ncontent-length: 5\r\n\r\n").await;
    let (request, mut respond) = target.asked().await;
    assert_eq!(request.headers()["expect"], "100-continue");
    respond.send_informational(Response::builder().status(100).body(()).unwrap()).unwrap();
    assert_eq!(client.answer().await.status, 100);
    client.send("hello").await;
    let mut body = request.into_body();
    assert_eq!(&*within("the body", body.data()).await.unwrap().unwrap(), b"hello");
    ok(respond);
    assert_eq!(client.answer().await.status, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_target_in_http2_that_only_ever_hints_is_502() {
    let mut target = Target::start(10).await;
    let gateway = before(target.address, "retry: { attempts: 1 }").await;
    let mut client = gateway.wire().await;
    client.send("GET / HTTP/1.1\r\nhost: x\r\n\r\n").await;
    let (_, mut respond) = target.asked().await;
    for n in 0..100 {
        if respond.send_informational(hints(n)).is_err() {
            break;
        }
    }
    let mut answer = client.answer().await;
    while answer.status == 103 {
        answer = client.answer().await;
    }
    assert_eq!(answer.status, 502);
}

/// Who leaves takes nobody's connection along: it was made for all who wait.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_leaves_while_a_connection_is_made_does_not_end_it_for_others() {
    let origin = RawOrigin::start().await;
    let gateway = before(origin.address(), "retry: { attempts: 1 }").await;
    let mut first = gateway.wire().await;
    first.send("GET / HTTP/1.1\r\nhost: x\r\n\r\n").await;
    let mut target = origin.accept().await;
    let mut second = gateway.wire().await;
    second.send("POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 0\r\n\r\n").await;
    let waiting = async || {
        let status = gateway.admin().target("pool", origin.address()).await;
        status["in_flight"].as_u64()
    };
    until("both wait", async || (waiting().await == Some(2)).then_some(())).await;
    first.reset();
    until("one has left", async || (waiting().await == Some(1)).then_some(())).await;
    target.send([0, 0, 0, 4, 0, 0, 0, 0, 0]).await;
    // `:status: 200` on the first stream, and its end (RFC 7541, appendix A).
    let mut came = Vec::new();
    while !came.windows(9).any(|frame| frame[3] == 1 && frame[5..] == [0, 0, 0, 1]) {
        let length = came.len();
        fill(&mut target, &mut came, length + 1).await;
    }
    target.send([0, 0, 1, 1, 5, 0, 0, 0, 1, 0x88]).await;
    assert_eq!(second.answer().await.status, 200);
}

/// Gets `/` from the target, for `GET /`.
async fn calling(target: SocketAddr) -> Gateway {
    let yaml = format!(
        "upstreams: {{ pool: {{ protocol: http2, targets: [\"{target}\"], retry: {{ attempts: 1 }} }} }}
routes:
  - name: whole
    match: {{ path: / }}
    public: true
    plugins: [aggregate: {{ timeout: 20s, calls: {{ a: {{ upstream: pool, path: / }} }}, body: {{ a: '${{calls.a}}' }} }}]"
    );
    Gateway::setup().workers(1).spawn(&yaml).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_of_a_plugin_that_its_target_breaks_off_is_made_once() {
    let mut target = Target::start(10).await;
    let gateway = calling(target.address).await;
    let served = tokio::spawn(async move {
        // The connection has been used before, and is none the worse.
        ok(target.asked().await.1);
        for _ in 0..2 {
            target.asked().await.1.send_reset(Reason::INTERNAL_ERROR);
        }
        ok(target.asked().await.1);
        target
    });
    for status in [200, 502, 502, 200] {
        assert_eq!(gateway.get("/").await.status, status);
    }
    assert_eq!(served.await.unwrap().connections(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_of_a_plugin_that_its_target_has_not_begun_with_is_made_again_a_few_times() {
    let mut target = Target::start(10).await;
    let gateway = calling(target.address).await;
    let served = tokio::spawn(async move {
        target.asked().await.1.send_reset(Reason::REFUSED_STREAM);
        ok(target.asked().await.1);
        for _ in 0..4 {
            target.asked().await.1.send_reset(Reason::REFUSED_STREAM);
        }
        ok(target.asked().await.1);
    });
    for status in [200, 502, 200] {
        assert_eq!(gateway.get("/").await.status, status);
    }
    served.await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_copy_is_done_with_when_its_answer_is_whole_however_little_of_it_was_read() {
    let mut shadow = Target::start(10).await;
    let main = Origin::start("main").await;
    let yaml = format!(
        "upstreams:
  main: {{ targets: [\"{}\"] }}
  shadow: {{ protocol: http2, targets: [\"{}\"], timeouts: {{ write: 10m }} }}
routes: [{{ name: all, match: {{ path: '/**' }}, public: true, upstream: main, mirror: {{ upstream: shadow, max_body: 512KiB }} }}]",
        main.address(),
        shadow.address
    );
    let gateway = Gateway::setup().workers(1).spawn(&yaml).await;
    assert_eq!(gateway.ask("POST", "/").body("x".repeat(400 * 1024)).await.status, 200);
    // More than its window: it is held, unread and not refused.
    let (_unread, mut respond) = shadow.asked().await;
    let mut body = respond.send_response(Response::new(()), false).unwrap();
    body.send_data(Bytes::from_static(b"enough"), true).unwrap();
    let begun = Instant::now();
    gateway.admin().is_quiet("shadow", shadow.address).await;
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
    assert_eq!(shadow.connections(), 1);
}

/// A head that h2 hands over, and what it takes for an attack, are answers of one request, too.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_head_of_an_answer_that_is_much_too_large_leaves_the_requests_of_others_alone() {
    let mut target = Target::start(10).await;
    let gateway = before(target.address, "retry: { attempts: 1 }").await;
    let mut other = gateway.wire().await;
    other.send("POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 0\r\n\r\n").await;
    let (_, respond) = target.asked().await;
    for kibibytes in [100, 400, 1100] {
        let mut client = gateway.wire().await;
        client.send("GET / HTTP/1.1\r\nhost: x\r\n\r\n").await;
        let (_, mut large) = target.asked().await;
        let mut head = Response::builder();
        for n in 0..kibibytes {
            head = head.header(format!("x-{n}"), "a".repeat(1024));
        }
        large.send_response(head.body(()).unwrap(), true).unwrap();
        assert_eq!(client.answer().await.status, 502, "{kibibytes}");
    }
    ok(respond);
    assert_eq!(other.answer().await.status, 200);
    assert_eq!(target.connections(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn trailers_of_which_a_part_was_left_out_are_not_passed_for_the_whole() {
    for (kibibytes, is_whole) in [(1, true), (80, false), (1100, false)] {
        let mut target = Target::start(10).await;
        let gateway = before(target.address, "retry: { attempts: 1 }").await;
        let mut client = gateway.wire().await;
        client.send("GET / HTTP/1.1\r\nhost: x\r\nte: trailers\r\n\r\n").await;
        let (_, mut respond) = target.asked().await;
        let mut body = respond.send_response(Response::new(()), false).unwrap();
        body.send_data(Bytes::from_static(b"hello"), false).unwrap();
        client.read_until("hello").await;
        let mut trailers = http::HeaderMap::new();
        for n in 0..kibibytes {
            let name: http::HeaderName = format!("x-{n}").parse().unwrap();
            trailers.insert(name, "a".repeat(1024).parse().unwrap());
        }
        trailers.insert("x-last", "1".parse().unwrap());
        body.send_trailers(trailers).unwrap();
        if is_whole {
            assert!(client.read_until("\r\n\r\n").await.contains("x-last: 1\r\n"));
        } else {
            let rest = String::from_utf8(client.rest().await).unwrap();
            assert!(!rest.contains("\r\n0\r\n"), "{kibibytes}: {rest}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_target_in_http2_is_asked_as_if_its_client_had_offered_no_other_protocol() {
    let mut target = Target::start(10).await;
    let gateway = before(target.address, "").await;
    let mut client = gateway.wire().await;
    let upgrade =
        "connection: upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\nsec-websocket-key: eA==\r\n";
    for _ in 0..2 {
        client.send(format!("GET /ws HTTP/1.1\r\nhost: x\r\n{upgrade}\r\n")).await;
        let (request, mut respond) = target.asked().await;
        assert!(!request.headers().contains_key("upgrade") && !request.headers().contains_key("connection"));
        respond.send_informational(hints(0)).unwrap();
        let mut body = respond.send_response(Response::new(()), false).unwrap();
        body.send_data(Bytes::from_static(b"plain"), true).unwrap();
        let mut answer = client.answer().await;
        if answer.status == 103 {
            answer = client.answer().await;
        }
        assert_eq!((answer.status, answer.text().as_str()), (200, "plain"));
    }
    assert_eq!(target.connections(), 1);
}

const HEADERS: u8 = 1;
const SETTINGS: [u8; 9] = [0, 0, 0, 4, 0, 0, 0, 0, 0];

/// Reads on until there are so many bytes.
async fn fill(wire: &mut Wire, ahead: &mut Vec<u8>, count: usize) {
    while ahead.len() < count {
        let next = wire.next().await;
        assert!(!next.is_empty(), "closed");
        ahead.extend(next);
    }
}

/// Reads frames until one of this kind has come: its stream.
async fn next_of(kind: u8, wire: &mut Wire, ahead: &mut Vec<u8>) -> u32 {
    loop {
        fill(wire, ahead, 9).await;
        let length = usize::from(ahead[0]) << 16 | usize::from(ahead[1]) << 8 | usize::from(ahead[2]);
        fill(wire, ahead, 9 + length).await;
        let frame: Vec<_> = ahead.drain(..9 + length).collect();
        if frame[3] == kind {
            return u32::from_be_bytes([frame[5], frame[6], frame[7], frame[8]]);
        }
    }
}

/// A connection to a target that a test plays by the frame.
async fn played(origin: &RawOrigin) -> (Wire, Vec<u8>) {
    let (mut wire, mut ahead) = (origin.accept().await, Vec::new());
    fill(&mut wire, &mut ahead, 24).await;
    ahead.drain(..24);
    wire.send(SETTINGS).await;
    (wire, ahead)
}

/// `:status: 200`, and nothing else (RFC 7541, appendix A).
async fn answer(wire: &mut Wire, stream: u32) {
    wire.send([&[0, 0, 1, HEADERS, 5][..], &stream.to_be_bytes(), &[0x88]].concat()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_whose_target_takes_no_more_streams_keeps_no_others_from_sharing_the_next() {
    let origin = RawOrigin::start().await;
    let gateway = before(origin.address(), "timeouts: { connect: 5m }").await;
    let ask = async || {
        let mut client = gateway.wire().await;
        client.send("GET / HTTP/1.1\r\nhost: x\r\n\r\n").await;
        client
    };
    let mut client = ask().await;
    let (mut first, mut ahead) = played(&origin).await;
    let stream = next_of(HEADERS, &mut first, &mut ahead).await;
    answer(&mut first, stream).await;
    assert_eq!(client.answer().await.status, 200);
    // No more streams; its acknowledgement says that this is known.
    first.send([0, 0, 6, 4, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, 0]).await;
    next_of(4, &mut first, &mut ahead).await;
    let mut clients = Vec::new();
    for _ in 0..20 {
        clients.push(ask().await);
    }
    let (mut second, mut ahead) = played(&origin).await;
    for _ in 0..20 {
        let stream = next_of(HEADERS, &mut second, &mut ahead).await;
        answer(&mut second, stream).await;
    }
    for client in &mut clients {
        assert_eq!(client.answer().await.status, 200);
    }
}

/// h2 remembers streams that were given up, for what their target may still send; what it has forgotten it holds against the
/// connection.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_that_give_up_do_not_end_the_connection_that_they_share_with_others() {
    let origin = RawOrigin::start().await;
    let gateway = before(origin.address(), "retry: { attempts: 1 }, timeouts: { first_byte: 5m }").await;
    let mut other = gateway.wire().await;
    other.send("POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 0\r\n\r\n").await;
    let (mut target, mut ahead) = played(&origin).await;
    let stream = next_of(HEADERS, &mut target, &mut ahead).await;
    let mut given_up = Vec::new();
    for _ in 0..1200 {
        let mut client = gateway.wire().await;
        client.send("GET / HTTP/1.1\r\nhost: x\r\n\r\n").await;
        given_up.push(next_of(HEADERS, &mut target, &mut ahead).await);
        client.reset();
        next_of(3, &mut target, &mut ahead).await;
    }
    for given_up in given_up {
        answer(&mut target, given_up).await;
    }
    answer(&mut target, stream).await;
    assert_eq!(other.answer().await.status, 200);
}
