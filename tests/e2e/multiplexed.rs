//! Attempts where HTTP/2 is spoken: how long one may take for a client of it, and what becomes of a stream that its target never
//! began with.

use std::time::{Duration, Instant};

use bytes::Bytes;
use http::Request;
use portreeve_tests::{Beat, Gateway, Origin, RawOrigin, Wire, within};
use tokio::net::TcpStream;

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
