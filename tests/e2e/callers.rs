//! For whom a request is: the client that plugins, limits and the log see, whoever stands between it and the gateway.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::net::SocketAddr;

use bytes::Bytes;
use http::Request;
use portreeve_tests::{Authority, Certificates, Gateway, TlsClient, Wire, within};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::admin::lines;

/// Version 2 of the PROXY protocol: a command and family, and what they are about.
fn v2(kind: [u8; 2], rest: &[u8]) -> Vec<u8> {
    let length = u16::try_from(rest.len()).unwrap().to_be_bytes();
    [b"\r\n\r\n\0\r\nQUIT\n", &kind[..], &length, rest].concat()
}

/// What it is, what comes before the first request, the fields of the request, the client.
type Row = (&'static str, Vec<u8>, &'static [(&'static str, &'static str)], &'static str);

const FOR: &str = "x-forwarded-for";
/// A client of which no address is known.
const NOBODY: &str = "0.0.0.0";

/// To a listener that is connected to by a trusted proxy.
fn rows_behind_a_proxy() -> Vec<Row> {
    vec![
        ("nothing said", vec![], &[], "127.0.0.1"),
        ("one client", vec![], &[(FOR, "198.51.100.1")], "198.51.100.1"),
        ("a client with a port", vec![], &[(FOR, "198.51.100.1:4711")], "198.51.100.1"),
        ("an IPv6 client", vec![], &[(FOR, "2001:db8::7")], "2001:db8::7"),
        (
            "what the client itself said, left of it",
            vec![],
            &[(FOR, "10.0.0.8, 198.51.100.1, 10.0.0.2")],
            "198.51.100.1",
        ),
        ("the same in two fields", vec![], &[(FOR, "192.0.2.66"), (FOR, "198.51.100.1")], "198.51.100.1"),
        ("nobody that has an address", vec![], &[(FOR, "192.0.2.66, unknown")], NOBODY),
        ("an empty list", vec![], &[(FOR, ",")], "127.0.0.1"),
        ("members that are empty", vec![], &[(FOR, "192.0.2.66,, 198.51.100.1,")], "198.51.100.1"),
        ("one of ours, and what it had sent", vec![], &[(FOR, "198.51.100.1, x, 10.0.0.8")], NOBODY),
        ("Forwarded that a client has begun badly", vec![], &[("forwarded", "x, for=198.51.100.1")], "198.51.100.1"),
        (
            "the same with a quotation mark",
            vec![],
            &[("forwarded", "for=\", for=198.51.100.1;host=\"a\"")],
            "198.51.100.1",
        ),
        ("Forwarded that cannot be read", vec![], &[("forwarded", "x")], NOBODY),
        ("Forwarded by who hides the client", vec![], &[("forwarded", "for=_hidden")], NOBODY),
        (
            "one of ours by the one, a stranger by the other",
            vec![],
            &[(FOR, "10.0.0.8"), ("forwarded", "for=192.0.2.66")],
            "192.0.2.66",
        ),
        (
            "nothing by the one, a stranger by the other",
            vec![],
            &[(FOR, ""), ("forwarded", "for=192.0.2.66")],
            "192.0.2.66",
        ),
        ("Forwarded", vec![], &[("forwarded", "for=192.0.2.66, for=\"[2001:db8::7]:9\";proto=https")], "2001:db8::7"),
        ("both", vec![], &[("forwarded", "for=192.0.2.66"), (FOR, "198.51.100.1")], "198.51.100.1"),
    ]
}

/// To a listener for the PROXY protocol.
fn rows_with_a_header() -> Vec<Row> {
    let v1 = |line: &str| format!("PROXY {line}\r\n").into_bytes();
    let stranger = || v1("TCP4 203.0.113.7 192.0.2.1 8080 80");
    let six: Vec<u8> = "2001:db8::7 2001:db8::1"
        .split(' ')
        .flat_map(|address| address.parse::<std::net::Ipv6Addr>().unwrap().octets())
        .chain([0x1f, 0x90, 0, 80])
        .collect();
    let mapped =
        [&[0; 10][..], &[0xff, 0xff, 203, 0, 113, 7], &[0; 10], &[0xff, 0xff, 192, 0, 2, 1], &[0x1f, 0x90, 0, 80]];
    vec![
        ("version 1", stranger(), &[], "203.0.113.7"),
        ("a stranger's own fields", stranger(), &[(FOR, "198.51.100.1"), ("forwarded", "for=10.0.0.9")], "203.0.113.7"),
        ("for a trusted proxy", v1("TCP4 10.0.0.9 192.0.2.1 8080 80"), &[], "10.0.0.9"),
        (
            "for a trusted proxy, by its fields",
            v1("TCP4 10.0.0.9 192.0.2.1 8080 80"),
            &[(FOR, "198.51.100.1")],
            "198.51.100.1",
        ),
        ("for nobody known", v1("UNKNOWN"), &[], NOBODY),
        ("for nobody known, whatever that says", v1("UNKNOWN"), &[(FOR, "198.51.100.1")], NOBODY),
        ("for nobody known, in version 2", v2([0x21, 0], &[]), &[(FOR, "127.0.0.1")], NOBODY),
        ("version 2", v2([0x21, 0x11], &[203, 0, 113, 7, 192, 0, 2, 1, 0x1f, 0x90, 0, 80]), &[], "203.0.113.7"),
        ("version 2 with IPv6", v2([0x21, 0x21], &six), &[(FOR, "198.51.100.1")], "2001:db8::7"),
        ("version 2 with IPv4 as IPv6", v2([0x21, 0x21], &mapped.concat()), &[], "203.0.113.7"),
        ("version 2 for itself", v2([0x20, 0], &[]), &[(FOR, "198.51.100.1")], "198.51.100.1"),
    ]
}

/// A GET in HTTP/1.1 on a connection: status, and who the gateway says has asked.
async fn http1<S: AsyncRead + AsyncWrite + Unpin>(mut io: S, path: &str, fields: &[(&str, &str)]) -> (u16, String) {
    let fields: Vec<_> = fields.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    let fields = fields.concat();
    let head = format!("GET {path} HTTP/1.1\r\nhost: a.test\r\nconnection: close\r\n{fields}\r\n");
    io.write_all(head.as_bytes()).await.unwrap();
    let mut text = String::new();
    within("an answer", tokio::io::AsyncReadExt::read_to_string(&mut io, &mut text)).await.unwrap();
    let who = text.lines().find_map(|line| line.strip_prefix("X-Client: ")).unwrap_or_default();
    (text.split(' ').nth(1).unwrap().parse().unwrap(), who.to_owned())
}

/// The same in HTTP/2.
async fn http2<S>(io: S, path: &str, fields: &[(&str, &str)]) -> (u16, String)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (mut sender, connection): (h2::client::SendRequest<Bytes>, _) =
        within("a handshake", h2::client::handshake(io)).await.unwrap();
    let driven = tokio::spawn(connection);
    let mut request = Request::builder().uri(format!("http://a.test{path}"));
    for (name, value) in fields {
        request = request.header(*name, *value);
    }
    let (answer, _) = sender.send_request(request.body(()).unwrap(), true).unwrap();
    let answer = within("an answer", answer).await.unwrap();
    let who = answer.headers().get("x-client").map_or("", |who| who.to_str().unwrap()).to_owned();
    driven.abort();
    (answer.status().as_u16(), who)
}

