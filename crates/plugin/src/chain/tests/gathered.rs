//! Whole bodies of requests: read once, however many plugins ask, within every bound, and lost to nobody.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use http::{HeaderName, HeaderValue, StatusCode};
use parking_lot::Mutex;

use super::scripted::{Rig, step};
use crate::body::{BodyError, Chunks};
use crate::chain::{Mode, OnError};
use crate::cx::RequestCx;
use crate::decision::Verdict;
use crate::error::{Cause, Result};
use crate::plugin::{Hooks, Plugin};
use crate::reply::Flow;

type Seen = Arc<Mutex<Vec<Result<Bytes, BodyError>>>>;

/// Asks for the whole body, and may set another.
struct Gatherer {
    max: usize,
    sets: Option<&'static str>,
    /// Goes on whatever comes of it.
    swallows: bool,
    seen: Seen,
}

#[async_trait]
impl Plugin for Gatherer {
    fn hooks(&self) -> Hooks {
        Hooks::REQUEST
    }

    async fn on_request(&self, cx: &mut RequestCx<'_>) -> Result<Flow> {
        let body = cx.body(self.max).await;
        self.seen.lock().push(body.clone());
        if !self.swallows {
            body?;
        }
        if let Some(body) = self.sets {
            cx.set_body(body);
        }
        Ok(Flow::Continue)
    }
}

fn gatherer(seen: &Seen) -> Gatherer {
    Gatherer { max: 100, sets: None, swallows: false, seen: seen.clone() }
}

/// A request with this body, in a chain of these.
fn rig(steps: Vec<crate::chain::Step>, chunks: &[&'static str]) -> Rig {
    let mut rig = Rig::of(steps.into_iter().map(Arc::new).collect());
    let chunks: Vec<_> = chunks.iter().map(|chunk| Bytes::from_static(chunk.as_bytes())).collect();
    rig.source = Chunks::of(&chunks);
    for name in ["content-md5", "digest", "content-digest", "repr-digest", "content-encoding", "expect", "x-own"] {
        rig.head.insert_header(HeaderName::from_static(name), HeaderValue::from_static("x")).unwrap();
    }
    rig
}

fn whole(rig: &Rig) -> Option<&[u8]> {
    rig.exchange.body.as_ref()?.whole().map(|whole| &**whole)
}

#[test]
fn several_plugins_share_one_gathering_however_the_body_is_cut() {
    for chunks in [&["abcdef"][..], &["abc", "", "def"], &["a", "b", "c", "d", "e", "f"]] {
        let seen = Seen::default();
        let mut rig = rig(vec![step(0, gatherer(&seen)), step(1, gatherer(&seen))], chunks);
        assert!(rig.request().unwrap().is_none());
        assert_eq!(*seen.lock(), [Ok(Bytes::from_static(b"abcdef")), Ok(Bytes::from_static(b"abcdef"))]);
        assert_eq!(whole(&rig), Some(&b"abcdef"[..]));
        // Nothing is lost by reading, but what was for the gateway.
        assert_eq!(rig.head.headers.len(), 6);
        assert!(!rig.head.headers.contains_key("expect"));
    }
}

#[test]
fn a_request_without_a_body_has_an_empty_one() {
    let seen = Seen::default();
    let mut rig = rig(vec![step(0, gatherer(&seen))], &[]);
    assert!(rig.request().unwrap().is_none());
    assert_eq!(*seen.lock(), [Ok(Bytes::new())]);
}

#[test]
fn a_body_that_was_set_is_what_later_plugins_get_and_its_head_says_nothing_of_the_old_one() {
    for chunks in [&[][..], &["abcdef"]] {
        let seen = Seen::default();
        let setter = Gatherer { sets: Some("new"), ..gatherer(&seen) };
        let mut rig = rig(vec![step(0, setter), step(1, gatherer(&seen))], chunks);
        assert!(rig.request().unwrap().is_none());
        assert_eq!(seen.lock().last(), Some(&Ok(Bytes::from_static(b"new"))));
        assert!(rig.exchange.body.as_ref().unwrap().is_changed());
        let mut left: Vec<_> = rig.head.headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes())).collect();
        left.sort();
        assert_eq!(left, [("content-length", &b"3"[..]), ("x-own", b"x")]);
    }
}

