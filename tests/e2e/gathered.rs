//! Whole bodies of requests, which plugins have before a target is chosen: what reaches a target of them, and what does not.

use bytes::Bytes;
use h2::client::SendRequest;
use http::Request;
use portreeve_plugin::prelude::*;
use portreeve_tests::{Beat, Gateway, Origin, RawOrigin, at, until, within};
use tokio::net::TcpStream;

use crate::rpc::RpcOrigin;

/// Asks for whole bodies of at most so many bytes, and does with them what it is told to.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Gather {
    /// The most that it holds.
    max: usize,
    /// Sets this body in their place.
    #[serde(default)]
    set: Option<String>,
    /// Sets it without looking at the old one.
    #[serde(default)]
    blindly: bool,
    /// Refuses those that hold this.
    #[serde(default)]
    refuse: Option<String>,
}

const X_HAS_BODY: HeaderName = HeaderName::from_static("x-has-body");

#[async_trait]
impl Plugin for Gather {
    fn hooks(&self) -> Hooks {
        Hooks::REQUEST
    }

    fn request_fields(&self) -> RequestFields {
        RequestFields::none().sets([X_HAS_BODY])
    }

    async fn on_request(&self, cx: &mut RequestCx<'_>) -> Result<Flow> {
        let has_body = if cx.has_body() { "yes" } else { "no" };
        cx.set_header(X_HAS_BODY, HeaderValue::from_static(has_body));
        if !self.blindly {
            let body = cx.body(self.max).await?;
            let refused = self.refuse.as_deref().is_some_and(|word| find(&body, word.as_bytes()));
            if refused {
                return Ok(Reply::problem(StatusCode::UNPROCESSABLE_ENTITY, "that must not be said").into());
            }
        }
        if let Some(body) = &self.set {
            cx.set_body(body.clone());
        }
        Ok(Flow::Continue)
    }
}

fn find(body: &[u8], word: &[u8]) -> bool {
    body.windows(word.len()).any(|window| window == word)
}

impl Build for Gather {
    const NAME: &'static str = "gather";
    type Config = Self;

    fn build(config: Self, _host: &Host) -> Result<Self, BuildError> {
        Ok(config)
    }
}

/// Waits over each piece of a body, and passes it on as it is.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Patient {}

#[async_trait]
impl Plugin for Patient {
    fn hooks(&self) -> Hooks {
        Hooks::REQUEST_BODY | Hooks::RESPONSE_BODY
    }

    async fn on_request_body(&self, _cx: &mut RequestBodyCx<'_>) -> Result<Flow> {
        for _ in 0..3 {
            tokio::task::yield_now().await;
        }
        Ok(Flow::Continue)
    }

    async fn on_response_body(&self, _cx: &mut ResponseBodyCx<'_>) -> Result<()> {
        for _ in 0..3 {
            tokio::task::yield_now().await;
        }
        Ok(())
    }
}

impl Build for Patient {
    const NAME: &'static str = "patient";
    type Config = Self;

    fn build(config: Self, _host: &Host) -> Result<Self, BuildError> {
        Ok(config)
    }
}

const ROUTES: &str = r#"
upstreams: { a: { targets: ["@a"] }, copies: { targets: ["@copies"] } }
routes:
  - { name: read, match: { path: "/read/**" }, public: true, plugins: [gather: { max: 1000000 }], upstream: a }
  - name: set
    match: { path: "/set/**" }
    public: true
    plugins: [gather: { max: 1000000, set: "another body" }]
    upstream: a
    mirror: { upstream: copies }
  - name: blind
    match: { path: "/blind/**" }
    public: true
    plugins: [gather: { max: 0, blindly: true, set: "another body" }]
    upstream: a
    limits: { body: 10000B }
  - { name: empty, match: { path: "/empty/**" }, public: true, plugins: [gather: { max: 1000, set: "" }], upstream: a }
  - name: small
    match: { path: "/small/**" }
    public: true
    plugins: [gather: { max: 10, refuse: bad }, gather: { max: 1000000 }]
    upstream: a
  - name: route
    match: { path: "/route/**" }
    public: true
    plugins: [gather: { max: 1000000 }]
    upstream: a
    limits: { body: 10B }
  - name: lenient
    match: { path: "/lenient/**" }
    public: true
    plugins: [{ gather: { max: 10, set: "never" }, on_error: skip }]
    upstream: a
  - name: hurried
    match: { path: "/hurried/**" }
    public: true
    plugins: [gather: { max: 1000 }]
    upstream: a
    timeout: 200ms
  - { name: patient, match: { path: "/patient/**" }, public: true, plugins: [patient: {}], upstream: a }
