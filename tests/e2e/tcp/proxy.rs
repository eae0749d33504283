//! The PROXY protocol on TCP: what targets are told, byte for byte, and what is passed on of what we were told.

use std::net::SocketAddr;

use portreeve_tests::{Authority, Gateway, RawOrigin, TlsClient, Wire, until, within};
use tokio::net::TcpStream;

use super::{lines, raw, refused};

const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";

/// A connection whose own address is known.
async fn client(gateway: &Gateway) -> (TcpStream, SocketAddr) {
    let stream = TcpStream::connect(gateway.address()).await.unwrap();
    let address = stream.local_addr().unwrap();
    (stream, address)
}

/// The first bytes, exactly so many.
async fn first(origin: &RawOrigin, count: usize) -> (Wire, Vec<u8>) {
    let mut wire = origin.accept().await;
    let mut bytes = Vec::new();
    while bytes.len() < count {
        let next = wire.next().await;
        assert!(!next.is_empty(), "closed after {}", bytes.escape_ascii());
        bytes.extend(next);
    }
    (wire, bytes)
}

fn tlv(kind: u8, value: &[u8]) -> Vec<u8> {
    [&[kind, 0, u8::try_from(value.len()).unwrap()], value].concat()
}

/// A version 2 header for a client in IPv4.
fn v2(source: SocketAddr, destination: SocketAddr, additions: &[u8]) -> Vec<u8> {
    let ip = |address: SocketAddr| match address.ip() {
        std::net::IpAddr::V4(ip) => ip.octets(),
        std::net::IpAddr::V6(ip) => panic!("{ip}"),
    };
    let ports = [source.port().to_be_bytes(), destination.port().to_be_bytes()].concat();
    let rest = [&ip(source)[..], &ip(destination)[..], &ports, additions].concat();
    [SIGNATURE, &[0x21, 0x11], &u16::try_from(rest.len()).unwrap().to_be_bytes(), &rest].concat()
}

#[tokio::test]
async fn a_target_is_told_of_the_client_in_one_line() {
    let origin = RawOrigin::start().await;
    let gateway = Gateway::spawn(&raw(&[origin.address()], "", "", "proxy_protocol: v1,")).await;
    let (stream, address) = client(&gateway).await;
    let line = format!("PROXY TCP4 127.0.0.1 127.0.0.1 {} {}\r\n", address.port(), gateway.address().port());
    // Before the client has said anything.
    let (mut server, bytes) = first(&origin, line.len()).await;
    assert_eq!(String::from_utf8_lossy(&bytes), line);
    stream.try_write(b"hello").unwrap();
    assert_eq!(server.next().await, b"hello");
    drop((stream, server));
    // Only what the two said to each other counts.
    assert_eq!(lines(&gateway, 1).await[0]["bytes_in"], 5);
}

#[tokio::test]
async fn a_target_is_told_the_name_asked_for_and_the_id_in_the_log() {
    let (origin, authority) = (RawOrigin::start().await, Authority::new("root"));
    let tcp = "sni: { db.example.com: a },";
    let gateway = Gateway::spawn(&raw(&[origin.address()], "", tcp, "proxy_protocol: v2,")).await;
    let connecting = tokio::spawn({
        let (client, address) = (TlsClient::new(&authority), gateway.address());
        async move { client.connect(address, "db.example.com").await.is_err() }
    });
    let additions = tlv(2, b"db.example.com").len() + tlv(5, &[0; 32]).len();
    let length = 16 + 12 + additions;
    let (server, mut bytes) = first(&origin, length + 1).await;
    // TLS follows at once, as the client sent it.
    assert_eq!(bytes[length], 0x16);
    bytes.truncate(length);
    drop(server);
    assert!(connecting.await.unwrap());
    let line = &lines(&gateway, 1).await[0];
    let id = line["connection_id"].as_str().unwrap();
    let port = u16::from_be_bytes([bytes[24], bytes[25]]);
    let source = SocketAddr::from(([127, 0, 0, 1], port));
    let wanted = [tlv(2, b"db.example.com"), tlv(5, id.as_bytes())].concat();
    assert_eq!(bytes, v2(source, gateway.address(), &wanted));
}

