//! Clients that ask and then take nothing, or little.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use portreeve_tests::{Authority, Beat, Certificates, Gateway, Origin, RawOrigin, TlsClient, Wire, until};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpSocket;

const LARGE: usize = 50 * 1024 * 1024;

async fn before(origin: SocketAddr, stall: &str) -> Gateway {
    let yaml = r#"
listeners: [{ name: public, bind: "127.0.0.1:0", limits: { stall: STALL } }]
upstreams: { raw: { targets: ["@raw"], timeouts: { first_byte: 30s, write: 30s } } }
routes: [{ name: all, match: { path: "/**" }, public: true, upstream: raw, timeout: 1m }]
"#;
    Gateway::spawn(&yaml.replace("@raw", &origin.to_string()).replace("STALL", stall)).await
}

/// An answer of fifty megabytes. Over when it has been taken, or the gateway has hung up.
async fn large(mut target: Wire) {
    target.send(format!("HTTP/1.1 200 OK\r\ncontent-length: {LARGE}\r\n\r\n")).await;
    for _ in 0..LARGE / 65_536 {
        target.send(vec![b'x'; 65_536]).await;
    }
    target.finish().await;
    target.rest().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_takes_nothing_is_let_go_and_its_target_with_it() {
    let origin = RawOrigin::start().await;
    let gateway = before(origin.address(), "300ms").await;
    let mut client = Wire::connect_narrow(gateway.address()).await;
    client.send("GET / HTTP/1.1\r\nhost: x\r\n\r\n").await;
    let (target, _) = origin.request().await;
    let begun = Instant::now();
    large(target).await;
    let took = begun.elapsed();
    assert!(took >= Duration::from_millis(300) && took < Duration::from_secs(10), "{took:?}");
    let idle = async || {
        let pools = gateway.admin().json("/api/v1/upstreams").await;
        (pools[0]["targets"][0]["in_flight"] == 0).then_some(())
    };
    until("the target is left", idle).await;
    // What had been sent can still be read, and is not the whole.
    assert!(client.rest().await.len() < LARGE);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_takes_a_little_now_and_then_is_served() {
    let origin = RawOrigin::start().await;
    let gateway = before(origin.address(), "1s").await;
    let mut client = Wire::connect_narrow(gateway.address()).await;
    client.send("GET / HTTP/1.1\r\nhost: x\r\n\r\n").await;
    let (target, _) = origin.request().await;
    let sending = tokio::spawn(large(target));
    let begun = Instant::now();
    let mut got = 0;
    // Slow all the time, for three times as long as it may stand still.
    while begun.elapsed() < Duration::from_secs(3) {
        let next = client.next().await;
        assert!(!next.is_empty(), "let go after {:?} and {got} bytes", begun.elapsed());
        got += next.len();
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    while got < LARGE {
        let next = client.next().await;
        assert!(!next.is_empty(), "let go after {got} bytes");
        got += next.len();
    }
    sending.await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_target_is_blamed_for_a_client_that_does_not_send_the_rest() {
    let (a, b) = (RawOrigin::start().await, RawOrigin::start().await);
    let yaml = r#"
upstreams: { raw: { targets: ["@a", "@b"], outlier: { consecutive_failures: 1 }, timeouts: { first_byte: FIRST } } }
routes: [{ name: all, match: { path: "/**" }, public: true, upstream: raw, timeout: WHOLE }]
"#;
    let yaml = yaml.replace("@a", &a.address().to_string()).replace("@b", &b.address().to_string());
    let gateway = Gateway::spawn(&yaml.replace("FIRST", "30s").replace("WHOLE", "500ms")).await;
    let mut client = gateway.wire().await;
    client.send(format!("POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 20000\r\n\r\n{}", "x".repeat(10_000))).await;
    let (_target, _) = tokio::select! { one = a.request() => one, one = b.request() => one };
    assert_eq!(client.answer().await.status, 408);
    for target in [&a, &b] {
        let told = gateway.admin().target("raw", target.address()).await;
        assert_eq!((&told["available"], &told["in_flight"]), (&true.into(), &0.into()), "{told}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_target_waits_for_the_rest_of_a_request_as_long_as_its_client_may_take() {
    let origin = RawOrigin::start().await;
    let yaml = format!(
        "upstreams: {{ raw: {{ targets: ['{}'], retry: {{ attempts: 1 }}, timeouts: {{ first_byte: 300ms }} }} }}
routes: [{{ name: all, match: {{ path: '/**' }}, public: true, upstream: raw }}]",
        origin.address()
    );
    let gateway = Gateway::spawn(&yaml).await;
    for answers in [true, false] {
        let mut client = gateway.wire().await;
        client.send("POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 8\r\n\r\nhalf").await;
        let (mut target, _) = origin.request().await;
        assert!(client.is_silent_for(Duration::from_secs(1)).await, "three times as long as a target has");
        client.send("rest").await;
        target.read_until("rest").await;
        if answers {
            target.send("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await;
            assert_eq!(client.answer().await.text(), "ok");
        } else {
            // From now on it is the target that is waited for.
            assert_eq!(client.answer().await.status, 504);
        }
    }
}

/// TLS takes some bytes that the system has no room for: an answer may be written whole, and still not be gone.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_over_tls_that_takes_nothing_is_let_go_however_long_its_answer_is() {
    let authority = Authority::new("stalls");
    let certificates = Certificates::new();
    let certificate = certificates.put("a", &authority.certify(&["a.test"]));
    let origin = Origin::start("a").await.playing(|received| {
        let length = received.target().trim_start_matches('/').parse().unwrap();
        vec![Beat::answer(200, &[], vec![b'x'; length])]
    });
    let yaml = r#"
listeners: [{ name: public, bind: "127.0.0.1:0", limits: { stall: 300ms }, tls: { certificates: [CERTIFICATE] } }]
upstreams: { raw: { targets: ["@raw"], timeouts: { first_byte: 30s, write: 30s } } }
routes: [{ name: all, match: { path: "/**" }, public: true, upstream: raw, timeout: 1m }]
"#;
    let yaml = yaml.replace("@raw", &origin.address().to_string()).replace("CERTIFICATE", &certificate);
    let gateway = Gateway::spawn(&yaml).await;
    let client = TlsClient::new(&authority);
    let mut waiting = Vec::new();
    for length in (1..=100).map(|step| step * 32 * 1024) {
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(4_096).unwrap();
        let stream = socket.connect(gateway.address()).await.unwrap();
        let mut io = client.over(stream, "a.test").await.unwrap().into_inner();
        let request = format!("GET /{length} HTTP/1.1\r\nhost: a.test\r\n\r\n");
        io.write_all(request.as_bytes()).await.unwrap();
        io.flush().await.unwrap();
        waiting.push(io);
    }
    until("all have been asked for", async || (origin.count() == 100).then_some(())).await;
    gateway.admin().is_quiet("raw", origin.address()).await;
}
