//! Exchanges: what reaches a target and what comes back of it is the same whether plugins look at bodies or not, and however an
//! answer is framed.

use portreeve_plugin::prelude::*;
use portreeve_tests::{Answer, Beat, Gateway, Origin, Received};

/// Looks at request bodies, and does nothing with them.
#[derive(Debug)]
pub(crate) struct Idle;

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Nothing {}

#[async_trait]
impl Plugin for Idle {
    fn hooks(&self) -> Hooks {
        Hooks::REQUEST_BODY
    }

    async fn on_request_body(&self, _cx: &mut RequestBodyCx<'_>) -> Result<Flow> {
        Ok(Flow::Continue)
    }
}

impl Build for Idle {
    const NAME: &'static str = "idle";
    type Config = Nothing;

    fn build(_config: Nothing, _host: &Host) -> Result<Self, BuildError> {
        Ok(Self)
    }
}

/// Answers as origins give them, by path.
const ANSWERS: &[(&str, &[&str])] = &[
    ("length", &["HTTP/1.1 200 OK\r\nContent-Length: 5\r\nX-A: 1\r\nx-a: 2\r\n\r\nhello"]),
    ("slow-length", &["HTTP/1.1 200 OK\r\nCont", "ent-Length: 5\r\n\r\n", "he", "llo"]),
    ("chunks", &["HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n", "2;x=y\r\nde\r\n0\r\n\r\n"]),
    ("cut-chunks", &["HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r", "\na", "bc\r\n", "0\r\n", "\r\n"]),
    ("no-chunks", &["HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n"]),
    ("empty", &["HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"]),
    ("none", &["HTTP/1.1 204 No Content\r\nx-kept: yes\r\n\r\n"]),
    ("unchanged", &["HTTP/1.1 304 Not Modified\r\netag: \"x\"\r\n\r\n"]),
    ("reason", &["HTTP/1.1 299 Well then\r\ncontent-length: 2\r\n\r\nok"]),
    ("hops", &["HTTP/1.1 200 OK\r\nconnection: x-gone\r\nx-gone: 1\r\nkeep-alive: 5\r\ncontent-length: 2\r\n\r\nok"]),
    ("dated", &["HTTP/1.1 200 OK\r\ndate: Sun, 06 Nov 1994 08:49:37 GMT\r\nserver: it\r\ncontent-length: 2\r\n\r\nok"]),
    ("cookies", &["HTTP/1.1 200 OK\r\nset-cookie: a=1\r\nset-cookie: b=2\r\ncontent-length: 0\r\n\r\n"]),
    ("error", &["HTTP/1.1 500 Internal Server Error\r\ncontent-length: 4\r\n\r\noops"]),
    ("hints", &["HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"]),
    ("two-lengths", &["HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 3\r\n\r\nok"]),
    ("no-head", &["HTTP/1.1 200\n\n"]),
];

fn plays(received: &Received) -> Vec<Beat> {
    let name = received.target().rsplit('/').next().unwrap_or_default();
    let (_, parts) = ANSWERS.iter().find(|(known, _)| *known == name).unwrap();
    if received.method() == "HEAD" {
        // Heads alone: up to the empty line behind the last of them.
        let all = parts.concat();
        let last = all.rfind("HTTP/1.1 ").unwrap_or_default();
        let end = all.get(last..).and_then(|head| head.find("\r\n\r\n")).map_or(all.len(), |at| last + at + 4);
        return vec![Beat::write(all.get(..end).unwrap_or_default())];
    }
    let mut beats: Vec<_> = parts.iter().map(Beat::write).collect();
    if name == "no-head" {
        beats.push(Beat::Close);
    }
    beats
}

/// What is to be the same: dates and ids are not, and letter case means nothing.
fn of_answer(answer: &Answer) -> (u16, Vec<(String, String)>, String) {
    let mut fields: Vec<_> =
        answer.head.headers.iter().map(|(name, value)| (name.to_lowercase(), value.clone())).collect();
    fields.retain(|(name, _)| !matches!(name.as_str(), "date" | "x-request-id"));
    fields.sort();
    let body = if answer.is_problem() { "a problem".to_owned() } else { answer.text() };
    if answer.is_problem() {
        // The id in it is one of many, and as long as all; whether the connection lives on is told apart elsewhere.
        fields.retain(|(name, _)| name != "connection");
    }
    (answer.status, fields, body)
}

