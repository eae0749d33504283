//! TLS and HTTP/2 towards targets: who is verified, who is shown what, and which pools may share a connection.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use portreeve_tests::{Answer, Authority, Certificate, Certificates, Gateway, until};
use serde_json::json;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::{RootCertStore, ServerConfig};

use crate::rpc::{RpcClient, RpcOrigin};

/// A TLS server's side of a handshake: its certificate, whose client certificates it wants, what it speaks.
pub(crate) fn acceptor(own: &Certificate, clients: Option<&Authority>, alpn: &[&[u8]]) -> TlsAcceptor {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let config = ServerConfig::builder_with_provider(provider.clone()).with_safe_default_protocol_versions().unwrap();
    let config = match clients {
        None => config.with_no_client_auth(),
        Some(authority) => {
            let mut roots = RootCertStore::empty();
            roots.add(CertificateDer::from_pem_slice(authority.pem().as_bytes()).unwrap()).unwrap();
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build().unwrap();
            config.with_client_cert_verifier(verifier)
        }
    };
    let chain = vec![CertificateDer::from_pem_slice(own.pem.as_bytes()).unwrap()];
    let key = PrivateKeyDer::from_pem_slice(own.key.as_bytes()).unwrap();
    let mut config = config.with_single_cert(chain, key).unwrap();
    config.alpn_protocols = alpn.iter().map(|protocol| protocol.to_vec()).collect();
    TlsAcceptor::from(Arc::new(config))
}

/// A server of HTTP/1.1 over TLS that answers with what it was told: `{"sni", "alpn", "client", "path", "host"}`.
pub(crate) struct TlsOrigin {
    pub(crate) address: SocketAddr,
    handshakes: Arc<AtomicUsize>,
    _serving: JoinSet<()>,
}

impl TlsOrigin {
    pub(crate) async fn start(tls: TlsAcceptor) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let handshakes = Arc::new(AtomicUsize::new(0));
        let (mut serving, counted) = (JoinSet::new(), handshakes.clone());
        serving.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let (tls, counted) = (tls.clone(), counted.clone());
                connections.spawn(async move {
                    let Ok(stream) = tls.accept(stream).await else { return };
                    counted.fetch_add(1, Ordering::SeqCst);
                    let connection = stream.get_ref().1;
                    let told = json!({
                        "sni": connection.server_name(),
                        "alpn": connection.alpn_protocol().map(|alpn| String::from_utf8_lossy(alpn).into_owned()),
                        "client": connection.peer_certificates().is_some(),
                    });
                    serve(BufReader::new(stream), told).await;
                });
            }
        });
        Self { address, handshakes, _serving: serving }
    }

    fn handshakes(&self) -> usize {
        self.handshakes.load(Ordering::SeqCst)
    }
}

async fn serve(mut stream: impl AsyncBufReadExt + AsyncWriteExt + Unpin, mut told: serde_json::Value) {
    loop {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            if !stream.read_line(&mut head).await.is_ok_and(|n| n > 0) {
                return;
            }
        }
        told["path"] = head.split(' ').nth(1).into();
        told["host"] =
            head.lines().find_map(|line| line.to_lowercase().strip_prefix("host: ").map(str::to_owned)).into();
        let body = told.to_string();
        let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len());
        if stream.write_all(answer.as_bytes()).await.is_err() || stream.flush().await.is_err() {
            return;
        }
    }
}

/// An upstream `a` at the origin with these settings, and a route to it.
fn one(address: impl std::fmt::Display, settings: &str) -> String {
    format!(
        "upstreams: {{ a: {{ targets: [\"{address}\"], {settings} }} }}\n\
         routes: [{{ name: a, match: {{ path: '/**' }}, public: true, upstream: a }}]\n"
    )
}

fn is_bare_502(answer: &Answer) -> bool {
    let text = answer.text();
    answer.status == 502 && answer.is_problem() && !text.contains("127.0.0.1") && !text.to_lowercase().contains("cert")
}

