//! Nanoseconds for one decision: `cargo bench -p portreeve-plugin-rate-limit`.
#![expect(clippy::print_stdout, reason = "a bench prints")]

use std::hint::black_box;
use std::num::NonZeroU32;
use std::time::Instant;

use portreeve_plugin_rate_limit::bench::limiter;

const ROUNDS: u32 = 2_000_000;

fn main() {
    let keys: Vec<String> = (0..10_000).map(|n| format!("consumer-{n}")).collect();
    // Every decision reads the clock once: what that costs differs between machines more than all the rest.
    let started = Instant::now();
    for _ in 0..ROUNDS {
        black_box(Instant::now());
    }
    println!("clock alone        {:5.0} ns", started.elapsed().as_secs_f64() * 1e9 / f64::from(ROUNDS));
    for (name, rate, burst) in [
        ("window, refused   ", "1/day", None),
        ("window, admitted  ", "1000/s", None),
        ("slotted, admitted ", "1000000/s", None),
        ("bucket, admitted  ", "4000000/s", NonZeroU32::new(1_000_000)),
    ] {
        let Ok(rate) = rate.parse() else { continue };
        let admit = limiter(rate, burst);
        let mut next = keys.iter().cycle();
        let started = Instant::now();
        for _ in 0..ROUNDS {
            if let Some(key) = next.next() {
                black_box(admit(key));
            }
        }
        println!(
            "{name} {:5.0} ns over {} keys",
            started.elapsed().as_secs_f64() * 1e9 / f64::from(ROUNDS),
            keys.len()
        );
    }
}
