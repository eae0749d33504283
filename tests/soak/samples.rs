//! What the process takes over time: looked at every few seconds, printed as a table, and judged at the end.

use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::plan::Plan;
use crate::tally::Tally;
use crate::world::World;

/// One look at the gateway.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Gauges {
    /// Resident memory in bytes.
    pub(crate) resident: u64,
    /// Of that, what is its own: shared pages count in parts.
    pub(crate) proportional: u64,
    /// Open descriptors.
    pub(crate) descriptors: u64,
    /// Threads.
    pub(crate) threads: u64,
    /// Client connections, as the gateway counts them.
    pub(crate) connections: u64,
    /// Requests at targets, as the gateway counts them.
    pub(crate) in_flight: u64,
}

impl Gauges {
    /// What the system tells of a process.
    pub(crate) fn of(id: u32) -> Self {
        let place = Path::new("/proc").join(id.to_string());
        let kib = |file: &str, name: &str| {
            let text = std::fs::read_to_string(place.join(file)).expect("a running gateway");
            let line = text.lines().find_map(|line| line.strip_prefix(name)).expect("such a line");
            line.split_whitespace().next().and_then(|number| number.parse::<u64>().ok()).expect("a number")
        };
        let entries = |folder: PathBuf| std::fs::read_dir(folder).expect("a running gateway").count() as u64;
        Self {
            resident: kib("status", "VmRSS:") << 10,
            proportional: kib("smaps_rollup", "Pss:") << 10,
            descriptors: entries(place.join("fd")),
            threads: entries(place.join("task")),
            ..Self::default()
        }
    }
}

/// Whether all that the visits took has been given back.
pub(crate) fn settled(before: &Gauges, now: &Gauges) -> bool {
    now.connections == 0 && now.in_flight == 0 && now.descriptors <= before.descriptors + SPARE
}

/// Descriptors that the process may have opened for itself: a log, a resolver, a connection of the admin port.
const SPARE: u64 = 4;

/// The samples of a run.
#[derive(Debug)]
pub(crate) struct Sampler {
    plan: Plan,
    taken: Vec<Gauges>,
}

impl Sampler {
    pub(crate) fn new(plan: &Plan) -> Self {
        Self { plan: plan.clone(), taken: Vec::new() }
    }

    /// Looks until the time is over.
    pub(crate) async fn watch(&mut self, world: &World, tally: &Tally) {
        let begun = Instant::now();
        let mut ticks = tokio::time::interval(self.plan.sample);
        println!(
            "{:>6} {:>8} {:>8} {:>5} {:>7} {:>6} {:>9} {:>10} {:>8} {:>6}",
            "s", "RSS MiB", "PSS MiB", "fds", "threads", "conns", "in flight", "right", "excused", "wrong"
        );
        ticks.tick().await;
        while begun.elapsed() < self.plan.lasts {
            ticks.tick().await;
            let now = world.gauges().await;
            self.taken.push(now);
            let (right, excused, wrong) = tally.sums();
            println!(
                "{:>6} {:>8.1} {:>8.1} {:>5} {:>7} {:>6} {:>9} {right:>10} {excused:>8} {wrong:>6}",
                begun.elapsed().as_secs(),
                mib(now.resident),
                mib(now.proportional),
                now.descriptors,
                now.threads,
                now.connections,
                now.in_flight
            );
        }
    }

    /// The samples after the first fifth, in which buffers and caches get their size, in three parts of equal length.
    fn thirds(&self) -> [&[Gauges]; 3] {
        let (_, settled) = self.taken.split_at(self.taken.len() / 5);
        let (first, rest) = settled.split_at(settled.len() / 3);
        let (second, third) = rest.split_at(rest.len() / 2);
        [first, second, third]
    }

    /// The figures in a few lines.
    pub(crate) fn summary(&self, before: &Gauges, after: &Gauges) -> String {
        let mut text =
            String::from("                        idle before   first third  second third   last third   idle after\n");
        let mut row = |name: &str, of: fn(&Gauges) -> u64, scale: f64| {
            let middles = self.thirds().map(|third| middle(third, of));
            write!(text, "{name:22}").unwrap();
            for value in [&[of(before)][..], &middles, &[of(after)]].concat() {
                write!(text, " {:>13.1}", scaled(value, scale)).unwrap();
            }
            text.push('\n');
        };
        row("RSS, MiB", |gauges| gauges.resident, 1_048_576.0);
        row("PSS, MiB", |gauges| gauges.proportional, 1_048_576.0);
        row("descriptors", |gauges| gauges.descriptors, 1.0);
        row("threads", |gauges| gauges.threads, 1.0);
        row("client connections", |gauges| gauges.connections, 1.0);
        row("requests at targets", |gauges| gauges.in_flight, 1.0);
        text
    }

    /// Memory, descriptors and threads of the last third are those of the first.
    pub(crate) fn assert_flat(&self) {
        let [first, _, last] = self.thirds();
        let grown = |of: fn(&Gauges) -> u64| (middle(first, of), middle(last, of));
        let (start, end) = grown(|gauges| gauges.proportional);
        #[expect(
            clippy::cast_precision_loss,
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a bound, not a count"
        )]
        let bound = start + self.plan.slack_bytes + (start as f64 * self.plan.slack_share) as u64;
        assert!(end <= bound, "memory grew from {:.1} to {:.1} MiB", mib(start), mib(end));
        let (start, end) = grown(|gauges| gauges.descriptors);
        assert!(end <= start + start / 4 + 20, "descriptors grew from {start} to {end}");
        let (start, end) = grown(|gauges| gauges.threads);
        assert!(end <= start + 2, "threads grew from {start} to {end}");
    }
}

/// The median.
fn middle(gauges: &[Gauges], of: fn(&Gauges) -> u64) -> u64 {
    let mut values: Vec<u64> = gauges.iter().map(of).collect();
    values.sort_unstable();
    values.get(values.len() / 2).copied().expect("a run that is long enough for three samples")
}

fn mib(bytes: u64) -> f64 {
    scaled(bytes, 1_048_576.0)
}

#[expect(clippy::cast_precision_loss, reason = "for reading")]
fn scaled(value: u64, by: f64) -> f64 {
    value as f64 / by
}

/// The longest that one visit may take: beyond every deadline of the configuration.
pub(crate) const PATIENCE: Duration = Duration::from_mins(1);
