//! One list of scenarios over every pair of protocols: whichever version client and target speak, a request has the same status,
//! outcome, reason and attempts, goes through the chain once and has one line in the log.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::net::SocketAddr;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use parking_lot::Mutex;
use portreeve_plugin::prelude::{
    Build, BuildError, Flow, HeaderValue, Host, LogCx, Method, Plugin, RequestCx, Result, async_trait,
};
use portreeve_tests::{Gateway, Origin, Wire, log_line, until, within};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;

/// How often each case went through the listener's chain, and was told of when it was over.
static PASSED: LazyLock<Mutex<BTreeMap<String, [u32; 2]>>> = LazyLock::new(Mutex::default);

/// Counts requests by what their query says.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Census {}

#[async_trait]
impl Plugin for Census {
    async fn on_request(&self, cx: &mut RequestCx<'_>) -> Result<Flow> {
        PASSED.lock().entry(cx.uri().query().unwrap_or_default().to_owned()).or_default()[0] += 1;
        Ok(Flow::Continue)
    }

    fn on_log(&self, cx: &LogCx<'_>) {
        PASSED.lock().entry(cx.uri().query().unwrap_or_default().to_owned()).or_default()[1] += 1;
    }
}

impl Build for Census {
    const NAME: &'static str = "census";
    type Config = Self;

    fn build(config: Self, _host: &Host) -> Result<Self, BuildError> {
        Ok(config)
    }
}

/// The client has seen the half of an answer that breaks off.
static HALF: Notify = Notify::const_new();

/// What a target does with a request for a path.
async fn over_http1(stream: TcpStream, once: Arc<Mutex<BTreeSet<String>>>) {
    let mut wire = Wire::of(stream);
    loop {
        let mut head = String::new();
        while !head.contains("\r\n\r\n") {
            let next = wire.next().await;
            if next.is_empty() {
                return;
            }
            head.push_str(&String::from_utf8_lossy(&next));
        }
        let target = head.split(' ').nth(1).unwrap_or_default().to_owned();
        let long = "x".repeat(80_000);
        match target.split('?').next().unwrap_or_default() {
            "/silent" => {
                wire.rest().await;
                return;
            }
            "/resets" => return wire.reset(),
            "/flaky" if once.lock().insert(target.clone()) => return wire.reset(),
            "/half" => {
                wire.send("HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf").await;
                HALF.notified().await;
                return wire.reset();
            }
            "/large" => wire.send(format!("HTTP/1.1 200 OK\r\nx-long: {long}\r\ncontent-length: 0\r\n\r\n")).await,
            "/fields" => {
                let fields = "x-field: 1\r\n".repeat(300);
                wire.send(format!("HTTP/1.1 200 OK\r\n{fields}content-length: 0\r\n\r\n")).await;
            }
            "/busy" => wire.send("HTTP/1.1 503 Service Unavailable\r\ncontent-length: 4\r\n\r\nbusy").await,
            "/missing" => wire.send("HTTP/1.1 404 Not Found\r\ncontent-length: 4\r\n\r\nnone").await,
            "/empty" => wire.send("HTTP/1.1 204 No Content\r\n\r\n").await,
            "/same" => wire.send("HTTP/1.1 304 Not Modified\r\netag: \"a\"\r\n\r\n").await,
            "/hints" => {
                wire.send("HTTP/1.1 103 Early Hints\r\nlink: </a.css>\r\n\r\n").await;
                wire.send("HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nfine").await;
            }
            "/hints/only" => {
                for _ in 0..20 {
                    wire.send("HTTP/1.1 103 Early Hints\r\nlink: </a.css>\r\n\r\n").await;
                }
            }
            "/early" => {
                wire.send("HTTP/1.1 413 Content Too Large\r\ncontent-length: 4\r\nconnection: close\r\n\r\nmuch").await;
                return;
            }
            _ if head.starts_with("HEAD ") => wire.send("HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\n").await,
            _ => {
                // The body has come when it ends with what every body here ends with.
                if head.starts_with("POST ") && !head.ends_with("end") && !head.contains("end\r\n0\r\n\r\n") {
                    let mut body = head.clone();
                    while !body.ends_with("end") && !body.contains("end\r\n0\r\n\r\n") {
                        let next = wire.next().await;
                        if next.is_empty() {
                            return;
                        }
                        body.push_str(&String::from_utf8_lossy(&next));
                    }
                }
                wire.send("HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nfine").await;
            }
        }
    }
}

