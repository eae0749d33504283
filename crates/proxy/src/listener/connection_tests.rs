//! A connection between a client and Pingora, both played here.

use std::future::pending;

use portreeve_config::units::Networks;
use portreeve_wire::http1::{Bounds, Refusal};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::super::transport::Rewound;
use super::*;

const STALL: Duration = Duration::from_secs(30);

fn terms() -> ListenerRules {
    ListenerRules {
        bounds: Bounds::default(),
        connections: 10,
        connections_per_client: 10,
        connection_rate: None,
        requests_per_connection: 10,
        handshake: Duration::from_secs(10),
        head: Duration::from_secs(10),
        idle: Duration::from_secs(75),
        stall: STALL,
        min_body_rate: 100,
        proxy_protocol: false,
        http2: true,
        trusted: Arc::default(),
        tls: None,
    }
}

async fn pair() -> (Connection, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    let (io, peer) = listener.accept().await.unwrap();
    let facts = ConnectionInfo::new(0, peer, Arc::new(Networks::default()));
    let io = Transport::Plain(Rewound::new(io, Vec::new()));
    (Connection::new(io, facts, Arc::new(terms()), WebSocketDrain::new()).unwrap(), client)
}

async fn next(connection: &mut Connection) -> Next {
    let mut never = std::pin::pin!(pending::<()>());
    connection.next(never.as_mut(), Duration::ZERO).await
}

/// Reads so many bytes as Pingora does.
async fn read(connection: &mut Connection, n: usize) -> String {
    let mut bytes = vec![0; n];
    connection.read_exact(&mut bytes).await.unwrap();
    String::from_utf8(bytes).unwrap()
}

const GET: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
const POST: &str = "POST /p HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\n";

#[tokio::test]
async fn a_request_begins_when_its_head_is_whole() {
    let (mut connection, mut client) = pair().await;
    client.write_all(&GET.as_bytes()[..10]).await.unwrap();
    {
        let mut waiting = std::pin::pin!(next(&mut connection));
        assert!(futures::poll!(waiting.as_mut()).is_pending());
        client.write_all(&GET.as_bytes()[10..]).await.unwrap();
        assert_eq!(waiting.await, Next::Request);
    }
    assert_eq!(read(&mut connection, GET.len()).await, GET);
}

#[tokio::test]
async fn what_is_sent_ahead_waits_until_the_request_in_hand_is_answered() {
    let (mut connection, mut client) = pair().await;
    client.write_all(format!("{POST}body{GET}").as_bytes()).await.unwrap();
    assert_eq!(next(&mut connection).await, Next::Request);
    assert_eq!(read(&mut connection, POST.len() + 4).await, format!("{POST}body"));
    // Pingora looks whether the client is still there: it is, and nothing of the next request is to be seen.
    let mut byte = [0];
    assert!(futures::poll!(std::pin::pin!(connection.read(&mut byte))).is_pending());
    assert!(connection.is_between());
    assert_eq!(next(&mut connection).await, Next::Request);
    assert_eq!(read(&mut connection, GET.len()).await, GET);
}

#[tokio::test]
async fn a_request_whose_body_was_not_read_is_not_followed_by_another() {
    let (mut connection, mut client) = pair().await;
    client.write_all(format!("{POST}bo").as_bytes()).await.unwrap();
    assert_eq!(next(&mut connection).await, Next::Request);
    read(&mut connection, POST.len()).await;
    assert!(!connection.is_between());
}

#[tokio::test]
async fn a_client_that_leaves_is_noticed_while_it_is_being_answered() {
    let (mut connection, mut client) = pair().await;
    client.write_all(GET.as_bytes()).await.unwrap();
    assert_eq!(next(&mut connection).await, Next::Request);
    read(&mut connection, GET.len()).await;
    drop(client);
    // It might have closed its side alone; that what it is sent meets nobody tells the rest.
    connection.read(&mut [0]).await.unwrap_err();
}

#[tokio::test]
async fn a_malformed_head_is_refused_before_anyone_sees_it() {
    let (mut connection, mut client) = pair().await;
    client.write_all(b"GET / HTTP/1.1\nHost: a\n\n").await.unwrap();
    assert!(matches!(next(&mut connection).await, Next::Refused(Reason::Malformed(_))));
}

#[tokio::test]
async fn a_malformed_body_ends_the_request_and_says_why() {
    let (mut connection, mut client) = pair().await;
    let head = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
    client.write_all(head.as_bytes()).await.unwrap();
    assert_eq!(next(&mut connection).await, Next::Request);
    read(&mut connection, head.len()).await;
    client.write_all(b"0x4\r\nbody\r\n").await.unwrap();
    assert_eq!(connection.read(&mut [0; 64]).await.unwrap_err().kind(), io::ErrorKind::InvalidData);
    assert_eq!(connection.line.refused(), Some(Reason::Malformed(Refusal::ChunkSize)));
}

#[tokio::test]
async fn http2_is_told_by_its_preface_however_it_is_split() {
    for split in [1, 3, 20, PREFACE.len()] {
        let (mut connection, mut client) = pair().await;
        client.write_all(&PREFACE[..split]).await.unwrap();
        {
            let mut waiting = std::pin::pin!(next(&mut connection));
            if futures::poll!(waiting.as_mut()).is_pending() {
                client.write_all(&PREFACE[split..]).await.unwrap();
                assert_eq!(waiting.await, Next::Http2);
            }
        }
        connection.pass_raw();
        assert_eq!(read(&mut connection, PREFACE.len()).await.as_bytes(), PREFACE);
    }
}