/// An authority, its file, and an origin with its certificate for users.test and localhost.
async fn verified() -> (Authority, Certificates, TlsOrigin) {
    let (authority, files) = (Authority::new("ours"), Certificates::new());
    files.write("ca.crt", authority.pem());
    let own = authority.certify(&["users.test", "localhost"]);
    let origin = TlsOrigin::start(acceptor(&own, None, &[b"http/1.1"])).await;
    (authority, files, origin)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_target_is_asked_over_tls_by_the_name_its_certificate_is_for() {
    let (_authority, files, origin) = verified().await;
    let ca = files.path("ca.crt");
    let named = format!("tls: {{ sni: users.test, ca: '{}' }}", ca.display());
    let gateway = Gateway::spawn(&one(origin.address, &named)).await;
    let answer = gateway.get("/x").await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let told = answer.json();
    assert_eq!(
        (&told["sni"], &told["alpn"], &told["client"]),
        (&json!("users.test"), &json!("http/1.1"), &json!(false))
    );
    // The client's own host goes on as it came.
    assert_eq!(told["host"], gateway.address().to_string());
    // Without `sni` it is the name of the target.
    let by_name = format!("tls: {{ ca: '{}' }}", ca.display());
    let address = format!("localhost:{}", origin.address.port());
    let answer = Gateway::spawn(&one(address, &by_name)).await.get("/").await;
    assert_eq!((answer.status, &answer.json()["sni"]), (200, &json!("localhost")));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_target_that_cannot_prove_who_it_is_gets_no_request() {
    let (_authority, files, origin) = verified().await;
    files.write("other.crt", Authority::new("somebody else").pem());
    let of = |settings: &str| one(origin.address, &settings.replace('@', files.path("").to_str().unwrap()));
    for settings in [
        // Another authority; another name; nobody the system knows.
        "tls: { sni: users.test, ca: '@other.crt' }",
        "tls: { sni: orders.test, ca: '@ca.crt' }",
        "tls: { sni: users.test }",
    ] {
        let answer = Gateway::spawn(&of(settings)).await.get("/").await;
        assert!(is_bare_502(&answer), "{settings}: {answer:?}");
    }
    assert_eq!(origin.handshakes(), 0);
    let unverified = Gateway::spawn(&of("tls: { sni: orders.test, verify: false }")).await;
    assert_eq!(unverified.get("/").await.status, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_gateway_shows_its_certificate_to_a_target_that_asks() {
    let (authority, files) = (Authority::new("ours"), Certificates::new());
    files.write("ca.crt", authority.pem());
    files.put("gateway", &authority.certify(&["gateway.test"]));
    let origin = TlsOrigin::start(acceptor(&authority.certify(&["users.test"]), Some(&authority), &[])).await;
    let of = |settings: &str| {
        let settings = format!("tls: {{ sni: users.test, ca: '@ca.crt'{settings} }}");
        one(origin.address, &settings.replace('@', files.path("").to_str().unwrap()))
    };
    let answer = Gateway::spawn(&of(", cert: '@gateway.crt', key: '@gateway.key'")).await.get("/").await;
    assert_eq!((answer.status, &answer.json()["client"]), (200, &json!(true)));
    let answer = Gateway::spawn(&of("")).await.get("/").await;
    assert!(is_bare_502(&answer), "{answer:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pools_with_other_authorities_never_share_a_connection() {
    let (_authority, files, origin) = verified().await;
    files.write("other.crt", Authority::new("somebody else").pem());
    let yaml = r#"
upstreams:
  good: { targets: ["ADDRESS"], tls: { sni: users.test, ca: '@ca.crt' } }
  bad: { targets: ["ADDRESS"], tls: { sni: users.test, ca: '@other.crt' } }
routes:
  - { name: good, match: { path: /good }, public: true, upstream: good }
  - { name: bad, match: { path: /bad }, public: true, upstream: bad }
"#;
    let yaml = yaml.replace("ADDRESS", &origin.address.to_string()).replace('@', files.path("").to_str().unwrap());
    let gateway = Gateway::setup().workers(1).spawn(&yaml).await;
    for _ in 0..3 {
        assert_eq!(gateway.get("/good").await.status, 200);
        assert!(is_bare_502(&gateway.get("/bad").await));
    }
    assert_eq!(origin.handshakes(), 1, "the good one keeps its connection");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rotated_authority_counts_from_the_next_request_on() {
    let (authority, files, origin) = verified().await;
    let yaml = one(origin.address, &format!("tls: {{ sni: users.test, ca: '{}' }}", files.path("ca.crt").display()));
    let gateway = Gateway::setup().workers(1).spawn(&yaml).await;
    assert_eq!(gateway.get("/").await.status, 200);
    files.write("ca.crt", Authority::new("the next").pem());
    gateway.reload(&yaml).await.unwrap();
    // The connection that the old one vouched for is not used again.
    assert!(is_bare_502(&gateway.get("/").await));
    files.write("ca.crt", "not a certificate");
    let refused = gateway.reload(&yaml).await.unwrap_err();
    assert!(refused.contains("upstreams.a.tls.ca: ") && refused.contains("no certificate in PEM form"), "{refused}");
    assert!(is_bare_502(&gateway.get("/").await));
    files.write("ca.crt", authority.pem());
    gateway.reload(&yaml).await.unwrap();
    assert_eq!(gateway.get("/").await.status, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_wrong_with_tls_is_told_with_its_place() {
    let refused =
        Gateway::setup().try_spawn(&one("127.0.0.1:1", "tls: { ca: none.crt }")).await.unwrap_err().to_string();
    for expected in [
        ": upstreams.a.tls: whose certificate is expected of 127.0.0.1:1? Name it: sni: users.example.com",
        ": upstreams.a.tls.ca: ",
        "none.crt: no such file",
    ] {
        assert!(refused.contains(expected), "{refused}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn health_checks_and_calls_of_plugins_go_over_tls_as_well() {
    let (_authority, files, origin) = verified().await;
    files.write("other.crt", Authority::new("somebody else").pem());
    let yaml = r#"
upstreams:
  good: { targets: ["ADDRESS"], tls: { sni: users.test, ca: '@ca.crt' }, health: { http: /up, interval: 20ms, timeout: 20s, unhealthy_after: 1 } }
  bad: { targets: ["ADDRESS"], tls: { sni: users.test, ca: '@other.crt' }, health: { http: /up, interval: 20ms, timeout: 20s, unhealthy_after: 1 } }
routes:
  - name: calls
    match: { path: /calls }
    public: true
    plugins: [aggregate: { calls: { it: { upstream: good, path: /called } }, body: { it: "${calls.it}" } }]
"#;
    let yaml = yaml.replace("ADDRESS", &origin.address.to_string()).replace('@', files.path("").to_str().unwrap());
    let gateway = Gateway::spawn(&yaml).await;
    let admin = gateway.admin();
    until("the bad one is out", async || (admin.target("bad", origin.address).await["healthy"] == false).then_some(()))
        .await;
    assert_eq!(admin.target("good", origin.address).await["healthy"], true);
    let answer = gateway.get("/calls").await;
    let told = &answer.json()["it"];
    assert_eq!(
        (answer.status, &told["sni"], &told["path"]),
        (200, &json!("users.test"), &json!("/called")),
        "{answer:?}"
    );
    assert_eq!(told["host"], format!("users.test:{}", origin.address.port()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn http2_is_agreed_on_in_the_handshake_and_nothing_else_will_do() {
    let (authority, files) = (Authority::new("ours"), Certificates::new());
    files.write("ca.crt", authority.pem());
    let own = authority.certify(&["users.test"]);
    let settings = format!("protocol: http2, tls: {{ sni: users.test, ca: '{}' }}", files.path("ca.crt").display());
    let origin = RpcOrigin::start_tls(acceptor(&own, None, &[b"h2"])).await;
    let gateway = Gateway::setup().workers(1).spawn(&one(origin.address(), &settings)).await;
    // Also for a client of HTTP/1.1: what it sends is put into HTTP/2.
    for _ in 0..3 {
        let answer = gateway.ask("POST", "/echo/Unary?x=1").body("ada").await;
        assert_eq!((answer.status, answer.text().as_str()), (200, "ada"), "{answer:?}");
    }
    let heads = origin.heads();
    assert_eq!(heads[0].uri.to_string(), format!("https://{}/echo/Unary?x=1", gateway.address()));
    assert!(!heads[0].headers.contains_key("host") && !heads[0].headers.contains_key("te"));
    assert_eq!(origin.connections(), 1);
    let answer = RpcClient::connect(gateway.address()).await.call("/echo.Echo/Unary", &[], "ada").await;
    assert_eq!(answer.code(), Some("0"));
    // A server that offers HTTP/1.1 only, and one that has never heard of ALPN.
    for alpn in [&[&b"http/1.1"[..]][..], &[]] {
        let old = TlsOrigin::start(acceptor(&own, None, alpn)).await;
        let answer = Gateway::spawn(&one(old.address, &settings)).await.get("/").await;
        assert!(is_bare_502(&answer), "{answer:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn health_checks_and_calls_speak_http2_where_requests_do() {
    let origin = RpcOrigin::start().await;
    let yaml = format!(
        r#"
upstreams:
  a: {{ targets: ["{}"], protocol: http2, health: {{ http: /up/Unary, interval: 20ms, unhealthy_after: 1 }} }}
routes:
  - name: calls
    match: {{ path: /calls }}
    public: true
    plugins: [aggregate: {{ calls: {{ it: {{ upstream: a, path: /called/Unary, optional: true, fallback: none }} }}, body: {{ it: "${{calls.it}}" }} }}]
"#,
        origin.address()
    );
    let gateway = Gateway::spawn(&yaml).await;
    let checked = async || origin.heads().iter().filter(|head| head.uri.path() == "/up/Unary").count() > 3;
    until("some checks", async || checked().await.then_some(())).await;
    assert_eq!(gateway.admin().target("a", origin.address()).await["healthy"], true);
    assert_eq!(gateway.get("/calls").await.status, 200);
    let heads = origin.heads();
    let called = heads.iter().find(|head| head.uri.path() == "/called/Unary").unwrap();
    assert_eq!(called.uri.to_string(), format!("http://{}/called/Unary", origin.address()));
}
