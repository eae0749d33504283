//! What a node holds of a key, asks for, and lets go of, step by step. The bound over all nodes is held in `tests.rs`.

use std::num::NonZeroU32;
use std::time::Duration;

use portreeve_plugin::Allowance;

use super::*;
use crate::account::Refusal;
use crate::meter::Moment;
use crate::meter::{Standing, Wait};
use crate::policy::Policy;
use crate::store::link::tests::Fake;
use crate::store::source::Source;

/// A node that nobody draws for, and what it would have drawn.
fn node(share: &str) -> (Leases, mpsc::Receiver<(Request, Ask)>) {
    let source = Source::Single(Box::new(redis::Client::open("redis://127.0.0.1:1").unwrap()));
    let link = Arc::new(Link::new(source, 1, Duration::from_millis(1)));
    Leases::new(share.parse().unwrap(), link, "portreeve".into(), Clock::system())
}

/// A request of this key, held to 100 a second.
fn request(tag: u128, cost: u64) -> Request {
    let allowance = Allowance { rates: vec!["100/s".parse().unwrap()], ..Allowance::default() };
    let policy = Arc::new(Policy::new("test", &[allowance], NonZeroU32::MIN).unwrap());
    Request { policy, key: tag, tag, cost, now: Moment { mono: 0, wall: 0 }, max_keys: 64 * 4 }
}

fn decision() -> Decision {
    Decision { verdict: Ok(()), standings: Standings::new() }
}

/// Draws as the store would that has enough.
fn draw(node: &Leases, request: &Request) {
    let Held::Draw(wish) = node.take(request) else { panic!("there is something to draw") };
    node.drawing(request).done(request, Answer { decision: decision(), granted: wish });
}

#[test]
fn a_draw_asks_for_what_the_request_needs_and_what_is_missing_to_a_slice() {
    let (node, _wanted) = node("10%");
    assert!(matches!(node.take(&request(1, 3)), Held::Draw(13)));
    // Nobody draws for the same key meanwhile.
    assert!(matches!(node.take(&request(1, 3)), Held::Ask));
    node.drawing(&request(1, 3)).done(&request(1, 3), Answer { decision: decision(), granted: 13 });
    assert_eq!(node.held(1), 10);
    assert!(matches!(node.take(&request(1, 4)), Held::Admitted(_)));
    assert_eq!(node.held(1), 6);
    // What is left is not enough: it stays, and counts in what is asked for.
    assert!(matches!(node.take(&request(1, 8)), Held::Draw(12)));
    assert_eq!((node.held(1), node.held(2)), (6, 0));
}

#[test]
fn when_half_of_a_slice_is_gone_the_background_is_told_once_to_draw_what_is_missing() {
    let (node, mut wanted) = node("10%");
    draw(&node, &request(1, 1));
    for _ in 0..4 {
        assert!(matches!(node.take(&request(1, 1)), Held::Admitted(_)));
        assert!(wanted.try_recv().is_err());
    }
    for _ in 0..3 {
        assert!(matches!(node.take(&request(1, 1)), Held::Admitted(_)));
    }
    let (asked, ask) = wanted.try_recv().unwrap();
    assert_eq!((asked.tag, ask), (1, Ask::Draw(1, 5)));
    assert!(wanted.try_recv().is_err());
    drop(node.drawing(&asked));
    assert!(matches!(node.take(&request(1, 1)), Held::Admitted(_)));
    assert_eq!(wanted.try_recv().unwrap().1, Ask::Draw(1, 8));
}

#[test]
fn a_node_never_holds_more_than_a_slice_however_much_comes() {
    let (node, _wanted) = node("10%");
    draw(&node, &request(1, 1));
    for _ in 0..3 {
        node.keep(&request(1, 1), 7, &Standings::new());
    }
    assert_eq!(node.held(1), 10);
}

#[tokio::test]
async fn a_draw_that_fails_brings_nothing_and_another_may_begin() {
    let (node, mut wanted) = node("10%");
    draw(&node, &request(1, 1));
    for _ in 0..5 {
        node.take(&request(1, 1));
    }
    let (asked, ask) = wanted.try_recv().unwrap();
    node.draw(asked, ask).await;
    assert_eq!(node.held(1), 5);
    node.take(&request(1, 1));
    assert!(wanted.try_recv().is_ok());
}

#[test]
fn what_is_given_back_is_let_go_of() {
    let (node, _wanted) = node("10%");
    draw(&node, &request(1, 1));
    draw(&node, &request(2, 1));
    node.forget(1);
    assert_eq!((node.held(1), node.held(2)), (0, 10));
}

