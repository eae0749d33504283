//! What goes on of what a target sends, and when a connection may be used again.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use portreeve_config::Timeouts;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::super::attempt::AttemptParams;
use super::super::idle;
use super::super::lease::ConnectionLease;
use super::*;
use crate::Silence;

const HINTS: &[u8] = b"HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n";
const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
const PARAMS: AttemptParams = AttemptParams {
    asked: Asked { is_head: false, upgrade: false },
    silence: Silence { first_byte: Duration::from_secs(10), later: Duration::from_secs(10) },
    idle: Duration::from_secs(10),
};

/// A connection to a target, the target's end of it, and what connects again.
async fn connected() -> (Box<Link>, TcpStream, Arc<UpstreamAttempt>) {
    let listener = TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).await.unwrap();
    let address = listener.local_addr().unwrap();
    let dial = Arc::new(Dial::new(address, None, Timeouts::default(), 0));
    let (link, accepted) = tokio::join!(dial.open(&[], Duration::ZERO), listener.accept());
    (link.unwrap(), accepted.unwrap().0, UpstreamAttempt::new(dial, PARAMS))
}

/// What the next read brings.
async fn read(lease: &mut ConnectionLease) -> io::Result<Vec<u8>> {
    let mut buf = vec![0; 4096];
    let n = lease.read(&mut buf).await?;
    buf.truncate(n);
    Ok(buf)
}

/// The exchange is over.
fn give_back(mut lease: ConnectionLease) {
    lease.give_back();
}

#[tokio::test]
async fn an_interim_answer_goes_on_at_once_and_a_head_only_when_it_is_whole() {
    let (link, mut target, attempt) = connected().await;
    let mut lease = ConnectionLease::new(link, attempt);
    target.write_all(&[HINTS, &ANSWER[..20]].concat()).await.unwrap();
    assert_eq!(read(&mut lease).await.unwrap(), HINTS);
    let (rest, ()) = tokio::join!(read(&mut lease), async {
        target.write_all(&ANSWER[20..25]).await.unwrap();
        tokio::task::yield_now().await;
        target.write_all(&ANSWER[25..]).await.unwrap();
    });
    assert_eq!(rest.unwrap(), ANSWER);
    assert_eq!(read(&mut lease).await.unwrap(), b"");
}

#[tokio::test]
async fn nothing_of_a_malformed_head_goes_on() {
    let (link, mut target, attempt) = connected().await;
    let mut lease = ConnectionLease::new(link, attempt.clone());
    target.write_all(b"HTTP/1.1 200 OK\r\nx-a : 1\r\ncontent-length: 0\r\n\r\n").await.unwrap();
    read(&mut lease).await.unwrap_err();
    let mut error = pingora::Error::new(pingora::ErrorType::ReadError);
    attempt.explain(&mut error);
    assert_eq!(*error.etype(), pingora::ErrorType::HTTPStatus(502));
    assert!(error.to_string().contains("white space between a field name and the colon"), "{error}");
}

#[tokio::test]
async fn a_connection_serves_again_only_if_it_was_given_back_and_nothing_followed_the_answer() {
    for (after, given_back, kept) in [(&b""[..], true, true), (b"", false, false), (b"!", true, false)] {
        let (link, mut target, attempt) = connected().await;
        let mut lease = ConnectionLease::new(link, attempt.clone());
        target.write_all(&[ANSWER, after].concat()).await.unwrap();
        assert_eq!(read(&mut lease).await.unwrap(), ANSWER);
        if given_back {
            give_back(lease);
        } else {
            drop(lease);
        }
        assert_eq!(idle::take(&attempt.dial, PARAMS.idle).is_some(), kept, "{after:?}, given back: {given_back}");
    }
}

#[tokio::test]
async fn what_comes_while_a_connection_is_idle_ends_it() {
    for poison in [ANSWER, b""] {
        let (link, mut target, attempt) = connected().await;
        let mut lease = ConnectionLease::new(link, attempt.clone());
        target.write_all(ANSWER).await.unwrap();
        read(&mut lease).await.unwrap();
        give_back(lease);
        target.write_all(poison).await.unwrap();
        target.shutdown().await.unwrap();
        // The sweeper finds it, at its next turn.
        assert_eq!(target.read(&mut [0]).await.unwrap_or(0), 0);
        assert!(idle::take(&attempt.dial, PARAMS.idle).is_none());
    }
}
