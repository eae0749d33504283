//! Nanoseconds for one decision, over few keys and many, on one thread and on two: `cargo bench -p portreeve-plugin-rate-limit`.
#![expect(clippy::print_stdout, clippy::cast_precision_loss, reason = "a bench prints, of numbers far below 2^52")]

use std::fmt::Write as _;
use std::hint::black_box;
use std::num::NonZeroU32;
use std::sync::Barrier;
use std::time::Instant;

use portreeve_plugin::{Allowance, Spread, units};
use portreeve_plugin_rate_limit::bench::limiter;

/// What is promised of a decision over two limits among many keys on two threads, in nanoseconds.
const AIM: f64 = 1000.0;
const TWO: &str = "two windows, admitted";
const MANY: usize = 1_000_000;

const ROUNDS: usize = 2_000_000;

/// Steps through the keys without an order that a cache could foresee: a prime.
const STRIDE: usize = 7_919;

fn main() {
    // Every decision reads the clock once: what that costs differs between machines more than all the rest.
    let started = Instant::now();
    for _ in 0..ROUNDS {
        black_box(Instant::now());
    }
    println!("clock alone {:.0} ns", per_round(started, ROUNDS));
    let (started, mut key) = (Instant::now(), String::new());
    for n in 0..ROUNDS {
        black_box(named(&mut key, n % 1_000_000));
    }
    println!("writing a key alone {:.0} ns", per_round(started, ROUNDS));
    println!("{:28} {:>9} {:>12} {:>12}", "limit", "keys", "1 thread, ns", "2 threads, ns");
    let rate = |rate: &str, spread| Allowance { rates: rate.parse().into_iter().collect(), spread, quotas: Vec::new() };
    let quota =
        Allowance { quotas: "100000000/month".parse().map(quota).into_iter().collect(), ..Allowance::default() };
    let burst = Spread::Burst(NonZeroU32::MAX);
    let mut said = 0.0;
    for (name, limits) in [
        ("window, refused", vec![rate("1/day", Spread::Window)]),
        ("window, admitted", vec![rate("1000/s", Spread::Window)]),
        ("window of slots, admitted", vec![rate("1000000/s", Spread::Window)]),
        ("bucket, admitted", vec![rate("4000000/s", burst)]),
        ("window and quota, admitted", vec![rate("1000/s", Spread::Window), quota]),
        (TWO, vec![rate("1000/s", Spread::Window), rate("50000/min", Spread::Window)]),
    ] {
        for keys in [1, 1_000, MANY] {
            let admit = limiter(&limits);
            // Every key is known: what is measured is a decision, not the arrival of a key.
            let mut key = String::new();
            for n in 0..keys {
                black_box(admit(named(&mut key, n)));
            }
            let [one, two] = [1, 2].map(|threads| measure(threads, keys, &admit));
            println!("{name:28} {keys:>9} {one:>12.0} {two:>12.0}");
            if name == TWO && keys == MANY {
                said = two;
            }
        }
    }
    let verdict = if said <= AIM { "yes" } else { "no" };
    println!("\ntwo limits, {MANY} keys, 2 threads: {said:.0} ns, at most {AIM:.0}: {verdict}");
}

/// A key as a request brings it: just made, not fetched from among a million others.
fn named(key: &mut String, number: usize) -> &str {
    key.clear();
    write!(key, "consumer-{number}").ok();
    key
}

fn quota(of: units::Allotment) -> units::Quota {
    units::Quota::calendar(of)
}

/// Nanoseconds from one decision to the next on each of so many threads.
fn measure(threads: usize, keys: usize, admit: &(impl Fn(&str) -> bool + Sync)) -> f64 {
    let barrier = Barrier::new(threads);
    std::thread::scope(|scope| {
        let run = |thread: usize| {
            let barrier = &barrier;
            scope.spawn(move || {
                let (mut at, mut key) = (thread * keys / threads, String::new());
                barrier.wait();
                let started = Instant::now();
                for _ in 0..ROUNDS {
                    at = (at + STRIDE) % keys;
                    black_box(admit(named(&mut key, at)));
                }
                per_round(started, ROUNDS)
            })
        };
        let running: Vec<_> = (0..threads).map(run).collect();
        let taken: Vec<f64> = running.into_iter().filter_map(|thread| thread.join().ok()).collect();
        taken.iter().sum::<f64>() / taken.len() as f64
    })
}

fn per_round(started: Instant, rounds: usize) -> f64 {
    started.elapsed().as_secs_f64() * 1e9 / rounds as f64
}
