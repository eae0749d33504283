//! What a chain allocates for one request, counted: nothing for hooks that nobody has, one boxed future for each
//! asynchronous hook that somebody has, and nothing besides.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use pingora_http::{RequestHeader, ResponseHeader};
use portreeve_plugin::engine::{Attempt, Chain, Exchange, NoBody, Run, Step, Summary};
use portreeve_plugin::prelude::*;

/// Takes part in these hooks and does nothing in them.
struct Idle(Hooks);

#[async_trait]
impl Plugin for Idle {
    fn hooks(&self) -> Hooks {
        self.0
    }

    async fn on_request(&self, cx: &mut RequestCx<'_>) -> Result<Flow> {
        let answer = cx.path().len() > 1000;
        Ok(if answer { Reply::status(StatusCode::URI_TOO_LONG).into() } else { Flow::Continue })
    }
}

fn ready<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(done) => done,
        Poll::Pending => panic!("no hook of these waits"),
    }
}

/// Allocations of one request and its answer through a chain of `count` steps with these hooks.
fn allocations(count: usize, hooks: Hooks) -> u64 {
    let steps = (0..count).map(|_| Arc::new(Step::new("idle", "idle".into(), "".into(), Arc::new(Idle(hooks)))));
    let chain = Chain::new(steps.collect()).unwrap();
    let mut head = RequestHeader::build("GET", b"/users/7", None).unwrap();
    let mut response = ResponseHeader::build(200, None).unwrap();
    let attempt = Attempt { number: 1, upstream: "u".into(), target: None };
    let summary = Summary {
        status: Some(StatusCode::OK),
        duration: Duration::ZERO,
        bytes_in: 0,
        bytes_out: 4,
        upstream: None,
        attempts: 1,
        error: None,
    };
    let listener: Arc<str> = "public".into();
    let counted = allocation_counter::measure(|| {
        let mut exchange = Exchange::new(([192, 0, 2, 1], 4000).into(), listener.clone(), Instant::now());
        let mut run = Run::default();
        let mut chunk = Bytes::from_static(b"body");
        assert!(ready(chain.request(&mut head, &mut NoBody, &mut exchange, &mut run)).unwrap().is_none());
        chain.upstream_request(&mut head, &attempt, &mut exchange, &mut run).unwrap();
        assert!(ready(chain.request_body(&mut chunk, true, &head, &mut exchange, &mut run)).unwrap().is_none());
        chain.send(&mut head, &attempt, &mut exchange, &mut run).unwrap();
        let origin = Origin::Upstream;
        ready(chain.response(&mut response, &head, origin, &mut exchange, &mut run)).unwrap();
        ready(chain.response_body(&mut chunk, true, &head, &mut exchange, &mut run)).unwrap();
        chain.log(&summary, &head, &exchange, &run);
    });
    counted.count_total
}

#[test]
fn plugins_without_hooks_allocate_nothing() {
    for count in [0, 1, 10, 30] {
        assert_eq!(allocations(count, Hooks::none()), 0, "{count} plugins");
    }
}

#[test]
fn each_asynchronous_hook_allocates_its_boxed_future_and_nothing_else() {
    for count in [1, 10, 30] {
        let expected = count as u64;
        assert_eq!(allocations(count, Hooks::REQUEST), expected, "{count} request hooks");
        assert_eq!(allocations(count, Hooks::RESPONSE), expected, "{count} response hooks");
        assert_eq!(allocations(count, Hooks::REQUEST_BODY), expected, "{count} request-body hooks");
        assert_eq!(allocations(count, Hooks::RESPONSE_BODY), expected, "{count} response-body hooks");
        assert_eq!(allocations(count, Hooks::all()), 4 * expected, "{count} times all hooks");
    }
}

#[test]
fn synchronous_hooks_allocate_nothing() {
    let synchronous = Hooks::UPSTREAM_REQUEST | Hooks::SEND | Hooks::LOG;
    assert_eq!(allocations(30, synchronous), 0);
}
