//! Plays out what docs/load-balancing.md shows, in virtual time, and writes its figures:
//! `cargo run -p portreeve-balance --example simulation [FOLDER]`, by default docs/plots. The same bytes each time.
#![expect(clippy::print_stdout, reason = "the figures are its output")]
#![expect(clippy::indexing_slicing, reason = "places that this file itself has made")]
#![expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "counts and seconds of one minute"
)]

mod plot;
mod scenarios;
mod world;

use std::io;
use std::path::PathBuf;
use std::time::Instant;

use portreeve_balance::Algorithm;

use plot::{Series, bars, lines};
use scenarios::{AFTER, ALGORITHMS, JOINS, cold_start, one_slow, stalling};
use world::{Answered, Played, play, quantile};

fn main() -> io::Result<()> {
    let folder = std::env::args_os().nth(1).map_or_else(|| PathBuf::from("docs/plots"), PathBuf::from);
    std::fs::create_dir_all(&folder)?;
    let epoch = Instant::now();
    let write = |name: &str, text: String| std::fs::write(folder.join(name), text);

    println!("one of eight targets ten times slower: ms");
    println!("{:<20} {:>8} {:>8} {:>8} {:>16}", "", "p50", "p99", "p99.9", "slow one's share");
    let shares = [("p50", 0.5), ("p99", 0.99)];
    let mut series: Vec<Series> =
        shares.iter().map(|(name, _)| Series { name: (*name).to_owned(), points: Vec::new() }).collect();
    for (place, (name, algorithm)) in ALGORITHMS.iter().enumerate() {
        let answered = play(&one_slow(*algorithm), epoch).answered;
        let at = |share| quantile(answered.iter().copied(), share);
        let slow = answered.iter().filter(|answered| answered.target == 7).count() as f64 / answered.len() as f64;
        println!("{name:<20} {:>8.1} {:>8.1} {:>8.1} {:>15.1}%", at(0.5), at(0.99), at(0.999), slow * 100.0);
        for (series, (_, share)) in series.iter_mut().zip(shares) {
            series.points.push((place as f64, at(share)));
        }
    }
    let names: Vec<_> = ALGORITHMS.iter().map(|(name, _)| *name).collect();
    write(
        "one-slow.svg",
        bars(
            "One of eight targets is ten times slower",
            "milliseconds, each line ten times the one below",
            &names,
            &series,
        ),
    )?;

    let join = JOINS.as_secs();
    println!("a cold target joins four at {join} s: the worst p99 of a second, in ms, at once and with slow start");
    for (name, algorithm) in ALGORITHMS {
        let worst = |slow: bool| {
            let answered = play(&cold_start(algorithm, slow), epoch).answered;
            let of = |second: u64| answered.iter().filter(move |answered| answered.at.as_secs() == second).copied();
            (join..join + 30).map(|second| quantile(of(second), 0.99)).fold(0.0, f64::max)
        };
        println!("{name:<20} {:>8.0} {:>8.0}", worst(false), worst(true));
    }
    println!("with round_robin, p99 in ms, and requests to it, each second after");
    let variants = [("at once", false), ("slow_start: 20s", true)];
    let of = |slow: bool| play(&cold_start(Algorithm::RoundRobin, slow), epoch).answered;
    let played: Vec<(&str, Vec<Answered>)> = variants.iter().map(|(name, slow)| (*name, of(*slow))).collect();
    let per_second = |measure: &dyn Fn(Vec<Answered>) -> f64| -> Vec<Series> {
        let series = played.iter().map(|(name, answered)| {
            let of = |second: usize| answered.iter().filter(move |a| a.at.as_secs() as usize == second).copied();
            let points = (10..60).map(|second| (second as f64 - 10.0, measure(of(second).collect()))).collect();
            Series { name: (*name).to_owned(), points }
        });
        series.collect()
    };
    let late = per_second(&|answered| quantile(answered, 0.99));
    let sent = per_second(&|answered| answered.iter().filter(|answered| answered.target == 4).count() as f64);
    for after in [0, 1, 2, 3, 5, 10, 15, 20, 30] {
        let second = after + 10;
        let value = |series: &[Series], which: usize| series[which].points[second].1;
        println!(
            "{:>3} s: p99 {:>7.1} at once, {:>7.1} slowly; requests {:>5.0} and {:>5.0}",
            after,
            value(&late, 0),
            value(&late, 1),
            value(&sent, 0),
            value(&sent, 1)
        );
    }
    let title = "A cold target joins at 10 s, round_robin";
    write("cold-start-p99.svg", lines(title, "seconds", "p99 in milliseconds", &late))?;
    write("cold-start-requests.svg", lines(title, "seconds", "requests per second to it", &sent))?;
    write("hedging.svg", hedging(epoch))
}

/// What asking another target does where each stands still now and then.
fn hedging(epoch: Instant) -> String {
    println!("each target stands still for 200 ms now and then: ms, with and without asking another");
    println!("{:<20} {:>8} {:>8} {:>8} {:>8} {:>12}", "", "after", "p50", "p99", "p99.9", "asked twice");
    let mut series: Vec<Series> = AFTER
        .iter()
        .map(|after| Series {
            name: after.map_or_else(|| "no hedge".to_owned(), |after| format!("after {} ms", after.as_millis())),
            points: Vec::new(),
        })
        .collect();
    for (place, (name, algorithm)) in ALGORITHMS.iter().enumerate() {
        for (after, series) in AFTER.iter().zip(&mut series) {
            let Played { answered, asked, hedged } = play(&stalling(*algorithm, *after), epoch);
            let at = |share| quantile(answered.iter().copied(), share);
            let twice = hedged as f64 / asked as f64 * 100.0;
            let shown = after.map_or_else(|| "never".to_owned(), |after| after.as_millis().to_string());
            println!("{name:<20} {shown:>8} {:>8.1} {:>8.1} {:>8.1} {twice:>11.1}%", at(0.5), at(0.99), at(0.999));
            series.points.push((place as f64, at(0.999)));
        }
    }
    let names: Vec<_> = ALGORITHMS.iter().map(|(name, _)| *name).collect();
    bars(
        "Targets that stand still now and then, p99.9",
        "milliseconds, each line ten times the one below",
        &names,
        &series,
    )
}
