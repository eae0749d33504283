//! What is fetched from outside by a gateway in an environment of its own: whom it trusts there, and which proxy it goes through.

use portreeve_tests::{Answer, Authority, Certificates, Process, RsaIssuer, Wire, until};
use serde_json::json;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpListener;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio_rustls::TlsAcceptor;

use crate::upstream_tls::acceptor;

const PROGRAM: &str = env!("CARGO_BIN_EXE_portreeve-under-test");

async fn head(stream: &mut (impl AsyncBufReadExt + Unpin)) -> Option<String> {
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if !stream.read_line(&mut head).await.is_ok_and(|n| n > 0) {
            return None;
        }
    }
    Some(head)
}

/// A proxy that is the server for all whom it is asked for, over TLS, and tells every head that it gets.
async fn proxy(tls: TlsAcceptor, key_set: String) -> (u16, UnboundedReceiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let (heads, told) = unbounded_channel();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            // Whoever does not trust the server breaks off.
            serve(BufReader::new(stream), &tls, &key_set, &heads).await;
        }
    });
    (port, told)
}

async fn serve(
    mut stream: BufReader<tokio::net::TcpStream>,
    tls: &TlsAcceptor,
    key_set: &str,
    heads: &UnboundedSender<String>,
) -> Option<()> {
    heads.send(head(&mut stream).await?).ok()?;
    stream.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n").await.ok()?;
    let mut stream = BufReader::new(tls.accept(stream.into_inner()).await.ok()?);
    heads.send(head(&mut stream).await?).ok()?;
    let (first, rest) = key_set.split_at(key_set.len() / 2);
    let chunks = [first, rest].map(|chunk| format!("{:x}\r\n{chunk}\r\n", chunk.len())).concat();
    let answer = format!("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n{chunks}0\r\n\r\n");
    stream.write_all(answer.as_bytes()).await.ok()?;
    stream.shutdown().await.ok()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_set_comes_over_tls_through_the_proxy_of_the_environment_from_whom_the_system_trusts() {
    let (authority, other) = (Authority::new("ours"), Authority::new("another"));
    let folder = Certificates::new();
    let (trusted, distrusted) = (folder.write("ca.crt", authority.pem()), folder.write("other.crt", other.pem()));
    let issuer = RsaIssuer::new(1);
    let tls = acceptor(&authority.certify(&["idp.test"]), None, &[]);
    let (port, mut told) = proxy(tls, issuer.jwks()).await;
    // Nobody but the proxy knows who `idp.test` is.
    let file = folder.write(
        "gateway.yaml",
        r#"
version: 1
admin: { bind: "127.0.0.1:0" }
access_log: { to: off }
listeners: [{ name: public, bind: "127.0.0.1:0" }]
routes:
  - name: all
    match: { path: "/**" }
    plugins: [jwt: { algorithms: [RS256], jwks: { url: "https://idp.test/keys?of=api", refresh: 1s } }]
    respond: { status: 200, body: ok }
"#,
    );
    let start = |trusted: &std::path::Path| {
        let environment = [
            ("SSL_CERT_FILE", trusted.to_str().unwrap().to_owned()),
            ("HTTPS_PROXY", format!("http://ada:pw@127.0.0.1:{port}")),
            ("NO_PROXY", "localhost".to_owned()),
        ];
        let environment = environment.map(|(name, value)| (name.to_owned(), value));
        Process::start_with(PROGRAM, &["run", "-c", file.to_str().unwrap()], &environment)
    };
    let token = issuer.token(json!({ "sub": "ada" }));
    let ask = async |process: &Process| -> Answer {
        let mut wire = Wire::connect(process.listener("public").await).await;
        wire.send(format!("GET / HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {token}\r\n\r\n")).await;
        wire.answer().await
    };

    let gateway = start(&trusted);
    until("the key is known", async || (ask(&gateway).await.status == 200).then_some(())).await;
    let connect = told.recv().await.unwrap();
    assert_eq!(
        connect,
        "CONNECT idp.test:443 HTTP/1.1\r\nHost: idp.test:443\r\nProxy-Authorization: Basic YWRhOnB3\r\n\r\n"
    );
    let asked = told.recv().await.unwrap();
    assert!(asked.starts_with("GET /keys?of=api HTTP/1.1\r\nHost: idp.test\r\n"), "{asked}");
    assert!(!asked.to_lowercase().contains("proxy-authorization"), "{asked}");
    drop(gateway);

    let gateway = start(&distrusted);
    let why = gateway.event(|event| event.to_string().contains("certificate")).await.to_string();
    assert!(!why.contains("of=api"), "an error shows the URL: {why}");
    assert_eq!(ask(&gateway).await.status, 503);
}
