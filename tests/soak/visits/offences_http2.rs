//! HTTP/2 clients that take back what they asked for, or leave with streams open.

use bytes::Bytes;
use h2::Reason;
use portreeve_tests::Wire;

use crate::tally::Came;
use crate::visits::Guest;
use crate::visits::http2::{Http2, RPC, message};

/// Some streams are reset, before an answer or within it.
pub(crate) async fn resets(mut guest: Guest) -> Came {
    let connection = Http2::either(&mut guest).await;
    let paths = ["/good/bytes/300000/7", "/good/trickle/9000/7", "/faulty/stall/0/7"];
    let mut begun = Vec::new();
    for _ in 0..guest.rng.u64(1..6) {
        begun.push(connection.begin("GET", paths[guest.rng.usize(..3)], &[], true).await);
    }
    guest.pause(30).await;
    for (answer, mut sending) in begun {
        match guest.rng.u8(..3) {
            0 => sending.send_reset(Reason::CANCEL),
            1 => drop(answer),
            // The head is awaited for a while, the body is not taken.
            _ => drop(tokio::time::timeout(std::time::Duration::from_millis(50), answer).await),
        }
    }
    if guest.rng.bool() {
        connection.vanish();
    }
    guest.pause(100).await;
    Came::default()
}

/// A preface with nothing after it, or a field block that does not end.
pub(crate) async fn half_open(mut guest: Guest) -> Came {
    const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    const SETTINGS: [u8; 9] = [0, 0, 0, 4, 0, 0, 0, 0, 0];
    // HEADERS on stream 1 without END_HEADERS, and one byte of fields: `:method: GET`.
    const OPEN_HEADERS: [u8; 10] = [0, 0, 1, 1, 0, 0, 0, 0, 1, 0x82];
    let bytes = [PREFACE, &SETTINGS, &OPEN_HEADERS].concat();
    let mut wire = Wire::connect(guest.world.clear).await;
    wire.send(&bytes[..guest.rng.usize(1..=bytes.len())]).await;
    // Some wait until they are shown the door.
    if guest.rng.u8(..4) == 0 {
        wire.rest().await;
    } else {
        guest.pause(300).await;
    }
    if guest.rng.bool() {
        wire.reset();
    }
    Came::default()
}

/// Calls that are cancelled while messages go both ways.
pub(crate) async fn calls(mut guest: Guest) -> Came {
    let connection = Http2::either(&mut guest).await;
    let path = ["/soak.Clear/Bidi", "/soak.Secure/Bidi"][guest.rng.usize(..2)];
    for _ in 0..guest.rng.u64(1..4) {
        let (answer, mut sending) = connection.begin("POST", path, &RPC, false).await;
        sending.send_data(Bytes::from(message(&mut guest.rng)), false).unwrap();
        if guest.rng.bool() {
            let mut body = answer.await.unwrap_or_else(|error| panic!("{path}: {error}")).into_body();
            body.data().await;
        }
        sending.send_reset(Reason::CANCEL);
    }
    if guest.rng.bool() {
        connection.vanish();
    }
    guest.pause(100).await;
    Came::default()
}
