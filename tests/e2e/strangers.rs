//! Upstreams that this project did not write: nginx, as Debian packs it, and httpbin.

use portreeve_tests::servers::{Server, httpbin, nginx};
use portreeve_tests::{Gateway, Wire};
use serde_json::json;

/// Whoever is there has more time than it takes on a busy machine.
async fn before(server: &Server) -> Gateway {
    waiting(server, "30s").await
}

/// One that waits so long for an answer.
async fn waiting(server: &Server, time: &str) -> Gateway {
    let yaml = r#"
upstreams: { them: { targets: ["ADDRESS"], timeouts: { first_byte: TIME } } }
routes: [{ name: all, match: { path: "/**" }, public: true, upstream: them, limits: { body: 32MiB } }]
"#;
    Gateway::spawn(&yaml.replace("ADDRESS", &server.address().to_string()).replace("TIME", time)).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nginx_serves_files_whole_in_ranges_and_compressed() {
    let server = nginx().await;
    let gateway = before(&server).await;
    let text = "a line of text\n".repeat(10_000);
    std::fs::write(server.folder().join("www/lines.txt"), &text).unwrap();
    let plain = gateway.get("/lines.txt").await;
    assert_eq!((plain.status, plain.header("content-length")), (200, Some("150000")));
    assert_eq!(plain.text(), text);
    let etag = plain.header("etag").unwrap();
    let unchanged = gateway.get("/lines.txt").header("if-none-match", etag).await;
    assert_eq!((unchanged.status, unchanged.body.len()), (304, 0));
    let part = gateway.get("/lines.txt").header("range", "bytes=2-5").await;
    assert_eq!(
        (part.status, part.text().as_str(), part.header("content-range")),
        (206, "line", Some("bytes 2-5/150000"))
    );
    let head = gateway.ask("HEAD", "/lines.txt").await;
    assert_eq!((head.status, head.header("content-length"), head.body.len()), (200, Some("150000"), 0));
    // Compressed on the fly, and therefore chunked.
    let zipped = gateway.get("/lines.txt").header("accept-encoding", "gzip").await;
    assert_eq!((zipped.header("content-encoding"), zipped.header("content-length")), (Some("gzip"), None));
    assert!(zipped.body.starts_with(&[0x1f, 0x8b]) && zipped.body.len() < 5_000, "{}", zipped.body.len());
    assert_eq!(gateway.get("/missing").await.status, 404);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nginx_keeps_connections_and_sees_http_1_1_with_the_clients_host_and_address() {
    let server = nginx().await;
    let gateway = Gateway::setup().workers(1);
    let yaml = "upstreams: { them: { targets: [\"ADDRESS\"] } }\nroutes: [{ name: all, match: { path: \"/**\" }, public: true, upstream: them }]";
    let gateway = gateway.spawn(&yaml.replace("ADDRESS", &server.address().to_string())).await;
    let mut seen = Vec::new();
    for _ in 0..5 {
        seen.push(gateway.get("/connection").await.text());
    }
    let connection = seen[0].split(' ').next().unwrap();
    assert_eq!(seen, (1..=5).map(|request| format!("{connection} {request}")).collect::<Vec<_>>());
    let told = gateway.raw("GET /protocol HTTP/1.0\r\nhost: shop.example\r\n\r\n").await;
    assert_eq!(told.text(), "HTTP/1.1 shop.example 127.0.0.1");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nginx_receives_a_large_upload_byte_for_byte_by_length_and_in_chunks() {
    let server = nginx().await;
    let gateway = before(&server).await;
    let large: Vec<u8> = (0..20_000_000_u32).map(|i| (i % 253) as u8).collect();
    let made = gateway.ask("PUT", "/upload/by-length").body(large.clone()).await;
    assert_eq!(made.status, 201);
    assert!(std::fs::read(server.folder().join("upload/by-length")).unwrap() == large);
    let mut wire = gateway.wire().await;
    wire.send("PUT /upload/in-chunks HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n").await;
    for chunk in large[..1_000_000].chunks(70_001) {
        wire.send([format!("{:x}\r\n", chunk.len()).as_bytes(), chunk, b"\r\n"].concat()).await;
    }
    wire.send("0\r\n\r\n").await;
    assert_eq!(wire.answer().await.status, 201);
    assert!(std::fs::read(server.folder().join("upload/in-chunks")).unwrap() == large[..1_000_000]);
    assert!(gateway.get("/upload/by-length").await.body == large);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nginx_may_redirect_be_busy_or_hang_up() {
    let server = nginx().await;
    let gateway = before(&server).await;
    let moved = gateway.get("/moved").await;
    assert!(moved.status == 302 && moved.header("location").unwrap().ends_with("/elsewhere"), "{moved:?}");
    let busy = gateway.get("/unavailable").await;
    assert_eq!((busy.status, busy.text().as_str()), (503, "busy"));
    let dropped = gateway.get("/dropped").await;
    assert_eq!(dropped.status, 502);
    assert!(dropped.is_problem(), "{dropped:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn httpbin_is_sent_every_method_header_query_and_body_as_they_came() {
    let server = httpbin().await;
    let gateway = before(&server).await;
    for method in ["POST", "PUT", "PATCH", "DELETE"] {
        let path = format!("/{}?a=1&b=%20x", method.to_lowercase());
        let told = gateway
            .ask(method, &path)
            .header("content-type", "text/plain")
            .header("x-custom", "Straße")
            .body("some body")
            .await;
        assert_eq!(told.status, 200, "{method}");
        assert_eq!(
            (&told.json()["args"], &told.json()["data"]),
            (&json!({ "a": "1", "b": " x" }), &json!("some body")),
            "{method}"
        );
    }
    let told =
        gateway.get("/headers").header("x-custom", "as it came").header("x-forwarded-for", "6.6.6.6").await.json();
    assert_eq!(told["headers"]["X-Custom"], "as it came");
    assert!(!told.to_string().contains("6.6.6.6"), "{told}");
    assert_eq!(gateway.ask("HEAD", "/get").await.status, 200);
    let allowed = gateway.ask("OPTIONS", "/get").await;
    assert!(allowed.header("allow").is_some_and(|allow| allow.contains("GET")), "{allowed:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn httpbins_answers_come_as_it_gave_them() {
    let server = httpbin().await;
    let gateway = before(&server).await;
    for status in [200, 204, 304, 400, 404, 418, 500, 503] {
        assert_eq!(gateway.get(&format!("/status/{status}")).await.status, status);
    }
    let streamed = gateway.get("/stream/20").await;
    assert_eq!((streamed.status, streamed.text().lines().count()), (200, 20));
    assert_eq!(streamed.header("content-length"), None);
    let zipped = gateway.get("/gzip").await;
    assert!(zipped.header("content-encoding") == Some("gzip") && zipped.body.starts_with(&[0x1f, 0x8b]));
    assert_eq!(gateway.get("/redirect/1").await.status, 302);
    assert_eq!(gateway.get("/range/100000").await.body.len(), 100_000);
    let cookies = gateway.get("/cookies/set?a=1&b=2").await;
    assert_eq!(cookies.head.all("set-cookie").count(), 2);
    let impatient = waiting(&server, "500ms").await;
    let late = impatient.get("/delay/10").await;
    assert_eq!(late.status, 504);
    assert!(late.is_problem(), "{late:?}");
    let mut wire = Wire::connect(gateway.address()).await;
    wire.send("POST /post HTTP/1.1\r\nhost: x\r\nexpect: 100-continue\r\ncontent-length: 5\r\n\r\n").await;
    wire.read_until("100 Continue\r\n\r\n").await;
    wire.send("hello").await;
    assert_eq!(wire.answer().await.json()["data"], "hello");
}
