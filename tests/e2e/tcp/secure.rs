//! TLS on listeners for TCP: passed on by the name asked for, ended here, begun again; and what is no TLS.

use portreeve_tests::{Authority, Certificates, Gateway, RawOrigin, TlsClient, Wire};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::{Echo, ended, lines, raw, refused};
use crate::upstream_tls::{TlsOrigin, acceptor};

/// Two names with an upstream each; whatever else is asked for goes to `other`.
fn by_name(db: &TlsOrigin, rest: &TlsOrigin, listener: &str, other: &str) -> String {
    format!(
        "listeners: [{{ name: raw, bind: \"127.0.0.1:0\", {listener} \
         tcp: {{ sni: {{ DB.example.com: a, \"*.example.com\": b }}, {other} }} }}]\n\
         access_log: {{ to: \"file:access.log\" }}\n\
         upstreams: {{ a: {{ targets: [\"{}\"] }}, b: {{ targets: [\"{}\"] }} }}\n",
        db.address, rest.address
    )
}

#[tokio::test]
async fn a_connection_goes_where_the_name_it_asks_for_says_and_tls_stays_end_to_end() {
    let authority = Authority::new("root");
    let (one, two) = (authority.certify(&["db.example.com"]), authority.certify(&["*.example.com"]));
    let db = TlsOrigin::start(acceptor(&one, None, &[b"h2", b"http/1.1"])).await;
    let rest = TlsOrigin::start(acceptor(&two, None, &[])).await;
    let gateway = Gateway::spawn(&by_name(&db, &rest, "", "")).await;
    let client = TlsClient::new(&authority);
    for (name, shown) in [("db.example.com", &one), ("web.example.com", &two)] {
        let mut secure = client.connect(gateway.address(), name).await.unwrap();
        assert!(secure.was_shown(shown), "{name}");
        let answer = secure.get(name, "/").await.unwrap().json();
        assert_eq!(answer["sni"], name);
        // What client and target agreed on is theirs.
        assert_eq!(answer["alpn"], if name == "db.example.com" { json!("http/1.1") } else { json!(null) });
    }
    let told: Vec<_> =
        lines(&gateway, 2).await.iter().map(|line| (line["sni"].clone(), line["upstream"].clone())).collect();
    assert_eq!(told, [(json!("db.example.com"), json!("a")), (json!("web.example.com"), json!("b"))]);
}

#[tokio::test]
async fn without_a_name_or_with_a_strange_one_it_goes_to_the_default_or_nowhere() {
    let authority = Authority::new("root");
    let own = authority.certify(&["db.example.com", "stranger.test", "127.0.0.1"]);
    let origin = TlsOrigin::start(acceptor(&own, None, &[])).await;
    let client = TlsClient::new(&authority);
    let closed = Gateway::spawn(&by_name(&origin, &origin, "", "")).await;
    assert!(client.connect(closed.address(), "stranger.test").await.is_err());
    assert!(client.connect(closed.address(), "127.0.0.1").await.is_err());
    refused(&closed, &["unknown_sni"], 1).await;
    refused(&closed, &["no_sni"], 1).await;
    let told: Vec<_> = lines(&closed, 2).await.iter().map(|line| (line["sni"].clone(), line["end"].clone())).collect();
    assert_eq!(told, [(json!("stranger.test"), json!("unknown_sni")), (json!(null), json!("no_sni"))]);
    let open = Gateway::spawn(&by_name(&origin, &origin, "", "upstream: b")).await;
    for name in ["stranger.test", "127.0.0.1"] {
        let mut secure = client.connect(open.address(), name).await.unwrap();
        assert_eq!(secure.get("any", "/x").await.unwrap().json()["path"], "/x");
    }
}

#[tokio::test]
async fn what_is_no_tls_is_closed_and_counted_where_names_decide() {
    let authority = Authority::new("root");
    let origin = TlsOrigin::start(acceptor(&authority.certify(&["db.example.com"]), None, &[])).await;
    let gateway = Gateway::spawn(&by_name(&origin, &origin, "limits: { handshake: 500ms },", "upstream: b")).await;
    let garbage: [&[u8]; 4] = [
        b"GET / HTTP/1.1\r\nHost: db.example.com\r\n\r\n",
        &[0xff; 4096],
        b"\x16\x03\x01\xff\xff",
        b"\x16\x03\x01\x00\x05\x02\x00\x00\x01\x00",
    ];
    for bytes in garbage {
        let mut wire = gateway.wire().await;
        wire.send(bytes).await;
        assert_eq!(wire.rest().await, b"", "{}", bytes.escape_ascii());
    }
    refused(&gateway, &["not_tls", "other"], 4).await;
    // Silent from the start, and silent after a few bytes.
    assert_eq!(gateway.wire().await.rest().await, b"");
    let mut wire = gateway.wire().await;
    wire.send(b"\x16\x03\x01\x02").await;
    assert_eq!(wire.rest().await, b"");
    refused(&gateway, &["handshake_timeout"], 2).await;
}

