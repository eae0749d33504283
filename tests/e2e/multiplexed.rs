//! Attempts where HTTP/2 is spoken: how long one may take for a client of it, and what becomes of a stream that its target never
//! began with.

use std::time::{Duration, Instant};

use bytes::Bytes;
use h2::server::SendResponse;
use h2::{Reason, RecvStream};
use http::{Request, Response};
use portreeve_tests::{Beat, Gateway, Origin, RawOrigin, Wire, within};
use tokio::net::{TcpListener, TcpStream};

async fn pool(targets: &[std::net::SocketAddr], settings: &str) -> Gateway {
    let targets = targets.iter().map(|target| format!("\"{target}\"")).collect::<Vec<_>>().join(", ");
    let yaml = format!(
        "upstreams: {{ pool: {{ targets: [{targets}], {settings} }} }}
routes: [{{ name: all, match: {{ path: '/**' }}, public: true, upstream: pool }}]"
    );
    Gateway::setup().workers(1).spawn(&yaml).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_attempt_for_a_client_of_http2_ends_after_its_own_time_and_another_target_answers() {
    let (a, b) = (Origin::start("a").await, Origin::start("b").await);
    let settings = "timeouts: { per_try: 300ms, first_byte: 1m }, retry: { on: [timeout], budget: 100%, attempts: 2 }";
    let gateway = pool(&[a.address(), b.address()], settings).await;
    let stream = TcpStream::connect(gateway.address()).await.unwrap();
    let (sender, connection) = within("a handshake", h2::client::handshake(stream)).await.unwrap();
    tokio::spawn(async move { connection.await.ok() });
    let ask = async || {
        let request = Request::put("http://a.example/").body(()).unwrap();
        let mut sender = within("a stream", sender.clone().ready()).await.unwrap();
        let (answer, mut body) = sender.send_request(request, false).unwrap();
        body.send_data(Bytes::from_static(b"whole"), true).unwrap();
        within("an answer", answer).await.unwrap().status().as_u16()
    };
    let silent = |_: &_| vec![Beat::Await(1)];
    for sick in [&a, &b] {
        sick.play(silent);
        for _ in 0..2 {
            let begun = Instant::now();
            assert_eq!(ask().await, 200);
            assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
        }
        sick.echo();
    }
    a.play(silent);
    b.play(silent);
    let begun = Instant::now();
    assert_eq!(ask().await, 504);
    assert!(begun.elapsed() >= Duration::from_millis(600) && begun.elapsed() < Duration::from_secs(10));
    let metric = "portreeve_upstream_failures_total{reason=\"per_try_timeout\",upstream=\"pool\"}";
    assert!(gateway.admin().metric(metric).await >= Some(4.0));
}

const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;

/// A frame of a few bytes (RFC 9113 §4.1).
fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u8::try_from(payload.len()).unwrap();
    [&[0, 0, length, kind, flags], &stream.to_be_bytes()[..], payload].concat()
}

/// A target in HTTP/2 that a test plays by the frame.
struct Target {
    wire: Wire,
    ahead: Vec<u8>,
}

impl Target {
    async fn accept(origin: &RawOrigin) -> Self {
        let mut target = Self { wire: origin.accept().await, ahead: Vec::new() };
        target.take(24).await;
        target.wire.send(frame(SETTINGS, 0, 0, &[])).await;
        target
    }

    async fn take(&mut self, count: usize) -> Vec<u8> {
        while self.ahead.len() < count {
            let next = self.wire.next().await;
            assert!(!next.is_empty(), "closed");
            self.ahead.extend(next);
        }
        self.ahead.drain(..count).collect()
    }

    /// The stream of the next request.
    async fn request(&mut self) -> u32 {
        loop {
            let head = self.take(9).await;
            let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
            self.take(length as usize).await;
            if head[3] == HEADERS {
                return u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
            }
        }
    }

    /// Whatever was sent before has been read when this returns.
    async fn ping(&mut self) {
        self.wire.send(frame(PING, 0, 0, &[7; 8])).await;
        loop {
            let head = self.take(9).await;
            let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
            self.take(length as usize).await;
            if head[3..5] == [PING, 1] {
                return;
            }
        }
    }

    /// `:status: 200`, and nothing else (RFC 7541, appendix A).
    async fn answer(&mut self, stream: u32) {
        self.wire.send(frame(HEADERS, 5, stream, &[0x88])).await;
    }
}

