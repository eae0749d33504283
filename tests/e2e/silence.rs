//! What follows the head of an answer: it takes as long as it comes, whoever speaks what, and silence of both sides ends it.

use std::time::{Duration, Instant};

use bytes::Bytes;
use futures::future::join_all;
use h2::client::ResponseFuture;
use h2::{RecvStream, SendStream};
use http::{Request, Response};
use portreeve_tests::{Gateway, RawOrigin, Wire, within};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::sleep;

use crate::multiplexed::accept;

/// The time of the route, and how long its target may be silent before the head.
const TIME: Duration = Duration::from_millis(400);
/// Longer than a target may be silent before the head; a few of them are far longer than [`TIME`].
const PAUSE: Duration = Duration::from_millis(500);
const PIECES: usize = 3;

/// Whether the client, and whether the target speaks HTTP/2.
const PAIRS: [(bool, bool); 4] = [(false, false), (false, true), (true, false), (true, true)];

/// A target that the test plays, and the gateway before it.
struct Stage {
    http1: RawOrigin,
    http2: TcpListener,
    gateway: Gateway,
}

impl Stage {
    /// `route`: more of the route. Paths below `/2` go to the target in HTTP/2.
    async fn new(route: &str) -> Self {
        let (http1, http2) = (RawOrigin::start().await, TcpListener::bind("127.0.0.1:0").await.unwrap());
        let yaml = format!(
            "upstreams:
  one: {{ targets: ['{}'], timeouts: {{ first_byte: 400ms }} }}
  two: {{ targets: ['{}'], timeouts: {{ first_byte: 400ms }}, protocol: http2 }}
routes:
  - {{ name: one, match: {{ path: '/1' }}, public: true, upstream: one, timeout: 400ms, {route} }}
  - {{ name: two, match: {{ path: '/2' }}, public: true, upstream: two, timeout: 400ms, {route} }}",
            http1.address(),
            http2.local_addr().unwrap()
        );
        let gateway = Gateway::setup().workers(1).spawn(&yaml).await;
        Self { http1, http2, gateway }
    }

    /// Begins a request whose body is open, and gets it at its target.
    async fn begin(&self, (client, target): (bool, bool)) -> (Client, Target) {
        let path = if target { "/2" } else { "/1" };
        let asking = async {
            if client {
                let stream = TcpStream::connect(self.gateway.address()).await.unwrap();
                let (mut sender, connection) = within("a handshake", h2::client::handshake(stream)).await.unwrap();
                tokio::spawn(async move { connection.await.ok() });
                let request = Request::post(format!("http://a.example{path}")).body(()).unwrap();
                let (answer, sending) = sender.send_request(request, false).unwrap();
                return Client::Http2 { sending, answer: Some(answer), body: None };
            }
            let mut wire = self.gateway.wire().await;
            wire.send(format!("POST {path} HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n")).await;
            Client::Http1(wire)
        };
        let asked = async {
            if target {
                let (body, mut respond) = accept(&self.http2).await;
                // Its head waits until the test sends one.
                return Target::Http2 {
                    body,
                    answer: Box::new(move || respond.send_response(Response::new(()), false).unwrap()),
                };
            }
            Target::Http1(self.http1.request().await.0)
        };
        tokio::join!(asking, asked)
    }
}

enum Client {
    Http1(Wire),
    Http2 { sending: SendStream<Bytes>, answer: Option<ResponseFuture>, body: Option<RecvStream> },
}

impl Client {
    async fn says(&mut self, text: &'static str) {
        match self {
            Self::Http1(wire) => wire.send(chunk(text)).await,
            Self::Http2 { sending, .. } => sending.send_data(Bytes::from_static(text.as_bytes()), false).unwrap(),
        }
    }

    async fn ends(&mut self) {
        match self {
            Self::Http1(wire) => wire.send("0\r\n\r\n").await,
            Self::Http2 { sending, .. } => sending.send_data(Bytes::new(), true).unwrap(),
        }
    }

    /// The status of the answer.
    async fn is_told(&mut self) -> u16 {
        match self {
            Self::Http1(wire) => {
                let head = wire.read_until("\r\n\r\n").await;
                head.split(' ').nth(1).unwrap().parse().unwrap()
            }
            Self::Http2 { answer, body, .. } => {
                let answer = within("an answer", answer.take().unwrap()).await.unwrap();
                let status = answer.status().as_u16();
                *body = Some(answer.into_body());
                status
            }
        }
    }

    async fn hears(&mut self, text: &str) {
        match self {
            Self::Http1(wire) => drop(wire.read_until(text).await),
            Self::Http2 { body, .. } => hear(body.as_mut().unwrap(), text).await,
        }
    }

