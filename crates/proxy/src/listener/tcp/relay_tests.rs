//! Bytes between two streams in memory, in paused time.

use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio::task::JoinHandle;

use super::*;

const IDLE: Duration = Duration::from_mins(1);

/// A client, a target, and what becomes of the relay between them: how it ended, and the bytes each way.
fn relayed(limits: Limits, buffer: usize) -> (DuplexStream, DuplexStream, JoinHandle<(Ended, u64, u64)>) {
    let (client, mut first) = duplex(buffer);
    let (target, mut second) = duplex(buffer);
    let relay = tokio::spawn(async move {
        let (mut there, mut back) = (0, 0);
        let mut passed = |to_second, to_first| {
            there += to_second;
            back += to_first;
        };
        let ended = between(&mut first, &mut second, limits, &mut passed).await;
        (ended, there, back)
    });
    (client, target, relay)
}

fn limits(total: Option<Duration>) -> Limits {
    Limits { idle: IDLE, total }
}

#[tokio::test(start_paused = true)]
async fn each_side_may_say_all_before_the_other_does() {
    let (mut client, mut target, relay) = relayed(limits(None), 64);
    client.write_all(b"the question").await.unwrap();
    client.shutdown().await.unwrap();
    let mut heard = String::new();
    target.read_to_string(&mut heard).await.unwrap();
    assert_eq!(heard, "the question");
    target.write_all(b"the answer, after the end of the question").await.unwrap();
    drop(target);
    heard.clear();
    client.read_to_string(&mut heard).await.unwrap();
    assert_eq!(heard, "the answer, after the end of the question");
    let (ended, there, back) = relay.await.unwrap();
    assert!(matches!(ended, Ended::Both), "{ended:?}");
    assert_eq!((there, back), (12, 41));
}

#[tokio::test(start_paused = true)]
async fn silence_of_both_sides_ends_it_and_a_byte_of_either_does_not() {
    let begun = Instant::now();
    let (mut client, mut target, relay) = relayed(limits(None), 64);
    for _ in 0..3 {
        tokio::time::sleep(IDLE * 3 / 4).await;
        client.write_all(b".").await.unwrap();
        target.read_u8().await.unwrap();
        tokio::time::sleep(IDLE * 3 / 4).await;
        target.write_all(b".").await.unwrap();
        client.read_u8().await.unwrap();
    }
    let (ended, there, back) = relay.await.unwrap();
    assert!(matches!(ended, Ended::Idle { stuck: false }), "{ended:?}");
    assert_eq!((there, back), (3, 3));
    assert_eq!(begun.elapsed().as_secs(), IDLE.as_secs() * 9 / 2 + IDLE.as_secs());
}

#[tokio::test(start_paused = true)]
async fn a_half_closed_connection_does_not_stay_for_ever() {
    let (mut client, _target, relay) = relayed(limits(None), 64);
    client.shutdown().await.unwrap();
    assert!(matches!(relay.await.unwrap().0, Ended::Idle { stuck: false }));
}

#[tokio::test(start_paused = true)]
async fn a_busy_connection_ends_when_its_time_is_up() {
    let total = Duration::from_mins(10);
    let begun = Instant::now();
    let (mut client, mut target, relay) = relayed(limits(Some(total)), 64);
    tokio::spawn(async move { while target.read_u8().await.is_ok() {} });
    tokio::spawn(async move {
        while client.write_all(b".").await.is_ok() {
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    });
    assert!(matches!(relay.await.unwrap().0, Ended::Total));
    assert_eq!(begun.elapsed().as_secs(), total.as_secs());
}

#[tokio::test(start_paused = true)]
async fn a_receiver_that_takes_nothing_stops_its_sender_after_one_read() {
    const BUFFER: usize = 1024;
    let (mut client, mut target, relay) = relayed(limits(None), BUFFER);
    let mut sent = 0;
    // Nothing more is taken when a write does not come to its end; the other way is open still.
    while tokio::time::timeout(Duration::from_secs(1), target.write_all(&[7; 512])).await.is_ok() {
        sent += 512;
    }
    assert!(sent <= BUFFER * 2 + READ + 512, "{sent} bytes were taken for a client that reads none");
    client.write_all(b"still there").await.unwrap();
    let mut heard = [0; 11];
    target.read_exact(&mut heard).await.unwrap();
    assert_eq!(&heard, b"still there");
    let (ended, _, back) = relay.await.unwrap();
    assert!(matches!(ended, Ended::Idle { stuck: true }), "{ended:?}");
    assert_eq!(back, BUFFER as u64);
}

/// A stream that is open and fails when it is written to.
struct Broken;

impl AsyncRead for Broken {
    fn poll_read(self: Pin<&mut Self>, _: &mut Context<'_>, _: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Poll::Pending
    }
}

impl AsyncWrite for Broken {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, _: &[u8]) -> Poll<io::Result<usize>> {
        Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

#[tokio::test(start_paused = true)]
async fn who_broke_off_is_told() {
    let (mut near, mut far) = duplex(64);
    near.write_all(b"x").await.unwrap();
    let ended = between(&mut far, &mut Broken, limits(None), &mut |_, _| {}).await;
    assert!(matches!(ended, Ended::Second { .. }), "{ended:?}");
    near.write_all(b"x").await.unwrap();
    let ended = between(&mut Broken, &mut far, limits(None), &mut |_, _| {}).await;
    assert!(matches!(ended, Ended::First { .. }), "{ended:?}");
}
