//! How connections end: by time, by force, for want of a target, at a stop; and that a reload is no end.

use std::time::Duration;

use portreeve_tests::{Gateway, Origin, RawOrigin, servers, until, within};

use super::{Echo, bytes, ended, lines, raw};

#[tokio::test]
async fn silence_of_both_sides_ends_a_connection() {
    let echo = Echo::start("hi").await;
    let gateway = Gateway::spawn(&raw(&[echo.address], "", "timeouts: { idle: 200ms },", "")).await;
    let mut wire = gateway.wire().await;
    assert_eq!(wire.closed().await.unwrap(), b"hi");
    ended(&gateway, "idle_timeout", 1).await;
    assert_eq!(lines(&gateway, 1).await[0]["end"], "idle_timeout");
}

#[tokio::test]
async fn a_busy_connection_ends_when_its_time_is_up() {
    let echo = Echo::start("").await;
    let gateway = Gateway::spawn(&raw(&[echo.address], "", "timeouts: { total: 300ms },", "")).await;
    let mut wire = gateway.wire().await;
    // As many exchanges as there is time for.
    loop {
        wire.send("x").await;
        if wire.next().await.is_empty() {
            break;
        }
    }
    ended(&gateway, "total_timeout", 1).await;
}

#[tokio::test]
async fn a_reset_of_one_side_is_a_reset_of_the_other() {
    let origin = RawOrigin::start().await;
    let gateway = Gateway::spawn(&raw(&[origin.address()], "", "", "")).await;
    let mut client = gateway.wire().await;
    let mut server = origin.accept().await;
    client.send("half a mess").await;
    assert_eq!(server.next().await, b"half a mess");
    client.reset();
    assert!(server.closed().await.is_err(), "half a message must not look whole");
    ended(&gateway, "client_reset", 1).await;
    let mut client = gateway.wire().await;
    let mut server = origin.accept().await;
    server.send("half an ans").await;
    assert_eq!(client.next().await, b"half an ans");
    server.reset();
    assert!(client.closed().await.is_err(), "half an answer must not look whole");
    ended(&gateway, "target_reset", 1).await;
}

#[tokio::test]
async fn where_a_target_is_down_the_next_one_is_tried() {
    let (_dead, address) = servers::reserve();
    let echo = Echo::start("hi").await;
    let gateway = Gateway::spawn(&raw(&[address, echo.address], "", "", "")).await;
    for _ in 0..6 {
        assert_eq!(gateway.wire().await.next().await, b"hi");
    }
    let lines = lines(&gateway, 6).await;
    assert!(lines.iter().all(|line| line["target"] == echo.address.to_string() && line["end"] == "closed"));
    let retried = lines.iter().filter(|line| line["attempts"] == 2).count();
    assert!(retried > 0, "the dead target gets its turn");
    let failed = "portreeve_upstream_attempts_total{result=\"connect_failed\",upstream=\"a\"}";
    assert_eq!(gateway.admin().count(failed).await, Some(retried as u64));
}

#[tokio::test]
async fn with_all_targets_down_connections_are_closed_and_counted() {
    let ((_one, first), (_two, second)) = (servers::reserve(), servers::reserve());
    let gateway = Gateway::spawn(&raw(&[first, second], "", "", "")).await;
    assert_eq!(gateway.wire().await.rest().await, b"");
    ended(&gateway, "connect_refused", 1).await;
    assert_eq!(lines(&gateway, 1).await[0]["attempts"], 2);
    assert_eq!(bytes(&gateway).await, (0, 0));
}

#[tokio::test]
async fn a_target_that_its_checks_took_out_gets_no_connection() {
    let (_dead, address) = servers::reserve();
    let health = "health: { tcp: true, interval: 50ms, unhealthy_after: 1 },";
    let gateway = Gateway::spawn(&raw(&[address], "", "", health)).await;
    until("the target is out", async || {
        let target = gateway.admin().target("a", address).await;
        (target["healthy"] == false).then_some(())
    })
    .await;
    assert_eq!(gateway.wire().await.rest().await, b"");
    ended(&gateway, "no_target", 1).await;
}

#[tokio::test]
async fn a_target_that_does_not_answer_in_time_is_given_up() {
    // It accepts, and never says a word of TLS.
    let mute = RawOrigin::start().await;
    let upstream = "tls: { verify: false }, timeouts: { connect: 200ms }, retry: { attempts: 1 },";
    let gateway = Gateway::spawn(&raw(&[mute.address()], "", "", upstream)).await;
    assert_eq!(gateway.wire().await.rest().await, b"");
    ended(&gateway, "connect_timeout", 1).await;
}

#[tokio::test]
async fn a_connection_outlives_reloads_and_keeps_its_target() {
    let (old, new) = (Echo::start("old").await, Echo::start("new").await);
    let gateway = Gateway::spawn(&raw(&[old.address], "", "", "")).await;
    let mut before = gateway.wire().await;
    assert_eq!(before.next().await, b"old");
    gateway.reload(&raw(&[new.address], "", "timeouts: { idle: 1h },", "")).await.unwrap();
    let mut after = gateway.wire().await;
    assert_eq!(after.next().await, b"new");
    before.send("still here").await;
    assert_eq!(before.next().await, b"still here");
    // Not even the listener is left.
    gateway.reload("routes: [{ name: all, match: { path: '/**' }, public: true, respond: {} }]").await.unwrap();
    before.send("and here").await;
    assert_eq!(before.next().await, b"and here");
}

