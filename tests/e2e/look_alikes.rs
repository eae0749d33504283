//! What strangers say in the name of the gateway reaches no target, however it is spelt and whichever way the request goes.

use bytes::Bytes;
use http::Request;
use portreeve_plugin::prelude::*;
use portreeve_tests::{Gateway, Origin, at, until, within};
use proptest::prelude::Strategy;
use proptest::strategy::ValueTree;
use proptest::test_runner::{Config, TestRunner};
use tokio::net::TcpStream;

/// A plugin of somebody else: it sets `x-badge`, and says so.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Badge {}

const X_BADGE: HeaderName = HeaderName::from_static("x-badge");

#[async_trait]
impl Plugin for Badge {
    fn request_fields(&self) -> RequestFields {
        RequestFields::none().sets([X_BADGE])
    }

    fn on_upstream_request(&self, cx: &mut UpstreamCx<'_>) -> Result<()> {
        cx.set_header(X_BADGE, HeaderValue::from_static("ours"));
        Ok(())
    }

    fn hooks(&self) -> Hooks {
        Hooks::UPSTREAM_REQUEST
    }
}

impl Build for Badge {
    const NAME: &'static str = "badge";
    type Config = Self;

    fn build(config: Self, _host: &Host) -> Result<Self, BuildError> {
        Ok(config)
    }
}

/// Names that a target believes of the gateway, or of nobody, behind this file.
const TAKEN: [&str; 26] = [
    "x-tenant",
    "x-tenants",
    "x-groups",
    "x-badge",
    "x-call",
    "forwarded",
    "x-forwarded-for",
    "x-forwarded-proto",
    "x-forwarded-prefix",
    "x-forwarded-user",
    "x-forwarded-anything",
    "x-real-ip",
    "x-user-id",
    "x-consumer-id",
    "remote-user",
    "x-remote-user",
    "x-auth-request-email",
    "x-original-url",
    "x-rewrite-url",
    "x-http-method-override",
    "true-client-ip",
    "cf-connecting-ip",
    "x-ssl-client-s-dn",
    "client-cert",
    "x-goog-iap-jwt-assertion",
    "x-ms-client-principal-name",
];

/// Names that pass as they stand here, and in no other spelling.
const READ: [&str; 5] = ["x-api-key", "x-plan", "x-beta", "x-debug", "accept-language"];

const YAML: &str = r#"
upstreams:
  main: { targets: ["@main"] }
  shadow: { targets: ["@shadow"] }
consumers: [{ name: ada, keys: ["file:FOLDER/key"] }]
routes:
  - { name: open, match: { path: /open }, public: true, upstream: main, mirror: { upstream: shadow } }
  - { name: beta, match: { path: /beta, headers: { x-beta: "1" } }, public: true, upstream: main }
  - name: guarded
    match: { path: /guarded }
    plugins:
      - key-auth: { forward_key: true }
      - headers:
          request:
            set: { x-tenant: "ours", x-groups: "${consumer.groups:-none}" }
            remove: [x-debug]
      - headers: { request: { set: { x-tenants: "${request.headers.x-tenant}" } } }
      - badge: {}
    upstream: main
  - name: limited
    match: { path: /limited }
    public: true
    plugins: [rate-limit: { by: "${request.headers.x-plan:-none}", limit: { rate: 100000/s } }]
    upstream: main
  - name: view
    match: { path: /view }
    public: true
    plugins:
      - aggregate:
          timeout: 5s
          forward_headers: [accept-language]
          calls: { main: { upstream: main, path: /called, headers: { x-call: ours } } }
          body: { main: "${calls.main}" }
"#;

/// A name in some spelling, and whether it may reach a target.
fn field() -> impl Strategy<Value = (String, bool)> {
    let names = proptest::sample::select(TAKEN.into_iter().chain(READ).collect::<Vec<_>>());
    let separators = proptest::collection::vec(proptest::sample::select(vec!['-', '-', '_', '.']), 6);
    let letters = proptest::collection::vec(proptest::bool::ANY, 8);
    (names, separators, letters).prop_map(|(name, separators, letters)| {
        let (mut separators, mut letters) = (separators.into_iter().cycle(), letters.into_iter().cycle());
        let spell = |c: char| match c {
            '-' => separators.next().unwrap(),
            c if letters.next().unwrap() => c.to_ascii_uppercase(),
            c => c,
        };
        let spelt: String = name.chars().map(spell).collect();
        let passes = READ.contains(&spelt.to_ascii_lowercase().as_str());
        (spelt, passes)
    })
}

fn is_of_class(name: &str) -> bool {
    let normal = name.to_ascii_lowercase().replace(['_', '.'], "-");
    TAKEN.contains(&normal.as_str()) || READ.contains(&normal.as_str())
}

/// What of the forged fields has come to an origin.
fn arrived(origin: &Origin) -> Vec<String> {
    let forged = |(name, value): &(String, String)| is_of_class(name) && value.contains("forged");
    let heads = origin.seen();
    let fields = heads.iter().flat_map(|received| received.head.headers.iter().cloned()).filter(forged);
    fields.map(|(name, _)| name.to_ascii_lowercase()).collect()
}