    /// Reads to the end: whether the answer is whole.
    async fn hears_the_end(&mut self) -> bool {
        match self {
            Self::Http1(wire) => {
                let mut rest = Vec::new();
                while !rest.ends_with(b"0\r\n\r\n") {
                    let next = wire.next().await;
                    if next.is_empty() {
                        return false;
                    }
                    rest.extend(next);
                }
                true
            }
            Self::Http2 { body, .. } => {
                let body = body.as_mut().unwrap();
                while let Some(piece) = within("the end", body.data()).await {
                    let Ok(piece) = piece else { return false };
                    body.flow_control().release_capacity(piece.len()).unwrap();
                }
                true
            }
        }
    }
}

/// A target with a request.
enum Target {
    Http1(Wire),
    Http2 { body: RecvStream, answer: Box<dyn FnMut() -> SendStream<Bytes> + Send> },
}

impl Target {
    /// Sends the head of an answer.
    async fn answers(self) -> Answering {
        match self {
            Self::Http1(mut wire) => {
                wire.send("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n").await;
                Answering::Http1(wire)
            }
            Self::Http2 { body, mut answer } => Answering::Http2 { body, sending: answer() },
        }
    }

    async fn hears(&mut self, text: &str) {
        match self {
            Self::Http1(wire) => drop(wire.read_until(text).await),
            Self::Http2 { body, .. } => hear(body, text).await,
        }
    }
}

/// A target whose answer has begun.
enum Answering {
    Http1(Wire),
    Http2 { body: RecvStream, sending: SendStream<Bytes> },
}

impl Answering {
    async fn says(&mut self, text: &'static str) {
        match self {
            Self::Http1(wire) => wire.send(chunk(text)).await,
            Self::Http2 { sending, .. } => sending.send_data(Bytes::from_static(text.as_bytes()), false).unwrap(),
        }
    }

    async fn hears(&mut self, text: &str) {
        match self {
            Self::Http1(wire) => drop(wire.read_until(text).await),
            Self::Http2 { body, .. } => hear(body, text).await,
        }
    }

    async fn ends(&mut self) {
        match self {
            Self::Http1(wire) => wire.send("0\r\n\r\n").await,
            Self::Http2 { sending, .. } => sending.send_data(Bytes::new(), true).unwrap(),
        }
    }

    /// Until the gateway has given the exchange up.
    async fn until_left(self) {
        match self {
            Self::Http1(mut wire) => drop(wire.rest().await),
            Self::Http2 { mut sending, .. } => {
                within("a reset", std::future::poll_fn(|cx| sending.poll_reset(cx))).await.ok();
            }
        }
    }
}

fn chunk(text: &str) -> String {
    format!("{:x}\r\n{text}\r\n", text.len())
}

