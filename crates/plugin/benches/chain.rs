//! What a chain costs one request: `cargo bench -p portreeve-plugin`. Prints the best of several rounds in nanoseconds
//! per request, so that a busy machine makes rounds worse but not the figure. No criterion: one loop and a clock say as much.
#![expect(clippy::print_stdout, clippy::expect_used, reason = "a program that prints its measurements")]

use std::future::Future;
use std::hint::black_box;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Instant;

use pingora_http::{RequestHeader, ResponseHeader};
use portreeve_plugin::engine::{Chain, Exchange, NoBody, Run, Step};
use portreeve_plugin::prelude::*;

/// Requests of one round, and rounds. `--quick` makes one short round, to see that it runs.
const REQUESTS: u32 = 20_000;
const ROUNDS: u32 = 15;

struct Bench {
    hooks: Hooks,
    waits: bool,
}

#[async_trait]
impl Plugin for Bench {
    fn hooks(&self) -> Hooks {
        self.hooks
    }

    async fn on_request(&self, cx: &mut RequestCx<'_>) -> Result<Flow> {
        black_box(cx.path());
        if self.waits {
            once_pending().await;
        }
        Ok(Flow::Continue)
    }

    async fn on_response(&self, cx: &mut ResponseCx<'_>) -> Result<()> {
        black_box(cx.status());
        Ok(())
    }
}

async fn once_pending() {
    let mut waited = false;
    std::future::poll_fn(|cx| {
        if std::mem::replace(&mut waited, true) {
            return Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    let mut future = pin!(future);
    loop {
        if let Poll::Ready(done) = future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            return done;
        }
    }
}

/// Best time of one request through `count` plugins, in nanoseconds.
fn measure(count: usize, hooks: Hooks, waits: bool, requests: u32, rounds: u32) -> f64 {
    let step = |_| Arc::new(Step::new("bench", "bench".into(), "".into(), Arc::new(Bench { hooks, waits })));
    let chain = Chain::new((0..count).map(step).collect()).expect("30 steps fit into a chain");
    let mut head = RequestHeader::build("GET", b"/users/7", None).expect("a plain request");
    let mut response = ResponseHeader::build(200, None).expect("a plain response");
    let listener: Arc<str> = "public".into();
    let started = Instant::now();
    let mut best = f64::INFINITY;
    for _ in 0..rounds {
        let round = Instant::now();
        for _ in 0..requests {
            let mut exchange = Exchange::new(([192, 0, 2, 1], 4000).into(), listener.clone(), started);
            let mut run = Run::default();
            let reply = block_on(chain.request(&mut head, &mut NoBody, &mut exchange, &mut run));
            assert!(reply.is_ok_and(|reply| reply.is_none()));
            let done = block_on(chain.response(&mut response, &head, Origin::Upstream, &mut exchange, &mut run));
            assert!(black_box(done).is_ok());
        }
        best = best.min(round.elapsed().as_secs_f64() * 1e9 / f64::from(requests));
    }
    best
}

fn main() {
    // `cargo test` runs benches too, and wants to know only whether they work.
    let quick = std::env::args().any(|argument| argument == "--quick" || argument == "--test");
    let (requests, rounds) = if quick { (100, 1) } else { (REQUESTS, ROUNDS) };
    let kinds = [
        ("no hooks", Hooks::none(), false),
        ("on_request, ready", Hooks::REQUEST, false),
        ("on_response, ready", Hooks::RESPONSE, false),
        ("on_request, pending once", Hooks::REQUEST, true),
    ];
    println!("{:<26}{:>10}{:>10}{:>10}{:>10}   ns per request", "plugins", 0, 1, 10, 30);
    for (what, hooks, waits) in kinds {
        let [zero, one, ten, thirty] = [0, 1, 10, 30].map(|count| measure(count, hooks, waits, requests, rounds));
        println!("{what:<26}{zero:>10.1}{one:>10.1}{ten:>10.1}{thirty:>10.1}");
    }
}
