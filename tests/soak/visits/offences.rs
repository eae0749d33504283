//! Clients that break off, or do not speak the protocol: at every stage of a request, with a goodbye or a reset.

use std::time::Duration;

use futures::{SinkExt, StreamExt};
use portreeve_tests::Wire;
use socket2::SockRef;
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;

use crate::tally::Came;
use crate::visits::Guest;
use crate::visits::connection::Exchange;
use crate::visits::streams::open;
use crate::world::NAME;

/// Goes, in one way or the other.
async fn leave(guest: &mut Guest, mut wire: Wire) {
    match guest.rng.u8(..3) {
        0 => wire.reset(),
        1 => drop(wire),
        _ => {
            wire.finish().await;
            wire.rest().await;
        }
    }
    guest.pause(50).await;
}

/// Some part of a head.
pub(crate) async fn in_a_head(mut guest: Guest) -> Came {
    let mut wire = Wire::connect(guest.world.clear).await;
    let head = format!(
        "POST /good/echo/7/7 HTTP/1.1\r\nhost: {NAME}\r\nx-more: {}\r\ncontent-length: 7\r\n\r\n",
        "x".repeat(500)
    );
    wire.send(&head.as_bytes()[..guest.rng.usize(..head.len())]).await;
    guest.pause(20).await;
    leave(&mut guest, wire).await;
    Came::default()
}

/// A whole head and some part of a body.
pub(crate) async fn in_a_body(mut guest: Guest) -> Came {
    let mut wire = Wire::connect(guest.world.clear).await;
    let exchange = Exchange {
        method: "POST",
        path: "/good/echo/100000/7".into(),
        fields: vec![],
        body: vec![b'x'; 100_000],
        status: 200,
        answer: vec![],
    };
    let bytes = exchange.bytes(guest.rng.bool());
    wire.send(&bytes[..guest.rng.usize(200..bytes.len() - 1)]).await;
    guest.pause(20).await;
    leave(&mut guest, wire).await;
    Came::default()
}

/// Some part of a large answer is taken.
pub(crate) async fn in_an_answer(mut guest: Guest) -> Came {
    let mut wire = Wire::connect_narrow(guest.world.clear).await;
    let does = ["bytes", "chunks", "trickle"][guest.rng.usize(..3)];
    wire.send(format!("GET /good/{does}/400000/7 HTTP/1.1\r\nhost: {NAME}\r\n\r\n")).await;
    for _ in 0..guest.rng.u64(1..5) {
        assert!(!wire.next().await.is_empty(), "closed in the middle of an answer that is taken");
    }
    if guest.rng.bool() {
        wire.reset();
    }
    guest.pause(50).await;
    Came::default()
}

/// Nothing has come yet.
pub(crate) async fn while_a_target_stalls(mut guest: Guest) -> Came {
    let mut wire = Wire::connect(guest.world.clear).await;
    wire.send(format!("GET /faulty/stall/0/7 HTTP/1.1\r\nhost: {NAME}\r\n\r\n")).await;
    guest.pause(400).await;
    if guest.rng.bool() {
        wire.reset();
    }
    Came::default()
}

/// What is not one well-formed request is refused, and the connection closed.
pub(crate) async fn malformed(mut guest: Guest) -> Came {
    const BROKEN: [&str; 6] = [
        "GET / HTTP/1.1\r\n\r\n",
        "GET / HTTP/1.1\r\nhost: a\r\nhost: b\r\n\r\n",
        "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        "GET  / HTTP/1.1\r\nhost: a\r\n\r\n",
        "GET / HTTP/1.1\r\nhost : a\r\n\r\n",
        "POST /good/echo/1/1 HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n",
    ];
    let mut wire = Wire::connect(guest.world.clear).await;
    wire.send(BROKEN[guest.rng.usize(..BROKEN.len())]).await;
    let answer = wire.try_answer("GET").await.unwrap_or_else(|error| panic!("no answer to what is malformed: {error}"));
    assert_eq!(answer.status, 400, "{answer:?}");
    wire.rest().await;
    guest.pause(100).await;
    Came::right(1)
}

/// Bytes that are no handshake, or a part of one.
pub(crate) async fn in_a_handshake(mut guest: Guest) -> Came {
    // The first bytes of a ClientHello: a record of 512 bytes that never come.
    const HELLO: [u8; 11] = [22, 3, 1, 2, 0, 1, 0, 1, 252, 3, 3];
    let mut wire = Wire::connect(guest.world.secure).await;
    match guest.rng.u8(..3) {
        0 => wire.send(&HELLO[..guest.rng.usize(1..HELLO.len())]).await,
        1 => wire.send("GET / HTTP/1.1\r\nhost: a\r\n\r\n").await,
        _ => {}
    }
    // Some wait until they are shown the door.
    if guest.rng.u8(..4) == 0 {
        wire.rest().await;
    }
    leave(&mut guest, wire).await;
    Came::default()
}

/// A WebSocket that ends with a reset, or with nothing.
pub(crate) async fn in_a_web_socket(mut guest: Guest) -> Came {
    let mut socket = open(TcpStream::connect(guest.world.clear).await.unwrap()).await;
    socket.send(Message::text("is anybody there")).await.unwrap();
    if guest.rng.bool() {
        socket.next().await.unwrap().unwrap();
    }
    guest.pause(100).await;
    if guest.rng.bool() {
        SockRef::from(socket.get_ref()).set_linger(Some(Duration::ZERO)).unwrap();
    }
    Came::default()
}

/// A stream of events that somebody stops listening to.
pub(crate) async fn in_an_event_stream(mut guest: Guest) -> Came {
    let mut wire = Wire::connect(guest.world.clear).await;
    wire.send(format!("GET /good/events/100/7 HTTP/1.1\r\nhost: {NAME}\r\naccept: text/event-stream\r\n\r\n")).await;
    wire.read_until("data: 7-3").await;
    leave(&mut guest, wire).await;
    Came::default()
}