#[tokio::test]
async fn what_a_trusted_proxy_says_of_the_client_is_passed_on() {
    let origin = RawOrigin::start().await;
    for (version, length) in [("v1", 40), ("v2", 28 + 35)] {
        let upstream = format!("proxy_protocol: {version},");
        let yaml = raw(&[origin.address()], "proxy_protocol: true,", "", &upstream);
        let gateway = Gateway::spawn(&format!("trusted_proxies: [\"127.0.0.0/8\"]\n{yaml}")).await;
        let mut client = gateway.wire().await;
        client.send("PROXY TCP4 192.0.2.7 10.0.0.1 4711 443\r\nfirst words").await;
        let (server, bytes) = first(&origin, length + 11).await;
        let (header, words) = bytes.split_at(length);
        assert_eq!(words, b"first words");
        let wanted = if version == "v1" {
            b"PROXY TCP4 192.0.2.7 10.0.0.1 4711 443\r\n".to_vec()
        } else {
            let id = &header[header.len() - 32..];
            v2("192.0.2.7:4711".parse().unwrap(), "10.0.0.1:443".parse().unwrap(), &tlv(5, id))
        };
        assert_eq!(header, wanted);
        drop((client, server));
        assert_eq!(lines(&gateway, 1).await[0]["client_ip"], "192.0.2.7");
    }
}

#[tokio::test]
async fn a_stranger_may_not_say_for_whom_it_speaks() {
    let origin = RawOrigin::start().await;
    let yaml = raw(&[origin.address()], "proxy_protocol: true,", "", "");
    let gateway = Gateway::spawn(&format!("trusted_proxies: [\"192.0.2.0/24\"]\n{yaml}")).await;
    let mut client = gateway.wire().await;
    client.send("PROXY TCP4 192.0.2.7 10.0.0.1 4711 443\r\nfirst words").await;
    assert_eq!(client.rest().await, b"");
    refused(&gateway, &["proxy_protocol_untrusted"], 1).await;
}

#[tokio::test]
async fn the_header_goes_before_tls_towards_the_target() {
    let origin = RawOrigin::start().await;
    let gateway =
        Gateway::spawn(&raw(&[origin.address()], "", "", "proxy_protocol: v1, tls: { verify: false },")).await;
    let (_stream, address) = client(&gateway).await;
    let line = format!("PROXY TCP4 127.0.0.1 127.0.0.1 {} {}\r\n", address.port(), gateway.address().port());
    let (_server, bytes) = first(&origin, line.len() + 1).await;
    assert_eq!((&bytes[..line.len()], bytes[line.len()]), (line.as_bytes(), 0x16));
}

#[tokio::test]
async fn a_health_check_says_that_it_speaks_for_itself() {
    let origin = RawOrigin::start().await;
    let upstream = "proxy_protocol: v2, health: { http: /up, interval: 1h, unhealthy_after: 1, healthy_after: 1 },";
    let asked = async {
        let (mut server, bytes) = first(&origin, 17).await;
        assert_eq!(bytes[..16], [SIGNATURE, &[0x20, 0, 0, 0]].concat());
        let mut head = String::from_utf8(bytes[16..].to_vec()).unwrap();
        while !head.contains("\r\n\r\n") {
            head.push_str(&String::from_utf8(server.next().await).unwrap());
        }
        assert!(head.starts_with("GET /up HTTP/1.1\r\n"), "{head}");
        server.send("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await;
        server
    };
    // The start waits for the first check.
    let yaml = raw(&[origin.address()], "", "", upstream);
    let (gateway, _server) = tokio::join!(within("a start", Gateway::spawn(&yaml)), asked);
    until("a healthy target", async || {
        let target = gateway.admin().target("a", origin.address()).await;
        (target["healthy"] == true).then_some(())
    })
    .await;
}
