//! The operator's log: each `tracing` event is a line on standard error, JSON unless a person is looking.
//!
//! Nobody waits for whoever reads it, and nobody outside can fill it: lines go through a bounded queue, what comes from outside is
//! escaped and cut, and one place in the code says the same only so often.

mod event;
mod layer;
mod limiter;
mod panic;

use std::io::{self, IsTerminal as _};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use prometheus::IntCounter;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

use crate::sink::Sink;
use crate::time::Moment;
use crate::writer::{Keeper, Log, Settings as LogSettings, Trouble};
use layer::{Layer, Style};
use limiter::Limiter;

/// Bytes of lines that may wait, and as many again that are being written. The last quarter is for errors alone.
const QUEUE: usize = 1024 * 1024;
/// How much of the queue lines may take that are no errors.
const SHARE: f64 = 0.75;

static DROPPED: LazyLock<IntCounter> = LazyLock::new(|| {
    counter("portreeve_log_lines_dropped_total", "Lines of the operator's log dropped because its reader was behind.")
});
static SUPPRESSED: LazyLock<IntCounter> = LazyLock::new(|| {
    counter(
        "portreeve_log_lines_suppressed_total",
        "Lines of the operator's log left out because there had been many like them.",
    )
});

fn counter(name: &str, help: &str) -> IntCounter {
    // A counter without labels is made by its name alone; the names here are good ones.
    #[expect(clippy::expect_used, reason = "a constant")]
    IntCounter::new(name, help).expect("the name of a metric")
}

/// Lines of the operator's log that had no room, in this process.
pub fn dropped_lines() -> IntCounter {
    DROPPED.clone()
}

/// Lines of the operator's log that were left out because there had been many like them, in this process.
pub fn suppressed_lines() -> IntCounter {
    SUPPRESSED.clone()
}

/// What the operator's log has in it.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The environment variable that sets levels, as `tracing_subscriber` has it: `info`, `portreeve_proxy=debug`.
    pub variable: &'static str,
    /// The levels if it is not set.
    pub levels: String,
}

/// The operator's log of this process. When it is dropped, what waits is written, for at most a second.
#[derive(Debug)]
#[must_use = "what waits to be written is lost without it"]
pub struct Diagnostics {
    /// `None` where another log was there first.
    log: Option<(Log, Arc<Limiter>)>,
}

/// Longest wait for the last lines at the end.
const LAST_WORDS: Duration = Duration::from_secs(1);

impl Diagnostics {
    /// Begins to log, what panics say included. Where another subscriber of `tracing` has been set, as in tests, that one stays.
    pub fn start(settings: &Settings) -> Self {
        let levels = EnvFilter::try_from_env(settings.variable);
        let levels = levels.unwrap_or_else(|_| EnvFilter::new(&settings.levels));
        let style = if io::stderr().is_terminal() { Style::Text } else { Style::Json };
        let limiter = Arc::new(Limiter::new(SUPPRESSED.clone()));
        let keeper = Telling { limiter: limiter.clone(), style };
        let queue = LogSettings { thread: "log", buffers: 1, bytes: QUEUE, lost: DROPPED.clone() };
        let Ok(log) = Sink::stderr().and_then(|sink| Log::start(sink, queue, keeper)) else {
            return Self { log: None };
        };
        let layer = Layer::new(log.clone(), limiter.clone(), style);
        if tracing_subscriber::registry().with(levels).with(layer).try_init().is_err() {
            return Self { log: None };
        }
        panic::tell(log.clone());
        Self { log: Some((log, limiter)) }
    }

    /// Writes text for people as it is, after the lines so far; waits for it to be written, for at most a second. For the end of a
    /// process, not for the time it serves.
    pub fn print(&self, text: &str) {
        let text = text.trim_end();
        match &self.log {
            Some((log, _)) => {
                log.raw(text);
                log.flush(LAST_WORDS);
            }
            None => drop(io::Write::write_all(&mut io::stderr(), format!("{text}\n").as_bytes())),
        }
    }
}

impl Drop for Diagnostics {
    fn drop(&mut self) {
        if let Some((log, limiter)) = &self.log {
            limiter.hurry();
            log.flush(LAST_WORDS);
        }
    }
}

/// Says in the log what was left out of it.
struct Telling {
    limiter: Arc<Limiter>,
    style: Style,
}

impl Keeper for Telling {
    /// Nobody can be told.
    fn trouble(&mut self, _: Trouble) {}

    fn after_writing(&mut self, lost: u64, out: &mut Vec<u8>) {
        let now = Moment::now();
        if lost > 0 {
            self.style.lost(now, lost, out);
        }
        self.limiter.tell(|like, count| self.style.left_out(now, like, count, out));
    }

    fn next(&self) -> Option<Duration> {
        self.limiter.next()
    }
}
