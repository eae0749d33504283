//! What is fetched over https, from a server whose authority the machine trusts: in a process of its own, since that is a matter
//! of its environment.

use portreeve_tests::{Authority, Beat, Certificates, Gateway, Origin, Process, RsaIssuer, Wire, at, until};
use serde_json::json;

const PROGRAM: &str = env!("CARGO_BIN_EXE_portreeve-under-test");

const YAML: &str = r#"version: 1
listeners: [{ name: public, bind: "127.0.0.1:0" }]
routes:
  - name: good
    match: { path: /good }
    plugins: [jwt: { algorithms: [RS256], jwks: { url: "https://localhost:PORT/good", refresh: 1s } }]
    respond: { status: 200, body: ok }
  - name: to-http
    match: { path: /to-http }
    plugins: [jwt: { algorithms: [RS256], jwks: { url: "https://localhost:PORT/to-http", refresh: 1s } }]
    respond: { status: 200, body: ok }
  - name: to-https
    match: { path: /to-https }
    plugins: [jwt: { algorithms: [RS256], jwks: { url: "https://localhost:PORT/to-https", refresh: 1s } }]
    respond: { status: 200, body: ok }
"#;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_set_asked_for_over_https_is_fetched_neither_over_http_nor_elsewhere_when_a_redirect_says_so() {
    let issuer = RsaIssuer::new(1);
    let published = issuer.jwks();
    let keys = published.clone();
    let elsewhere = Origin::start("elsewhere").await.playing(move |_| vec![Beat::answer(200, &[], keys.as_bytes())]);
    let (authority, files) = (Authority::new("Test CA"), Certificates::new());
    let certificate = files.put("idp", &authority.certify(&["localhost"]));
    // The identity provider: an origin behind TLS.
    let idp = Origin::start("idp").await;
    let tls = format!(
        "listeners: [{{ name: public, bind: '127.0.0.1:0', tls: {{ certificates: [{certificate}] }} }}]
upstreams: {{ idp: {{ targets: ['@idp'] }} }}
routes: [{{ name: all, match: {{ path: '/**' }}, public: true, upstream: idp }}]"
    );
    let tls = Gateway::spawn(&at(&[&idp], &tls)).await;
    let port = tls.address().port();
    let (over_http, over_https) =
        (format!("http://{}/keys", elsewhere.address()), format!("https://localhost:{port}/elsewhere"));
    idp.play(move |asked| {
        vec![match asked.target() {
            "/to-http" => Beat::answer(302, &[("location", &over_http)], &published),
            "/to-https" => Beat::answer(308, &[("location", &over_https)], &published),
            _ => Beat::answer(200, &[], &published),
        }]
    });

    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("gateway.yaml");
    std::fs::write(&file, YAML.replace("PORT", &port.to_string())).unwrap();
    let trusted = files.write("ca.pem", authority.pem());
    let environment = [("SSL_CERT_FILE".to_owned(), trusted.display().to_string())];
    let arguments = ["run", "--no-watch", "--workers", "2", "-c", file.to_str().unwrap()];
    let gateway = Process::start_with(PROGRAM, &arguments, &environment);
    let address = gateway.listener("public").await;
    let token = issuer.token(json!({ "sub": "ada" }));
    let ask = async |path: &str| {
        let mut wire = Wire::connect(address).await;
        wire.send(format!("GET {path} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {token}\r\n\r\n")).await;
        wire.answer().await.status
    };
    until("the key is known", async || (ask("/good").await == 200).then_some(())).await;
    let asked = |target: &str| idp.seen().iter().filter(|asked| asked.target() == target).count();
    // Again and again: what it said the first time would have been followed by the second.
    until("the others were asked", async || (asked("/to-http") > 1 && asked("/to-https") > 1).then_some(())).await;
    assert_eq!((ask("/to-http").await, ask("/to-https").await), (503, 503));
    assert_eq!((elsewhere.connections(), asked("/elsewhere")), (0, 0));
    let told = |event: &serde_json::Value| event["message"] == "Key set not fetched.";
    gateway.event(told).await;
}