async fn http2(gateway: &Gateway, path: &str, more: &str, fields: &[(String, bool)]) {
    let stream = TcpStream::connect(gateway.address()).await.unwrap();
    let (mut sender, connection): (h2::client::SendRequest<Bytes>, _) =
        within("a handshake", h2::client::handshake(stream)).await.unwrap();
    let driven = tokio::spawn(connection);
    let mut request = Request::builder().uri(format!("http://a.test{path}")).header("x-harmless", "kept");
    for (name, value) in more.lines().filter_map(|line| line.split_once(": ")) {
        request = request.header(name, value);
    }
    for (name, _) in fields {
        request = request.header(name.to_ascii_lowercase(), "forged");
    }
    let (answer, _) = sender.send_request(request.body(()).unwrap(), true).unwrap();
    within("an answer", answer).await.unwrap();
    driven.abort();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_that_a_stranger_forges_reaches_a_target_on_any_way() {
    let (main, shadow) = (Origin::start("main").await, Origin::start("shadow").await);
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("key"), "key-of-ada-0123456789").unwrap();
    let yaml = YAML.replace("FOLDER", folder.path().to_str().unwrap());
    let gateway = Gateway::with_plugin::<Badge>().spawn(&at(&[&main, &shadow], &yaml)).await;
    let mut runner = TestRunner::new_with_rng(
        Config::default(),
        proptest::test_runner::TestRng::deterministic_rng(proptest::test_runner::RngAlgorithm::ChaCha),
    );
    let strategy = proptest::collection::vec(field(), 1..10);
    let upgrade =
        "connection: upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\nsec-websocket-key: eA==\r\n";
    let mut mirrored = 0;
    for round in 0..150 {
        let fields = strategy.new_tree(&mut runner).unwrap().current();
        let (path, more) = match round % 6 {
            0 => ("/open", ""),
            1 => ("/guarded", "x-api-key: key-of-ada-0123456789\r\n"),
            2 => ("/limited", ""),
            3 => ("/view", ""),
            4 => ("/open", upgrade),
            _ => ("/beta", "x-beta: 1\r\n"),
        };
        let is_in_front = |name: &str| more.starts_with(&name.to_ascii_lowercase());
        let fields: Vec<_> = fields.into_iter().filter(|(name, _)| !is_in_front(name)).collect();
        let (before, before_shadow) = (main.count(), shadow.count());
        if round / 6 % 2 == 1 && more != upgrade {
            http2(&gateway, path, more, &fields).await;
        } else {
            let lines: Vec<_> = fields.iter().map(|(name, _)| format!("{name}: forged\r\n")).collect();
            let lines = lines.concat();
            let head = format!("GET {path} HTTP/1.1\r\nhost: a.test\r\nx-harmless: kept\r\n{more}{lines}\r\n");
            let mut client = gateway.wire().await;
            client.send(head).await;
            client.answer().await;
        }
        assert_eq!(main.count(), before + 1, "{path}, {fields:?}");
        let last = main.last();
        if path == "/view" {
            assert_eq!(last.header("x-call"), Some("ours"));
        } else {
            assert_eq!(last.header("x-harmless"), Some("kept"), "{path}");
        }
        if path == "/guarded" {
            for (name, value) in
                [("x-tenant", "ours"), ("x-tenants", "ours"), ("x-groups", "none"), ("x-badge", "ours")]
            {
                assert_eq!(last.head.all(name).collect::<Vec<_>>(), [value], "{name}");
            }
        }
        if path == "/open" && !more.contains("upgrade") {
            mirrored += 1;
            until("a copy", async || (shadow.count() > before_shadow).then_some(())).await;
        }
        for name in arrived(&main).into_iter().chain(arrived(&shadow)) {
            assert!(READ.contains(&name.as_str()), "{name} has come to a target: round {round}, {path}, {fields:?}");
        }
    }
    assert!(mirrored > 10);
    // What is let through is, so that the test would see it.
    let came = arrived(&main);
    assert!(READ.iter().all(|name| came.iter().any(|came| came == name)), "{came:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_field_that_a_step_reads_from_clients_passes_and_one_it_has_set_before_does_not() {
    let origin = Origin::start("main").await;
    let yaml = r#"
upstreams: { main: { targets: ["@main"] } }
routes:
  - name: passes
    match: { path: /passes }
    public: true
    plugins:
      - headers: { request: { set: { x-http-method-override: "${request.headers.x-http-method-override}" } } }
      - headers: { request: { set: { x-team: "of ${request.headers.x-claimed}" } } }
      - rate-limit: { by: "${request.headers.x-team}", limit: { rate: 1000/s } }
    upstream: main
  - { name: open, match: { path: /open }, public: true, upstream: main }
"#;
    let gateway = Gateway::spawn(&at(&[&origin], yaml)).await;
    for path in ["/passes", "/open"] {
        let fields = "x-http-method-override: DELETE\r\nX_HTTP_Method_Override: PUT\r\nx-claimed: a\r\nx-team: b\r\n";
        gateway.raw(format!("GET {path} HTTP/1.1\r\nhost: a.test\r\n{fields}\r\n")).await;
        let last = origin.last();
        let overrides: Vec<_> =
            last.head.headers.iter().filter(|(name, _)| name.to_ascii_lowercase().contains("override")).collect();
        assert_eq!(overrides.len(), 1, "{overrides:?}");
        assert_eq!(last.header("x-http-method-override"), Some("DELETE"));
        assert_eq!(last.header("x-team"), (path == "/passes").then_some("of a"));
    }
}
