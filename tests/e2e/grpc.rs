//! gRPC through the gateway: four kinds of call, trailers, deadlines, and errors that its clients can read.

use std::time::{Duration, Instant};

use bytes::Bytes;
use h2::Reason;
use portreeve_tests::{Gateway, Origin, until, within};

use crate::rpc::{RpcClient, RpcOrigin, SOON, message};

/// A gateway before one origin, with `route` beside the usual.
async fn gateway(origin: &RpcOrigin, route: &str) -> Gateway {
    let yaml = format!(
        "upstreams: {{ rpc: {{ targets: [\"{}\"], protocol: http2 }} }}\n\
         routes: [{{ name: rpc, match: {{ path: '/echo.Echo/**' }}, public: true, upstream: rpc, {route} }}]\n",
        origin.address()
    );
    Gateway::spawn(&yaml).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_four_kinds_of_call_pass_with_their_trailers() {
    let origin = RpcOrigin::start().await;
    let gateway = gateway(&origin, "").await;
    let mut client = RpcClient::connect(gateway.address()).await;
    let (one, three) = (message("ada"), [message("ada"), message("ada"), message("ada")].concat());
    for (path, expected) in [("/echo.Echo/Unary", &one[..]), ("/echo.Echo/Server", &three)] {
        let answer = client.call(path, &[], "ada").await;
        assert_eq!((answer.status, answer.code(), &answer.body[..]), (200, Some("0"), expected), "{answer:?}");
        assert_eq!((answer.field("grpc-message"), answer.field("x-checksum")), (Some("done"), Some("7")));
        assert!(answer.headers.get("grpc-status").is_none() && answer.headers["content-type"] == "application/grpc");
    }
    let mut call = client.begin("/echo.Echo/Client", &[]).await;
    for _ in 0..2 {
        call.sending.send_data(message("ada"), false).unwrap();
    }
    call.sending.send_data(message("ada"), true).unwrap();
    let answer = call.finish().await;
    assert_eq!((answer.code(), &answer.body[..]), (Some("0"), &three[..]));
    // Both ways at once: each message is answered before the next is sent.
    let mut call = client.begin("/echo.Echo/Bidi", &[]).await;
    let mut body = within("a head", call.answer).await.unwrap().into_body();
    for text in ["one", "two", "three"] {
        call.sending.send_data(message(text), false).unwrap();
        let answer = within("an echo", body.data()).await.unwrap().unwrap();
        body.flow_control().release_capacity(answer.len()).unwrap();
        assert_eq!(answer, message(text));
    }
    call.sending.send_data(Bytes::default(), true).unwrap();
    assert!(within("the end", body.data()).await.is_none());
    assert_eq!(within("trailers", body.trailers()).await.unwrap().unwrap()["grpc-status"], "0");
    for head in origin.heads() {
        assert_eq!(head.headers["te"], "trailers");
        assert_eq!(head.headers["content-type"], "application/grpc");
        assert_eq!(head.uri.authority().unwrap(), "gateway.test");
    }
}

/// As many as its windows allow, long before they can be taken from it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_may_send_thousands_of_small_messages_at_once() {
    let origin = RpcOrigin::start().await;
    let gateway = gateway(&origin, "").await;
    let mut client = RpcClient::connect(gateway.address()).await;
    let mut call = client.begin("/echo.Echo/Client", &[]).await;
    for _ in 0..20_000 {
        call.sending.send_data(message("tick"), false).unwrap();
    }
    call.sending.send_data(message("tock"), true).unwrap();
    let answer = call.finish().await;
    assert_eq!((answer.code(), answer.body.len()), (Some("0"), 20_001 * 9));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_status_of_the_server_passes_as_it_is() {
    let origin = RpcOrigin::start().await;
    let gateway = gateway(&origin, "").await;
    let answer = RpcClient::connect(gateway.address()).await.call("/echo.Echo/Fail", &[], "").await;
    assert_eq!((answer.status, answer.code(), answer.field("grpc-message")), (200, Some("5"), Some("none here")));
    assert!(answer.body.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_calls_share_a_connection_of_each_worker() {
    let origin = RpcOrigin::start().await;
    let gateway = gateway(&origin, "").await;
    let mut client = RpcClient::connect(gateway.address()).await;
    client.call("/echo.Echo/Unary", &[], "first").await;
    let mut calls = Vec::new();
    for _ in 0..40 {
        calls.push(client.begin("/echo.Echo/Bidi", &[]).await);
    }
    for call in &mut calls {
        call.sending.send_data(message("all at once"), true).unwrap();
    }
    for call in calls {
        assert_eq!(call.finish().await.body, message("all at once"));
    }
    // Those of one client are all on one worker.
    assert_eq!(origin.connections(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_deadline_of_the_client_ends_the_call_at_the_server_too() {
    let origin = RpcOrigin::start().await;
    let gateway = gateway(&origin, "timeouts: { idle: 1h }").await;
    let mut client = RpcClient::connect(gateway.address()).await;
    // On a busy machine a short deadline may pass before the server has heard of the call; then a longer one.
    for milliseconds in [100, 400, 1_600, 6_400] {
        let begun = Instant::now();
        let timeout = format!("{milliseconds}m");
        let answer = client.call("/echo.Echo/Silent", &[("grpc-timeout", &timeout)], "").await;
        assert_eq!((answer.status, answer.code()), (200, Some("4")), "{answer:?}");
        let deadline = Duration::from_millis(milliseconds);
        assert!((deadline..deadline + SOON).contains(&begun.elapsed()));
        if !origin.heads().is_empty() {
            break;
        }
    }
    assert_eq!(origin.reset().await, Reason::CANCEL);
}

/// As a client does that hedges, or whose deadlines are short while a server is slow. h2 fails to begin a call on a connection
/// that its server asks to leave.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_cancels_call_after_call_keeps_its_connection() {
    let origin = RpcOrigin::start().await;
    let gateway = gateway(&origin, "").await;
    let mut client = RpcClient::connect(gateway.address()).await;
    let (mut begun, silent, served) = (0, 60, [0, 60]);
    // All of six hundred, then the half of as many again.
    for round in 0..20 {
        let mut calls = Vec::new();
        for _ in 0..silent {
            let mut call = client.begin("/echo.Echo/Silent", &[]).await;
            call.sending.send_data(message("ada"), true).unwrap();
            calls.push(call);
        }
        begun += silent;
        until("the calls have begun", async || (origin.heads().len() == begun).then_some(())).await;
        for mut call in calls {
            call.sending.send_reset(Reason::CANCEL);
        }
        for _ in 0..served[usize::from(round >= 10)] {
            assert_eq!(client.call("/echo.Echo/Unary", &[], "ada").await.code(), Some("0"));
            begun += 1;
        }
    }
    assert_eq!(client.call("/echo.Echo/Unary", &[], "ada").await.code(), Some("0"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_client_lengthens_what_the_route_allows() {
    let origin = RpcOrigin::start().await;
    let gateway = gateway(&origin, "timeout: 100ms").await;
    let mut client = RpcClient::connect(gateway.address()).await;
    let begun = Instant::now();
    let answer = client.call("/echo.Echo/Silent", &[("grpc-timeout", "99999999H")], "").await;
    assert_eq!(answer.code(), Some("4"));
    assert!(begun.elapsed() < SOON);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deadline_that_is_none_is_refused() {
    let origin = RpcOrigin::start().await;
    let gateway = gateway(&origin, "").await;
    let mut client = RpcClient::connect(gateway.address()).await;
    for value in ["5", "1.5S", "123456789S", "-1S", "soon"] {
        let answer = client.call("/echo.Echo/Unary", &[("grpc-timeout", value)], "").await;
        assert_eq!((answer.status, answer.code()), (200, Some("13")), "{value}: {answer:?}");
    }
    assert!(origin.heads().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_outlives_the_timeout_of_its_route() {
    let origin = RpcOrigin::start().await;
    let gateway = gateway(&origin, "timeout: 1s").await;
    let mut client = RpcClient::connect(gateway.address()).await;
    let begun = Instant::now();
    let mut call = client.begin("/echo.Echo/Bidi", &[]).await;
    let mut body = within("a head", call.answer).await.unwrap().into_body();
    while begun.elapsed() < Duration::from_secs(2) {
        call.sending.send_data(message("still here"), false).unwrap();
        let answer = within("an echo", body.data()).await.unwrap().unwrap();
        body.flow_control().release_capacity(answer.len()).unwrap();
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    call.sending.send_data(Bytes::default(), true).unwrap();
    assert!(within("the end", body.data()).await.is_none());
    assert_eq!(within("trailers", body.trailers()).await.unwrap().unwrap()["grpc-status"], "0");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn errors_of_the_gateway_are_grpc_statuses() {
    let (dead, plain, rpc) = (Origin::dead("dead").await, Origin::start("plain").await, RpcOrigin::start().await);
    let yaml = format!(
        r#"
consumers: [{{ name: ada, keys: ["env:PATH"] }}]
errors: {{ default: {{ body: "<p>a page</p>", content_type: text/html }} }}
upstreams:
  dead: {{ targets: ["{}"], protocol: http2 }}
  plain: {{ targets: ["{}"], protocol: http2 }}
  rpc: {{ targets: ["{}"], protocol: http2 }}
routes:
  - {{ name: key, match: {{ path: /x.Key/Call }}, plugins: [key-auth], upstream: dead }}
  - {{ name: rate, match: {{ path: /x.Rate/Call }}, public: true, plugins: [rate-limit: {{ by: all, limit: {{ rate: 1/h }} }}], respond: {{ status: 403, body: no }} }}
  - {{ name: long, match: {{ path: /x.Long/Call }}, public: true, upstream: rpc, limits: {{ body: 4B }} }}
  - {{ name: dead, match: {{ path: /x.Dead/Call }}, public: true, upstream: dead }}
  - {{ name: plain, match: {{ path: /x.Plain/Call }}, public: true, upstream: plain }}
"#,
        dead.address(),
        plain.address(),
        rpc.address()
    );
    let gateway = Gateway::spawn(&yaml).await;
    let mut client = RpcClient::connect(gateway.address()).await;
    for (path, code) in [
        ("/x.Key/Call", "16"),
        ("/x.None/Call", "12"),
        ("/x.Rate/Call", "7"),
        ("/x.Rate/Call", "8"),
        ("/x.Long/Call", "8"),
        ("/x.Dead/Call", "14"),
        // A server that does not speak HTTP/2.
        ("/x.Plain/Call", "14"),
    ] {
        let answer = client.call(path, &[], "ada").await;
        assert_eq!((answer.status, answer.code()), (200, Some(code)), "{path}: {answer:?}");
        assert_eq!(answer.headers["content-type"], "application/grpc");
        assert!(answer.body.is_empty() && answer.trailers.is_none() && answer.headers.contains_key("x-request-id"));
        let told = format!("{:?}", answer.headers);
        assert!(!told.contains("127.0.0.1") && !told.contains("page"), "{told}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_listeners_bounds_on_target_and_fields_hold_over_http2_too() {
    let origin = RpcOrigin::start().await;
    let yaml = r#"
listeners: [{ name: public, bind: "127.0.0.1:0", limits: { uri: 64B, headers: 10 } }]
upstreams: { calls: { targets: ["@calls"], protocol: http2 } }
routes: [{ name: all, match: { path: "/**" }, public: true, upstream: calls }]
"#;
    let gateway = portreeve_tests::Gateway::spawn(&yaml.replace("@calls", &origin.address().to_string())).await;
    let mut client = RpcClient::connect(gateway.address()).await;
    assert_eq!(client.call("/echo.Echo/Unary", &[], "x").await.code(), Some("0"));
    // 8 is RESOURCE_EXHAUSTED: 414 and 431.
    assert_eq!(client.call(&format!("/{}", "a".repeat(64)), &[], "x").await.code(), Some("8"));
    let names: Vec<String> = (0..11).map(|number| format!("x-{number}")).collect();
    let many: Vec<(&str, &str)> = names.iter().map(|name| (name.as_str(), "1")).collect();
    assert_eq!(client.call("/echo.Echo/Unary", &many, "x").await.code(), Some("8"));
    assert_eq!(origin.heads().len(), 1);
}