/// The same in HTTP/2.
async fn over_http2(stream: TcpStream, once: Arc<Mutex<BTreeSet<String>>>) {
    let socket = socket2::SockRef::from(&stream).try_clone().ok();
    let Ok(mut connection) = h2::server::handshake(stream).await else { return };
    let reset = Arc::new(Notify::new());
    loop {
        let next = tokio::select! {
            next = connection.accept() => next,
            () = reset.notified() => {
                if let Some(socket) = &socket {
                    socket.set_linger(Some(Duration::ZERO)).ok();
                    socket.shutdown(std::net::Shutdown::Both).ok();
                }
                return;
            }
        };
        let Some(Ok((request, mut answer))) = next else { return };
        let (once, reset) = (once.clone(), reset.clone());
        tokio::spawn(async move {
            let (method, target) = (request.method().clone(), request.uri().path_and_query().unwrap().to_string());
            let path = request.uri().path().to_owned();
            let plain = |status: u16| Response::builder().status(status);
            let whole = |answer: &mut h2::server::SendResponse<Bytes>, status: u16, text: &'static str| {
                let head = plain(status).header("content-length", text.len()).body(()).unwrap();
                if let Ok(mut body) = answer.send_response(head, false) {
                    body.send_data(Bytes::from_static(text.as_bytes()), true).ok();
                }
            };
            match path.as_str() {
                "/silent" => std::future::pending().await,
                "/resets" => reset.notify_one(),
                "/flaky" if once.lock().insert(target) => reset.notify_one(),
                "/half" => {
                    let head = plain(200).header("content-length", 10).body(()).unwrap();
                    let mut body = answer.send_response(head, false).unwrap();
                    body.send_data(Bytes::from_static(b"half"), false).unwrap();
                    HALF.notified().await;
                    body.send_reset(h2::Reason::INTERNAL_ERROR);
                }
                "/large" => {
                    let head = plain(200).header("x-long", "x".repeat(80_000)).body(()).unwrap();
                    answer.send_response(head, true).ok();
                }
                "/fields" => {
                    let mut head = plain(200).body(()).unwrap();
                    for _ in 0..300 {
                        head.headers_mut().append("x-field", HeaderValue::from_static("1"));
                    }
                    answer.send_response(head, true).ok();
                }
                "/busy" => whole(&mut answer, 503, "busy"),
                "/missing" => whole(&mut answer, 404, "none"),
                "/empty" => drop(answer.send_response(plain(204).body(()).unwrap(), true)),
                "/same" => drop(answer.send_response(plain(304).header("etag", "\"a\"").body(()).unwrap(), true)),
                "/hints" | "/hints/only" => {
                    let times = if path == "/hints" { 1 } else { 20 };
                    for _ in 0..times {
                        answer.send_informational(plain(103).header("link", "</a.css>").body(()).unwrap()).ok();
                    }
                    if path == "/hints" {
                        whole(&mut answer, 200, "fine");
                    } else {
                        std::future::pending::<()>().await;
                    }
                }
                "/early" => {
                    whole(&mut answer, 413, "much");
                }
                _ => {
                    let mut body = request.into_body();
                    while let Some(Ok(data)) = body.data().await {
                        body.flow_control().release_capacity(data.len()).ok();
                    }
                    if method == Method::HEAD {
                        answer.send_response(plain(200).header("content-length", 4).body(()).unwrap(), true).ok();
                    } else {
                        whole(&mut answer, 200, "fine");
                    }
                }
            }
        });
    }
}

/// A target that speaks one version, on a port of its own.
async fn target(is_http2: bool, once: &Arc<Mutex<BTreeSet<String>>>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let once = once.clone();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            if is_http2 {
                tokio::spawn(over_http2(stream, once.clone()));
            } else {
                tokio::spawn(over_http1(stream, once.clone()));
            }
        }
    });
    address
}

/// What a client sends after the head.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Upload {
    Nothing,
    /// All of it, with its length.
    Announced(usize),
    /// All of it, without.
    Streamed(usize),
    /// A part of what is announced, and then nothing for as long as anybody listens.
    Stalls,
    /// A part of what is announced, and then the client leaves.
    Leaves,
}