#[tokio::test]
async fn a_listener_with_certificates_ends_tls_and_passes_on_what_was_in_it() {
    let (authority, files) = (Authority::new("root"), Certificates::new());
    let own = authority.certify(&["db.example.com"]);
    let echo = Echo::start("welcome").await;
    let listener = format!("tls: {{ certificates: [{}] }},", files.put("db", &own));
    let gateway = Gateway::spawn(&raw(&[echo.address], &listener, "", "")).await;
    // Whatever protocol the client hopes for is none of the gateway's business.
    for client in [TlsClient::new(&authority), TlsClient::http2(&authority)] {
        let secure = client.connect(gateway.address(), "db.example.com").await.unwrap();
        assert!(secure.was_shown(&own));
        let mut stream = secure.into_inner();
        assert_eq!(stream.get_ref().1.alpn_protocol(), None);
        stream.write_all(b" to you").await.unwrap();
        stream.shutdown().await.unwrap();
        let mut heard = Vec::new();
        stream.read_to_end(&mut heard).await.unwrap();
        assert_eq!(heard, b"welcome to you");
    }
    ended(&gateway, "closed", 2).await;
    let line = &lines(&gateway, 1).await[0];
    assert_eq!(
        (&line["sni"], &line["bytes_in"], &line["bytes_out"]),
        (&json!("db.example.com"), &json!(7), &json!(14))
    );
    // In clear nobody comes in.
    let mut wire = gateway.wire().await;
    wire.send("hello?\r\n\r\n").await;
    wire.rest().await;
    refused(&gateway, &["not_tls"], 1).await;
}

#[tokio::test]
async fn tls_may_begin_again_towards_the_target_with_its_own_name_and_no_protocol() {
    let (authority, files) = (Authority::new("root"), Certificates::new());
    let ca = files.write("ca.crt", authority.pem());
    let inside = authority.certify(&["inside.test"]);
    let origin = TlsOrigin::start(acceptor(&inside, Some(&authority), &[b"http/1.1"])).await;
    let item = files.put("db", &authority.certify(&["db.example.com"]));
    files.put("gateway", &authority.certify(&["gateway"]));
    let listener = format!("tls: {{ certificates: [{item}] }},");
    let upstream = |verified: &str| {
        let (cert, key) = (files.path("gateway.crt"), files.path("gateway.key"));
        format!("tls: {{ sni: inside.test, {verified} cert: '{}', key: '{}' }},", cert.display(), key.display())
    };
    let client = TlsClient::new(&authority);
    for verified in [format!("ca: '{}',", ca.display()), "verify: false,".to_owned()] {
        let gateway = Gateway::spawn(&raw(&[origin.address], &listener, "", &upstream(&verified))).await;
        let mut secure = client.connect(gateway.address(), "db.example.com").await.unwrap();
        let answer = secure.get("any", "/").await.unwrap().json();
        assert_eq!((&answer["sni"], &answer["alpn"]), (&json!("inside.test"), &json!(null)), "{verified}");
        assert_eq!(answer["client"], true);
    }
    // The authorities of the system do not know it.
    let gateway = Gateway::spawn(&raw(&[origin.address], "", "", &upstream(""))).await;
    let mut wire = Wire::connect(gateway.address()).await;
    assert_eq!(wire.rest().await, b"");
    ended(&gateway, "connect_failed", 1).await;
}

#[tokio::test]
async fn a_listener_with_certificates_may_go_by_name_as_well() {
    let (authority, files) = (Authority::new("root"), Certificates::new());
    let (one, two) = (RawOrigin::start().await, RawOrigin::start().await);
    let item = files.put("all", &authority.certify(&["*.example.com"]));
    let yaml = format!(
        "listeners: [{{ name: raw, bind: \"127.0.0.1:0\", tls: {{ certificates: [{item}] }}, \
         tcp: {{ sni: {{ one.example.com: one, two.example.com: two }} }} }}]\n\
         upstreams: {{ one: {{ targets: [\"{}\"] }}, two: {{ targets: [\"{}\"] }} }}\n",
        one.address(),
        two.address()
    );
    let gateway = Gateway::spawn(&yaml).await;
    for (name, origin) in [("one.example.com", &one), ("two.example.com", &two)] {
        let mut stream = TlsClient::new(&authority).connect(gateway.address(), name).await.unwrap().into_inner();
        stream.write_all(name.as_bytes()).await.unwrap();
        assert_eq!(origin.accept().await.next().await, name.as_bytes());
    }
}