fn of_request(received: &Received) -> (String, String, Vec<(String, String)>) {
    let head = &received.head;
    let mut fields: Vec<_> = head.headers.iter().map(|(name, value)| (name.to_lowercase(), value.clone())).collect();
    fields.sort();
    let target = received.target().rsplit('/').next().unwrap_or_default().to_owned();
    (received.method().to_owned(), target, fields)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_exchange_is_the_same_whether_a_plugin_looks_at_bodies_or_not() {
    let origin = Origin::start("a").await.playing(plays);
    let gateway = Gateway::with_plugin::<Idle>()
        .workers(1)
        .spawn(&format!(
            "upstreams: {{ a: {{ targets: ['{}'], retry: {{ attempts: 1 }} }} }}
routes:
  - {{ name: plain, match: {{ path: '/plain/**' }}, public: true, upstream: a }}
  - {{ name: seen, match: {{ path: '/seen/**' }}, public: true, plugins: [idle: {{}}], upstream: a }}",
            origin.address()
        ))
        .await;
    for (name, _) in ANSWERS {
        for (method, version, fields) in [
            ("GET", "1.1", "x-b: 1\r\nX-B: 2\r\naccept: */*\r\n"),
            ("GET", "1.1", "te: trailers\r\nconnection: te, x-own\r\nx-own: 1\r\ncookie: a=1\r\n"),
            ("HEAD", "1.1", ""),
            ("DELETE", "1.1", "content-length: 0\r\n"),
            ("GET", "1.0", "connection: keep-alive\r\n"),
            ("GET", "1.0", ""),
        ] {
            let mut told = Vec::new();
            for way in ["plain", "seen"] {
                let mut wire = gateway.wire().await;
                let request = format!("{method} /{way}/{name} HTTP/{version}\r\nhost: api.example.com\r\n{fields}\r\n");
                wire.send(&request).await;
                let mut answers = vec![wire.try_answer(method).await.unwrap()];
                while answers.last().is_some_and(|answer| answer.status == 103) {
                    answers.push(wire.try_answer(method).await.unwrap());
                }
                told.push((answers.iter().map(of_answer).collect::<Vec<_>>(), of_request(&origin.last())));
            }
            assert_eq!(told.first(), told.last(), "{method} {name} in {version} with {fields:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_that_breaks_off_ends_the_connection_and_a_bad_one_does_not() {
    let origin = Origin::start("a").await;
    let gateway = Gateway::setup()
        .workers(1)
        .spawn(&format!(
            "upstreams: {{ a: {{ targets: ['{}'], retry: {{ attempts: 1 }} }} }}
routes: [{{ name: all, match: {{ path: '/**' }}, public: true, upstream: a }}]",
            origin.address()
        ))
        .await;
    let broken = [
        "HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhello",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n",
    ];
    let mut told = 0;
    for (cue, broken) in (1..).zip(broken) {
        // When the client has a part of it, and at once: then it may have nothing yet, and be told what happened.
        origin.play(move |_| vec![Beat::write(broken), Beat::Await(cue), Beat::Close]);
        let mut wire = gateway.wire().await;
        wire.send("GET / HTTP/1.1\r\nhost: x\r\n\r\n").await;
        wire.read_until("hello").await;
        origin.cue();
        assert!(
            !String::from_utf8(wire.rest().await).unwrap().contains("HTTP/1.1"),
            "nobody takes a part for the whole"
        );
        for _ in 0..20 {
            origin.play(move |_| vec![Beat::write(broken), Beat::Close]);
            let mut wire = gateway.wire().await;
            wire.send("GET / HTTP/1.1\r\nhost: x\r\n\r\n").await;
            if let Ok(answer) = wire.try_answer("GET").await {
                assert!(answer.status == 502 && answer.is_problem(), "{answer:?}");
                told += 1;
                origin.play(|_| vec![Beat::answer(200, &[], "again")]);
                wire.send("GET / HTTP/1.1\r\nhost: x\r\n\r\n").await;
                assert_eq!(wire.answer().await.text(), "again");
            }
        }
    }
    assert!(told > 0, "none was told in time");
    // For HTTP/1.0 only a reset says that more was to come.
    origin.play(|_| {
        let part = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n";
        vec![Beat::write(part), Beat::Await(3), Beat::Close]
    });
    let mut wire = gateway.wire().await;
    wire.send("GET / HTTP/1.0\r\nhost: x\r\n\r\n").await;
    wire.read_until("hello").await;
    origin.cue();
    assert!(wire.closed().await.is_err(), "a part of an answer ends like a whole one");
    // Nothing of this one went out: the client's next request is served on the same connection.
    origin.play(|_| vec![Beat::write("HTTP/1.1 200 OK\r\ncontent-length: x\r\n\r\n"), Beat::Close]);
    let mut wire = gateway.wire().await;
    wire.send("GET / HTTP/1.1\r\nhost: x\r\n\r\n").await;
    let answer = wire.answer().await;
    assert_eq!((answer.status, answer.header("connection")), (502, Some("keep-alive")));
    origin.play(|_| vec![Beat::answer(200, &[], "again")]);
    wire.send("GET / HTTP/1.1\r\nhost: x\r\n\r\n").await;
    assert_eq!(wire.answer().await.text(), "again");
}

/// Trailers go behind the last chunk, and nothing in a chunk is taken for its end.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn content_that_looks_like_the_end_of_a_message_is_content() {
    let content = "transfer-encoding: chunked\r\n\r\n0\r\nHTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nevil";
    let origin = Origin::start("a").await.playing(move |_| {
        let head = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ntrailer: x-sum\r\n\r\n";
        vec![Beat::write(format!("{head}{:x}\r\n{content}\r\n0\r\nx-sum: abc\r\n\r\n", content.len()))]
    });
    let gateway = Gateway::setup()
        .workers(1)
        .spawn(&format!(
            "upstreams: {{ a: {{ targets: ['{}'] }} }}
routes: [{{ name: all, match: {{ path: '/**' }}, public: true, upstream: a }}]",
            origin.address()
        ))
        .await;
    let mut wire = gateway.wire().await;
    wire.send("GET / HTTP/1.1\r\nhost: x\r\nte: trailers\r\nconnection: te, close\r\n\r\n").await;
    let all = String::from_utf8(wire.rest().await).unwrap();
    let (_, body) = all.split_once("\r\n\r\n").unwrap();
    assert_eq!(body, format!("{:x}\r\n{content}\r\n0\r\nx-sum: abc\r\n\r\n", content.len()));
}

/// Makes of a request and of its answer what the file says.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Twist {
    method: Option<String>,
    status: Option<u16>,
}

#[async_trait]
impl Plugin for Twist {
    fn hooks(&self) -> Hooks {
        Hooks::REQUEST | Hooks::RESPONSE
    }

    async fn on_request(&self, cx: &mut RequestCx<'_>) -> Result<Flow> {
        if let Some(method) = &self.method {
            cx.set_method(method.parse().unwrap());
        }
        Ok(Flow::Continue)
    }

    async fn on_response(&self, cx: &mut ResponseCx<'_>) -> Result<()> {
        if let Some(status) = self.status {
            cx.set_status(StatusCode::from_u16(status).unwrap());
        }
        Ok(())
    }
}

impl Build for Twist {
    const NAME: &'static str = "twist";
    type Config = Self;

    fn build(config: Self, _host: &Host) -> Result<Self, BuildError> {
        Ok(config)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_is_framed_for_what_the_client_asked_whatever_plugins_make_of_it() {
    let origin = Origin::start("a").await.playing(|received| {
        let head = "content-length: 5\r\netag: x\r\n\r\n";
        let status = if received.target() == "/unchanged" { "304 Not Modified" } else { "200 OK" };
        let body = if received.method() == "HEAD" || status.starts_with('3') { "" } else { "hello" };
        vec![Beat::write(format!("HTTP/1.1 {status}\r\n{head}{body}"))]
    });
    let gateway = Gateway::with_plugin::<Twist>()
        .workers(1)
        .spawn(&format!(
            "upstreams: {{ a: {{ targets: ['{}'] }} }}
routes:
  - {{ name: head, match: {{ path: /head }}, public: true, plugins: [twist: {{ method: HEAD }}], upstream: a }}
  - {{ name: get, match: {{ path: /get }}, public: true, plugins: [twist: {{ method: GET }}], upstream: a }}
  - {{ name: ok, match: {{ path: /unchanged }}, public: true, plugins: [twist: {{ status: 200 }}], upstream: a }}
  - {{ name: none, match: {{ path: /none }}, public: true, plugins: [twist: {{ status: 204 }}], upstream: a }}
  - {{ name: early, match: {{ path: /early }}, public: true, plugins: [twist: {{ status: 103 }}], upstream: a }}",
            origin.address()
        ))
        .await;
    // On one connection: whatever is left of an answer would be taken for the next.
    let mut wire = gateway.wire().await;
    for (method, path, told) in [
        ("GET", "/head", (200, Some("0"))),
        ("HEAD", "/get", (200, Some("5"))),
        ("GET", "/unchanged", (200, Some("0"))),
        ("GET", "/none", (204, None)),
        ("GET", "/early", (200, Some("5"))),
        ("GET", "/get", (200, Some("5"))),
    ] {
        wire.send(format!("{method} {path} HTTP/1.1\r\nhost: x\r\n\r\n")).await;
        let answer = wire.try_answer(method).await.unwrap();
        assert_eq!((answer.status, answer.header("content-length")), told, "{method} {path}: {answer:?}");
    }
}