#[test]
fn a_flood_of_keys_is_not_held() {
    let (node, _wanted) = node("10%");
    for tag in 0..10_000_u128 {
        draw(&node, &request(tag << 120 | tag, 1));
    }
    let held: usize = node.shards.iter().map(|shard| shard.lock().len()).sum();
    assert!(held <= 64 * 5, "{held}");
}

#[test]
fn a_slice_is_a_share_of_the_smallest_limit() {
    let (node, _wanted) = node("10%");
    let allowance =
        Allowance { rates: ["100/s", "5000/min"].map(|rate| rate.parse().unwrap()).into(), ..Allowance::default() };
    assert_eq!(node.slice(&Policy::new("test", &[allowance], NonZeroU32::MIN).unwrap().limits), 10);
}

#[test]
fn what_a_request_takes_of_a_draw_is_not_held_and_of_a_refused_one_nothing_is() {
    let (node, _wanted) = node("10%");
    let asked = |wanted| {
        assert!(matches!(node.take(&request(1, 3)), Held::Draw(wish) if wish == wanted));
        node.drawing(&request(1, 3))
    };
    let refused = Decision { verdict: Err(Refusal { limit: 0, wait: Wait::For(1) }), standings: Standings::new() };
    asked(13).done(&request(1, 3), Answer { decision: refused, granted: 8 });
    assert_eq!(node.held(1), 0);
    asked(13).done(&request(1, 3), Answer { decision: decision(), granted: 8 });
    assert_eq!(node.held(1), 5);
}

#[test]
fn who_is_served_from_a_slice_is_told_what_the_store_has_left_with_what_is_held() {
    let (node, _wanted) = node("10%");
    let Held::Draw(granted) = node.take(&request(1, 1)) else { panic!("there is something to draw") };
    let standing = |remaining| Standings::from_slice(&[Standing { remaining, more_in: 7 }]);
    let told = Decision { verdict: Ok(()), standings: standing(89) };
    node.drawing(&request(1, 1)).done(&request(1, 1), Answer { decision: told, granted });
    let Held::Admitted(decision) = node.take(&request(1, 1)) else { panic!("there is enough") };
    assert_eq!(decision.standings, standing(89 + 9));
    // A draw that failed has nothing to tell.
    node.keep(&request(1, 1), 0, &Standings::new());
    let Held::Admitted(decision) = node.take(&request(1, 1)) else { panic!("there is enough") };
    assert_eq!(decision.standings, standing(89 + 8));
}

#[test]
fn when_the_background_is_too_busy_requests_draw_for_themselves() {
    let (node, wanted) = node("10%");
    draw(&node, &request(1, 1));
    drop(wanted);
    for _ in 0..10 {
        assert!(matches!(node.take(&request(1, 1)), Held::Admitted(_)));
    }
    assert!(matches!(node.take(&request(1, 1)), Held::Draw(11)));
}

#[tokio::test]
async fn what_the_background_draws_is_held() {
    let link = Arc::new(Link::new(Fake::default().start().await, 1, Duration::from_secs(5)));
    tokio::spawn(link.clone().tend(Clock::system()));
    let (node, draws) = Leases::new("10%".parse().unwrap(), link, "portreeve".into(), Clock::system());
    let node = Arc::new(node);
    tokio::spawn(node.clone().draw_all(draws));
    draw(&node, &request(1, 1));
    for _ in 0..5 {
        assert!(matches!(node.take(&request(1, 1)), Held::Admitted(_)));
    }
    let drawn = async {
        while node.held(1) == 5 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), drawn).await.expect("five more");
    assert_eq!(node.held(1), 10);
}

/// All of one shard, which has room for four and one more.
#[test]
fn of_too_many_keys_those_go_that_nobody_has_asked_for_in_an_hour_and_then_all() {
    const HOUR: u64 = 3_600_000_000_000;
    let (node, _wanted) = node("10%");
    let at = |tag, mono| Request { now: Moment { mono, wall: 0 }, ..request(tag, 1) };
    for tag in 1..=2 {
        draw(&node, &at(tag, 0));
    }
    assert!(matches!(node.take(&at(3, 0)), Held::Draw(_)));
    for tag in 4..=5 {
        draw(&node, &at(tag, 1));
    }
    draw(&node, &at(6, HOUR));
    // What is being drawn for is not forgotten: a second draw would be one too many.
    assert!(matches!(node.take(&at(3, HOUR)), Held::Ask));
    assert_eq!([1, 2, 4, 5, 6].map(|tag| node.held(tag)), [0, 0, 10, 10, 10]);
    draw(&node, &at(7, HOUR));
    assert!(matches!(node.take(&at(4, HOUR)), Held::Admitted(_)));
    draw(&node, &at(8, HOUR));
    assert_eq!([4, 5, 6, 7, 8].map(|tag| node.held(tag)), [0, 0, 0, 0, 10]);
}
