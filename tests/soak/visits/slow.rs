//! Slow clients: within the rules they are served, beyond them they are let go in time.

use std::time::Duration;

use portreeve_tests::Wire;

use crate::origins::body as pattern;
use crate::tally::Came;
use crate::visits::Guest;
use crate::world::NAME;

/// Takes a large answer in small pieces, or sends a body so, for a few seconds.
pub(crate) async fn within_the_rules(mut guest: Guest) -> Came {
    let (id, length) = (guest.rng.u64(..), 60_000);
    let whole = pattern(id, length);
    if guest.rng.bool() {
        let mut wire = Wire::connect_narrow(guest.world.clear).await;
        wire.send(format!("GET /good/bytes/{length}/{id} HTTP/1.1\r\nhost: {NAME}\r\nconnection: close\r\n\r\n")).await;
        let mut all = Vec::new();
        loop {
            let next = wire.next().await;
            if next.is_empty() {
                break;
            }
            all.extend_from_slice(&next);
            guest.pause(100).await;
        }
        assert!(all.starts_with(b"HTTP/1.1 200 ") && all.ends_with(&whole), "{} bytes", all.len());
    } else {
        let mut wire = Wire::connect(guest.world.clear).await;
        let head = format!("POST /good/echo/0/0 HTTP/1.1\r\nhost: {NAME}\r\ncontent-length: {length}\r\n\r\n");
        wire.send(head).await;
        for piece in whole.chunks(2_000) {
            wire.send(piece).await;
            guest.pause(100).await;
        }
        let answer = wire.try_answer("POST").await.unwrap_or_else(|error| panic!("a slow body: {error}"));
        assert!(answer.status == 200 && answer.body == whole, "{answer:?}");
    }
    Came::right(1)
}

/// A head that comes byte by byte is ended at `limits.head`.
pub(crate) async fn head(guest: Guest) -> Came {
    let mut wire = Wire::connect(guest.world.clear).await;
    wire.send("GET /good/bytes/1/1 HTTP/1.1\r\nhost: ").await;
    // Far more than the four seconds it may take.
    for _ in 0..200 {
        wire.send("x").await;
        if !wire.is_silent_for(Duration::from_millis(100)).await {
            let answer = wire.try_answer("GET").await;
            assert!(answer.as_ref().is_ok_and(|answer| answer.status == 408), "{answer:?}");
            return Came::right(1);
        }
    }
    panic!("a head may take twenty seconds");
}

/// A body that comes byte by byte is ended at the route's timeout, or the client goes before.
pub(crate) async fn body(mut guest: Guest) -> Came {
    let mut wire = Wire::connect(guest.world.clear).await;
    wire.send(format!("POST /slow/echo/0/0 HTTP/1.1\r\nhost: {NAME}\r\ncontent-length: 90000\r\n\r\n")).await;
    let bytes = if guest.rng.bool() { 10 } else { 250 };
    for _ in 0..bytes {
        wire.send("x").await;
        if !wire.is_silent_for(Duration::from_millis(100)).await {
            let answer = wire.try_answer("POST").await;
            assert!(answer.as_ref().is_ok_and(|answer| matches!(answer.status, 408 | 504)), "{answer:?}");
            return Came::right(1);
        }
    }
    assert!(bytes < 100, "a body may take twenty-five seconds");
    Came::default()
}

/// Who takes nothing of an answer is let go at `limits.stall`.
pub(crate) async fn reader(mut guest: Guest) -> Came {
    const LENGTH: usize = 16 << 20;
    let mut wire = Wire::connect_narrow(guest.world.clear).await;
    wire.send(format!("GET /good/bytes/{LENGTH}/7 HTTP/1.1\r\nhost: {NAME}\r\n\r\n")).await;
    tokio::time::sleep(Duration::from_secs(8)).await;
    let came = wire.rest().await.len();
    assert!(came < LENGTH, "{came} bytes were kept for a client that took none");
    guest.pause(2_000).await;
    Came::right(1)
}