#[tokio::test]
async fn a_listener_that_changes_from_http_serves_no_more_requests() {
    let (origin, echo) = (Origin::start("a").await, Echo::start("").await);
    let http = format!(
        "listeners: [{{ name: raw, bind: \"127.0.0.1:0\" }}]\n\
         upstreams: {{ a: {{ targets: [\"{}\"] }} }}\n\
         routes: [{{ name: all, match: {{ path: '/**' }}, public: true, upstream: a }}]\n",
        origin.address()
    );
    let gateway = Gateway::spawn(&http).await;
    let mut kept = gateway.wire().await;
    let request = "GET / HTTP/1.1\r\nHost: a.test\r\n\r\n";
    kept.send(request).await;
    assert_eq!(kept.answer().await.status, 200);
    gateway.reload(&raw(&[echo.address], "", "", "")).await.unwrap();
    kept.send(request).await;
    assert_eq!(kept.answer().await.status, 421);
    let mut wire = gateway.wire().await;
    wire.send("no request").await;
    assert_eq!(wire.next().await, b"no request");
}

#[tokio::test]
async fn a_stop_lets_connections_end_and_cuts_what_is_left_at_its_limit() {
    let echo = Echo::start("hi").await;
    let gateway = Gateway::spawn(&raw(&[echo.address], "", "", "")).await;
    let (mut ends, mut stays) = (gateway.wire().await, gateway.wire().await);
    assert_eq!((ends.next().await, stays.next().await), (b"hi".to_vec(), b"hi".to_vec()));
    let stopping = gateway.running().stop(Duration::ZERO, Duration::from_millis(700));
    let using = async {
        // In the middle of the drain both are served still.
        until("the listener is closed", async || {
            tokio::net::TcpStream::connect(gateway.address()).await.is_err().then_some(())
        })
        .await;
        for wire in [&mut ends, &mut stays] {
            wire.send("still").await;
            assert_eq!(wire.next().await, b"still");
        }
        drop(ends);
        stays.rest().await
    };
    let (drained, rest) = within("the end of a stop", async { tokio::join!(stopping, using) }).await;
    assert_eq!((format!("{drained:?}"), rest), ("Cut(1)".to_owned(), Vec::new()));
    // Those who looked whether the listener is closed may have found it open.
    let told: Vec<_> = lines(&gateway, 2).await.iter().map(|line| line["end"].clone()).collect();
    assert_eq!(told.iter().filter(|end| **end == "cut").count(), 1, "{told:?}");
    assert!(told.iter().all(|end| end == "cut" || end == "closed"), "{told:?}");
}

#[tokio::test]
async fn a_connection_to_an_upstream_whose_circuit_is_open_is_closed_at_once_and_no_target_is_tried() {
    let (_dead, address) = servers::reserve();
    let upstream = "retry: { attempts: 1 }, circuit_breaker: { minimum: 2, open_for: 1m },";
    let gateway = Gateway::spawn(&raw(&[address], "", "", upstream)).await;
    for (end, count) in [("connect_refused", 1), ("connect_refused", 2), ("circuit_open", 1), ("circuit_open", 2)] {
        assert_eq!(gateway.wire().await.closed().await.unwrap_or_default(), b"");
        ended(&gateway, end, count).await;
    }
    let line = lines(&gateway, 4).await.remove(3);
    assert_eq!((&line["end"], &line["attempts"], &line["target"]), (&"circuit_open".into(), &0.into(), &().into()));
    let attempts = "portreeve_upstream_attempts_total{result=\"connect_failed\",upstream=\"a\"}";
    assert_eq!(gateway.admin().count(attempts).await, Some(2));
}

#[tokio::test]
async fn a_connection_shows_whether_an_upstream_is_well_again() {
    let mut target = Origin::start("a").await;
    let upstream = "retry: { attempts: 1 }, circuit_breaker: { minimum: 1, open_for: 200ms, probes: 1 },";
    let gateway = Gateway::spawn(&raw(&[target.address()], "", "", upstream)).await;
    let state = async |wanted: &str| {
        until(wanted, async || {
            let pools = gateway.admin().json("/api/v1/upstreams").await;
            (pools[0]["circuit"]["state"] == wanted).then_some(())
        })
        .await;
    };
    target.die().await;
    for count in [1, 2] {
        // The first opens it, the second is a probe that fails.
        gateway.wire().await.closed().await.ok();
        ended(&gateway, "connect_refused", count).await;
        state("half_open").await;
    }
    assert_eq!(gateway.admin().count("portreeve_upstream_circuit_openings_total{upstream=\"a\"}").await, Some(2));
    target.revive().await;
    let mut wire = gateway.wire().await;
    wire.send("GET / HTTP/1.1\r\nhost: x\r\n\r\n").await;
    assert_eq!(wire.answer().await.status, 200);
    state("closed").await;
}
