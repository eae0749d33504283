//! The edges of what clients do: they ask about the server itself, send no more and wait, write targets as browsers do, and are
//! refused with what every answer has.

use std::time::{Duration, Instant};

use portreeve_tests::{Gateway, Origin, RawOrigin, at, until};
use tokio::net::TcpStream;

use crate::rpc::{RpcClient, RpcOrigin};

const OPEN: &str = r#"
upstreams: { a: { targets: ["@a"] } }
routes: [{ name: all, match: { path: "/**" }, public: true, upstream: a }]
"#;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn options_for_the_server_as_a_whole_is_answered_here_and_by_no_target() {
    let a = Origin::start("a").await;
    let gateway = Gateway::spawn(&at(&[&a], OPEN)).await;
    let mut wire = gateway.wire().await;
    // The connection is kept: nothing is wrong with asking. The third is another form of it (RFC 9112 §3.2.4).
    for target in ["*", "*", "http://x"] {
        wire.send(format!("OPTIONS {target} HTTP/1.1\r\nhost: x\r\n\r\n")).await;
        let answer = wire.try_answer("OPTIONS").await.unwrap();
        assert_eq!(answer.status, 204);
        assert!(answer.header("allow").is_some_and(|allow| allow.contains("GET") && !allow.contains("CONNECT")));
    }
    assert_eq!(a.count(), 0);
    for target in ["http://x/", "http://x?y", "/"] {
        assert_eq!(gateway.raw(format!("OPTIONS {target} HTTP/1.1\r\nhost: x\r\n\r\n")).await.status, 200);
    }
    assert_eq!(a.count(), 3);
    assert_eq!(gateway.raw("CONNECT x:443 HTTP/1.1\r\nhost: x:443\r\n\r\n").await.status, 405);
    assert_eq!(a.count(), 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn options_for_the_server_as_a_whole_passes_the_chain_of_the_listener() {
    let yaml = r#"
listeners: [{ name: public, bind: "127.0.0.1:0", plugins: [ip-filter: { deny: ["127.0.0.0/8"] }] }]
routes: [{ name: all, match: { path: "/**" }, public: true, respond: { status: 200 } }]
"#;
    let gateway = Gateway::spawn(yaml).await;
    assert_eq!(gateway.raw("OPTIONS * HTTP/1.1\r\nhost: x\r\n\r\n").await.status, 403);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn options_that_may_not_be_passed_on_are_answered_here() {
    let a = Origin::start("a").await;
    let gateway = Gateway::spawn(&at(&[&a], OPEN)).await;
    let ask = async |method: &str, forwards: &str| {
        gateway.raw(format!("{method} /x HTTP/1.1\r\nhost: x\r\n{forwards}\r\n")).await
    };
    let answer = ask("OPTIONS", "max-forwards: 0\r\n").await;
    assert_eq!((answer.status, answer.header("allow").is_some(), a.count()), (204, true, 0));
    for wrong in ["max-forwards: -1\r\n", "max-forwards: 1\r\nmax-forwards: 2\r\n", "max-forwards:\r\n"] {
        assert_eq!((ask("OPTIONS", wrong).await.status, a.count()), (400, 0), "{wrong}");
    }
    assert_eq!(ask("OPTIONS", "max-forwards: 9\r\n").await.status, 200);
    assert_eq!(a.last().head.header("max-forwards"), Some("8"));
}

/// What a target is sent may hold more than its client should see: the keys that plugins add, the gateway's own fields.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn trace_is_for_routes_that_name_it_and_refused_elsewhere() {
    let a = Origin::start("a").await;
    let yaml = r#"
upstreams: { a: { targets: ["@a"] } }
routes:
  - { name: traced, match: { path: "/traced", methods: [GET, TRACE] }, public: true, upstream: a }
  - { name: all, match: { path: "/**" }, public: true, upstream: a }
"#;
    let gateway = Gateway::spawn(&at(&[&a], yaml)).await;
    let trace =
        async |path: &str, more: &str| gateway.raw(format!("TRACE {path} HTTP/1.1\r\nhost: x\r\n{more}\r\n")).await;
    let refused = trace("/x", "").await;
    assert_eq!((refused.status, a.count()), (405, 0));
    assert!(refused.header("allow").is_some_and(|allow| allow.contains("GET") && !allow.contains("TRACE")));
    assert_eq!((trace("/traced", "max-forwards: 0\r\n").await.status, a.count()), (405, 0));
    assert_eq!((trace("/traced", "").await.status, a.count()), (200, 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_sends_no_more_still_gets_its_answer() {
    for version in ["1.0", "1.1"] {
        let origin = RawOrigin::start().await;
        let gateway = Gateway::spawn(&OPEN.replace("@a", &origin.address().to_string())).await;
        let mut client = gateway.wire().await;
        client.send(format!("GET / HTTP/{version}\r\nhost: x\r\n\r\n")).await;
        client.finish().await;
        let (mut target, _) = origin.request().await;
        if version == "1.1" {
            // How the gateway finds out that somebody is still there.
            assert_eq!(client.answer().await.status, 100);
        }
        assert!(client.is_silent_for(Duration::from_millis(1_500)).await, "given up");
        target.send("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n").await;
        target.send("whole").await;
        let answer = client.answer().await;
        assert_eq!((answer.status, answer.text().as_str()), (200, "whole"), "{version}");
        assert_eq!(client.rest().await, b"", "nothing more can come");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_refused_at_the_wire_carries_its_date() {
    let a = Origin::start("a").await;
    let gateway = Gateway::spawn(&at(&[&a], OPEN)).await;
    for wrong in ["GET / HTTP/1.1\r\n\r\n", "CONNECT x:443 HTTP/1.1\r\nhost: x:443\r\n\r\n"] {
        let answer = gateway.raw(wrong).await;
        let date = answer.header("date").expect("a date");
        assert!(date.ends_with(" GMT") && date.len() == 29, "{date}");
    }
}

/// The client reads its answer and closes: from then on nothing of the gateway's is held for it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_whose_body_was_malformed_holds_its_place_no_longer_than_it_stays() {
    let a = Origin::start("a").await;
    let yaml = format!("listeners: [{{ name: public, bind: \"127.0.0.1:0\" }}]\n{OPEN}");
    let gateway = Gateway::spawn(&at(&[&a], &yaml)).await;
    let mut client = gateway.wire().await;
    client.send("POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n").await;
    let begun = Instant::now();
    assert_eq!(client.answer().await.status, 400);
    drop(client);
    until("the place is free", async || {
        (gateway.admin().count("portreeve_connections").await == Some(0)).then_some(())
    })
    .await;
    assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_browsers_leave_raw_goes_on_encoded_in_a_path_and_as_it_came_in_a_query() {
    let a = Origin::start("a").await;
    let gateway = Gateway::spawn(&at(&[&a], OPEN)).await;
    let answer = gateway.raw("GET /a[1]|b?f[a]=b|c&d={e}^`\\&%7c HTTP/1.1\r\nhost: x\r\n\r\n").await;
    assert_eq!(answer.status, 200);
    assert_eq!(a.last().target(), "/a%5B1%5D%7Cb?f[a]=b|c&d={e}^`\\&%7c");
    // In HTTP/2 as in HTTP/1.1, whether the path is brought into another spelling or not.
    for (sent, forwarded) in [("/a?f[a]=%5b|%7C{}^`&x=%41", "/a?f[a]=%5b|%7C{}^`&x=%41"), ("/%61//b?[%5D", "/a/b?[%5D")]
    {
        assert_eq!(gateway.raw(format!("GET {sent} HTTP/1.1\r\nhost: x\r\n\r\n")).await.status, 200);
        assert_eq!(a.last().target(), forwarded);
        let stream = TcpStream::connect(gateway.address()).await.unwrap();
        let (mut sender, connection) = h2::client::handshake(stream).await.unwrap();
        tokio::spawn(async move { connection.await.ok() });
        let request = http::Request::get(format!("http://x{sent}")).body(()).unwrap();
        assert_eq!(sender.send_request(request, true).unwrap().0.await.unwrap().status(), 200);
        assert_eq!(a.last().target(), forwarded);
    }
    let before = a.count();
    for refused in ["/?a=<b>", "/?a=\"b\"", "/a\"b", "/a^b", "/{a}", "/?a=%zz", "/a\\b"] {
        assert_eq!(gateway.raw(format!("GET {refused} HTTP/1.1\r\nhost: x\r\n\r\n")).await.status, 400, "{refused}");
    }
    assert_eq!(a.count(), before);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_access_log_tells_how_a_call_ended_and_says_nothing_of_it_for_others() {
    let (origin, folder) = (RpcOrigin::start().await, tempfile::tempdir().unwrap());
    let path = folder.path().join("access.log");
    let yaml = format!(
        "access_log: {{ to: \"file:{}\" }}
upstreams: {{ rpc: {{ targets: [\"{}\"], protocol: http2 }} }}
routes:
  - {{ name: rpc, match: {{ path: '/echo.Echo/**' }}, public: true, upstream: rpc }}
  - {{ name: web, match: {{ path: '/web' }}, public: true, respond: {{ status: 200, body: ok }} }}",
        path.display(),
        origin.address()
    );
    let gateway = Gateway::spawn(&yaml).await;
    let mut client = RpcClient::connect(gateway.address()).await;
    let expected = [("/echo.Echo/Unary", Some(0)), ("/echo.Echo/Fail", Some(5)), ("/nowhere", Some(12))];
    for (call, code) in expected {
        assert_eq!(client.call(call, &[], "ada").await.code(), code.map(|code: u8| code.to_string()).as_deref());
    }
    assert_eq!(gateway.get("/web").await.status, 200);
    let lines = crate::admin::lines(&path, 4).await;
    for (path, code) in expected.into_iter().chain([("/web", None)]) {
        let line = lines.iter().find(|line| line["path"] == path).unwrap();
        assert_eq!(line.get("grpc_status").and_then(serde_json::Value::as_u64), code.map(u64::from), "{line}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_so_many_requests_a_connection_says_that_it_closes_and_does() {
    let a = Origin::start("a").await;
    let limits = "listeners: [{ name: public, bind: \"127.0.0.1:0\", limits: { requests_per_connection: 3 } }]\n";
    let gateway = Gateway::spawn(&at(&[&a], &(limits.to_owned() + OPEN))).await;
    let mut wire = gateway.wire().await;
    // More than will be served is on its way already.
    wire.send("GET / HTTP/1.1\r\nhost: x\r\n\r\n".repeat(5)).await;
    for last in [false, false, true] {
        let answer = wire.answer().await;
        assert_eq!((answer.status, answer.header("connection") == Some("close")), (200, last), "{answer:?}");
    }
    assert_eq!(wire.rest().await, b"");
    assert_eq!(a.count(), 3);
}