#[tokio::test]
async fn after_a_tunnel_is_opened_bytes_pass_as_they_come() {
    let (mut connection, mut client) = pair().await;
    let upgrade = "GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n";
    client.write_all(format!("{upgrade}\x01early").as_bytes()).await.unwrap();
    assert_eq!(next(&mut connection).await, Next::Request);
    assert_eq!(read(&mut connection, upgrade.len()).await, upgrade);
    let mut byte = [0];
    assert!(futures::poll!(std::pin::pin!(connection.read(&mut byte))).is_pending(), "before the 101 nothing passes");
    connection.open_tunnel();
    assert_eq!(read(&mut connection, 6).await, "\x01early");
}

#[tokio::test(start_paused = true)]
async fn a_head_that_trickles_is_refused_in_time() {
    let (mut connection, mut client) = pair().await;
    let start = Instant::now();
    let trickle = async {
        for byte in GET.as_bytes() {
            client.write_all(&[*byte]).await.unwrap();
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    };
    let (refused, ()) = tokio::join!(next(&mut connection), trickle);
    assert_eq!(refused, Next::Refused(Reason::SlowHead));
    assert!(start.elapsed() >= Duration::from_secs(10));
}

#[tokio::test(start_paused = true)]
async fn a_silent_connection_is_let_go() {
    let (mut connection, _client) = pair().await;
    let start = Instant::now();
    assert_eq!(next(&mut connection).await, Next::Nothing);
    assert_eq!(start.elapsed().as_secs(), 75);
}

#[tokio::test(start_paused = true)]
async fn a_stop_leaves_a_silent_connection_a_moment_for_a_last_request() {
    let (mut connection, _client) = pair().await;
    let (start, last) = (Instant::now(), Duration::from_millis(100));
    let mut stopping = std::pin::pin!(tokio::time::sleep(Duration::from_secs(1)));
    assert_eq!(connection.next(stopping.as_mut(), last).await, Next::Nothing);
    assert_eq!(start.elapsed().as_millis(), 1100);
}

#[tokio::test(start_paused = true)]
async fn a_body_that_trickles_is_refused_when_its_time_is_up() {
    let (mut connection, mut client) = pair().await;
    let head = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9000\r\n\r\n";
    client.write_all(head.as_bytes()).await.unwrap();
    assert_eq!(next(&mut connection).await, Next::Request);
    read(&mut connection, head.len()).await;
    let start = Instant::now();
    // 500 bytes at 100 a second earn 5 seconds beyond the 10 there are.
    client.write_all(&[b'x'; 500]).await.unwrap();
    read(&mut connection, 500).await;
    assert_eq!(connection.read(&mut [0; 64]).await.unwrap_err().kind(), io::ErrorKind::InvalidData);
    assert_eq!((start.elapsed().as_secs(), connection.line.refused()), (15, Some(Reason::SlowBody)));
}

#[tokio::test(start_paused = true)]
async fn a_stream_is_held_to_no_rate() {
    let (mut connection, mut client) = pair().await;
    let head = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9000\r\n\r\n";
    client.write_all(head.as_bytes()).await.unwrap();
    assert_eq!(next(&mut connection).await, Next::Request);
    read(&mut connection, head.len()).await;
    connection.line.set_answering();
    let silent = tokio::time::timeout(Duration::from_hours(1), connection.read(&mut [0; 64])).await;
    assert!(silent.is_err(), "{silent:?}");
    client.write_all(b"more").await.unwrap();
    read(&mut connection, 4).await;
}

#[tokio::test(start_paused = true)]
async fn a_client_that_takes_nothing_is_given_up() {
    let (mut connection, _client) = pair().await;
    let start = Instant::now();
    let written = connection.write_all(&vec![7; 64 << 20]).await;
    assert_eq!(written.unwrap_err().kind(), io::ErrorKind::TimedOut);
    assert_eq!(start.elapsed().as_secs(), STALL.as_secs());
}

#[tokio::test]
async fn writes_wait_for_the_flush_and_then_arrive_together() {
    let (mut connection, mut client) = pair().await;
    connection.write_all(b"head ").await.unwrap();
    connection.write_all(b"body").await.unwrap();
    assert_eq!(client.try_read(&mut [0; 16]).unwrap_err().kind(), io::ErrorKind::WouldBlock);
    connection.flush().await.unwrap();
    let mut all = [0; 9];
    client.read_exact(&mut all).await.unwrap();
    assert_eq!(&all, b"head body");
}

#[tokio::test]
async fn a_large_write_passes_by_in_order_and_the_buffer_shrinks_again() {
    let (mut connection, mut client) = pair().await;
    let large = vec![7_u8; 300_000];
    let reader = tokio::spawn(async move {
        let mut all = vec![0; 300_004];
        client.read_exact(&mut all).await.unwrap();
        all
    });
    connection.write_all(b"abcd").await.unwrap();
    connection.write_all(&large).await.unwrap();
    connection.flush().await.unwrap();
    let all = reader.await.unwrap();
    assert_eq!(&all[..4], b"abcd");
    assert_eq!(&all[4..], &large);
    assert!(connection.out.capacity() <= KEEP);
}
