//! What passes: protocols of other people's servers, halves that end apart, many bytes, many connections.

use futures::future::join_all;
use portreeve_tests::{Gateway, RawOrigin, Wire, servers, until};
use serde_json::json;

use super::{Echo, bytes, ended, lines, raw, refused};

#[tokio::test]
async fn redis_is_served_through_a_listener_for_tcp() {
    let redis = servers::redis().await;
    let gateway = Gateway::spawn(&raw(&[redis.address()], "", "", "health: { tcp: true },")).await;
    let mut wire = gateway.wire().await;
    wire.send("SET greeting hello\r\n").await;
    assert_eq!(wire.read_until("\r\n").await, "+OK\r\n");
    // Pipelined, so that requests and answers pass each other.
    wire.send("INCR n\r\n".repeat(1_000)).await;
    let answers = wire.read_until(":1000\r\n").await;
    assert_eq!(answers, (1..=1_000).map(|n| format!(":{n}")).collect::<Vec<_>>().join("\r\n") + "\r\n");
    let mut other = gateway.wire().await;
    other.send("GET greeting\r\nQUIT\r\n").await;
    assert_eq!(other.rest().await, b"$5\r\nhello\r\n+OK\r\n");
}

#[tokio::test]
async fn http_passes_as_bytes_and_every_byte_is_counted_and_logged() {
    let nginx = servers::nginx().await;
    let gateway = Gateway::spawn(&raw(&[nginx.address()], "", "", "")).await;
    let request = "GET /protocol HTTP/1.1\r\nHost: any.test\r\nConnection: close\r\n\r\n";
    let mut wire = gateway.wire().await;
    wire.send(request).await;
    let answer = wire.closed().await.unwrap();
    drop(wire);
    // Nothing was added: no X-Forwarded-For, no Via.
    assert!(String::from_utf8_lossy(&answer).ends_with("HTTP/1.1 any.test "), "{}", answer.escape_ascii());
    ended(&gateway, "closed", 1).await;
    let (received, sent) = bytes(&gateway).await;
    assert_eq!((received, sent), (request.len() as u64, answer.len() as u64));
    let line = lines(&gateway, 1).await.remove(0);
    let wanted = json!({
        "kind": "tcp", "generation": 1, "client_ip": "127.0.0.1", "listener": "raw", "sni": null, "upstream": "a",
        "target": nginx.address(), "attempts": 1, "bytes_in": request.len(), "bytes_out": answer.len(), "end": "closed",
    });
    for (key, value) in wanted.as_object().unwrap() {
        assert_eq!(&line[key], value, "{key} in {line}");
    }
    assert!(line["duration_ms"].as_f64().unwrap() > 0.0 && line["connection_id"].as_str().unwrap().len() == 32);
}

#[tokio::test]
async fn each_side_may_end_before_the_other() {
    let origin = RawOrigin::start().await;
    let gateway = Gateway::spawn(&raw(&[origin.address()], "", "", "")).await;
    // The client first.
    let mut client = gateway.wire().await;
    client.send("question").await;
    client.finish().await;
    let mut server = origin.accept().await;
    assert_eq!(server.closed().await.unwrap(), b"question");
    server.send("answer").await;
    drop(server);
    assert_eq!(client.closed().await.unwrap(), b"answer");
    // The server first.
    let mut client = gateway.wire().await;
    let mut server = origin.accept().await;
    server.send("banner").await;
    server.finish().await;
    assert_eq!(client.closed().await.unwrap(), b"banner");
    client.send("noted").await;
    drop(client);
    assert_eq!(server.closed().await.unwrap(), b"noted");
    ended(&gateway, "closed", 2).await;
}

#[tokio::test]
async fn megabytes_pass_unchanged_both_ways_at_once() {
    let echo = Echo::start("").await;
    let gateway = Gateway::spawn(&raw(&[echo.address], "", "", "")).await;
    let body: Vec<u8> = (0..8_u32 << 20).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let stream = tokio::net::TcpStream::connect(gateway.address()).await.unwrap();
    let (mut read, mut write) = stream.into_split();
    let sending = async {
        tokio::io::AsyncWriteExt::write_all(&mut write, &body).await.unwrap();
        drop(write);
    };
    let mut back = Vec::new();
    let hearing = tokio::io::AsyncReadExt::read_to_end(&mut read, &mut back);
    let ((), heard) = tokio::join!(sending, hearing);
    heard.unwrap();
    assert!(back == body, "{} of {} bytes came back", back.len(), body.len());
    ended(&gateway, "closed", 1).await;
    let (received, sent) = bytes(&gateway).await;
    assert_eq!((received, sent), (body.len() as u64, body.len() as u64));
}

#[tokio::test]
async fn a_thousand_connections_at_once_get_their_own_bytes() {
    const COUNT: usize = 1_000;
    let echo = Echo::start("").await;
    let gateway =
        Gateway::spawn(&raw(&[echo.address], "", "", "balance: least_connections, timeouts: { connect: 10s },")).await;
    let mut wires = join_all((0..COUNT).map(|_| Wire::connect(gateway.address()))).await;
    let exchanges = wires.iter_mut().enumerate().map(async |(number, wire)| {
        let message = format!("this is number {number}\n");
        wire.send(&message).await;
        assert_eq!(wire.read_until("\n").await, message);
    });
    join_all(exchanges).await;
    let target = gateway.admin().target("a", echo.address).await;
    assert_eq!(target["in_flight"], COUNT);
    assert_eq!(gateway.admin().count("portreeve_connections").await, Some(COUNT as u64));
    drop(wires);
    ended(&gateway, "closed", u32::try_from(COUNT).unwrap()).await;
    until("no connection is in flight", async || {
        let target = gateway.admin().target("a", echo.address).await;
        (target["in_flight"] == 0).then_some(())
    })
    .await;
    assert_eq!(lines(&gateway, COUNT).await.len(), COUNT);
}

#[tokio::test]
async fn connections_count_in_the_limits_of_the_listener() {
    let echo = Echo::start("hi").await;
    let gateway = Gateway::spawn(&raw(&[echo.address], "limits: { connections_per_client: 2 },", "", "")).await;
    let (mut first, mut second) = (gateway.wire().await, gateway.wire().await);
    assert_eq!((first.next().await, second.next().await), (b"hi".to_vec(), b"hi".to_vec()));
    assert_eq!(gateway.wire().await.rest().await, b"");
    refused(&gateway, &["too_many_of_client"], 1).await;
    drop(first);
    until("room for another", async || (gateway.wire().await.next().await == b"hi").then_some(())).await;
}

#[tokio::test]
async fn a_client_address_keeps_its_target_where_the_pool_hashes_by_it() {
    let (one, two, three) = (Echo::start("1").await, Echo::start("2").await, Echo::start("3").await);
    let targets = [one.address, two.address, three.address];
    for balance in ["ip_hash", "{ hash: \"${request.client_ip}\" }"] {
        let gateway = Gateway::spawn(&raw(&targets, "", "", &format!("balance: {balance},"))).await;
        let first = gateway.wire().await.next().await;
        for _ in 0..20 {
            assert_eq!(gateway.wire().await.next().await, first);
        }
    }
}