async fn hear(body: &mut RecvStream, text: &str) {
    let mut heard = Vec::new();
    while !heard.windows(text.len()).any(|part| part == text.as_bytes()) {
        let piece = within("some of a body", body.data()).await.expect("more of a body").unwrap();
        body.flow_control().release_capacity(piece.len()).unwrap();
        heard.extend_from_slice(&piece);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_download_takes_as_long_as_it_comes_whoever_speaks_what() {
    let of = async |pair| {
        let stage = Stage::new("").await;
        let (mut client, target) = stage.begin(pair).await;
        client.ends().await;
        let begun = Instant::now();
        let mut target = target.answers().await;
        assert_eq!(client.is_told().await, 200, "{pair:?}");
        for _ in 0..PIECES {
            target.says("piece").await;
            client.hears("piece").await;
            sleep(PAUSE).await;
        }
        target.ends().await;
        assert!(client.hears_the_end().await, "{pair:?}");
        assert!(begun.elapsed() > TIME * 2, "{pair:?}");
    };
    join_all(PAIRS.map(of)).await;
}

/// The target reads on as it answers, as one of gRPC does: the request may take its time as well.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_goes_on_for_as_long_as_its_answer_does_whoever_speaks_what() {
    let of = async |pair| {
        let stage = Stage::new("").await;
        let (mut client, target) = stage.begin(pair).await;
        let begun = Instant::now();
        let mut target = target.answers().await;
        assert_eq!(client.is_told().await, 200, "{pair:?}");
        for _ in 0..PIECES {
            client.says("piece").await;
            target.hears("piece").await;
            sleep(PAUSE).await;
        }
        client.ends().await;
        target.says("done").await;
        target.ends().await;
        assert!(client.hears_the_end().await, "{pair:?}");
        assert!(begun.elapsed() > TIME * 2, "{pair:?}");
    };
    join_all(PAIRS.map(of)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_that_falls_silent_is_cut_after_the_idle_time_whoever_speaks_what() {
    let of = async |pair| {
        // Shorter than `first_byte`, so that nothing else can have ended it.
        let stage = Stage::new("timeouts: { idle: 200ms }").await;
        let (mut client, target) = stage.begin(pair).await;
        client.ends().await;
        let mut target = target.answers().await;
        assert_eq!(client.is_told().await, 200, "{pair:?}");
        let begun = Instant::now();
        target.says("piece").await;
        client.hears("piece").await;
        assert!(!client.hears_the_end().await, "{pair:?}: what was cut must not look whole");
        target.until_left().await;
        let took = begun.elapsed();
        assert!(took >= Duration::from_millis(195) && took < Duration::from_secs(10), "{pair:?}: {took:?}");
    };
    join_all(PAIRS.map(of)).await;
}

/// By either side, so that silence of the target alone is none.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_either_side_sends_ends_the_silence_whoever_speaks_what() {
    let of = async |pair| {
        let stage = Stage::new("timeouts: { idle: 2s }").await;
        let (mut client, target) = stage.begin(pair).await;
        let mut target = target.answers().await;
        assert_eq!(client.is_told().await, 200, "{pair:?}");
        for _ in 0..2 * PIECES {
            client.says("piece").await;
            target.hears("piece").await;
            sleep(PAUSE).await;
        }
        let silent = Instant::now();
        assert!(!client.hears_the_end().await, "{pair:?}");
        let took = silent.elapsed();
        assert!(took >= Duration::from_secs(1) && took < Duration::from_secs(10), "{pair:?}: {took:?}");
    };
    join_all(PAIRS.map(of)).await;
}

/// The time of a route is for all that comes before the head of the answer, at whatever rate it comes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upload_that_is_not_answered_within_the_routes_time_is_408_whoever_speaks_what() {
    let of = async |pair| {
        let stage = Stage::new("").await;
        let (mut client, mut target) = stage.begin(pair).await;
        let begun = Instant::now();
        client.says("piece").await;
        target.hears("piece").await;
        let uploading = async {
            while begun.elapsed() < TIME.mul_f64(0.8) {
                sleep(PAUSE / 20).await;
                client.says("piece").await;
            }
            client.is_told().await
        };
        assert_eq!(uploading.await, 408, "{pair:?}");
        let took = begun.elapsed();
        assert!(took >= TIME.mul_f64(0.8) && took < Duration::from_secs(10), "{pair:?}: {took:?}");
    };
    join_all(PAIRS.map(of)).await;
}

/// The pieces come more slowly than the head may; the time of the call bounds all of it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_of_a_plugin_gathers_an_answer_for_as_long_as_the_call_may_take() {
    let (http1, http2) = (RawOrigin::start().await, TcpListener::bind("127.0.0.1:0").await.unwrap());
    let yaml = format!(
        "upstreams:
  one: {{ targets: ['{}'], timeouts: {{ first_byte: 200ms }}, retry: {{ attempts: 1 }} }}
  two: {{ targets: ['{}'], timeouts: {{ first_byte: 200ms }}, retry: {{ attempts: 1 }}, protocol: http2 }}
routes:
  - name: page
    match: {{ path: '/**' }}
    public: true
    plugins:
      - aggregate:
          timeout: 5s
          calls: {{ one: {{ upstream: one, path: / }}, two: {{ upstream: two, path: / }} }}
          body: {{ one: '${{calls.one}}', two: '${{calls.two}}' }}",
        http1.address(),
        http2.local_addr().unwrap()
    );
    let gateway = Gateway::spawn(&yaml).await;
    let one = async {
        let mut target = http1.request().await.0;
        target.send("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 4\r\n\r\nt").await;
        sleep(Duration::from_millis(600)).await;
        target.send("rue").await;
        target
    };
    let two = async {
        let (body, mut respond) = accept(&http2).await;
        let head = Response::builder().header("content-type", "application/json").body(()).unwrap();
        let mut sending = respond.send_response(head, false).unwrap();
        sending.send_data(Bytes::from_static(b"tr"), false).unwrap();
        sleep(Duration::from_millis(600)).await;
        sending.send_data(Bytes::from_static(b"ue"), true).unwrap();
        (body, sending)
    };
    let (answer, _one, _two) = tokio::join!(async { gateway.get("/").await }, one, two);
    assert_eq!((answer.status, answer.json()), (200, serde_json::json!({ "one": true, "two": true })));
}
