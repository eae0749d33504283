//! A pick through our `BackendSelection` beside pingora-load-balancing's own, by `select`, with 2, 16 and 1,000 targets:
//! `cargo bench -p portreeve-upstream --bench pick`. Both get the same addresses and weights, all healthy. Ours is measured as it is
//! (a selection is asked for its candidates, and the first is taken), and with the counting of a request that begins and ends
//! there, which Pingora's does not know.
#![expect(clippy::print_stdout, reason = "a bench prints")]
#![expect(clippy::unwrap_used, reason = "a bench may stop at what cannot be")]

use std::collections::BTreeSet;
use std::hint::black_box;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::FutureExt;
use pingora_load_balancing::selection::{BackendIter, BackendSelection, Consistent, Random, RoundRobin};
use pingora_load_balancing::{Backend, Backends, LoadBalancer, discovery::Static};
use portreeve_balance::hash::mix;
use portreeve_balance::{Algorithm, Group, InFlight, Ledger, Member, Target};

use portreeve_upstream::selection::{Selection, Settings, Wants, backend, state};

/// So many steps pingora may make in search of a healthy one; the first is.
const STEPS: usize = 16;

fn addresses(count: u32) -> impl Iterator<Item = (SocketAddr, u32)> {
    (0..count).map(|n| {
        let [_, a, b, c] = n.to_be_bytes();
        (SocketAddr::from(([10, a, b, c], 80)), n % 4 + 1)
    })
}

fn ours(count: u32, algorithm: Algorithm) -> Arc<Selection<()>> {
    let ledger = Ledger::new();
    let target = |(address, weight): (SocketAddr, u32)| {
        let (target, seat) = (Arc::new(Target::new(address)), ledger.seat(address));
        backend(address, weight, Arc::new(Member { target, seat, weight, group: Group::default(), prepared: () }))
    };
    let targets = addresses(count).map(target).collect();
    Arc::new(Selection::build_with_config(&targets, &Settings { policy: algorithm.into(), ledger: ledger.clone() }))
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
    println!("{:<18} {:>8} {:>10} {:>10} {:>10}", "ns per pick", "targets", "ours", "counted", "pingora's");
    for count in [2, 16, 1_000] {
        let now = Instant::now();
        let show = |name: &str, algorithm: Algorithm, theirs: Option<Duration>| {
            let selection = ours(count, algorithm);
            let mine = measure(calls, |key| {
                let wants = Wants { key, ..Wants::default() };
                assert!(black_box(selection.candidates(now, &wants, &[]).next()).is_some());
            });
            let counted = measure(calls, |key| {
                let wants = Wants { key, ..Wants::default() };
                let mut candidates = selection.candidates(now, &wants, &[]);
                let member: &Arc<Member<()>> = state(candidates.next().unwrap()).unwrap();
                black_box(InFlight::new(member, now));
            });
            let theirs = theirs.map_or_else(|| "none".to_owned(), |theirs| theirs.as_nanos().to_string());
            println!("{name:<18} {count:>8} {:>10} {:>10} {theirs:>10}", mine.as_nanos(), counted.as_nanos());
        };
        let other = theirs::<RoundRobin>(count);
        let other = measure(calls, |_| assert!(black_box(other.select(b"", STEPS)).is_some()));
        show("round robin", Algorithm::RoundRobin, Some(other));
        let other = theirs::<Consistent>(count);
        let other = measure(calls, |key| assert!(black_box(other.select(&key.to_be_bytes(), STEPS)).is_some()));
        show("hash", Algorithm::Hash, Some(other));
        let other = theirs::<Random>(count);
        let other = measure(calls, |_| assert!(black_box(other.select(b"", STEPS)).is_some()));
        show("random_two", Algorithm::RandomTwo, Some(other));
        show("least_connections", Algorithm::LeastConnections, None);
        show("least_time", Algorithm::LeastTime, None);
    }
}
