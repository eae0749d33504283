//! The bound on connections holds at every moment, and nobody waits for what is there.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicU32, Ordering};

use futures::future::join_all;
use portreeve_config::Timeouts;
use tokio::net::TcpListener;

use super::super::Dial;
use super::*;

/// Longer than any test takes.
const KEPT: Duration = Duration::from_mins(1);

async fn bounded(most: u32) -> (TcpListener, Arc<Dial>, Bound) {
    let listener = TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).await.unwrap();
    let bound = Bound { connections: Arc::default(), most };
    let dial = Dial::new(listener.local_addr().unwrap(), None, Timeouts::default(), 0).bounded(Some(bound.clone()));
    (listener, Arc::new(dial), bound)
}

/// Whoever connects stays connected.
async fn accept_all(listener: TcpListener) {
    let mut all = Vec::new();
    loop {
        all.push(listener.accept().await.unwrap());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn no_more_are_ever_open_than_may_be_and_all_get_one_in_time() {
    const MOST: u32 = 3;
    let (listener, dial, bound) = bounded(MOST).await;
    let accepting = tokio::spawn(accept_all(listener));
    let (now, peak) = (Arc::new(AtomicU32::new(0)), Arc::new(AtomicU32::new(0)));
    let users = (0..40_u32).map(|user| {
        let (dial, bound, now, peak) = (dial.clone(), bound.clone(), now.clone(), peak.clone());
        tokio::spawn(async move {
            let link = dial.open(&[], KEPT).await.unwrap();
            peak.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            assert!(bound.connections.open() <= MOST);
            tokio::task::yield_now().await;
            now.fetch_sub(1, Ordering::SeqCst);
            // Some are kept, some closed.
            if user % 2 == 0 { bound.connections.keep(link) } else { drop(link) }
        })
    });
    for user in join_all(users).await {
        user.unwrap();
    }
    assert!((1..=MOST).contains(&peak.load(Ordering::SeqCst)), "{peak:?}");
    let idle = std::mem::take(&mut *bound.connections.idle.lock());
    assert_eq!(bound.connections.open(), u32::try_from(idle.len()).unwrap());
    drop(idle);
    assert_eq!(bound.connections.open(), 0);
    let all = join_all((0..MOST).map(|_| dial.open(&[], KEPT))).await;
    assert_eq!((all.iter().filter(|link| link.is_ok()).count(), bound.connections.open()), (3, 3), "all that may be");
    drop(all);
    assert_eq!(bound.connections.open(), 0);
    accepting.abort();
}

#[tokio::test]
async fn one_that_waits_gets_a_connection_that_becomes_idle_elsewhere() {
    let (listener, dial, bound) = bounded(1).await;
    let (first, _accepted) = tokio::join!(dial.open(&[], KEPT), listener.accept());
    let other = dial.clone();
    let waiting = tokio::spawn(async move { other.open(&[], KEPT).await });
    tokio::task::yield_now().await;
    bound.connections.keep(first.unwrap());
    let second = waiting.await.unwrap().unwrap();
    assert_eq!(bound.connections.open(), 1);
    drop(second);
    assert_eq!(bound.connections.open(), 0);
}

#[tokio::test]
async fn who_gives_up_waiting_takes_nothing_with_it() {
    let (listener, dial, bound) = bounded(1).await;
    let (first, _accepted) = tokio::join!(dial.open(&[], KEPT), listener.accept());
    let other = dial.clone();
    let waiting = tokio::spawn(async move { other.open(&[], KEPT).await });
    tokio::task::yield_now().await;
    waiting.abort();
    waiting.await.unwrap_err();
    drop(first);
    let (again, _accepted) = tokio::join!(dial.open(&[], KEPT), listener.accept());
    assert_eq!((again.is_ok(), bound.connections.open()), (true, 1));
}

#[tokio::test]
async fn who_wants_a_fresh_one_leaves_the_idle_ones_to_others_while_there_is_room() {
    let (listener, dial, bound) = bounded(2).await;
    let accepting = tokio::spawn(accept_all(listener));
    let first = dial.open(&[], KEPT).await.unwrap();
    bound.connections.keep(first);
    // None is so fresh that it would do.
    assert!(bound.connections.take(dial.key(), Duration::ZERO).is_none());
    let fresh = dial.open(&[], Duration::ZERO).await.unwrap();
    assert_eq!((bound.connections.idle.lock().len(), bound.connections.open()), (1, 2));
    // There is room for no other: the idle one goes.
    let another = dial.open(&[], Duration::ZERO).await.unwrap();
    assert_eq!((bound.connections.idle.lock().len(), bound.connections.open()), (0, 2));
    drop((fresh, another));
    assert_eq!(bound.connections.open(), 0);
    accepting.abort();
}

#[tokio::test]
async fn connections_of_another_configuration_serve_it_until_their_room_is_needed() {
    let (listener, dial, bound) = bounded(2).await;
    let changed = Dial::new(listener.local_addr().unwrap(), None, Timeouts::default(), 1).bounded(Some(bound.clone()));
    let changed = Arc::new(changed);
    let accepting = tokio::spawn(accept_all(listener));
    for dial in [&dial, &changed] {
        bound.connections.keep(dial.open(&[], KEPT).await.unwrap());
    }
    assert_eq!(bound.connections.open(), 2);
    let again = bound.connections.take(dial.key(), KEPT).expect("the one of its own configuration");
    assert_eq!(again.dial().key(), dial.key());
    let another = dial.open(&[], KEPT).await.unwrap();
    assert_eq!((bound.connections.idle.lock().len(), bound.connections.open()), (0, 2));
    assert_eq!(another.dial().key(), dial.key());
    accepting.abort();
}