/// Not even a POST can have done anything there (RFC 9113 §8.7).
const POST: &str = "POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 5\r\n\r\nhello";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_that_its_target_refused_is_sent_again() {
    let origin = RawOrigin::start().await;
    let gateway = pool(&[origin.address()], "protocol: http2, retry: { attempts: 1 }").await;
    let mut client = gateway.wire().await;
    client.send(POST).await;
    let mut target = Target::accept(&origin).await;
    let refused = target.request().await;
    target.wire.send(frame(RST_STREAM, 0, refused, &[0, 0, 0, 7])).await;
    // The connection is as good as it was: the target may have as many streams as it likes, and no more.
    let again = tokio::select! {
        again = target.request() => { target.answer(again).await; again }
        mut other = Target::accept(&origin) => {
            let again = other.request().await;
            other.answer(again).await;
            target = other;
            again
        }
    };
    assert_eq!(client.answer().await.status, 200, "{again}");
    drop(target);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_beyond_what_a_target_that_goes_away_has_taken_is_sent_again_on_another_connection() {
    let origin = RawOrigin::start().await;
    let gateway = pool(&[origin.address()], "protocol: http2, retry: { attempts: 1 }").await;
    let mut client = gateway.wire().await;
    // One is served, so that the connection is a kept one.
    client.send(POST).await;
    let mut first = Target::accept(&origin).await;
    let served = first.request().await;
    first.answer(served).await;
    assert_eq!(client.answer().await.status, 200);
    client.send(POST).await;
    let lost = first.request().await;
    assert!(lost > served);
    first.wire.send(frame(GOAWAY, 0, 0, &[&served.to_be_bytes()[..], &[0; 4]].concat())).await;
    let mut second = Target::accept(&origin).await;
    let again = second.request().await;
    second.answer(again).await;
    assert_eq!(client.answer().await.status, 200);
    let failed = "portreeve_upstream_attempts_total{result=\"failed\",upstream=\"pool\"}";
    assert_eq!(gateway.admin().count(failed).await.unwrap_or(0), 0, "it says nothing of the target");
}

/// The next request of the next connection.
pub(crate) async fn accept(listener: &TcpListener) -> (RecvStream, SendResponse<Bytes>) {
    let (stream, _) = within("a connection", listener.accept()).await.unwrap();
    let mut connection = h2::server::handshake(stream).await.unwrap();
    let (request, respond) = within("a request", connection.accept()).await.unwrap().unwrap();
    tokio::spawn(async move { while connection.accept().await.is_some() {} });
    (request.into_body(), respond)
}

async fn read(body: &mut RecvStream) -> Bytes {
    let data = within("some of the body", body.data()).await.unwrap().unwrap();
    body.flow_control().release_capacity(data.len()).unwrap();
    data
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_target_in_http2_waits_for_the_rest_of_a_request_as_long_as_its_client_may_take() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let settings = "protocol: http2, retry: { attempts: 1 }, timeouts: { first_byte: 300ms }";
    let address = listener.local_addr().unwrap();
    for answers in [true, false] {
        let gateway = pool(&[address], settings).await;
        let mut client = gateway.wire().await;
        client.send("POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 8\r\n\r\nhalf").await;
        let (mut body, mut respond) = accept(&listener).await;
        assert_eq!(read(&mut body).await, "half");
        assert!(client.is_silent_for(Duration::from_secs(1)).await, "three times as long as a target has");
        client.send("rest").await;
        assert_eq!(read(&mut body).await, "rest");
        if answers {
            respond.send_response(Response::new(()), true).unwrap();
            assert_eq!(client.answer().await.status, 200);
        } else {
            // From now on it is the target that is waited for.
            assert_eq!(client.answer().await.status, 504);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn both_sides_may_speak_at_once_before_a_target_in_http2() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let gateway = pool(&[listener.local_addr().unwrap()], "protocol: http2").await;
    let mut client = gateway.wire().await;
    client.send("POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n").await;
    let (mut body, mut respond) = accept(&listener).await;
    let mut sending = respond.send_response(Response::new(()), false).unwrap();
    client.read_until("\r\n\r\n").await;
    for word in ["one", "two", "three"] {
        client.send(format!("{:x}\r\n{word}\r\n", word.len())).await;
        assert_eq!(read(&mut body).await, word);
        sending.send_data(Bytes::from_static(word.as_bytes()), false).unwrap();
        assert_eq!(client.read_until(&format!("{word}\r\n")).await, format!("{:x}\r\n{word}\r\n", word.len()));
    }
    // The target has said all before its client has.
    sending.send_data(Bytes::new(), true).unwrap();
    client.read_until("0\r\n\r\n").await;
    client.send("4\r\nmore\r\n0\r\n\r\n").await;
    assert_eq!(read(&mut body).await, "more");
    assert!(within("the end", body.data()).await.is_none());
}

/// RFC 9113 §8.1: what was answered is an answer, though the target wants no more of the request.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_target_in_http2_that_wants_no_more_of_an_upload_is_heard() {
    let origin = RawOrigin::start().await;
    let gateway = pool(&[origin.address()], "protocol: http2, retry: { attempts: 1 }").await;
    let length = 900_000;
    let upload = format!("POST / HTTP/1.1\r\nhost: x\r\ncontent-length: {length}\r\n\r\n") + &"x".repeat(length);
    let mut client = gateway.wire().await;
    let target = async {
        let mut target = Target::accept(&origin).await;
        let stream = target.request().await;
        let answer = frame(HEADERS, 5, stream, &[0x88]);
        target.wire.send([answer, frame(RST_STREAM, 0, stream, &[0; 4])].concat()).await;
        target
    };
    let (heard, _target) = tokio::join!(client.send_and_hear(upload), target);
    assert_eq!(heard.unwrap().1.status, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upload_to_a_target_in_http2_that_takes_nothing_ends_in_time() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let settings = "protocol: http2, retry: { attempts: 1 }, timeouts: { first_byte: 30s, write: 300ms }";
    let gateway = pool(&[listener.local_addr().unwrap()], settings).await;
    let length = 900_000;
    let upload = format!("POST / HTTP/1.1\r\nhost: x\r\ncontent-length: {length}\r\n\r\n") + &"x".repeat(length);
    let mut client = gateway.wire().await;
    let begun = Instant::now();
    // Its window stays shut.
    let (heard, mut target) = tokio::join!(client.send_and_hear(upload), accept(&listener));
    assert_eq!(heard.map_or(504, |(_, answer)| answer.status), 504);
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
    let reason = within("a reset", std::future::poll_fn(|cx| target.1.poll_reset(cx))).await.unwrap();
    assert_eq!(reason, Reason::CANCEL);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_leaves_within_an_upload_leaves_the_stream_of_its_target_too() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let gateway = pool(&[listener.local_addr().unwrap()], "protocol: http2").await;
    let mut client = gateway.wire().await;
    client.send("POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 8\r\n\r\nhalf").await;
    let (mut body, mut respond) = accept(&listener).await;
    assert_eq!(read(&mut body).await, "half");
    drop(client);
    let reason = within("a reset", std::future::poll_fn(|cx| respond.poll_reset(cx))).await.unwrap();
    assert_eq!(reason, Reason::CANCEL);
    assert!(within("the end", body.data()).await.unwrap().is_err(), "half a request is never a whole one");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_on_which_an_attempt_has_heard_nothing_serves_no_other() {
    for clocks in ["timeouts: { per_try: 300ms }", "timeouts: { first_byte: 300ms }", "timeouts: { write: 300ms }"] {
        let origin = RawOrigin::start().await;
        let gateway = pool(&[origin.address()], &format!("protocol: http2, retry: {{ attempts: 1 }}, {clocks}")).await;
        let length = if clocks.contains("write") { 900_000 } else { 5 };
        let upload = format!("POST / HTTP/1.1\r\nhost: x\r\ncontent-length: {length}\r\n\r\n") + &"x".repeat(length);
        let ask = async || {
            let mut client = gateway.wire().await;
            client.send_and_hear(&upload).await.map_or(504, |(_, answer)| answer.status)
        };
        let silent = async {
            let mut silent = Target::accept(&origin).await;
            silent.request().await;
            silent
        };
        let (status, _silent) = tokio::join!(ask(), silent);
        assert_eq!(status, 504, "{clocks}");
        let well = async {
            let mut well = Target::accept(&origin).await;
            let stream = well.request().await;
            well.answer(stream).await;
            well
        };
        let (status, _well) = tokio::join!(ask(), well);
        assert_eq!(status, 200, "{clocks}");
    }
}

/// RFC 9113 §6.8: streams that it left out were not begun with, whatever the reason is.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_that_its_target_leaves_for_a_reason_costs_nobody_an_answer() {
    const ENHANCE_YOUR_CALM: [u8; 4] = [0, 0, 0, 11];
    for is_read in [true, false] {
        let origin = RawOrigin::start().await;
        let gateway = pool(&[origin.address()], "protocol: http2, retry: { attempts: 1 }").await;
        let mut early = gateway.wire().await;
        early.send(POST).await;
        let mut first = Target::accept(&origin).await;
        let held = first.request().await;
        let goodbye = frame(GOAWAY, 0, 0, &[&held.to_be_bytes()[..], &ENHANCE_YOUR_CALM].concat());
        let mut late = gateway.wire().await;
        if is_read {
            first.wire.send(goodbye).await;
            first.ping().await;
            late.send(POST).await;
        } else {
            late.send(POST).await;
            first.request().await;
            first.wire.send(goodbye).await;
        }
        let mut second = Target::accept(&origin).await;
        let stream = second.request().await;
        second.answer(stream).await;
        assert_eq!(late.answer().await.status, 200, "read before: {is_read}");
        let failed = "portreeve_upstream_attempts_total{result=\"failed\",upstream=\"pool\"}";
        assert_eq!(gateway.admin().count(failed).await.unwrap_or(0), 0, "it says nothing of the target");
    }
}

/// Sends until nothing more is taken.
async fn fill(mut respond: SendResponse<Bytes>) -> h2::SendStream<Bytes> {
    let mut sending = respond.send_response(Response::new(()), false).unwrap();
    loop {
        sending.reserve_capacity(65_536);
        let room = std::future::poll_fn(|cx| sending.poll_capacity(cx));
        let Ok(room) = tokio::time::timeout(Duration::from_millis(500), room).await else { return sending };
        sending.send_data(vec![0; room.unwrap().unwrap()].into(), false).unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_that_nobody_takes_do_not_shut_the_window_of_others_on_their_connection() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let gateway = pool(&[listener.local_addr().unwrap()], "protocol: http2").await;
    let ask = async || {
        let mut client = Wire::connect_narrow(gateway.address()).await;
        client.send("GET / HTTP/1.1\r\nhost: x\r\n\r\n").await;
        client
    };
    let mut clients = vec![ask().await];
    let (stream, _) = within("a connection", listener.accept()).await.unwrap();
    let mut connection = h2::server::handshake(stream).await.unwrap();
    let (asked, mut asking) = tokio::sync::mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Some(Ok((_, respond))) = connection.accept().await {
            asked.send(respond).unwrap();
        }
    });
    let mut filled = Vec::new();
    for _ in 0..8 {
        let respond = within("a request", asking.recv()).await.unwrap();
        filled.push(fill(respond).await);
        clients.push(ask().await);
    }
    let mut respond = within("a request", asking.recv()).await.unwrap();
    let mut sending = respond.send_response(Response::new(()), false).unwrap();
    sending.send_data(vec![b'x'; 100_000].into(), true).unwrap();
    let answer = clients.last_mut().unwrap().answer().await;
    assert_eq!((answer.status, answer.text().len()), (200, 100_000));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_waits_for_leave_is_given_it_though_the_first_target_is_dead() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let dead = Origin::dead("dead").await;
    let settings = "protocol: http2, balance: round_robin, retry: { attempts: 2, budget: 100% }";
    let gateway = pool(&[dead.address(), listener.local_addr().unwrap()], settings).await;
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            tokio::spawn(async move {
                let mut connection = h2::server::handshake(stream).await.unwrap();
                while let Some(Ok((request, mut respond))) = connection.accept().await {
                    tokio::spawn(async move {
                        let leave = Response::builder().status(100).body(()).unwrap();
                        respond.send_informational(leave).unwrap();
                        let mut body = request.into_body();
                        while let Some(Ok(_)) = body.data().await {}
                        respond.send_response(Response::new(()), true).ok();
                    });
                }
            });
        }
    });
    // Each begins with the other one.
    for _ in 0..2 {
        let mut client = gateway.wire().await;
        client.send("POST / HTTP/1.1\r\nhost: x\r\nexpect: 100-continue\r\ncontent-length: 5\r\n\r\n").await;
        assert!(client.read_until("\r\n\r\n").await.starts_with("HTTP/1.1 100 "));
        client.send("hello").await;
        assert_eq!(client.answer().await.status, 200);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_malformed_answer_in_http2_is_502_and_its_target_is_not_asked_again() {
    let origin = RawOrigin::start().await;
    let gateway = pool(&[origin.address()], "protocol: http2, retry: { attempts: 3, budget: 100% }").await;
    let mut client = gateway.wire().await;
    client.send("GET / HTTP/1.1\r\nhost: x\r\n\r\n").await;
    let mut target = Target::accept(&origin).await;
    let stream = target.request().await;
    // Two lengths (RFC 7541 §6.2.2).
    let head = [0x88, 0x0f, 0x0d, 1, b'1', 0x0f, 0x0d, 1, b'2'];
    target.wire.send(frame(HEADERS, 4, stream, &head)).await;
    assert_eq!(client.answer().await.status, 502);
    let failed = "portreeve_upstream_failures_total{reason=\"bad_answer\",upstream=\"pool\"}";
    assert_eq!(gateway.admin().count(failed).await, Some(1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_head_of_an_answer_in_http2_beyond_all_measure_is_502() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    for (fields, status) in [(50, 200), (100, 502)] {
        let gateway = pool(&[listener.local_addr().unwrap()], "protocol: http2").await;
        let mut client = gateway.wire().await;
        client.send("GET / HTTP/1.1\r\nhost: x\r\n\r\n").await;
        let (_, mut respond) = accept(&listener).await;
        let mut head = Response::new(());
        for number in 0..fields {
            let name = http::HeaderName::try_from(format!("x-{number}")).unwrap();
            head.headers_mut().insert(name, "x".repeat(1_000).parse().unwrap());
        }
        respond.send_response(head, true).unwrap();
        assert_eq!(client.answer().await.status, status);
    }
}