impl Upload {
    fn bytes(self) -> Vec<u8> {
        match self {
            Self::Nothing => Vec::new(),
            Self::Announced(length) | Self::Streamed(length) => [vec![b'x'; length - 3], b"end".to_vec()].concat(),
            Self::Stalls | Self::Leaves => b"some".to_vec(),
        }
    }

    fn announced(self) -> Option<usize> {
        match self {
            Self::Announced(length) => Some(length),
            Self::Stalls | Self::Leaves => Some(100),
            Self::Nothing | Self::Streamed(_) => None,
        }
    }
}

struct Scenario {
    /// `METHOD /path`.
    request: &'static str,
    upload: Upload,
    /// What the client sees: the status, and whether the answer came whole. `None`: it has left.
    seen: Option<(u16, bool)>,
    /// What the log says: status (0: none), reason, attempts.
    logged: (u16, &'static str, u64),
}

const fn case(request: &'static str, seen: (u16, bool), logged: (u16, &'static str, u64)) -> Scenario {
    Scenario { request, upload: Upload::Nothing, seen: Some(seen), logged }
}

const fn upload(
    request: &'static str,
    upload: Upload,
    seen: Option<(u16, bool)>,
    logged: (u16, &'static str, u64),
) -> Scenario {
    Scenario { request, upload, seen, logged }
}

const SCENARIOS: &[Scenario] = &[
    case("GET /fine", (200, true), (200, "", 1)),
    case("HEAD /fine", (200, true), (200, "", 1)),
    case("GET /empty", (204, true), (204, "", 1)),
    case("GET /same", (304, true), (304, "", 1)),
    case("GET /missing", (404, true), (404, "", 1)),
    case("GET /hints", (200, true), (200, "", 1)),
    // What the target says.
    case("GET /busy", (503, true), (503, "upstream_status", 1)),
    case("GET /half", (200, false), (200, "answer_broken", 1)),
    case("GET /large", (502, true), (502, "bad_answer", 1)),
    case("GET /fields", (502, true), (502, "bad_answer", 1)),
    case("GET /hints/only", (502, true), (502, "bad_answer", 1)),
    case("GET /silent", (504, true), (504, "answer_timeout", 1)),
    case("GET /silent/try", (504, true), (504, "per_try_timeout", 1)),
    case("GET /silent/route", (504, true), (504, "deadline", 1)),
    case("POST /resets", (502, true), (502, "reset", 1)),
    case("GET /flaky", (200, true), (200, "", 2)),
    case("GET /dead", (502, true), (502, "connect_refused", 1)),
    // What the gateway says.
    case("GET /nowhere", (404, true), (404, "", 0)),
    case("DELETE /fine", (405, true), (405, "", 0)),
    case("GET /key", (401, true), (401, "", 0)),
    case("GET /own", (200, true), (200, "", 0)),
    // What the client sends.
    upload("POST /fine", Upload::Announced(5), Some((200, true)), (200, "", 1)),
    upload("POST /fine", Upload::Streamed(5), Some((200, true)), (200, "", 1)),
    upload("POST /fine", Upload::Announced(200), Some((413, true)), (413, "", 0)),
    upload("POST /fine", Upload::Streamed(200), Some((413, true)), (413, "", 1)),
    upload("POST /early", Upload::Announced(5), Some((413, true)), (413, "", 1)),
    upload("POST /fine/soon", Upload::Stalls, Some((408, true)), (408, "", 1)),
    upload("POST /fine", Upload::Leaves, None, (0, "", 1)),
];

fn yaml(folder: &str, http1: [SocketAddr; 2], http2: [SocketAddr; 2], dead: SocketAddr) -> String {
    let mut upstreams = String::new();
    let mut routes = String::new();
    for (version, [a, b], protocol) in [("one", http1, "http1"), ("two", http2, "http2")] {
        let common = format!("protocol: {protocol}");
        write!(
            upstreams,
            r#"
  any-{version}: {{ targets: ["{a}"], {common} }}
  pair-{version}: {{ targets: ["{a}", "{b}"], {common}, retry: {{ attempts: 2, on: [reset], budget: 100% }} }}
  hasty-{version}: {{ targets: ["{a}"], {common}, timeouts: {{ first_byte: 100ms }} }}
  tries-{version}: {{ targets: ["{a}"], {common}, timeouts: {{ per_try: 100ms }} }}
  dead-{version}: {{ targets: ["{dead}"], {common} }}
"#
        )
        .unwrap();
        let host = format!("{version}.test");
        let mut route = |name: &str, rest: &str, end: &str| {
            write!(routes, "\n  - {{ name: {name}-{version}, match: {{ host: {host}, {rest} }}, {end} }}").unwrap();
        };
        let limits = "limits: { body: 100B }, public: true";
        route("any", "path: \"/**\", methods: [GET, POST]", &format!("{limits}, upstream: any-{version}"));
        route("flaky", "path: /flaky", &format!("{limits}, upstream: pair-{version}"));
        route("silent", "path: /silent", &format!("{limits}, upstream: hasty-{version}"));
        route(
            "tries",
            "path: /silent/try",
            &format!("{limits}, plugins: [rewrite: {{ path: /silent }}], upstream: tries-{version}"),
        );
        route(
            "late",
            "path: /silent/route",
            &format!("{limits}, timeout: 100ms, plugins: [rewrite: {{ path: /silent }}], upstream: any-{version}"),
        );
        route("soon", "path: /fine/soon", &format!("{limits}, timeout: 200ms, upstream: any-{version}"));
        route("dead", "path: /dead", &format!("{limits}, upstream: dead-{version}"));
        route("nowhere", "path: /nowhere", "public: true, respond: { status: 404, body: none }");
        route("key", "path: /key", &format!("plugins: [key-auth: {{}}], upstream: any-{version}"));
        route("own", "path: /own", "public: true, respond: { status: 200, body: ok }");
    }
    format!(
        r#"
listeners: [{{ name: public, bind: "127.0.0.1:0", plugins: [census: {{}}] }}]
access_log: {{ to: "file:{folder}/access.log" }}
consumers: [{{ name: ada, keys: ["env:PATH"] }}]
upstreams: {upstreams}
routes: {routes}
"#
    )
}

/// What a client sees of an answer.
type Seen = Option<(u16, bool)>;

async fn ask_over_http1(gateway: &Gateway, scenario: &Scenario, host: &str, target: &str) -> Seen {
    let method = scenario.request.split(' ').next().unwrap();
    let mut wire = gateway.wire().await;
    let framing = match (scenario.upload.announced(), scenario.upload) {
        (Some(length), _) => format!("content-length: {length}\r\n"),
        (None, Upload::Nothing) => String::new(),
        (None, _) => "transfer-encoding: chunked\r\n".to_owned(),
    };
    let body = scenario.upload.bytes();
    let mut bytes = format!("{method} {target} HTTP/1.1\r\nhost: {host}\r\n{framing}\r\n").into_bytes();
    if let Upload::Streamed(length) = scenario.upload {
        bytes.extend(format!("{length:x}\r\n").as_bytes());
        bytes.extend(body);
        bytes.extend(b"\r\n0\r\n\r\n");
    } else {
        bytes.extend(body);
    }
    wire.send(bytes).await;
    if scenario.upload == Upload::Leaves {
        arrives(gateway).await;
        wire.reset();
        return None;
    }
    if target.starts_with("/half") {
        let head = wire.read_until("half").await;
        HALF.notify_one();
        return Some((head.split(' ').nth(1).unwrap().parse().unwrap(), !wire.rest().await.is_empty()));
    }
    loop {
        match wire.try_answer(method).await {
            Ok(answer) if answer.status == 103 => {}
            Ok(answer) => return Some((answer.status, true)),
            Err(_) => return Some((0, false)),
        }
    }
}

async fn ask_over_http2(gateway: &Gateway, scenario: &Scenario, host: &str, target: &str) -> Seen {
    let method = scenario.request.split(' ').next().unwrap();
    let stream = TcpStream::connect(gateway.address()).await.unwrap();
    let (sender, connection): (h2::client::SendRequest<Bytes>, _) =
        within("a handshake", h2::client::handshake(stream)).await.unwrap();
    let driven = tokio::spawn(connection);
    let mut request = Request::builder().method(method).uri(format!("http://{host}{target}"));
    if let Some(length) = scenario.upload.announced() {
        request = request.header("content-length", length);
    }
    let mut sender = within("a stream", sender.ready()).await.unwrap();
    let is_over = scenario.upload == Upload::Nothing;
    let (answer, mut out) = sender.send_request(request.body(()).unwrap(), is_over).unwrap();
    if !is_over {
        let ends = matches!(scenario.upload, Upload::Announced(_) | Upload::Streamed(_));
        out.send_data(scenario.upload.bytes().into(), ends).unwrap();
    }
    if scenario.upload == Upload::Leaves {
        arrives(gateway).await;
        driven.abort();
        return None;
    }
    let Ok(answer) = within("an answer", answer).await else { return Some((0, false)) };
    let status = answer.status().as_u16();
    let mut body = answer.into_body();
    while let Some(data) = within("a body", body.data()).await {
        let Ok(data) = data else { return Some((status, false)) };
        body.flow_control().release_capacity(data.len()).ok();
        if data == "half" {
            HALF.notify_one();
        }
    }
    Some((status, true))
}

/// Waits until a target has been asked, so that a client leaves in the middle of its request.
async fn arrives(gateway: &Gateway) {
    until("the request is under way", async || {
        let status = gateway.admin().json("/api/v1/upstreams").await;
        status.to_string().contains("\"in_flight\":1").then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_has_the_same_outcome_whichever_versions_client_and_target_speak() {
    let folder = tempfile::tempdir().unwrap();
    let once = Arc::default();
    let http1 = [target(false, &once).await, target(false, &once).await];
    let http2 = [target(true, &once).await, target(true, &once).await];
    let dead = Origin::dead("dead").await.address();
    let log = folder.path().join("access.log");
    let yaml = yaml(folder.path().to_str().unwrap(), http1, http2, dead);
    let gateway = Gateway::with_plugin::<Census>().spawn(&yaml).await;
    let mut wrong = Vec::new();
    for (number, scenario) in SCENARIOS.iter().enumerate() {
        let mut first = None;
        for (pair, (client, host)) in [(1, "one"), (1, "two"), (2, "one"), (2, "two")].into_iter().enumerate() {
            let id = format!("case={number}-{client}-{host}");
            let path = scenario.request.split(' ').nth(1).unwrap();
            let (target, host) = (format!("{path}?{id}"), format!("{host}.test"));
            let seen = match client {
                1 => ask_over_http1(&gateway, scenario, &host, &target).await,
                _ => ask_over_http2(&gateway, scenario, &host, &target).await,
            };
            let passed =
                until("it is over", async || PASSED.lock().get(&id).copied().filter(|[_, told]| *told > 0)).await;
            let lines = number * 4 + pair;
            let text = until("its line", async || {
                let text = fs::read_to_string(&log).unwrap_or_default();
                (text.matches('\n').count() > lines).then_some(text)
            })
            .await;
            let line: Value = log_line(text.lines().nth(lines).unwrap());
            let logged = (
                u16::try_from(line["status"].as_u64().unwrap_or_default()).unwrap(),
                line["reason"].as_str().unwrap_or_default().to_owned(),
                line["attempts"].as_u64().unwrap_or_default(),
            );
            let (status, reason, attempts) = scenario.logged;
            // Beside names and texts that tell the pairs apart, the lines say the same.
            let fields: BTreeMap<String, Value> = line
                .as_object()
                .unwrap()
                .iter()
                .map(|(name, value)| {
                    let is_same =
                        ["listener", "method", "path", "status", "consumer", "bytes_in"].contains(&name.as_str());
                    (name.clone(), if is_same { value.clone() } else { Value::Null })
                })
                .collect();
            let is_like_first = *first.get_or_insert_with(|| fields.clone()) == fields;
            let is_right = is_like_first
                && seen == scenario.seen
                && logged == (status, reason.to_owned(), attempts)
                && passed == [1, 1]
                && text.matches('\n').count() == lines + 1;
            if !is_right {
                let name = format!("{} {:?}, HTTP/{client} to {host}", scenario.request, scenario.upload);
                wrong.push(format!("{name}: seen {seen:?}, logged {logged:?}, chain and log {passed:?}, {line}"));
            }
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}
