//! What attempts have shown over a stretch of time, long enough to say something.

use std::time::Duration;

use super::Sample;

/// A stretch of time, as far as it has come.
#[derive(Debug, Clone, Copy)]
pub(super) struct Window {
    begun: Duration,
    /// Of the logarithms of seconds.
    sum: f64,
    answered: u32,
    dropped: u32,
    peak: u32,
}

/// What a window has shown.
#[derive(Debug, Clone, Copy)]
pub(super) struct Seen {
    /// The mean of the logarithms of seconds; `None` without an answer.
    pub(super) latency: Option<f64>,
    pub(super) answered: u32,
    pub(super) dropped: u32,
    /// The most that were in flight.
    pub(super) peak: u32,
}

/// The fewest attempts that say something: a mean of so many is off by a quarter at most, where latencies vary as they do.
const FEWEST: u32 = 20;
/// The shortest window: the limit moves ten times a second at most.
const SHORTEST: Duration = Duration::from_millis(100);
/// While the limit is halved it is looked at for at least so long.
const LONG_ENOUGH: Duration = Duration::from_millis(300);
/// What was begun so long ago says nothing about now.
const STALE: Duration = Duration::from_mins(1);
/// Two threads that looked at the clock before they came are not further apart.
const CROSSING: Duration = Duration::from_secs(1);
/// No answer comes faster than this, in seconds: a logarithm has to have a bottom.
const FASTEST: f64 = 1e-6;

impl Window {
    pub(super) fn new(begun: Duration) -> Self {
        Self { begun, sum: 0.0, answered: 0, dropped: 0, peak: 0 }
    }

    pub(super) fn add(&mut self, in_flight: u32, sample: Sample) {
        self.peak = self.peak.max(in_flight);
        match sample {
            Sample::Answered(took) => {
                self.sum += took.as_secs_f64().max(FASTEST).ln();
                self.answered = self.answered.saturating_add(1);
            }
            Sample::Dropped => self.dropped = self.dropped.saturating_add(1),
        }
    }

    /// Whether it was begun too long ago, or so long after now that the clock was set: threads look at it one after the other
    /// and come in any order. `pace` is what an answer takes.
    pub(super) fn is_stale(&self, now: Duration, pace: Duration) -> bool {
        now + CROSSING < self.begun || now > self.begun + STALE.max(6 * pace)
    }

    pub(super) fn begun(&self) -> Duration {
        self.begun
    }

    /// Whether the limit can be moved by it. Not before an answer takes effect that a request under the last limit got.
    pub(super) fn is_whole(&self, now: Duration, pace: Duration) -> bool {
        self.says_something() && now >= self.begun + pace.max(SHORTEST)
    }

    /// Whether it has shown what answers take unhindered.
    pub(super) fn has_shown(&self, now: Duration, pace: Duration) -> bool {
        self.says_something() && now >= self.begun + (2 * pace).max(LONG_ENOUGH)
    }

    pub(super) fn seen(&self) -> Seen {
        let latency = (self.answered > 0).then(|| self.sum / f64::from(self.answered));
        Seen { latency, answered: self.answered, dropped: self.dropped, peak: self.peak }
    }

    fn says_something(&self) -> bool {
        self.answered.saturating_add(self.dropped) >= FEWEST
    }
}
