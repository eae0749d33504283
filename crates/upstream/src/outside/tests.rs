//! What is fetched, from servers that a test scripts, byte by byte: over TCP, over TLS, through proxies.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use hyper_util::client::proxy::matcher::Matcher;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;

use super::*;

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

/// A listener, and its port.
async fn listener() -> (TcpListener, u16) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    (listener, port)
}

/// Reads a head, up to its end.
async fn head(io: &mut (impl AsyncRead + Unpin)) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(io.read_u8().await.unwrap());
    }
    String::from_utf8(head).unwrap()
}

/// Answers one request so, and closes the connection: what was asked.
async fn answer(mut io: impl AsyncRead + AsyncWrite + Unpin, answer: &str) -> String {
    let head = head(&mut io).await;
    io.write_all(answer.as_bytes()).await.unwrap();
    io.shutdown().await.ok();
    head
}

/// A server that answers one request so, and its port.
async fn server(text: &'static str) -> (JoinHandle<String>, u16) {
    let (listener, port) = listener().await;
    let serving = tokio::spawn(async move { answer(listener.accept().await.unwrap().0, text).await });
    (serving, port)
}

fn get(url: impl Into<String>) -> Fetch {
    Fetch { url: url.into(), addresses: Addresses::Network, timeout: Duration::from_secs(20), max_body: 100 }
}

/// What came of asking a server that answers so.
async fn told(text: &'static str) -> Result<String, CallError> {
    let (serving, port) = server(text).await;
    let answer = Outside::default().fetch(get(format!("http://127.0.0.1:{port}/"))).await;
    drop(serving);
    answer.map(|answer| String::from_utf8(answer.body.to_vec()).unwrap())
}

#[tokio::test]
async fn an_error_does_not_show_the_url() {
    let (listener, port) = listener().await;
    drop(listener);
    for url in [
        format!("http://127.0.0.1:{port}/?key=hunter2"),
        "http://ada:hunter2@127.0.0.1/".to_owned(),
        "http://[hunter2".to_owned(),
        "ftp://127.0.0.1/hunter2".to_owned(),
        "hunter2".to_owned(),
    ] {
        let error = Outside::default().fetch(get(url.clone())).await.unwrap_err().to_string();
        assert!(!error.is_empty() && !error.contains("hunter2"), "{url}: {error}");
    }
}

#[tokio::test]
async fn what_is_fetched_is_asked_for_by_path_and_query_and_nothing_else_is_said() {
    let (asked, port) = server(OK).await;
    let answer = Outside::default().fetch(get(format!("HTTP://LOCALHOST:{port}/a/../keys?x=1#top"))).await.unwrap();
    assert_eq!((answer.status.as_u16(), &*answer.body), (200, &b"ok"[..]));
    let expected = format!(
        "GET /keys?x=1 HTTP/1.1\r\nHost: localhost:{port}\r\nAccept: */*\r\nUser-Agent: portreeve\r\nConnection: close\r\n\r\n"
    );
    assert_eq!(asked.await.unwrap(), expected);
}

#[tokio::test]
async fn an_answer_is_whole_and_no_longer_than_it_may_be() {
    let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n1;a=b\r\n!\r\n0\r\nX-Sum: 1\r\n\r\n";
    assert_eq!(told(chunked).await.as_deref(), Ok("ok!"));
    assert_eq!(told("HTTP/1.0 200 OK\r\n\r\nuntil the end").await.as_deref(), Ok("until the end"));
    assert_eq!(told("HTTP/1.1 103 Early\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n").await.as_deref(), Ok(""));
    for broken in [
        "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nok",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nok",
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nok",
        "HTTP/1.1 200 OK\r\nx : y\r\n\r\n",
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
        "HTTP/1.1 200",
        "",
    ] {
        let error = told(broken).await;
        assert!(matches!(error, Err(CallError::Failed(_))), "{broken:?}: {error:?}");
    }
    let long: &str = Box::leak(format!("HTTP/1.1 200 OK\r\n\r\n{}", "x".repeat(101)).into());
    assert_eq!(told(long).await, Err(CallError::TooLarge(100)));
    // Of heads, bytes and fields are bounded alike.
    let fields: &str = Box::leak(format!("HTTP/1.1 200 OK\r\n{}\r\n", "a: b\r\n".repeat(257)).into());
    let bytes: &str = Box::leak(format!("HTTP/1.1 200 OK\r\na: {}\r\n\r\n", "b".repeat(70_000)).into());
    for head in [fields, bytes] {
        let Err(CallError::Failed(why)) = told(head).await else { panic!("{} bytes are taken", head.len()) };
        assert!(why.contains("the target's answer is refused"), "{why}");
    }
}

