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

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    /// One that was begun at one hour, with so many answers and drops.
    fn window(answers: u32, drops: u32) -> Window {
        let mut window = Window::new(ms(3_600_000));
        (0..answers).for_each(|_| window.add(1, Sample::Answered(ms(10))));
        (0..drops).for_each(|_| window.add(7, Sample::Dropped));
        window
    }

    #[test]
    fn it_is_whole_with_twenty_attempts_when_an_answer_has_had_time_to_come() {
        for (answers, drops, pace, whole, shown) in [
            (20, 0, ms(10), ms(100), ms(300)),
            (8, 12, ms(10), ms(100), ms(300)),
            (0, 20, ms(120), ms(120), ms(300)),
            (30, 0, ms(1000), ms(1000), ms(2000)),
        ] {
            let window = window(answers, drops);
            for (is, after) in
                [(Window::is_whole as fn(&Window, Duration, Duration) -> bool, whole), (Window::has_shown, shown)]
            {
                assert!(!is(&window, ms(3_599_999) + after, pace), "{after:?}");
                assert!(is(&window, ms(3_600_000) + after, pace), "{after:?}");
            }
        }
        let few = window(10, 9);
        assert!(!few.is_whole(ms(4_000_000), ms(10)) && !few.has_shown(ms(4_000_000), ms(10)));
    }

    #[test]
    fn it_is_stale_after_a_minute_or_six_answers_and_when_it_begins_later_than_now() {
        let window = window(0, 0);
        for (now, pace, is_stale) in [
            (3_598_999, 10, true),
            (3_599_000, 10, false),
            (3_660_000, 10, false),
            (3_660_001, 10, true),
            (3_720_000, 20_000, false),
            (3_720_001, 20_000, true),
        ] {
            assert_eq!(window.is_stale(ms(now), ms(pace)), is_stale, "{now} {pace}");
        }
    }

    #[test]
    fn what_it_has_seen_is_the_geometric_mean_and_the_peak() {
        assert!(window(0, 3).seen().latency.is_none());
        let mut window = window(1, 2);
        window.add(3, Sample::Answered(ms(1000)));
        let seen = window.seen();
        assert_eq!((seen.answered, seen.dropped, seen.peak), (2, 2, 7));
        assert!((seen.latency.unwrap().exp() - 0.1).abs() < 1e-9, "{seen:?}");
    }
}