"#;

struct World {
    a: Origin,
    copies: Origin,
    gateway: Gateway,
}

async fn world() -> World {
    let (a, copies) = (Origin::start("a").await, Origin::start("copies").await);
    let setup = Gateway::with_plugin::<Gather>().with_plugin::<Patient>().workers(1);
    let gateway = setup.spawn(&at(&[&a, &copies], ROUTES)).await;
    World { a, copies, gateway }
}

async fn http2(gateway: &Gateway) -> SendRequest<Bytes> {
    let stream = TcpStream::connect(gateway.address()).await.unwrap();
    let (sender, connection) = within("a handshake", h2::client::handshake(stream)).await.unwrap();
    tokio::spawn(async move { connection.await.ok() });
    sender
}

/// How a client sends a request.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Way {
    Length,
    Chunks,
    Http2,
    Http2Length,
}

const WAYS: [Way; 4] = [Way::Length, Way::Chunks, Way::Http2, Way::Http2Length];

/// Sends it so: the status of the answer.
async fn send(gateway: &Gateway, way: Way, method: &str, path: &str, fields: &[(&str, &str)], body: &[u8]) -> u16 {
    if matches!(way, Way::Length | Way::Chunks) {
        let mut head = format!("{method} {path} HTTP/1.1\r\nhost: x\r\n");
        for (name, value) in fields {
            head.extend([name, ": ", value, "\r\n"]);
        }
        let mut wire = gateway.wire().await;
        let bytes = if way == Way::Length {
            [format!("{head}content-length: {}\r\n\r\n", body.len()).as_bytes(), body].concat()
        } else {
            let mut bytes = format!("{head}transfer-encoding: chunked\r\n\r\n").into_bytes();
            for chunk in body.chunks(7_000) {
                bytes.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
                bytes.extend_from_slice(chunk);
                bytes.extend_from_slice(b"\r\n");
            }
            bytes.extend_from_slice(b"0\r\n\r\n");
            bytes
        };
        // A refused body need not be taken whole.
        return wire.send_and_hear(bytes).await.unwrap().1.status;
    }
    let mut request = Request::builder().method(method).uri(format!("http://x{path}"));
    for (name, value) in fields {
        request = request.header(*name, *value);
    }
    if way == Way::Http2Length {
        request = request.header("content-length", body.len());
    }
    let mut sender = within("a stream", http2(gateway).await.ready()).await.unwrap();
    let (answer, mut sending) = sender.send_request(request.body(()).unwrap(), false).unwrap();
    for piece in body.chunks(10_000) {
        sending.send_data(Bytes::copy_from_slice(piece), false).ok();
    }
    sending.send_data(Bytes::new(), true).ok();
    within("an answer", answer).await.unwrap().status().as_u16()
}

fn content(length: usize) -> Vec<u8> {
    b"0\r\n\r\nGET /smuggled HTTP/1.1\r\nhost: x\r\n\r\n".iter().copied().cycle().take(length).collect()
}