#[tokio::test]
async fn one_deadline_is_over_everything() {
    let (listener, port) = listener().await;
    let fetch = Fetch { timeout: Duration::from_millis(50), ..get(format!("http://127.0.0.1:{port}/")) };
    let limit = fetch.timeout;
    assert_eq!(Outside::default().fetch(fetch).await.unwrap_err(), CallError::TimedOut(limit));
    drop(listener);
}

#[tokio::test]
async fn all_addresses_of_a_name_are_tried() {
    let ((dead, gone), (asked, port)) = (listener().await, server(OK).await);
    drop(dead);
    let silence = Silence { first_byte: Duration::from_secs(9), later: Duration::from_secs(9) };
    let asked_so = Asked { is_head: false, upgrade: false };
    let params = AttemptParams { asked: asked_so, silence, idle: Duration::ZERO };
    let addresses = [gone, port].map(|port| SocketAddr::from((Ipv4Addr::LOCALHOST, port)));
    let found = first(&addresses, None, None, params).await.unwrap();
    drop((found, asked));
    let error = first(&addresses[..1], None, None, params).await.unwrap_err();
    assert!(error.contains("refused"), "{error}");
}

#[test]
fn a_url_says_whom_to_ask_and_for_what() {
    let of = |text| Destination::parse(text).unwrap();
    let v6 = of("https://[2001:db8::1]/keys");
    assert_eq!((&v6.host, v6.port, v6.is_tls), (&Host::Ipv6("2001:db8::1".parse().unwrap()), 443, true));
    assert_eq!(v6.server_name().unwrap(), ServerName::from(IpAddr::from("2001:db8::1".parse::<Ipv6Addr>().unwrap())));
    assert_eq!(v6.uri.authority().unwrap().as_str(), "[2001:db8::1]");
    let named = of("https://BÜCHER.example:8443?q");
    assert_eq!((named.host.to_string().as_str(), named.port), ("xn--bcher-kva.example", 8443));
    assert_eq!(named.uri.path_and_query().unwrap().as_str(), "/?q");
    for refused in ["https://user@a.test/", "https://:pw@a.test/", "file:///etc/passwd", "https://", "//a.test/", "a"] {
        assert!(Destination::parse(refused).is_err(), "{refused}");
    }
    assert_eq!(Destination::parse("ftp://a.test/").unwrap_err(), "only URLs with http and https are fetched");
}

/// An authority of its own, and a server's end of TLS for this name by it.
fn tls(name: &str) -> (CertificateDer<'static>, TlsAcceptor) {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    let key = KeyPair::generate().unwrap();
    let leaf = CertificateParams::new(vec![name.to_owned()]).unwrap().signed_by(&key, &authority).unwrap();
    let key = tokio_rustls::rustls::pki_types::PrivateKeyDer::try_from(key.serialize_der()).unwrap();
    let provider = Arc::new(tokio_rustls::rustls::crypto::aws_lc_rs::default_provider());
    let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let config = config.with_no_client_auth().with_single_cert(vec![leaf.der().clone()], key).unwrap();
    (authority.der().clone(), TlsAcceptor::from(Arc::new(config)))
}

#[tokio::test]
async fn over_tls_the_server_proves_who_it_is() {
    let (authority, acceptor) = tls("localhost");
    let (other, _) = tls("localhost");
    let (listener, port) = listener().await;
    let serving = tokio::spawn(async move {
        loop {
            let (io, _) = listener.accept().await.unwrap();
            if let Ok(io) = acceptor.accept(io).await {
                answer(io, OK).await;
            }
        }
    });
    let url = format!("https://localhost:{port}/");
    let trusting = |authority: &CertificateDer<'static>| Outside::trusting(std::slice::from_ref(authority)).unwrap();
    let answer = trusting(&authority).fetch(get(url.clone())).await.unwrap();
    assert_eq!(&*answer.body, b"ok");
    for (client, url) in [
        (trusting(&other), url.clone()),
        (Outside::default(), url),
        // Its certificate is for a name.
        (trusting(&authority), format!("https://127.0.0.1:{port}/")),
    ] {
        let error = client.fetch(get(url)).await.unwrap_err().to_string();
        assert!(error.contains("certificate"), "{error}");
    }
    serving.abort();
}

