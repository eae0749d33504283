//! A pick beside pingora-load-balancing's own `select`, with 2, 16 and 1,000 targets: `cargo bench -p portreeve-proxy --bench
//! pick`. Both get the same addresses and weights, all healthy.
#![expect(clippy::print_stdout, reason = "a bench prints")]
#![expect(clippy::unwrap_used, reason = "a bench may stop at what cannot be")]

use std::collections::BTreeSet;
use std::hint::black_box;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::FutureExt;
use pingora_load_balancing::selection::{BackendIter, BackendSelection, Consistent, RoundRobin};
use pingora_load_balancing::{Backend, Backends, LoadBalancer, discovery::Static};
use portreeve_balance::hash::mix;
use portreeve_balance::{Algorithm, Group, Ledger, Member, Picker, Target};

/// So many steps pingora may make in search of a healthy one; the first is.
const STEPS: usize = 16;

fn addresses(count: u32) -> impl Iterator<Item = (SocketAddr, u32)> {
    (0..count).map(|n| {
        let [_, a, b, c] = n.to_be_bytes();
        (SocketAddr::from(([10, a, b, c], 80)), n % 4 + 1)
    })
}

fn ours(count: u32, algorithm: Algorithm) -> Picker<()> {
    let ledger = Ledger::new();
    let member = |(address, weight): (SocketAddr, u32)| {
        let (target, seat) = (Arc::new(Target::new(address)), ledger.seat(address));
        Arc::new(Member { target, seat, weight, group: Group::default(), prepared: () })
    };
    Picker::new(&ledger, addresses(count).map(member).collect(), algorithm.into())
}

fn theirs<S>(count: u32) -> LoadBalancer<S>
where
    S: BackendSelection + 'static,
    S::Iter: BackendIter,
{
    let backend = |(address, weight): (SocketAddr, u32)| {
        Backend::new_with_weight(&address.to_string(), usize::try_from(weight).unwrap()).unwrap()
    };
    let backends: BTreeSet<Backend> = addresses(count).map(backend).collect();
    let balancer = LoadBalancer::from_backends(Backends::new(Static::new(backends)));
    // Static discovery never waits.
    balancer.update().now_or_never().unwrap().unwrap();
    balancer
}

/// Time per call, the best of many short rounds: the others were disturbed.
fn measure(calls: u32, mut call: impl FnMut(u64)) -> Duration {
    let round = |_| {
        let start = Instant::now();
        for n in 0..calls {
            call(mix(u64::from(n)));
        }
        start.elapsed() / calls
    };
    (0..if calls > 100 { 300 } else { 10 }).map(round).min().unwrap_or_default()
}

fn main() {
    // `cargo test --benches` only wants to see that it runs.
    let calls = if std::env::args().any(|argument| argument == "--bench") { 2_000 } else { 10 };
    println!("{:<14} {:>8} {:>10} {:>10}", "ns per pick", "targets", "ours", "pingora's");
    for count in [2, 16, 1_000] {
        let now = Instant::now();
        let show = |name: &str, ours: Duration, theirs: Duration| {
            println!("{name:<14} {count:>8} {:>10} {:>10}", ours.as_nanos(), theirs.as_nanos());
        };
        let (mine, other) = (ours(count, Algorithm::RoundRobin), theirs::<RoundRobin>(count));
        let mine = measure(calls, |key| assert!(black_box(mine.pick(now, key, &[])).is_some()));
        show("round robin", mine, measure(calls, |_| assert!(black_box(other.select(b"", STEPS)).is_some())));
        let (mine, other) = (ours(count, Algorithm::Hash), theirs::<Consistent>(count));
        let mine = measure(calls, |key| assert!(black_box(mine.pick(now, key, &[])).is_some()));
        let theirs = measure(calls, |key| assert!(black_box(other.select(&key.to_be_bytes(), STEPS)).is_some()));
        show("hash", mine, theirs);
    }
}
