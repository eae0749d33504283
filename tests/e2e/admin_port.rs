//! The admin port before whoever means it ill: it is bounded in all that strangers could hold up, and asks for its token first.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use portreeve_tests::{Gateway, Wire, within};

/// A variable that is there.
const TOKEN: &str = "PATH";
/// Connections that it has at once.
const MOST: usize = 64;

async fn guarded() -> (Gateway, SocketAddr, String) {
    let yaml = "admin: { bind: '127.0.0.1:0', token: 'env:PATH' }\n\
                routes: [{ name: all, match: { path: '/**' }, public: true, respond: { status: 200, body: ok } }]\n";
    let gateway = Gateway::spawn(yaml).await;
    let admin = gateway.running().admin().unwrap();
    (gateway, admin, std::env::var(TOKEN).unwrap())
}

async fn status(admin: SocketAddr, bytes: &str) -> u16 {
    let mut wire = Wire::connect(admin).await;
    wire.send(bytes).await;
    wire.answer().await.status
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_has_the_token_is_answered_while_others_hold_hundreds_of_connections() {
    let (gateway, admin, token) = guarded().await;
    // One that has shown its token keeps its connection.
    let mut known = Wire::connect(admin).await;
    let ask = format!("GET /api/v1/status HTTP/1.1\r\nhost: a\r\nauthorization: Bearer {token}\r\n\r\n");
    known.send(&ask).await;
    assert_eq!(known.answer().await.status, 200);
    let mut silent = Vec::new();
    for n in 0..400 {
        let mut wire = Wire::connect(admin).await;
        if n % 2 == 0 {
            wire.send("GET /metrics HTTP/1.1\r\nhost: a\r\nx-a: ").await;
        }
        silent.push(wire);
        if n % 50 == 0 {
            let begun = Instant::now();
            assert_eq!(gateway.admin().get("/api/v1/status").bearer(&token).await.status, 200, "after {n}");
            assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
        }
    }
    known.send(&ask).await;
    assert_eq!(known.answer().await.status, 200);
    // The listeners have lost nothing by it.
    assert_eq!(gateway.get("/").await.status, 200);
    // The oldest have given way.
    for wire in &mut silent[..400 - MOST] {
        assert!(within("the end of a connection", wire.next()).await.is_empty());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_token_is_asked_for_before_anything_is_read_or_looked_for() {
    let (_gateway, admin, token) = guarded().await;
    let head = |line: &str, more: &str| format!("{line} HTTP/1.1\r\nhost: a\r\n{more}\r\n");
    let (mut wrong, last) = (token.clone(), if token.ends_with('x') { 'y' } else { 'x' });
    wrong.pop();
    wrong.push(last);
    let wrong = format!("authorization: Bearer {wrong}\r\n");
    for more in
        ["", &*wrong, "authorization: Basic YTpi\r\n", "content-length: 99999999\r\n", "transfer-encoding: chunked\r\n"]
    {
        for line in [
            "GET /metrics",
            "POST /api/v1/reload",
            "PUT /api/v1/upstreams/a/targets/b/weight",
            "GET /nowhere",
            "POST /livez",
        ] {
            // Nothing of a body is sent, and nothing waited for.
            assert_eq!(status(admin, &head(line, more)).await, 401, "{line} {more}");
        }
    }
    let right = format!("authorization: Bearer {token}\r\n");
    assert_eq!(status(admin, &head("GET /nowhere", &right)).await, 404);
    assert_eq!(status(admin, &head("DELETE /metrics", &right)).await, 405);
    assert_eq!(status(admin, &head("GET /livez", "")).await, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_too_large_for_the_admin_port_is_refused() {
    let (_gateway, admin, token) = guarded().await;
    let right = format!("host: a\r\nauthorization: Bearer {token}\r\n");
    let put = "PUT /api/v1/upstreams/a/targets/b/weight HTTP/1.1";
    let announced = format!("{put}\r\n{right}content-type: application/json\r\ncontent-length: 70000\r\n\r\n");
    assert_eq!(status(admin, &announced).await, 413);
    let chunk = format!("fff0\r\n{}\r\n", "x".repeat(0xfff0));
    let chunked =
        format!("{put}\r\n{right}content-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n{chunk}{chunk}");
    assert!([400, 413].contains(&status(admin, &chunked).await));
    let head = |more: &str| format!("GET /livez HTTP/1.1\r\nhost: a\r\n{more}\r\n");
    assert_eq!(status(admin, &head(&format!("x-a: {}\r\n", "a".repeat(16 * 1024)))).await, 431);
    assert_eq!(status(admin, &head(&"x-a: b\r\n".repeat(64))).await, 431);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_to_the_admin_port_that_say_nothing_are_let_go_in_time() {
    let (_gateway, admin, _) = guarded().await;
    let begun = Instant::now();
    let mut silent = Wire::connect(admin).await;
    let mut trickling = Wire::connect(admin).await;
    let ended = tokio::time::timeout(Duration::from_secs(20), async {
        let trickle = async {
            for byte in "GET /metrics HTTP/1.1\r\nhost: a\r\nx-a: ".chars().chain(std::iter::repeat('a')) {
                trickling.send(byte.to_string()).await;
                if tokio::time::timeout(Duration::from_millis(500), trickling.next())
                    .await
                    .is_ok_and(|next| next.is_empty())
                {
                    break;
                }
            }
        };
        tokio::join!(silent.next(), trickle);
    });
    ended.await.expect("both to be let go");
    assert!(begun.elapsed() > Duration::from_secs(9), "{:?}", begun.elapsed());
}