#[test]
fn a_body_over_the_bound_is_answered_413_at_the_first_plugin_that_cannot_hold_it() {
    let seen = Seen::default();
    let small = Gatherer { max: 5, ..gatherer(&seen) };
    let mut rig = rig(vec![step(0, gatherer(&seen)), step(1, small), step(2, gatherer(&seen))], &["abc", "def"]);
    let reply = rig.request().unwrap().unwrap();
    assert_eq!(reply.status_code(), StatusCode::PAYLOAD_TOO_LARGE);
    assert_eq!(rig.verdicts().last().unwrap(), &("test/1".to_owned(), Verdict::Respond(reply.status_code())));
    assert_eq!(seen.lock().len(), 2);
}

#[test]
fn what_a_plugin_has_narrowed_the_body_to_bounds_those_after_it() {
    let seen = Seen::default();
    let mut rig = rig(vec![step(0, gatherer(&seen))], &["abc", "def"]);
    rig.exchange.max_body = Some(4);
    assert!(rig.request().unwrap().is_some());
    assert_eq!(*seen.lock(), [Err(BodyError::TooLarge { limit: 4 })]);
}

#[test]
fn a_lenient_step_over_its_bound_is_passed_over_and_no_byte_is_lost() {
    let skipped = ("test/0".to_owned(), Verdict::Skipped);
    let observed = ("test/0".to_owned(), Verdict::WouldRespond(StatusCode::PAYLOAD_TOO_LARGE));
    for (mode, on_error, told) in [(Mode::Enforce, OnError::Skip, skipped), (Mode::Observe, OnError::Fail, observed)] {
        let seen = Seen::default();
        let small = Gatherer { max: 4, sets: Some("never set"), ..gatherer(&seen) };
        let small = step(0, small).mode(mode).on_error(on_error);
        let mut rig = rig(vec![small, step(1, gatherer(&seen))], &["abc", "def", "ghi"]);
        assert!(rig.request().unwrap().is_none());
        assert_eq!(rig.verdicts().first(), Some(&told));
        assert_eq!(*seen.lock(), [Err(BodyError::TooLarge { limit: 4 }), Ok(Bytes::from_static(b"abcdefghi"))]);
        assert!(!rig.exchange.body.as_ref().unwrap().is_changed());
    }
}

#[test]
fn what_came_of_a_body_that_is_too_long_is_kept_for_the_target() {
    let seen = Seen::default();
    let small = Gatherer { max: 4, swallows: true, ..gatherer(&seen) };
    let mut rig = rig(vec![step(0, small)], &["abc", "def", "ghi"]);
    assert!(rig.request().unwrap().is_none());
    let body = rig.exchange.body.as_ref().unwrap();
    assert_eq!((body.whole(), body.beginning()), (None, &b"abcdef"[..]));
}

#[test]
fn a_body_that_does_not_come_whole_ends_the_request_whatever_the_plugin_makes_of_it() {
    for swallows in [true, false] {
        for (mode, on_error) in
            [(Mode::Enforce, OnError::Fail), (Mode::Enforce, OnError::Skip), (Mode::Observe, OnError::Fail)]
        {
            let seen = Seen::default();
            let first = Gatherer { swallows, ..gatherer(&seen) };
            let first = step(0, first).mode(mode).on_error(on_error);
            let mut rig = rig(vec![first, step(1, gatherer(&seen))], &["abc"]);
            rig.source.breaks_off = true;
            let failure = rig.request().unwrap_err();
            assert!(matches!(failure.cause, Cause::Incomplete));
            assert_eq!(*seen.lock(), [Err(BodyError::Incomplete)]);
            assert!(rig.verdicts().is_empty(), "it is no failure of the plugin");
        }
    }
}

#[test]
fn an_observer_sets_no_body() {
    let seen = Seen::default();
    let setter = Gatherer { sets: Some("new"), ..gatherer(&seen) };
    let mut rig = rig(vec![step(0, setter).mode(Mode::Observe)], &["abc"]);
    assert!(rig.request().unwrap().is_none());
    assert_eq!(whole(&rig), Some(&b"abc"[..]));
}

#[test]
fn a_whole_body_goes_to_each_attempt_in_pieces_from_its_first_byte() {
    let seen = Seen::default();
    let mut rig = rig(vec![step(0, gatherer(&seen))], &["abcdefgh"]);
    rig.request().unwrap();
    let body = rig.exchange.body.as_mut().unwrap();
    for _ in 0..2 {
        body.rewind();
        let pieces: Vec<_> = std::iter::from_fn(|| body.next_piece(3)).collect();
        assert_eq!(pieces, ["abc", "def", "gh"]);
        assert!(!body.has_unsent());
    }
}