/// A client in an environment with these proxies.
fn behind(matcher: Matcher, trusted: Option<CertificateDer<'static>>) -> Outside {
    let roots = trusted.map(|authority| {
        let mut roots = RootCertStore::empty();
        roots.add(authority).unwrap();
        Arc::new(roots)
    });
    Outside(Arc::new(Shared { roots, tls: OnceLock::new(), proxies: Proxies::with(matcher) }))
}

#[tokio::test]
async fn a_proxy_is_told_the_whole_url_of_what_is_in_the_clear() {
    let (asked, port) = server(OK).await;
    let client = behind(Matcher::builder().all(format!("http://ada:pw@127.0.0.1:{port}")).build(), None);
    // A name that only the proxy has an address for.
    let answer = client.fetch(get("http://nowhere.invalid:81/a?b")).await.unwrap();
    assert_eq!(&*answer.body, b"ok");
    let asked = asked.await.unwrap();
    assert!(asked.starts_with("GET http://nowhere.invalid:81/a?b HTTP/1.1\r\nHost: nowhere.invalid:81\r\n"), "{asked}");
    assert!(asked.contains("\r\nProxy-Authorization: Basic YWRhOnB3\r\n"), "{asked}");
}

#[tokio::test]
async fn through_a_proxy_tls_is_with_the_server() {
    let (authority, acceptor) = tls("nowhere.invalid");
    let (listener, port) = listener().await;
    let serving = tokio::spawn(async move {
        let (mut io, _) = listener.accept().await.unwrap();
        let asked = head(&mut io).await;
        io.write_all(b"HTTP/1.1 200 Connected\r\nX-Proxy: 1\r\n\r\n").await.unwrap();
        (asked, answer(acceptor.accept(io).await.unwrap(), OK).await)
    });
    let matcher = Matcher::builder().https(format!("http://ada:pw@127.0.0.1:{port}")).build();
    let answer = behind(matcher, Some(authority)).fetch(get("https://nowhere.invalid/keys")).await.unwrap();
    assert_eq!(&*answer.body, b"ok");
    let (connect, asked) = serving.await.unwrap();
    let expected = "CONNECT nowhere.invalid:443 HTTP/1.1\r\nHost: nowhere.invalid:443\r\n\
                    Proxy-Authorization: Basic YWRhOnB3\r\n\r\n";
    assert_eq!(connect, expected);
    assert!(asked.starts_with("GET /keys HTTP/1.1\r\nHost: nowhere.invalid\r\n"), "{asked}");
    assert!(!asked.contains("Proxy-Authorization"), "what is the proxy's stays with it: {asked}");
}

#[tokio::test]
async fn a_proxy_that_refuses_or_is_none_is_told_so() {
    let failed = async |text: &'static str, url: &str| {
        let (serving, port) = server(text).await;
        let client = behind(Matcher::builder().all(format!("http://127.0.0.1:{port}")).build(), None);
        let error = client.fetch(get(url)).await.unwrap_err().to_string();
        drop(serving);
        error
    };
    let refused = failed("HTTP/1.1 407 Proxy Authentication Required\r\n\r\n", "https://a.test/").await;
    assert_eq!(refused, "no connection could be made (the proxy answers 407)");
    let unasked = failed("HTTP/1.1 200 OK\r\n\r\nmore", "https://a.test/").await;
    assert_eq!(unasked, "no connection could be made (the proxy speaks unasked)");
    let silent = failed("", "https://a.test/").await;
    assert_eq!(silent, "no connection could be made (the proxy gave no answer)");
    let socks = behind(Matcher::builder().all("socks5://127.0.0.1:1").build(), None);
    let error = socks.fetch(get("http://a.test/")).await.unwrap_err().to_string();
    assert!(error.contains("no http:// proxy"), "{error}");
}

#[tokio::test]
async fn whom_the_environment_excepts_is_asked_without_a_proxy() {
    let (asked, port) = server(OK).await;
    let matcher = Matcher::builder().all("http://127.0.0.1:1").no("127.0.0.0/8").build();
    let answer = behind(matcher, None).fetch(get(format!("http://127.0.0.1:{port}/x"))).await.unwrap();
    assert_eq!(&*answer.body, b"ok");
    assert!(asked.await.unwrap().starts_with("GET /x HTTP/1.1\r\n"));
}
