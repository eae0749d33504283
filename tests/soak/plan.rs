//! How long, with which binary and with how many clients: the short form that runs with all tests, or what the environment
//! asks for.

use std::fmt;
use std::time::Duration;

/// What one run does.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    /// The gateway's binary.
    pub(crate) program: String,
    /// How long clients come.
    pub(crate) lasts: Duration,
    /// From one sample to the next.
    pub(crate) sample: Duration,
    /// Clients of each kind at a time.
    pub(crate) clients: usize,
    /// What all choices are drawn from.
    pub(crate) seed: u64,
    /// The most that memory may grow from the first third to the last, beyond a share of it.
    pub(crate) slack_bytes: u64,
    /// That share.
    pub(crate) slack_share: f64,
}

impl Plan {
    /// `PORTREEVE_SOAK_SECONDS`, `PORTREEVE_SOAK_PROGRAM` and `PORTREEVE_SOAK_SEED`; without them the short form.
    pub(crate) fn from_environment() -> Self {
        let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse().ok());
        let short = Self {
            program: env!("CARGO_BIN_EXE_portreeve-under-test").to_owned(),
            lasts: Duration::from_secs(25),
            sample: Duration::from_secs(1),
            clients: 1,
            seed: number("PORTREEVE_SOAK_SEED").unwrap_or(7),
            // In seconds an allocator has not settled: this finds only what runs away.
            slack_bytes: 24 << 20,
            slack_share: 0.25,
        };
        let Some(seconds) = number("PORTREEVE_SOAK_SECONDS") else { return short };
        Self {
            program: std::env::var("PORTREEVE_SOAK_PROGRAM").unwrap_or(short.program),
            lasts: Duration::from_secs(seconds),
            sample: Duration::from_secs(5),
            clients: 3,
            // A megabyte and a half, and what samples of a busy process differ by: 1 KiB lost by one request in a hundred
            // would be more.
            slack_bytes: 3 << 19,
            slack_share: 0.03,
            ..short
        }
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { program, lasts, clients, seed, .. } = self;
        write!(f, "{program} for {} s, {clients} clients of each kind, seed {seed}", lasts.as_secs())
    }
}
