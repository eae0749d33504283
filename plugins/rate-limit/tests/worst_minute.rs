//! The table and the plot of docs/limits.md: what limiters of `100/min` admit in the worst minute, under arrivals without
//! chance. `UPDATE_EXPECT=1` writes both anew.
#![expect(clippy::unwrap_used, reason = "all of this is a test")]

use std::collections::VecDeque;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use portreeve_plugin::testing::Probe;
use portreeve_plugin_rate_limit::RateLimit;
use serde_json::json;

/// The limit, and its span in milliseconds.
const LIMIT: f64 = 100.0;
const SPAN: u64 = 60_000;
/// How long a pattern of arrivals goes on.
const END: u64 = 5 * SPAN;

/// A limiter that is asked at ascending times.
trait Limiter {
    fn admits(&mut self, now: u64) -> bool;
}

/// Counts by the minute of the clock.
#[derive(Default)]
struct FixedWindow {
    minute: u64,
    used: f64,
}

/// Takes what the minute before had in proportion to what is left of it.
#[derive(Default)]
struct TwoWindows {
    minute: u64,
    used: f64,
    before: f64,
}

/// Holds 100, refilled at 100 a minute.
struct Bucket {
    tokens: f64,
    at: u64,
}

/// This plugin, on a clock that stands still.
struct Ours {
    probe: Probe<RateLimit>,
    at: u64,
}

impl Limiter for FixedWindow {
    fn admits(&mut self, now: u64) -> bool {
        if now / SPAN != self.minute {
            *self = Self { minute: now / SPAN, used: 0.0 };
        }
        let admits = self.used < LIMIT;
        self.used += f64::from(u8::from(admits));
        admits
    }
}

impl Limiter for TwoWindows {
    fn admits(&mut self, now: u64) -> bool {
        let minute = now / SPAN;
        if minute != self.minute {
            let before = if minute == self.minute + 1 { self.used } else { 0.0 };
            *self = Self { minute, used: 0.0, before };
        }
        let left = 1.0 - fraction(now % SPAN);
        let admits = self.before * left + self.used < LIMIT;
        self.used += f64::from(u8::from(admits));
        admits
    }
}

impl Limiter for Bucket {
    fn admits(&mut self, now: u64) -> bool {
        self.tokens = (self.tokens + LIMIT * fraction(now - self.at)).min(LIMIT);
        self.at = now;
        let admits = self.tokens >= 1.0;
        self.tokens -= f64::from(u8::from(admits));
        admits
    }
}

impl Limiter for Ours {
    fn admits(&mut self, now: u64) -> bool {
        self.probe.clock().advance(Duration::from_millis(now - self.at));
        self.at = now;
        self.probe.get("/").send().answered().is_none()
    }
}

#[expect(clippy::cast_precision_loss, reason = "milliseconds of a few minutes")]
fn fraction(millis: u64) -> f64 {
    millis as f64 / SPAN as f64
}

/// One pattern of arrivals: its name, and when requests come.
fn patterns() -> Vec<(&'static str, Vec<u64>)> {
    let steady: Vec<u64> = (0..END).step_by(100).collect();
    let burst_at = |at: u64| std::iter::repeat_n(at, 120);
    let then_steady = |from: u64| (from..END).step_by(100);
    vec![
        ("10 a second", steady),
        ("120 at once, then 10 a second", burst_at(0).chain(then_steady(100)).collect()),
        ("120 just before the full minute, then 10 a second", burst_at(SPAN - 1).chain(then_steady(SPAN)).collect()),
        ("120 at once every 40 seconds", (0..END).step_by(40_000).flat_map(burst_at).collect()),
    ]
}

/// What a run of one limiter came to.
#[derive(Default)]
struct Run {
    /// The most admitted in any span.
    worst: usize,
    /// Requests refused although fewer than the limit had been admitted in the span before.
    needless: usize,
    /// Admitted in the span that ends at each time.
    line: Vec<(u64, usize)>,
}

fn run(limiter: &mut dyn Limiter, arrivals: &[u64]) -> Run {
    let (mut run, mut recent) = (Run::default(), VecDeque::new());
    for now in arrivals {
        while recent.front().is_some_and(|at| at + SPAN <= *now) {
            recent.pop_front();
        }
        if limiter.admits(*now) {
            recent.push_back(*now);
        } else if recent.len() < 100 {
            run.needless += 1;
        }
        run.worst = run.worst.max(recent.len());
        run.line.push((*now, recent.len()));
    }
    run
}

type Make = fn() -> Box<dyn Limiter>;

