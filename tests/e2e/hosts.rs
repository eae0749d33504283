//! What targets are called in `Host` and `:authority`: what the client asked for, unless the upstream or the route says otherwise.

use bytes::Bytes;
use http::{Request, Response};
use portreeve_tests::{Beat, Gateway, Origin, at, within};
use serde_json::Value;
use tokio::net::{TcpListener, TcpStream};

const FILE: &str = r#"
upstreams:
  plain: { targets: ["@a"] }
  named: { targets: ["@a"], host: Named.internal. }
  checked: { targets: ["@a"], host: "checked.internal:8443", health: { http: /healthz, interval: 100ms, unhealthy_after: 1 } }
  shadow: { targets: ["@b"], host: shadow.internal }
routes:
  - { name: plain, match: { path: /plain }, public: true, upstream: plain }
  - { name: named, match: { path: /named }, public: true, upstream: named }
  - { name: checked, match: { path: /checked }, public: true, upstream: checked }
  - { name: mirrored, match: { path: /mirrored }, public: true, upstream: plain, mirror: { upstream: shadow } }
  - name: rewritten
    match: { path: "/of/{tenant}" }
    public: true
    plugins:
      - rewrite: { host: "${params.tenant}.internal" }
      - headers: { request: { set: { x-asked: "${request.host}" } }, response: { set: { x-asked: "${request.host}" } } }
    upstream: named
  - name: called
    match: { path: /called }
    public: true
    plugins:
      - aggregate: { timeout: 5s, calls: { one: { upstream: named, path: /one } }, body: "${calls.one}" }
"#;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_target_is_called_what_the_client_asked_for_unless_the_file_says_otherwise() {
    let (a, b) = (Origin::start("a").await, Origin::start("b").await);
    // Whoever checks it under another name finds it unwell.
    let name = |received: &portreeve_tests::Received| received.header("host").unwrap_or_default().to_owned();
    a.play(move |received| {
        let is_check = received.target() == "/healthz";
        let status = if is_check && name(received) != "checked.internal:8443" { 500 } else { 200 };
        vec![Beat::answer(status, &[("content-type", "application/json")], format!("{:?}", name(received)))]
    });
    let gateway = Gateway::spawn(&at(&[&a, &b], FILE)).await;
    let told = async |path: &str| {
        let answer = gateway.raw(format!("GET {path} HTTP/1.1\r\nhost: api.example.com:80\r\n\r\n")).await;
        assert_eq!(answer.status, 200, "{path}: {answer:?}");
        answer
    };
    for (path, host) in [
        ("/plain", "api.example.com:80"),
        ("/named", "named.internal"),
        ("/checked", "checked.internal:8443"),
        ("/of/acme", "acme.internal"),
        ("/called", "named.internal"),
    ] {
        assert_eq!(told(path).await.json(), Value::from(host), "{path}");
        assert_eq!(over_http2(&gateway, path).await, Value::from(host), "{path} over HTTP/2");
    }
    let rewritten = told("/of/acme").await;
    assert_eq!(rewritten.header("x-asked"), Some("api.example.com"), "`request.host` is what the client asked for");
    let received = a.last();
    assert_eq!(
        (received.header("x-asked"), received.header("x-forwarded-host")),
        (Some("api.example.com"), Some("api.example.com:80"))
    );
    let refused = gateway.raw("GET /of/a%20b HTTP/1.1\r\nhost: x\r\n\r\n").await;
    assert_eq!(refused.status, 400);
    told("/mirrored").await;
    within("the copy", async {
        while b.count() == 0 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    assert_eq!(b.last().header("host"), Some("shadow.internal"));
}

async fn over_http2(gateway: &Gateway, path: &str) -> Value {
    let stream = TcpStream::connect(gateway.address()).await.unwrap();
    let (mut sender, connection) = within("a handshake", h2::client::handshake(stream)).await.unwrap();
    tokio::spawn(async move { connection.await.ok() });
    let request = Request::get(format!("http://api.example.com:80{path}")).body(()).unwrap();
    let answer = within("an answer", sender.send_request(request, true).unwrap().0).await.unwrap();
    assert_eq!(answer.status(), 200, "{path}");
    let mut body = answer.into_body();
    let mut text = Vec::new();
    while let Some(chunk) = within("its body", body.data()).await {
        text.extend_from_slice(&chunk.unwrap());
    }
    serde_json::from_slice(&text).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_target_in_http2_is_told_its_host_as_the_authority() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut connection = h2::server::handshake(stream).await.unwrap();
                while let Some(Ok((request, mut answer))) = connection.accept().await {
                    let authority = request.uri().authority().map_or("", |authority| authority.as_str());
                    let said = format!("{authority} {:?}", request.headers().get("host"));
                    let mut body = answer.send_response(Response::new(()), false).unwrap();
                    body.send_data(Bytes::from(said), true).unwrap();
                }
            });
        }
    });
    let gateway = Gateway::spawn(&format!(
        "upstreams: {{ rpc: {{ targets: ['{address}'], protocol: http2, host: rpc.internal }} }}
routes:
  - {{ name: named, match: {{ path: /named }}, public: true, upstream: rpc }}
  - {{ name: other, match: {{ path: /other }}, public: true, plugins: [{{ rewrite: {{ host: other.internal }} }}], upstream: rpc }}"
    ))
    .await;
    for (path, said) in [("/named", "rpc.internal None"), ("/other", "other.internal None")] {
        assert_eq!(gateway.get(path).await.text(), said);
    }
}
