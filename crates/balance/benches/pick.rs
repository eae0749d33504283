//! What a pick costs with 2, 16 and 1,000 members, when all are there and when most are not, and what it costs to make what
//! picks need: `cargo bench -p portreeve-balance`. Plain, because the question is one of growth, not of single nanoseconds.
#![expect(clippy::print_stdout, reason = "a bench prints")]
#![expect(clippy::unwrap_used, reason = "a bench may stop at what cannot be")]

use std::hint::black_box;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use portreeve_balance::hash::mix;
use portreeve_balance::{Algorithm, Bar, Group, InFlight, Ledger, Member, Outcome, Picker, Policy, Search, Target};

const ALGORITHMS: [(&str, Algorithm); 5] = [
    ("round_robin", Algorithm::RoundRobin),
    ("least_connections", Algorithm::LeastConnections),
    ("least_time", Algorithm::LeastTime),
    ("random_two", Algorithm::RandomTwo),
    ("hash", Algorithm::Hash),
];

fn members(ledger: &Ledger, count: u32) -> Vec<Arc<Member<()>>> {
    let member = |n: u32| {
        let [_, a, b, c] = n.to_be_bytes();
        let address = SocketAddr::from(([10, a, b, c], 80));
        let (target, seat) = (Arc::new(Target::new(address)), ledger.seat(address));
        Arc::new(Member { target, seat, weight: n % 4 + 1, group: Group::default(), prepared: () })
    };
    (0..count).map(member).collect()
}

/// Time per call, the best of many short rounds: the others were disturbed.
fn measure(calls: u32, mut call: impl FnMut()) -> Duration {
    let round = |_| {
        let start = Instant::now();
        for _ in 0..calls {
            call();
        }
        start.elapsed() / calls
    };
    (0..if calls > 100 { 300 } else { 10 }).map(round).min().unwrap_or_default()
}

fn main() {
    // `cargo test --benches` only wants to see that it runs.
    let is_bench = std::env::args().any(|argument| argument == "--bench");
    let calls = if is_bench { 2_000 } else { 10 };
    println!(
        "{:<18} {:>8} {:>10} {:>10} {:>10} {:>12} {:>12}",
        "ns per pick", "members", "all there", "90% out", "99% out", "new picker", "new view"
    );
    for (name, algorithm) in ALGORITHMS {
        for count in [2, 16, 1_000] {
            let ledger = Ledger::new();
            let members = members(&ledger, count);
            let policy = Policy { slow_start: None, ..algorithm.into() };
            let made = measure(1, || {
                black_box(Picker::new(&ledger, members.clone(), policy.clone()));
            });
            let picker = Picker::new(&ledger, members.clone(), policy.clone());
            let now = Instant::now();
            for member in picker.members() {
                picker.report(&InFlight::new(member, now), Outcome::Answered, now + Duration::from_millis(5));
            }
            let mut key = 0_u64;
            let mut pick = || {
                key += 1;
                black_box(Search::new(now, mix(key)).next_in(&picker)).unwrap();
            };
            let all = measure(calls, &mut pick);
            let mut out = |share: u32| {
                let left = count - count * share / 100;
                if left == count {
                    return None;
                }
                picker.members().iter().skip(left.max(1) as usize).for_each(|member| {
                    member.target.bar(Bar::Unhealthy, true);
                });
                Some(measure(calls, &mut pick))
            };
            let (most, nearly) = (out(90), out(99));
            let first = &picker.members().first().unwrap().target;
            picker.members().iter().for_each(|member| {
                member.target.bar(Bar::Unhealthy, false);
            });
            let view = measure(if is_bench { 50 } else { 1 }, || {
                first.bar(Bar::Unhealthy, true);
                black_box(Search::new(now, 1).next_in(&picker));
                first.bar(Bar::Unhealthy, false);
                black_box(Search::new(now, 1).next_in(&picker));
            }) / 2;
            let shown = |time: Option<Duration>| time.map_or_else(String::new, |time| time.as_nanos().to_string());
            println!(
                "{name:<18} {count:>8} {:>10} {:>10} {:>10} {made:>12.1?} {view:>12.1?}",
                all.as_nanos(),
                shown(most),
                shown(nearly)
            );
        }
    }
}