const LIMITERS: [(&str, &str, Make); 4] = [
    ("fixed window", "#c0392b", || Box::new(FixedWindow::default())),
    ("two-window estimate", "#d68910", || Box::new(TwoWindows::default())),
    ("token bucket (`burst: 100`)", "#2471a3", || Box::new(Bucket { tokens: LIMIT, at: 0 })),
    ("`rate: 100/min`", "#1e8449", || {
        let settings = json!({ "by": "all", "limit": { "rate": "100/min" } });
        Box::new(Ours { probe: Probe::new(settings), at: 0 })
    }),
];

fn table() -> String {
    let patterns = patterns();
    let mut text =
        "| limiter of 100 a minute | admitted in the worst minute | refused without need |\n|---|---|---|\n".to_owned();
    for (name, _, make) in LIMITERS {
        let runs: Vec<Run> = patterns.iter().map(|(_, arrivals)| run(make().as_mut(), arrivals)).collect();
        let worst = runs.iter().map(|run| run.worst).max().unwrap();
        let needless: usize = runs.iter().map(|run| run.needless).sum();
        let asked: usize = patterns.iter().map(|(_, arrivals)| arrivals.len()).sum();
        writeln!(text, "| {name} | {worst} | {needless} of {asked} |").unwrap();
    }
    text
}

/// The third pattern, drawn: admitted in the 60 seconds before each moment.
fn plot() -> String {
    let (width, height, left, top) = (720, 300, 40, 30);
    let (_, arrivals) = patterns().swap_remove(2);
    let x = |at: u64| left + u64::try_from(width).unwrap() * at / END;
    let y = |count: u64| top + height - height * count / 210;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {} {}\" font-family=\"sans-serif\" font-size=\"12\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n\
         <text x=\"{left}\" y=\"18\">Admitted in the 60 s before, limit 100/min: 120 requests just before the full minute, then 10 a second</text>\n",
        left + u64::try_from(width).unwrap() + 20,
        top + height + 40
    );
    for count in [0, 50, 100, 150, 200] {
        let dash = if count == 100 { "" } else { " stroke-dasharray=\"2 4\"" };
        writeln!(
            svg,
            "<path d=\"M{left} {0}H{1}\" stroke=\"#999\"{dash}/><text x=\"8\" y=\"{2}\">{count}</text>",
            y(count),
            x(END),
            y(count) + 4
        )
        .unwrap();
    }
    for minute in 0..=5 {
        writeln!(svg, "<text x=\"{}\" y=\"{}\">{minute} min</text>", x(minute * SPAN), top + height + 18).unwrap();
    }
    for (place, (name, colour, make)) in LIMITERS.into_iter().enumerate() {
        let mut path = String::new();
        let mut last = None;
        for (at, count) in run(make().as_mut(), &arrivals).line {
            let point = (x(at), y(count as u64));
            if last != Some(point) {
                write!(path, "{}{} {}", if path.is_empty() { "M" } else { "L" }, point.0, point.1).unwrap();
                last = Some(point);
            }
        }
        let name = name.replace('`', "");
        writeln!(svg, "<path d=\"{path}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\"/>").unwrap();
        writeln!(
            svg,
            "<text x=\"{}\" y=\"{}\" fill=\"{colour}\">{name}</text>",
            left + 160 * place as u64,
            top + height + 36
        )
        .unwrap();
    }
    svg + "</svg>\n"
}

fn docs() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs")
}

#[test]
fn the_table_of_the_documentation_is_what_the_simulation_gives() {
    let (path, table) = (docs().join("limits.md"), table());
    println!("{table}");
    let page = std::fs::read_to_string(&path).unwrap();
    let (before, rest) = page.split_once("<!-- worst minute: begin -->\n").unwrap();
    let (_, after) = rest.split_once("<!-- worst minute: end -->").unwrap();
    let made = format!("{before}<!-- worst minute: begin -->\n{table}<!-- worst minute: end -->{after}");
    if std::env::var_os("UPDATE_EXPECT").is_some() {
        std::fs::write(&path, &made).unwrap();
        std::fs::write(docs().join("limits.svg"), plot()).unwrap();
    }
    assert_eq!(std::fs::read_to_string(&path).unwrap(), made);
    assert_eq!(std::fs::read_to_string(docs().join("limits.svg")).unwrap(), plot());
}

#[test]
fn only_an_exact_window_admits_no_more_than_was_said() {
    let worst = |make: Make| patterns().iter().map(|(_, arrivals)| run(make().as_mut(), arrivals).worst).max().unwrap();
    let worst: Vec<usize> = LIMITERS.iter().map(|(_, _, make)| worst(*make)).collect();
    assert!(worst[..3].iter().all(|worst| *worst > 180), "{worst:?}");
    assert_eq!(worst[3], 100);
}
