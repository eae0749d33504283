//! TLS on listeners: certificates, clients with certificates, reloads, HTTPS only.

use std::time::Duration;

use portreeve::{Options, Running};
use portreeve_plugin::prelude::*;
use portreeve_tests::{Authority, Certificates, Gateway, Origin, TlsClient, Wire, at, until};
use tokio_rustls::rustls::ProtocolVersion;
use tokio_rustls::rustls::version::{TLS12, TLS13};

/// A configuration with one TLS listener and these keys beside its certificates.
fn listening(certificates: &[String], more: &str) -> String {
    let certificates = certificates.join(", ");
    format!("listeners: [{{ name: public, bind: '127.0.0.1:0', tls: {{ certificates: [{certificates}]{more} }} }}]\n")
}

fn saying(body: &str) -> String {
    format!(
        "routes: [{{ name: all, match: {{ path: '/**' }}, public: true, respond: {{ status: 200, body: {body} }} }}]"
    )
}

fn one() -> (Authority, Certificates) {
    (Authority::new("Test CA"), Certificates::new())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_over_tls_reach_the_target_on_kept_connections() {
    let (authority, files) = one();
    let origin = Origin::start("origin").await;
    let certificates =
        [files.put("a", &authority.certify(&["a.test"])), files.put("b", &authority.certify(&["b.test"]))];
    let route = at(
        &[&origin],
        "upstreams: { all: { targets: ['@origin'] } }\nroutes: [{ name: all, match: { path: '/**' }, public: true, upstream: all }]",
    );
    let gateway = Gateway::spawn(&(listening(&certificates, "") + &route)).await;
    for name in ["a.test", "b.test"] {
        let mut secure = TlsClient::new(&authority).connect(gateway.address(), name).await.unwrap();
        for path in ["/1", "/2"] {
            assert_eq!(secure.get(name, path).await.unwrap().status, 200);
            assert_eq!(origin.last().target(), path);
            assert_eq!(origin.last().header("host"), Some(name));
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn http2_is_spoken_with_those_who_ask_for_it() {
    let (authority, files) = one();
    let certificates = [files.put("a", &authority.certify(&["a.test"]))];
    let gateway = Gateway::spawn(&(listening(&certificates, "") + &saying("ok"))).await;
    let secure = TlsClient::http2(&authority).connect(gateway.address(), "a.test").await.unwrap();
    let (mut send, connection) = h2::client::handshake(secure.into_inner()).await.unwrap();
    tokio::spawn(connection);
    let request = http::Request::get("https://a.test/x").body(()).unwrap();
    let answer = send.send_request(request, true).unwrap().0.await.unwrap();
    assert_eq!(answer.status(), 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_plugin_sees_the_certificate_of_a_client() {
    let (authority, files) = one();
    let clients = Authority::new("Clients");
    let ca = files.write("clients.crt", clients.pem());
    let certificates = [files.put("a", &authority.certify(&["a.test"]))];
    let more = format!(", client_auth: {{ ca: '{}', mode: request }}", ca.display());
    let chain = "routes: [{ name: all, match: { path: '/**' }, public: true, plugins: [who: {}] }]";
    let gateway = Gateway::with_plugin::<Who>().spawn(&(listening(&certificates, &more) + chain)).await;
    let said = async |client: TlsClient| {
        let mut secure = client.connect(gateway.address(), "a.test").await?;
        secure.get("a.test", "/").await.map(|answer| answer.text())
    };
    assert_eq!(said(TlsClient::new(&authority)).await.unwrap(), "TLSv1.3 a.test nobody");
    let billing = clients.certify(&["billing.test"]);
    let text = said(TlsClient::showing(&authority, &billing)).await.unwrap();
    assert_eq!(text, "TLSv1.3 a.test CN=billing.test DNS:billing.test");
    let stranger = authority.certify(&["billing.test"]);
    said(TlsClient::showing(&authority, &stranger)).await.unwrap_err();
    let refused = "portreeve_connections_refused_total{listener=\"public\",reason=\"client_certificate_refused\"}";
    until("it is counted", async || gateway.admin().metric(refused).await.filter(|count| *count >= 1.0)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_certificate_takes_effect_without_touching_a_connection() {
    let (authority, files) = one();
    let (old, new) = (authority.certify_until(&["a.test"], 2100), authority.certify_until(&["a.test"], 2110));
    let certificates = [files.put("a", &old)];
    let gateway = Gateway::spawn(&(listening(&certificates, "") + &saying("ok"))).await;
    let client = TlsClient::new(&authority);
    let mut before = client.connect(gateway.address(), "a.test").await.unwrap();
    assert!(before.was_shown(&old) && before.get("a.test", "/").await.unwrap().status == 200);
    let expiry = format!(
        "portreeve_certificate_expiry_seconds{{certificate=\"{}\",listener=\"public\"}}",
        files.path("a.crt").display()
    );
    assert_eq!(gateway.admin().metric(&expiry).await, Some(4_102_444_800.0));

    files.put("a", &new);
    assert_eq!(gateway.running().reload("test").await, Ok(2));
    assert_eq!(before.get("a.test", "/").await.unwrap().status, 200);
    let after = TlsClient::new(&authority).connect(gateway.address(), "a.test").await.unwrap();
    assert!(after.was_shown(&new));
    let mut resumed = client.connect(gateway.address(), "a.test").await.unwrap();
    assert!(resumed.was_resumed(), "tickets outlive a reload");
    assert_eq!(resumed.get("a.test", "/").await.unwrap().status, 200);
    assert_eq!(gateway.admin().metric(&expiry).await, Some(4_417_977_600.0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bad_certificate_is_refused_and_the_one_in_use_serves_on() {
    let (authority, files) = one();
    let good = authority.certify(&["a.test"]);
    let certificates = [files.put("a", &good)];
    let gateway = Gateway::spawn(&(listening(&certificates, "") + &saying("ok"))).await;
    let other = authority.certify(&["a.test"]);
    for (pem, says) in [(other.pem, "is not the key of"), ("x".into(), "is not PEM")] {
        files.write("a.crt", pem);
        let error = gateway.running().reload("test").await.unwrap_err();
        assert!(error.contains(says) && error.contains("listeners[0].tls.certificates[0]"), "{error}");
        assert_eq!(gateway.admin().metric("portreeve_config_last_reload_success").await, Some(0.0));
        let mut secure = TlsClient::new(&authority).connect(gateway.address(), "a.test").await.unwrap();
        assert!(secure.was_shown(&good) && secure.get("a.test", "/").await.unwrap().text() == "ok");
        files.put("a", &good);
    }
}

/// A listener in clear, and one with these certificates.
fn beside_clear(certificates: &[String]) -> String {
    let secure = certificates.join(", ");
    format!(
        "listeners:\n  - {{ name: public, bind: '127.0.0.1:0' }}\n  - {{ name: secure, bind: '127.0.0.1:0', tls: {{ certificates: [{secure}] }} }}\n{}",
        saying("ok")
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_certificate_that_has_expired_is_shown_and_told_and_keeps_nothing_else_out() {
    let (authority, files) = one();
    let yaml = beside_clear(&[files.put("a", &authority.certify_until(&["a.test"], 2021))]);
    let gateway = Gateway::spawn(&yaml).await;
    assert_eq!(gateway.get("/").send().await.unwrap().status, 200);
    let refused = TlsClient::new(&authority).connect(gateway.listener("secure"), "a.test").await.err().unwrap();
    assert!(refused.to_string().to_lowercase().contains("expired"), "it is shown: {refused}");
    let status = gateway.admin().json("/api/v1/status").await;
    assert_eq!(status["certificates"][0]["state"], "expired", "{status}");
    assert!(status["warnings"].to_string().contains("expired on 2021-01-01"), "{status}");
    assert_eq!(status["closed_listeners"].as_array().map(Vec::len), Some(0));
    let reloaded = gateway.reload(&yaml.replace("body: ok", "body: other")).await;
    assert!(reloaded.is_ok(), "{reloaded:?}");
    assert_eq!(gateway.get("/").send().await.unwrap().text(), "other");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pair_that_cannot_work_keeps_its_listener_closed_at_the_start_and_no_other() {
    let (authority, files) = one();
    let good = authority.certify(&["a.test"]);
    let yaml = beside_clear(&[files.put("a", &good)]);
    files.write("a.key", &authority.certify(&["a.test"]).key);
    let gateway = Gateway::spawn(&yaml).await;
    assert_eq!(gateway.get("/").send().await.unwrap().status, 200);
    let names = || gateway.running().addresses().iter().map(|(name, _)| name.to_string()).collect::<Vec<_>>();
    assert_eq!(names(), ["public"]);
    let ready = gateway.admin().get("/readyz").send().await.unwrap();
    assert_eq!((ready.status, ready.text().trim()), (200, "degraded: closed: secure"));
    let status = gateway.admin().json("/api/v1/status").await;
    assert!(status["closed_listeners"][0]["why"][0].as_str().unwrap().contains("is not the key of"), "{status}");
    assert_eq!(gateway.admin().metric("portreeve_listener_up{listener=\"secure\"}").await, Some(0.0));
    // Once there is something that goes on serving, the file as a whole is refused.
    let refused = gateway.running().reload("test").await.unwrap_err();
    assert!(refused.contains("is not the key of"), "{refused}");
    files.put("a", &good);
    gateway.running().reload("test").await.unwrap();
    assert_eq!(names(), ["public", "secure"]);
    let mut secure = TlsClient::new(&authority).connect(gateway.listener("secure"), "a.test").await.unwrap();
    assert!(secure.was_shown(&good) && secure.get("a.test", "/").await.unwrap().status == 200);
    assert_eq!(gateway.admin().metric("portreeve_listener_up{listener=\"secure\"}").await, Some(1.0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gateway_of_which_every_listener_would_stay_closed_does_not_start() {
    let (authority, files) = one();
    let certificates = [files.put("a", &authority.certify(&["a.test"]))];
    files.write("a.key", &authority.certify(&["a.test"]).key);
    let refused = Gateway::setup().try_spawn(&(listening(&certificates, "") + &saying("ok"))).await.err().unwrap();
    assert!(refused.to_string().contains("is not the key of"), "{refused}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_changed_certificate_is_noticed_while_the_configuration_stays_the_same() {
    let (authority, files) = one();
    let (old, new) = (authority.certify(&["a.test"]), authority.certify(&["a.test"]));
    let yaml = "version: 1\n".to_owned() + &listening(&[files.put("a", &old)], "") + &saying("ok");
    let path = files.write("gateway.yaml", yaml);
    let registry = portreeve::Gateway::new().with_builtin_plugins().registry().clone();
    let running = Running::start(registry, Options { workers: 1, ..Options::new(&path) }).await.unwrap();
    let address = running.addresses()[0].1;
    let client = || TlsClient::new(&authority);
    assert!(client().connect(address, "a.test").await.unwrap().was_shown(&old));
    files.put("a", &new);
    until("the new certificate is shown", async || {
        client().connect(address, "a.test").await.unwrap().was_shown(&new).then_some(())
    })
    .await;
    running.stop(Duration::ZERO, Duration::ZERO).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hsts_is_on_every_answer_and_replaces_what_a_target_says() {
    let (authority, files) = one();
    let origin = Origin::start("origin").await;
    origin.play(|_| vec![portreeve_tests::Beat::answer(200, &[("Strict-Transport-Security", "max-age=1")], "ok")]);
    let certificates = [files.put("a", &authority.certify(&["a.test"]))];
    let route = at(
        &[&origin],
        "upstreams: { all: { targets: ['@origin'] } }\nroutes: [{ name: all, match: { path: /here }, public: true, upstream: all }]",
    );
    let more = ", hsts: { include_subdomains: true }";
    let gateway = Gateway::spawn(&(listening(&certificates, more) + &route)).await;
    let mut secure = TlsClient::new(&authority).connect(gateway.address(), "a.test").await.unwrap();
    for (path, status) in [("/here", 200), ("/nowhere", 404)] {
        let answer = secure.get("a.test", path).await.unwrap();
        assert_eq!(answer.status, status);
        let values: Vec<_> = answer.head.all("strict-transport-security").collect();
        assert_eq!(values, ["max-age=31536000; includeSubDomains"], "{path}");
    }
}

/// Those that no hook sees, too.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hsts_is_on_what_is_refused_at_the_wire_over_tls() {
    let (authority, files) = one();
    let certificates = [files.put("a", &authority.certify(&["a.test"]))];
    let gateway = Gateway::spawn(&(listening(&certificates, ", hsts: { max_age: 60s }") + &saying("ok"))).await;
    let client = TlsClient::new(&authority);
    for (refused, status) in [
        ("GET / HTTP/1.1\r\n\r\n", 400),
        ("CONNECT a.test:443 HTTP/1.1\r\nHost: a.test:443\r\n\r\n", 405),
        ("GET / HTTP/3.0\r\nHost: a.test\r\n\r\n", 505),
        ("POST / HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", 400),
    ] {
        let mut secure = client.connect(gateway.address(), "a.test").await.unwrap();
        let answer = secure.ask(refused).await.unwrap();
        assert_eq!(answer.status, status, "{refused}");
        assert_eq!(answer.head.all("strict-transport-security").collect::<Vec<_>>(), ["max-age=60"], "{refused}");
    }
    let secure = TlsClient::http2(&authority).connect(gateway.address(), "a.test").await.unwrap();
    let (mut send, connection) = h2::client::handshake(secure.into_inner()).await.unwrap();
    tokio::spawn(connection);
    for (method, uri, status) in [("CONNECT", "a.test:443", 405), ("GET", "https://a.test/../..", 400)] {
        let request = http::Request::builder().method(method).uri(uri).body(()).unwrap();
        let answer = send.send_request(request, true).unwrap().0.await.unwrap();
        assert_eq!(answer.status(), status, "{method}");
        assert_eq!(answer.headers()["strict-transport-security"], "max-age=60", "{method}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn handshakes_are_counted_by_version_and_whether_a_session_was_resumed() {
    let (authority, files) = one();
    let certificates = [files.put("a", &authority.certify(&["a.test"]))];
    let gateway = Gateway::spawn(&(listening(&certificates, "") + &saying("ok"))).await;
    let client = TlsClient::new(&authority);
    for resumed in [false, true, true] {
        let mut secure = client.connect(gateway.address(), "a.test").await.unwrap();
        // A ticket comes with the first bytes.
        assert_eq!(secure.get("a.test", "/").await.unwrap().status, 200);
        assert_eq!(secure.was_resumed(), resumed);
    }
    let mut failed = Wire::connect(gateway.address()).await;
    failed.send("GET / HTTP/1.1\r\n\r\n").await;
    failed.rest().await;
    let count = async |resumed: &str| {
        let labels = format!("{{listener=\"public\",resumed=\"{resumed}\",version=\"TLSv1.3\"}}");
        gateway.admin().count(&format!("portreeve_tls_handshakes_total{labels}")).await
    };
    assert_eq!((count("false").await, count("true").await), (Some(1), Some(2)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_listener_in_clear_sends_everybody_to_https() {
    let yaml = "listeners: [{ name: clear, bind: '127.0.0.1:0', redirect_to_https: { port: 8443 }, plugins: [trail: { tag: clear }] }]\n";
    let gateway = Gateway::with_plugin::<crate::plugins::Trail>().spawn(&(yaml.to_owned() + &saying("never"))).await;
    let answer = gateway.ask("POST", "/a/../b?c=d").header("host", "api.example.com:8080").await;
    assert_eq!((answer.status, answer.header("location")), (308, Some("https://api.example.com:8443/b?c=d")));
    assert_eq!(answer.header("x-trail"), Some("clear"), "the listener's own plugins run");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_not_tls_is_counted() {
    let (authority, files) = one();
    let certificates = [files.put("a", &authority.certify(&["a.test"]))];
    let gateway = Gateway::spawn(&(listening(&certificates, "") + &saying("ok"))).await;
    let mut wire = Wire::connect(gateway.address()).await;
    wire.send("GET / HTTP/1.1\r\nHost: a.test\r\n\r\n").await;
    assert!(!String::from_utf8_lossy(&wire.rest().await).contains("HTTP/1.1 200"));
    let refused = "portreeve_connections_refused_total{listener=\"public\",reason=\"not_tls\"}";
    until("it is counted", async || gateway.admin().metric(refused).await.filter(|count| *count >= 1.0)).await;
}

/// Answers with what it sees of the connection.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Who {}

#[async_trait]
impl Plugin for Who {
    async fn on_request(&self, cx: &mut RequestCx<'_>) -> Result<Flow> {
        let Some(tls) = cx.tls() else { return Ok(Reply::text(StatusCode::OK, "in clear").into()) };
        let client = tls.client_certificate.as_ref();
        let client = client.map_or("nobody".into(), |own| format!("{} {}", own.subject, own.names.join(" ")));
        let name = tls.server_name.as_deref().unwrap_or("-");
        Ok(Reply::text(StatusCode::OK, format!("{} {name} {client}", tls.version.as_str())).into())
    }
}

impl Build for Who {
    const NAME: &'static str = "who";
    const ENDS_CHAIN: bool = true;
    type Config = Self;

    fn build(config: Self, _host: &Host) -> Result<Self, BuildError> {
        Ok(config)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_minimum_of_1_3_refuses_clients_of_1_2_with_quotes_around_it_and_without() {
    let (authority, files) = one();
    let certificates = [files.put("a", &authority.certify(&["a.test"]))];
    let (old, new) = (TlsClient::speaking(&authority, &[&TLS12]), TlsClient::speaking(&authority, &[&TLS13]));
    for (minimum, takes_old) in [("1.3", false), ("\"1.3\"", false), ("'1.2'", true), ("1.2", true)] {
        let gateway =
            Gateway::spawn(&(listening(&certificates, &format!(", min_version: {minimum}")) + &saying("ok"))).await;
        let mut secure = new.connect(gateway.address(), "a.test").await.unwrap();
        assert_eq!(secure.version(), Some(ProtocolVersion::TLSv1_3), "{minimum}");
        assert_eq!(secure.get("a.test", "/").await.unwrap().text(), "ok", "{minimum}");
        match old.connect(gateway.address(), "a.test").await {
            Ok(secure) => assert!(takes_old && secure.version() == Some(ProtocolVersion::TLSv1_2), "{minimum}"),
            // The alert says why (RFC 8446 §6.2).
            Err(error) => assert!(!takes_old && error.to_string().contains("ProtocolVersion"), "{minimum}: {error}"),
        }
    }
}