const OF_CONTENT: [(&str, &str); 5] = [
    ("content-md5", "a"),
    ("digest", "b"),
    ("content-digest", "c"),
    ("repr-digest", "d"),
    ("content-encoding", "gzip"),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_that_a_plugin_has_read_goes_on_with_its_length_and_all_that_its_head_says() {
    let World { a, gateway, .. } = world().await;
    for way in WAYS {
        for length in [1, 7_001, 300_000] {
            let body = content(length);
            assert_eq!(send(&gateway, way, "POST", "/read/it", &OF_CONTENT, &body).await, 200, "{way:?}");
            let received = a.last();
            assert!(received.body == body, "{way:?}: {} bytes of {length}", received.body.len());
            let framing = (received.header("content-length"), received.header("transfer-encoding"));
            assert_eq!(framing, (Some(&*length.to_string()), None), "{way:?}");
            assert_eq!(received.header("x-has-body"), Some("yes"));
            for (name, value) in OF_CONTENT {
                assert_eq!(received.header(name), Some(value), "{way:?}");
            }
        }
    }
    assert!(a.seen().iter().all(|received| received.method() == "POST"), "{:?}", a.seen().len());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_that_a_plugin_has_set_takes_the_place_of_what_was_sent_and_of_what_was_said_of_it() {
    let World { a, gateway, copies } = world().await;
    for way in WAYS {
        for (path, length) in [("/set/it", 5), ("/set/it", 100_000), ("/blind/it", 5), ("/blind/it", 9_000)] {
            assert_eq!(send(&gateway, way, "POST", path, &OF_CONTENT, &content(length)).await, 200, "{way:?}");
            let received = a.last();
            assert_eq!(received.body, b"another body", "{way:?} {path}");
            let framing = (received.header("content-length"), received.header("transfer-encoding"));
            assert_eq!(framing, (Some("12"), None), "{way:?} {path}");
            for (name, _) in OF_CONTENT {
                assert_eq!(received.header(name), None, "{way:?} {path}");
            }
        }
    }
    // The copy is of what the target got.
    until("a copy for each", async || (copies.count() == 2 * WAYS.len()).then_some(())).await;
    assert!(copies.seen().iter().all(|copy| copy.body == b"another body"), "{:?}", copies.seen());

    // One without a body gets one, and one with a body loses it.
    assert_eq!(gateway.get("/set/it").await.status, 200);
    assert_eq!(
        (a.last().body, a.last().header("x-has-body").map(str::to_owned)),
        (b"another body".to_vec(), Some("no".to_owned()))
    );
    for way in WAYS {
        assert_eq!(send(&gateway, way, "POST", "/empty/it", &[], b"something").await, 200);
        let received = a.last();
        assert_eq!((received.body.len(), received.header("content-length")), (0, Some("0")), "{way:?}");
        assert_eq!(received.header("transfer-encoding"), None);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_is_as_good_as_before_when_its_body_was_gathered_or_replaced() {
    let World { gateway, a, copies } = world().await;
    let mut wire = gateway.wire().await;
    for path in ["/read/it", "/set/it", "/blind/it", "/empty/it", "/lenient/it", "/patient/it"] {
        for body in ["content-length: 5\r\n\r\nhello", "transfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"] {
            wire.send(format!("POST {path} HTTP/1.1\r\nhost: x\r\n{body}")).await;
            let answer = wire.answer().await;
            assert_eq!((answer.status, answer.header("connection")), (200, Some("keep-alive")), "{path}");
        }
    }
    drop((a, copies));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_of_a_refused_body_reaches_a_target() {
    let World { a, gateway, .. } = world().await;
    for way in WAYS {
        assert_eq!(send(&gateway, way, "POST", "/small/it", &[], b"a bad word").await, 422, "{way:?}");
        // More than a plugin holds, and more than the route allows, however much the plugin would hold.
        for path in ["/small/it", "/route/it"] {
            assert_eq!(send(&gateway, way, "POST", path, &[], b"eleven byte").await, 413, "{way:?} {path}");
            assert_eq!(send(&gateway, way, "POST", path, &[], &content(90_000)).await, 413, "{way:?} {path}");
        }
        assert_eq!(send(&gateway, way, "POST", "/blind/it", &[], &content(10_001)).await, 413, "{way:?}");
    }
    assert_eq!(a.count(), 0);
    assert_eq!(send(&gateway, Way::Chunks, "POST", "/small/it", &[], b"a good one").await, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_longer_than_a_lenient_plugin_holds_streams_on_as_it_was() {
    let World { a, gateway, .. } = world().await;
    for way in WAYS {
        for length in [10, 11, 7_001, 300_000] {
            let body = content(length);
            assert_eq!(send(&gateway, way, "POST", "/lenient/it", &OF_CONTENT, &body).await, 200, "{way:?}");
            let received = a.last();
            let expected = if length <= 10 { b"never".to_vec() } else { body };
            assert!(received.body == expected, "{way:?}: {} bytes of {length}", received.body.len());
            if length > 10 {
                assert_eq!(received.header("digest"), Some("b"), "{way:?}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gathered_body_is_sent_again_at_any_size_it_was_allowed() {
    let yaml = r#"
upstreams:
  both: { targets: ["@bad", "@good"], balance: round_robin, retry: { attempts: 2, on: [reset, 503] } }
routes:
  - { name: read, match: { path: "/read/**" }, public: true, plugins: [gather: { max: 1000000 }], upstream: both }
  - { name: set, match: { path: "/set/**" }, public: true, plugins: [gather: { max: 1000000, set: "new" }], upstream: both }
  - { name: plain, match: { path: "/plain/**" }, public: true, upstream: both }
"#;
    let ends: [fn() -> Vec<Beat>; 3] =
        [|| vec![Beat::Close], || vec![Beat::Reset], || vec![Beat::answer(503, &[], "not now")]];
    let body = content(300_000);
    for end in ends {
        let bad = Origin::start("bad").await.playing(move |_| end());
        let good = Origin::start("good").await;
        for way in WAYS {
            // Each with a budget of retries of its own.
            let gateway = Gateway::with_plugin::<Gather>().workers(1).spawn(&at(&[&bad, &good], yaml)).await;
            let before = (bad.count(), good.count());
            for _ in 0..2 {
                assert_eq!(send(&gateway, way, "PUT", "/read/it", &[], &body).await, 200, "{way:?}");
                assert!(good.last().body == body);
                assert_eq!(good.last().header("content-length"), Some("300000"));
                assert_eq!(send(&gateway, way, "PUT", "/set/it", &[], &body).await, 200, "{way:?}");
                assert_eq!(good.last().body, b"new");
            }
            assert!(bad.count() > before.0 && good.count() == before.1 + 4, "{way:?}");
        }
        assert!(bad.seen().iter().all(|received| received.body == body || received.body == b"new"));
        // What only streams is kept up to 64 KiB, and what may have been done is not done twice.
        let gateway = Gateway::with_plugin::<Gather>().workers(1).spawn(&at(&[&bad, &good], yaml)).await;
        for (method, path) in [("PUT", "/plain/it"), ("POST", "/read/it")] {
            let mut answers = [0; 2];
            for answer in &mut answers {
                *answer = send(&gateway, Way::Length, method, path, &[], &body).await;
            }
            assert!(answers.iter().any(|status| *status >= 500), "{method} {path}: {answers:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_waits_for_leave_is_given_it_by_the_gateway_when_a_plugin_wants_the_body() {
    let World { a, gateway, .. } = world().await;
    for (path, expected) in [("/read/it", "hello"), ("/set/it", "another body"), ("/blind/it", "another body")] {
        let mut wire = gateway.wire().await;
        let before = a.count();
        let fields = "host: x\r\nexpect: 100-continue\r\ncontent-length: 5\r\n\r\n";
        wire.send(format!("POST {path} HTTP/1.1\r\n{fields}")).await;
        assert_eq!(wire.read_until("\r\n\r\n").await, "HTTP/1.1 100 Continue\r\n\r\n");
        assert_eq!(a.count(), before, "nobody is asked before the body is there");
        wire.send("hello").await;
        let answer = wire.answer().await;
        assert_eq!((answer.status, answer.header("connection")), (200, Some("keep-alive")), "{path}");
        assert_eq!((a.last().body, a.last().header("expect")), (expected.as_bytes().to_vec(), None));
    }
    // By its head alone it is refused without being asked for.
    for path in ["/small/it", "/route/it"] {
        let mut wire = gateway.wire().await;
        let fields = "host: x\r\nexpect: 100-continue\r\ncontent-length: 11\r\n\r\n";
        wire.send(format!("POST {path} HTTP/1.1\r\n{fields}")).await;
        let answer = wire.answer().await;
        assert_eq!((answer.status, answer.header("connection")), (413, Some("close")), "{path}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_that_breaks_off_is_malformed_or_late_ends_the_request_before_a_target_is_asked() {
    let World { a, gateway, .. } = world().await;
    for path in ["/read/it", "/set/it", "/blind/it", "/lenient/it"] {
        let mut wire = gateway.wire().await;
        wire.send(format!("POST {path} HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\nz\r\n"))
            .await;
        let answer = wire.answer().await;
        assert_eq!((answer.status, answer.header("connection")), (400, Some("close")), "{path}");

        let mut wire = gateway.wire().await;
        wire.send(format!("POST {path} HTTP/1.1\r\nhost: x\r\ncontent-length: 9\r\n\r\nabc")).await;
        wire.finish().await;
        // Whoever breaks off a request is told nothing of it.
        assert_eq!(String::from_utf8_lossy(&wire.rest().await), "", "{path}");

        let sender = http2(&gateway).await;
        let request = Request::post(format!("http://x{path}")).body(()).unwrap();
        let (answer, mut sending) =
            within("a stream", sender.ready()).await.unwrap().send_request(request, false).unwrap();
        sending.send_data(Bytes::from_static(b"abc"), false).unwrap();
        sending.send_reset(h2::Reason::CANCEL);
        assert!(within("the end of it", answer).await.is_err(), "{path}");
    }
    let mut wire = gateway.wire().await;
    wire.send("POST /hurried/it HTTP/1.1\r\nhost: x\r\ncontent-length: 9\r\n\r\nabc").await;
    assert_eq!(wire.answer().await.status, 408);
    let sender = http2(&gateway).await;
    let request = Request::post("http://x/hurried/it").body(()).unwrap();
    let (answer, _sending) = within("a stream", sender.ready()).await.unwrap().send_request(request, false).unwrap();
    assert_eq!(within("an answer", answer).await.unwrap().status(), 408);
    assert_eq!(a.count(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_follows_a_gathered_body_still_follows_it() {
    let origin = RawOrigin::start().await;
    let yaml = ROUTES.replace("@a", &origin.address().to_string()).replace("@copies", &origin.address().to_string());
    let gateway = Gateway::with_plugin::<Gather>().with_plugin::<Patient>().workers(1).spawn(&yaml).await;
    let mut client = gateway.wire().await;
    client
        .send(
            "POST /read/it HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nx-sum: 1\r\n\r\n",
        )
        .await;
    let (mut target, mut came) = origin.request().await;
    while !came.ends_with("x-sum: 1\r\n\r\n") {
        came.push_str(&target.read_until("\n").await);
    }
    let (head, body) = came.split_once("\r\n\r\n").unwrap();
    assert!(head.to_ascii_lowercase().contains("transfer-encoding: chunked"), "{head}");
    assert_eq!(body, "3\r\nabc\r\n0\r\nx-sum: 1\r\n\r\n");
    target.send("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await;
    assert_eq!(client.answer().await.text(), "ok");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gathered_body_reaches_a_target_in_http_2() {
    let rpc = RpcOrigin::start().await;
    let yaml = ROUTES
        .replace(r#"a: { targets: ["@a"] }"#, &format!("a: {{ targets: ['{}'], protocol: http2 }}", rpc.address()));
    let yaml = yaml.replace("@copies", &rpc.address().to_string());
    let gateway = Gateway::with_plugin::<Gather>().with_plugin::<Patient>().workers(1).spawn(&yaml).await;
    for way in WAYS {
        for length in [1, 300_000] {
            let status = send(&gateway, way, "POST", "/read/Unary", &[], &content(length)).await;
            let head = rpc.heads().pop().unwrap();
            let announced = head.headers.get("content-length").and_then(|length| length.to_str().ok());
            assert_eq!((status, announced), (200, Some(&*length.to_string())), "{way:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_hook_may_wait() {
    let World { a, gateway, .. } = world().await;
    for way in WAYS {
        let body = content(100_000);
        assert_eq!(send(&gateway, way, "POST", "/patient/it", &[], &body).await, 200, "{way:?}");
        assert!(a.last().body == body, "{way:?}");
    }
    a.play(|_| vec![Beat::answer(200, &[], "x".repeat(100_000))]);
    assert_eq!(within("an answer", async { gateway.get("/patient/it").await }).await.body.len(), 100_000);
}

/// Signs what goes out, and changes it as well where the chain has an earlier hook.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Sign {}

const X_SIGNED: HeaderName = HeaderName::from_static("x-signed");
const X_ATTEMPT: HeaderName = HeaderName::from_static("x-attempt");

#[async_trait]
impl Plugin for Sign {
    fn hooks(&self) -> Hooks {
        Hooks::SEND
    }

    fn request_fields(&self) -> RequestFields {
        RequestFields::none().sets([X_SIGNED])
    }

    fn on_send(&self, cx: &mut UpstreamCx<'_>) -> Result<()> {
        let attempt = cx.headers().get(&X_ATTEMPT).and_then(|value| value.to_str().ok()).unwrap_or("none");
        let (authority, path) = (cx.authority().unwrap_or_default(), cx.uri().path());
        let length = cx.body().map_or(0, Bytes::len);
        let signed = format!("{} {authority} {path} {attempt} {length}", cx.method());
        cx.set_header(X_SIGNED, HeaderValue::from_str(&signed)?);
        Ok(())
    }
}

impl Build for Sign {
    const NAME: &'static str = "sign";
    type Config = Self;

    fn build(config: Self, _host: &Host) -> Result<Self, BuildError> {
        Ok(config)
    }
}

/// Numbers the attempts, and says so in path and field.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Number {}

impl Plugin for Number {
    fn hooks(&self) -> Hooks {
        Hooks::UPSTREAM_REQUEST
    }

    fn request_fields(&self) -> RequestFields {
        RequestFields::none().sets([X_ATTEMPT])
    }

    fn on_upstream_request(&self, cx: &mut UpstreamCx<'_>) -> Result<()> {
        let number = cx.attempt();
        cx.set_header(X_ATTEMPT, HeaderValue::from(number));
        cx.set_path_and_query(format!("/try/{number}").parse()?);
        Ok(())
    }
}

impl Build for Number {
    const NAME: &'static str = "number";
    type Config = Self;

    fn build(config: Self, _host: &Host) -> Result<Self, BuildError> {
        Ok(config)
    }
}

/// The step that signs stands before the one that changes, in the listener's chain at that.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_last_hook_sees_each_attempt_as_it_goes_out_wherever_its_step_stands() {
    let yaml = r#"
listeners: [{ name: public, bind: "127.0.0.1:0", plugins: [sign: {}] }]
upstreams:
  both: { targets: ["@bad", "@good"], host: signed.test, retry: { attempts: 2, on: [503] } }
routes:
  - name: all
    match: { path: "/**" }
    public: true
    plugins: [gather: { max: 1000 }, number: {}]
    upstream: both
"#;
    let bad = Origin::start("bad").await.playing(|_| vec![Beat::answer(503, &[], "not now")]);
    let good = Origin::start("good").await;
    let setup = Gateway::with_plugin::<Gather>().with_plugin::<Sign>().with_plugin::<Number>().workers(1);
    let gateway = setup.spawn(&at(&[&bad, &good], yaml)).await;
    for way in WAYS {
        for _ in 0..2 {
            assert_eq!(send(&gateway, way, "PUT", "/it", &[("x-signed", "forged")], b"hello").await, 200, "{way:?}");
        }
        let received = good.last();
        let attempt = received.header("x-attempt").unwrap();
        assert_eq!(received.target(), format!("/try/{attempt}"));
        assert_eq!(received.header("host"), Some("signed.test"));
        let expected = format!("PUT signed.test /try/{attempt} {attempt} 5");
        assert_eq!(received.head.all("x-signed").collect::<Vec<_>>(), [expected], "{way:?}");
    }
    assert!(bad.seen().iter().all(|received| received.header("x-signed").is_some()));
}