/// Four ways to ask: HTTP/1.1 and HTTP/2, in clear and over TLS.
struct Ways {
    gateway: Gateway,
    clients: [TlsClient; 2],
}

impl Ways {
    async fn ask(
        &self,
        way: usize,
        listener: &str,
        before: &[u8],
        path: &str,
        fields: &[(&str, &str)],
    ) -> (u16, String) {
        let (over_tls, over_http2) = (way & 1 != 0, way & 2 != 0);
        let name = format!("{listener}{}", if over_tls { "-tls" } else { "" });
        let mut io = TcpStream::connect(self.gateway.listener(&name)).await.unwrap();
        io.write_all(before).await.unwrap();
        if !over_tls {
            return if over_http2 { http2(io, path, fields).await } else { http1(io, path, fields).await };
        }
        let io = self.clients[usize::from(over_http2)].over(io, "a.test").await.unwrap().into_inner();
        if over_http2 { http2(io, path, fields).await } else { http1(io, path, fields).await }
    }
}

/// Listeners with and without the PROXY protocol, in clear and over TLS, whose trusted proxies are these.
async fn ways(trusted: &str, log: &str) -> Ways {
    let (authority, files) = (Authority::new("Root"), Certificates::new());
    let tls = format!("tls: {{ certificates: [{}] }}", files.put("a", &authority.certify(&["a.test"])));
    let yaml = format!(
        r#"
trusted_proxies: [{trusted}]
access_log: {{ to: "{log}" }}
listeners:
  - {{ name: plain, bind: "127.0.0.1:0" }}
  - {{ name: plain-tls, bind: "127.0.0.1:0", {tls} }}
  - {{ name: proxied, bind: "127.0.0.1:0", proxy_protocol: true }}
  - {{ name: proxied-tls, bind: "127.0.0.1:0", proxy_protocol: true, {tls} }}
chains:
  tell: [headers: {{ response: {{ set: {{ x-client: "${{request.client_ip}}" }} }} }}]
routes:
  - {{ name: who, match: {{ path: /who }}, public: true, plugins: [use: tell], respond: {{ status: 200, body: ok }} }}
  - name: once
    match: {{ path: /once }}
    public: true
    plugins: [rate-limit: {{ by: "${{request.client_ip}}", limit: {{ rate: 1/h }} }}]
    respond: {{ status: 200, body: ok }}
  - name: staff
    match: {{ path: /staff }}
    public: true
    plugins: [ip-filter: {{ allow: ["203.0.113.0/24"] }}]
    respond: {{ status: 200, body: ok }}
  - name: house
    match: {{ path: /house }}
    public: true
    plugins: [ip-filter: {{ allow: ["127.0.0.0/8", "10.0.0.0/8"] }}]
    respond: {{ status: 200, body: ok }}
  - name: exempt
    match: {{ path: /exempt }}
    public: true
    plugins: [rate-limit: {{ by: "all", limit: {{ rate: 1/h }}, exempt: {{ networks: ["127.0.0.0/8", "10.0.0.0/8"] }} }}]
    respond: {{ status: 200, body: ok }}
"#
    );
    let gateway = Gateway::spawn(&yaml).await;
    Ways { gateway, clients: [TlsClient::new(&authority), TlsClient::http2(&authority)] }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_client_that_plugins_and_the_log_see_is_the_right_one_in_every_combination() {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("access.log");
    let ways = ways("127.0.0.0/8, 10.0.0.0/8", &format!("file:{}", log.display())).await;
    let (mut wrong, mut asked) = (Vec::new(), 0);
    for (listener, rows) in [("plain", rows_behind_a_proxy()), ("proxied", rows_with_a_header())] {
        for (what, before, fields, client) in &rows {
            for way in 0..4 {
                let (status, who) = ways.ask(way, listener, before, "/who", fields).await;
                asked += 1;
                let line = lines(&log, asked).await.pop().unwrap();
                if (status, who.as_str(), &line["client_ip"]) != (200, *client, &(*client).into()) {
                    wrong.push(format!(
                        "{listener}, {what}, way {way}: {status} {who}, in the log {}",
                        line["client_ip"]
                    ));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_is_believed_who_is_not_trusted() {
    let ways = ways("10.0.0.0/8", "off").await;
    for way in 0..4 {
        let fields = [(FOR, "10.0.0.1"), ("forwarded", "for=10.0.0.1"), ("x-real-ip", "10.0.0.1")];
        assert_eq!(ways.ask(way, "plain", b"", "/who", &fields).await, (200, "127.0.0.1".to_owned()), "{way}");
    }
    let mut liar = Wire::connect(ways.gateway.listener("proxied")).await;
    liar.send("PROXY TCP4 203.0.113.7 192.0.2.1 8080 80\r\nGET /staff HTTP/1.1\r\nhost: a.test\r\n\r\n").await;
    assert_eq!(liar.rest().await, b"");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn limits_and_filters_go_by_the_client_whoever_speaks_for_it() {
    let ways = ways("127.0.0.0/8, 10.0.0.0/8", "off").await;
    let header = |client: &str| format!("PROXY TCP4 {client} 192.0.2.1 8080 80\r\n").into_bytes();
    let none: &[(&str, &str)] = &[];
    // One client, however it comes; whatever it says of itself makes no other of it.
    for (way, listener, before, fields, status) in [
        (0, "proxied", header("203.0.113.7"), none, 200),
        (1, "proxied", header("203.0.113.7"), none, 429),
        (2, "proxied", header("203.0.113.7"), &[(FOR, "198.51.100.9")], 429),
        (3, "plain", vec![], &[(FOR, "198.51.100.9, 203.0.113.7")], 429),
        (3, "proxied", header("10.0.0.9"), &[(FOR, "203.0.113.7")], 429),
        (0, "proxied", header("203.0.113.8"), none, 200),
        (2, "plain", vec![], &[("forwarded", "for=203.0.113.8")], 429),
    ] {
        assert_eq!(ways.ask(way, listener, &before, "/once", fields).await.0, status, "{way} {listener} {fields:?}");
    }
    for way in 0..4 {
        for (client, status) in [("203.0.113.7", 200), ("198.51.100.1", 403)] {
            assert_eq!(ways.ask(way, "proxied", &header(client), "/staff", none).await.0, status, "{way} {client}");
            assert_eq!(ways.ask(way, "plain", b"", "/staff", &[(FOR, client)]).await.0, status, "{way} {client}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_cannot_be_read_is_never_taken_for_one_of_ours() {
    let ways = ways("127.0.0.0/8, 10.0.0.0/8", "off").await;
    let unknown = b"PROXY UNKNOWN\r\n".to_vec();
    let mut asked = 0;
    for (listener, before, fields) in [
        ("plain", vec![], [("forwarded", "x, for=203.0.113.9")]),
        ("plain", vec![], [("forwarded", "for=\"10.0.0.9, for=203.0.113.9")]),
        ("plain", vec![], [("forwarded", "for=10.0.0.9;for=10.0.0.8, for=203.0.113.9;host=\"a, b\"")]),
        ("plain", vec![], [("forwarded", "for=10.0.0.9, for=unknown")]),
        ("plain", vec![], [("forwarded", "for=10.0.0.9, proto=http")]),
        ("plain", vec![], [(FOR, "10.0.0.9, garbage")]),
        ("plain", vec![], [(FOR, "10.0.0.9, [10.0.0.8]")]),
        ("plain", vec![], [(FOR, "10.0.0.9, 10.0.0.256, 10.0.0.8")]),
        ("proxied", unknown.clone(), [(FOR, "10.0.0.9")]),
    ] {
        for way in 0..4 {
            assert_eq!(ways.ask(way, listener, &before, "/house", &fields).await.0, 403, "{way} {fields:?}");
            let status = if asked == 0 { 200 } else { 429 };
            assert_eq!(ways.ask(way, listener, &before, "/exempt", &fields).await.0, status, "{way} {fields:?}");
            asked += 1;
        }
    }
    let list = vec!["10.0.0.7"; 40].join(", ");
    for way in 0..4 {
        assert_eq!(ways.ask(way, "plain", b"", "/house", &[(FOR, &list)]).await.0, 403);
        // What is read whole is believed, of our own as well.
        for fields in [&[(FOR, "10.0.0.9, 10.0.0.8")][..], &[], &[("forwarded", "for=10.0.0.9")]] {
            assert_eq!(ways.ask(way, "plain", b"", "/house", fields).await.0, 200, "{way} {fields:?}");
        }
    }
}

/// Reads the end of a connection that was not served.
async fn let_down(address: SocketAddr, bytes: &[u8]) {
    let mut wire = Wire::connect(address).await;
    wire.send(bytes).await;
    wire.finish().await;
    wire.rest().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_that_ends_before_its_first_request_has_a_line_with_who_and_why() {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("access.log");
    let ways = ways("127.0.0.0/8", &format!("file:{}", log.display())).await;
    let header: &[u8] = b"PROXY TCP4 203.0.113.7 192.0.2.1 8080 80\r\n";
    let not_tls = b"GET / HTTP/1.1\r\nhost: a.test\r\n\r\n";
    for (count, (listener, bytes, client, reason)) in [
        ("plain-tls", &not_tls[..], "127.0.0.1", "not_tls"),
        ("plain-tls", b"", "127.0.0.1", "closed"),
        ("proxied", b"PROXY TCP4 x y 1 2\r\n\r\n", "127.0.0.1", "proxy_protocol_malformed"),
        ("proxied", b"PROXY TCP4 203", "127.0.0.1", "proxy_protocol_incomplete"),
        ("proxied-tls", &[header, &not_tls[..]].concat(), "203.0.113.7", "not_tls"),
    ]
    .into_iter()
    .enumerate()
    {
        let_down(ways.gateway.listener(listener), bytes).await;
        let line = lines(&log, count + 1).await.pop().unwrap();
        let told = ["kind", "listener", "client_ip", "reason"].map(|field| line[field].as_str().unwrap_or_default());
        assert_eq!(told, ["refused", listener, client, reason], "{line}");
        assert!(line["duration_ms"].as_f64().is_some() && line["generation"] == 1, "{line}");
        let metric = format!("portreeve_connections_refused_total{{listener=\"{listener}\",reason=\"{reason}\"}}");
        assert_eq!(ways.gateway.admin().count(&metric).await, Some(1), "{metric}");
    }
}
