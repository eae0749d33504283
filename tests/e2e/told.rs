//! Targets of requests that are told of the client by the PROXY protocol.

use portreeve_tests::{Gateway, RawOrigin, servers};

fn yaml(address: std::net::SocketAddr, settings: &str) -> String {
    format!(
        "upstreams: {{ pool: {{ targets: [\"{address}\"], {settings} }} }}\nroutes: [{{ name: all, match: {{ path: '/**' }}, public: true, upstream: pool }}]\n"
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_request_has_a_connection_that_begins_with_its_client() {
    let origin = RawOrigin::start().await;
    let gateway =
        Gateway::spawn(&format!("trusted_proxies: [127.0.0.0/8]\n{}", yaml(origin.address(), "proxy_protocol: v1")))
            .await;
    let mut client = gateway.wire().await;
    for (real, told) in [("192.0.2.7", "192.0.2.7"), ("198.51.100.9", "198.51.100.9")] {
        client.send(format!("GET / HTTP/1.1\r\nhost: x\r\nx-forwarded-for: {real}\r\n\r\n")).await;
        let (mut server, head) = origin.request().await;
        assert!(head.starts_with(&format!("PROXY TCP4 {told} 127.0.0.1 0 ")), "{head}");
        assert!(head.split_once("\r\n").unwrap().1.starts_with("GET / HTTP/1.1\r\n"), "{head}");
        server.send("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await;
        assert_eq!(client.answer().await.status, 200);
        server.closed().await.expect("it speaks for one client");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nginx_hears_of_the_client_and_not_of_the_gateway() {
    let nginx = servers::nginx_told().await;
    for version in ["v1", "v2"] {
        let settings = format!("proxy_protocol: {version}, health: {{ http: /healthy, expect: {{ status: 404 }} }}");
        let listener = "listeners: [{ name: public, bind: \"127.0.0.1:0\", proxy_protocol: true }]\n";
        let trusted = "trusted_proxies: [127.0.0.0/8]\n";
        let gateway = Gateway::spawn(&format!("{listener}{trusted}{}", yaml(nginx.address(), &settings))).await;
        for client in ["192.0.2.7 4711", "198.51.100.9 4712"] {
            let (address, port) = client.split_once(' ').unwrap();
            let mut wire = gateway.wire().await;
            wire.send(format!("PROXY TCP4 {address} 10.0.0.1 {port} 80\r\n")).await;
            for _ in 0..3 {
                wire.send("GET /told HTTP/1.1\r\nhost: x\r\n\r\n").await;
                assert_eq!(wire.answer().await.text(), format!("{address}:{port}"), "{version}");
            }
        }
    }
}
