//! Nanoseconds for one decision, over few keys and many, on one thread and on two: `cargo bench -p portreeve-plugin-rate-limit`.
//!
//! What counts is the CPU time of the threads that decide, as Linux tells it: on a machine that does something else meanwhile,
//! the time on the clock tells of that. Each figure is the median of rounds; with `-- two` only limits called so are measured.
#![expect(clippy::print_stdout, clippy::cast_precision_loss, reason = "a bench prints, of numbers far below 2^52")]

use std::fmt::Write as _;
use std::hint::black_box;
use std::num::NonZeroU32;
use std::sync::Barrier;
use std::time::Instant;

use portreeve_plugin::{Allowance, Spread, units};
use portreeve_plugin_rate_limit::bench::limiter;

/// What is promised of any decision, in nanoseconds.
const AIM: f64 = 1000.0;

/// Decisions of one thread in a round.
const DECISIONS: usize = 500_000;
const ROUNDS: usize = 5;

/// Steps through the keys without an order that a cache could foresee: a prime.
const STRIDE: usize = 7_919;

fn main() {
    let wanted = std::env::args().skip(1).find(|argument| !argument.starts_with('-')).unwrap_or_default();
    // Every decision reads the clock once: what that costs differs between machines more than all the rest.
    let reading = cpu_time_of(|| {
        black_box(Instant::now());
    });
    println!("clock alone {reading:.0} ns");
    let (mut key, mut number) = (String::new(), 0);
    let writing = cpu_time_of(|| {
        number += 1;
        black_box(named(&mut key, number));
    });
    println!("writing a key alone {writing:.0} ns");
    println!("{:28} {:>9} {:>12} {:>12}", "limit", "keys", "1 thread, ns", "2 threads, ns");
    let rate = |rate: &str, spread| Allowance { rates: rate.parse().into_iter().collect(), spread, quotas: Vec::new() };
    let quota = Allowance {
        quotas: "100000000/month".parse().map(units::Quota::calendar).into_iter().collect(),
        ..Allowance::default()
    };
    let burst = Spread::Burst(NonZeroU32::MAX);
    let mut worst: f64 = 0.0;
    for (name, limits) in [
        ("window, refused", vec![rate("1/day", Spread::Window)]),
        ("window, admitted", vec![rate("1000/s", Spread::Window)]),
        ("window of slots, admitted", vec![rate("1000000/s", Spread::Window)]),
        ("bucket, admitted", vec![rate("4000000/s", burst)]),
        ("window and quota, admitted", vec![rate("1000/s", Spread::Window), quota]),
        ("two windows, admitted", vec![rate("1000/s", Spread::Window), rate("50000/min", Spread::Window)]),
    ] {
        if !name.contains(&wanted) {
            continue;
        }
        for keys in [1, 1_000, 1_000_000] {
            let admit = limiter(&limits);
            // Every key is known: what is measured is a decision, not the arrival of a key.
            let mut key = String::new();
            for n in 0..keys {
                black_box(admit(named(&mut key, n)));
            }
            let [one, two] = [1, 2].map(|threads| measure(threads, keys, &admit));
            println!("{name:28} {keys:>9} {one:>12.0} {two:>12.0}");
            worst = worst.max(one).max(two);
        }
    }
    let verdict = if worst <= AIM { "yes" } else { "no" };
    println!("\nthe dearest decision: {worst:.0} ns, at most {AIM:.0}: {verdict}");
}

/// A key as a request brings it: just made, not fetched from among a million others.
fn named(key: &mut String, number: usize) -> &str {
    key.clear();
    write!(key, "consumer-{number}").ok();
    key
}

/// Nanoseconds of CPU time for one decision on each of so many threads: the median of rounds.
fn measure(threads: usize, keys: usize, admit: &(impl Fn(&str) -> bool + Sync)) -> f64 {
    let barrier = Barrier::new(threads);
    let mut rounds: Vec<f64> = std::thread::scope(|scope| {
        let run = |thread: usize| {
            let barrier = &barrier;
            scope.spawn(move || {
                let (mut at, mut key) = (thread * keys / threads, String::new());
                let round = |_| {
                    barrier.wait();
                    cpu_time_of(|| {
                        at = (at + STRIDE) % keys;
                        black_box(admit(named(&mut key, at)));
                    })
                };
                (0..ROUNDS).map(round).collect::<Vec<_>>()
            })
        };
        let running: Vec<_> = (0..threads).map(run).collect();
        running.into_iter().filter_map(|thread| thread.join().ok()).flatten().collect()
    });
    rounds.sort_by(f64::total_cmp);
    rounds.get(rounds.len() / 2).copied().unwrap_or_default()
}

/// Nanoseconds of this thread's CPU time that `act` takes, of many times.
fn cpu_time_of(mut act: impl FnMut()) -> f64 {
    let before = cpu_time();
    for _ in 0..DECISIONS {
        act();
    }
    (cpu_time() - before) / DECISIONS as f64
}

/// Nanoseconds that this thread has run.
fn cpu_time() -> f64 {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    text.split(' ').next().and_then(|nanos| nanos.parse().ok()).unwrap_or_default()
}
